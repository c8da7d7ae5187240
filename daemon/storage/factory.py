"""Opens a vault by its URL: ``file:///path`` or ``s3://bucket/prefix``.

Knows what such URLs may look like; nothing is sent or opened before the first call.
"""

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from daemon.errors import BadRequest
from daemon.ports import Clock, Offload
from daemon.storage.local import DirectoryVault
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_calls import Bucket, Patience, Server, Tools
from daemon.storage.s3_client import connect
from daemon.storage.s3_sums import Summing
from daemon.storage.settings import VaultSettings
from daemon.storage.spool import Spool
from daemon.storage.vault import Vault

__all__ = ["Aids", "VaultSettings", "bucket_of", "directory_of", "open_vault"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._=-]*/)*")
_DEFAULT_PATIENCE = Patience(busy_seconds=120.0)
"""A server that is away for a minute costs no attempt."""


class Aids(Struct, frozen=True):
    """What only some vaults need: a clock for locks, a spool for S3 objects above 148 GiB."""

    clock: Clock | None = None
    spool: Spool | None = None


NO_AIDS = Aids()


def open_vault(
    settings: VaultSettings,
    offload: Offload,
    jitter: Callable[[], float],
    patience: Patience = _DEFAULT_PATIENCE,
    aids: Aids = NO_AIDS,
) -> Vault:
    """The vault of a URL; the caller closes it. `BadRequest` for a URL that is none.

    `jitter` gives random numbers, 0 <= x < 1, to spread repeated calls. That there is a bucket
    or directory, and that it may be used, is found out by the first call.
    """
    scheme = urlsplit(settings.url).scheme
    if scheme == "file":
        return DirectoryVault(directory_of(settings.url), offload)
    if scheme == "s3":
        if aids.clock is None and settings.placement.object_lock:
            raise ValueError("a lock has a date, which takes a clock")
        tools = Tools(
            connect=partial(connect, settings),
            offload=offload,
            jitter=jitter,
            clock=aids.clock,
            placement=settings.placement,
            summing=summing(settings),
            spool=aids.spool,
        )
        return S3Vault(Server(bucket_of(settings.url), tools, patience))
    raise _bad_url(settings.url, hint="vaults are file:///path or s3://bucket/prefix")


def summing(settings: VaultSettings) -> Summing:
    """The checksums for a vault: "auto" takes what the server is known to have.

    Amazon's has the flexible ones. Of others, many do not: some refuse them, and some take them
    without a look (s3_sums); every one knows MD5.
    """
    chosen = settings.placement.checksum
    if chosen != "auto":
        return Summing(chosen)
    return Summing("md5" if settings.endpoint_url else "crc32c")


def directory_of(url: str) -> str:
    """The absolute path of a ``file:`` URL."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise _bad_url(url, hint="a directory is written with three slashes: file:///var/backups/x")
    if parts.query or parts.fragment:
        raise _bad_url(url, hint="write ? as %3F and # as %23")
    return path.rstrip("/") or "/"


def bucket_of(url: str) -> Bucket:
    """Bucket and prefix of an ``s3:`` URL."""
    parts = urlsplit(url)
    prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
    if parts.query or parts.fragment or not _BUCKET.fullmatch(parts.netloc):
        raise _bad_url(url, hint="a bucket is written s3://bucket/prefix, without keys or options")
    if not _PREFIX.fullmatch(prefix):
        raise _bad_url(url, hint="prefixes are made of letters, digits and . _ = - between slashes")
    return Bucket(parts.netloc, prefix, f"s3://{parts.netloc}/{prefix}".rstrip("/"))


def _bad_url(url: str, *, hint: str) -> BadRequest:
    """What stands before an ``@`` may be a key, and is not repeated."""
    shown = re.sub(r"//[^/]*@", "//…@", url)
    return BadRequest("vault-url", f"{shown!r} is not the URL of a vault", hint)
