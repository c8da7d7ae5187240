"""Plain bytes over the socket: headers, roles, and what becomes of a body that cannot be whole."""

import hashlib
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from daemon.answers import BackupDetail, ExportDetail
from daemon.api import Access, ExportPlace, Plain, sending
from daemon.cli.plain_file import Wanted, stream, write_rdb
from daemon.client import Client
from daemon.errors import Failed, Forbidden, Permanent
from events.facts import VaultName
from projections.catalog import Backup
from tests.support.api import Served, serving
from tests.support.outcome import files_in
from tests.support.poll import until
from tests.support.samples import B1, complete, registered

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(DATA).hexdigest()
DAMAGED = Permanent("block-damaged", "block 3 of 4 is damaged", "use another backup")


class Bytes:
    """An exporter of fixed bytes, which may fail after some of them."""

    def __init__(self, sha256: str, fails_after: int | None = None) -> None:
        self._sha256 = sha256
        self._fails_after = fails_after

    def resolve(self, destination: str, entry: str | None) -> ExportPlace:
        """See `Exporter`."""
        return ExportPlace(destination, entry)

    @asynccontextmanager
    async def plain(
        self, backup: Backup, vault: VaultName | None, shard: str | None
    ) -> AsyncGenerator[Plain, None]:
        """See `Exporter`."""
        assert (backup.backup_id, vault) == (B1, None)
        yield Plain(shard or "0000", len(DATA), self._sha256, self._chunks())

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(DATA), 1 << 18):
            if self._fails_after is not None and start >= self._fails_after:
                raise DAMAGED
            yield DATA[start : start + (1 << 18)]


async def last(api: Served) -> ExportDetail:
    """The newest export, when it has ended."""
    detail = await api.get(BackupDetail, f"/v1/backups/{B1}")
    return await api.get(
        ExportDetail, f"/v1/exports/{detail.exports[-1].export_id}", {"wait": 10.0}
    )


async def test_file_is_written_and_the_log_tells_of_it(tmp_path: Path) -> None:
    """A client gets all bytes with their hash, and the log says who had them, and where to."""
    path = tmp_path / "dump.rdb"
    async with serving(registered(), *complete(B1, name="nightly"), exporter=Bytes(SHA256)) as api:
        fetched = await anyio.to_thread.run_sync(
            write_rdb, Client(str(api.path)), "orders/nightly", path
        )
        told = (await last(api)).export
    assert DATA == path.read_bytes()
    assert (len(DATA), SHA256, path) == (fetched.plain_bytes, fetched.sha256, fetched.path)
    assert ("completed", "client", str(path)) == (told.phase, told.kind, told.destination)


async def test_error_in_the_middle_cuts_the_body_short(tmp_path: Path) -> None:
    """What fails in the middle is never filled up with an error's text; the reason is told."""
    path = tmp_path / "dump.rdb"
    exporter = Bytes(SHA256, fails_after=1 << 20)
    async with serving(registered(), *complete(B1, name="nightly"), exporter=exporter) as api:
        with pytest.raises(Failed, match="block 3 of 4 is damaged"):
            await anyio.to_thread.run_sync(write_rdb, Client(str(api.path)), B1, path)
        raw = await anyio.to_thread.run_sync(spoken, api.path)
        told = (await last(api)).export
    assert set() == files_in(tmp_path)
    body = raw.partition(b"\r\n\r\n")[2]
    assert DATA.startswith(body)
    assert len(body) < len(DATA)
    assert told.failure is not None
    assert "block-damaged" == told.failure.code


def spoken(path: Path) -> bytes:
    """All that a socket says to a plain request."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        line.sendall(f"GET /v1/backups/{B1}/rdb HTTP/1.1\r\nHost: v\r\n\r\n".encode())
        said = b""
        try:
            while piece := line.recv(1 << 20):
                said += piece
        except ConnectionResetError:
            pass
        return said


async def test_wrong_hash_is_noticed_by_the_client() -> None:
    """What came is compared with the hash that the daemon has told."""
    async with serving(
        registered(), *complete(B1, name="nightly"), exporter=Bytes("0" * 64)
    ) as api:
        with pytest.raises(Failed, match="not what the daemon has sent"):
            await anyio.to_thread.run_sync(
                lambda: stream(Client(str(api.path)), Wanted(B1), lambda _: None)
            )


async def test_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that has stalled is cut off, and the log says so."""
    monkeypatch.setattr(sending, "STALL_SECONDS", 0.2)
    async with serving(registered(), *complete(B1, name="nightly"), exporter=Bytes(SHA256)) as api:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(api.path))
            line.sendall(f"GET /v1/backups/{B1}/rdb HTTP/1.1\r\nHost: v\r\n\r\n".encode())
            await anyio.wait_readable(line)
            told = (await last(api)).export
    assert told.failure is not None
    assert "took nothing" in told.failure.message


async def visit(path: Path, steps: int) -> None:
    """Ask for the backup, and go away after so many steps of the loop."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        line.sendall(f"GET /v1/backups/{B1}/rdb HTTP/1.1\r\nHost: v\r\n\r\n".encode())
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()


async def test_client_that_goes_at_once_leaves_nothing_open() -> None:
    """Whenever a client goes away, its export has an end in the log, and its backup is let go."""
    async with serving(registered(), *complete(B1, name="nightly"), exporter=Bytes(SHA256)) as api:
        for steps in range(12):
            await visit(api.path, steps)

        async def let_go() -> bool:
            detail = await api.get(BackupDetail, f"/v1/backups/{B1}")
            return bool(detail.exports) and not detail.backup.being_read

        # The last ones may still open theirs when the first have ended.
        await until(let_go, "the exports to end")


async def test_only_an_admin_reads_a_backup() -> None:
    """An operator may make backups, but neither read nor export them."""
    access = Access(users={os.geteuid(): "operator"}, groups={})
    async with serving(
        registered(), *complete(B1, name="nightly"), access=access, exporter=Bytes(SHA256)
    ) as api:
        with pytest.raises(Forbidden):
            await anyio.to_thread.run_sync(
                lambda: stream(Client(str(api.path)), Wanted(B1), lambda _: None)
            )
        printed = await api.type("backup", "export", "orders/nightly", "s3://b/k")
    assert 3 == printed.code


async def test_backup_that_is_called_rdb_can_be_asked_for() -> None:
    """The route to the bytes takes no backup's own place."""
    async with serving(registered(), *complete(B1, name="rdb"), exporter=Bytes(SHA256)) as api:
        found = await api.get(BackupDetail, "/v1/backups/orders/rdb")
    assert B1 == found.backup.backup_id
