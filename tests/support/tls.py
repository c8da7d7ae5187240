"""Certificates of our own for tests, and servers that speak TLS with them.

An authority and all it signs lie in one folder, as a team would keep them; keys are for their
owner alone.
"""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from msgspec import Struct

from daemon.valkey.engine import Engine, find_engines
from tests.support.servers import Node, free_port

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)
HERE = ("127.0.0.1", "localhost")


TLS_ENGINES = [
    pytest.param(kind, marks=pytest.mark.debian(f"{kind}-server")) for kind in ("redis", "valkey")
]
"""Kinds of engines that Debian builds with TLS; the wheel's has none."""


async def installed(kind: str) -> Engine:
    """The engine of that kind on the system's own path."""
    server = shutil.which(f"{kind}-server", path=os.defpath)
    return next(found for found in await find_engines(os.defpath) if found.server == server)


class Pair(Struct, frozen=True):
    """A certificate and its key."""

    cert_file: str
    key_file: str


class Authority:
    """Who signs; `ca_file` is what others trust it by."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *identities: str, expired: bool = False) -> Pair:
        """A certificate for these host names and addresses, for servers and clients alike."""
        begins, ends = LONG_AGO if expired else (None, None)
        made = self._authority.issue_cert(
            *(identities or (name,)), common_name=name, not_before=begins, not_after=ends
        )
        pair = Pair(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        Path(pair.cert_file).write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        key = Path(pair.key_file)
        key.touch(mode=0o600)
        key.write_bytes(made.private_key_pem.bytes())
        return pair


def speaking_tls(
    authority: Authority, pair: Pair, *, clients: str = "no", **more: str
) -> dict[str, str]:
    """Settings of a node that speaks TLS on a port of its own, beside the plain one.

    `clients` is ``tls-auth-clients``.
    """
    return {
        "tls_port": str(free_port()),
        "tls_cert_file": pair.cert_file,
        "tls_key_file": pair.key_file,
        "tls_ca_cert_file": authority.ca_file,
        "tls_auth_clients": clients,
        **more,
    }


def tls_url(node: Node) -> str:
    """The node's address in TLS."""
    return f"valkeys://127.0.0.1:{node.settings['tls-port']}"
