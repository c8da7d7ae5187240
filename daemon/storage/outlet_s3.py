"""Exports into a bucket: multipart uploads with sums, looked at when they are done, or given up.

S3 cannot tell whose an unfinished upload is. What a killed daemon left is known by its key, and
by when it was begun; one that somebody else began at the same key meanwhile would go, too.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from daemon.storage.outlet import Target, exists
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_upload import S3Writer
from daemon.storage.vault import ObjectName

_CLOCKS_APART = timedelta(minutes=15)
"""By which a bucket's clock may differ from ours: S3 refuses requests beyond it."""


class S3Outlet:
    """An `Outlet` in a bucket and prefix."""

    def __init__(self, vault: S3Vault) -> None:
        self._vault = vault

    @property
    def url(self) -> str:
        """For messages."""
        return self._vault.url

    @asynccontextmanager
    async def create(self, target: Target) -> AsyncIterator["OutletWriter"]:
        """See `Outlet.create`."""
        async with self._vault.create(ObjectName(target.file)) as writer:
            yield OutletWriter(self, writer, target)

    async def sweep(self, target: Target) -> None:
        """See `Outlet.sweep`."""
        since = target.since - _CLOCKS_APART
        await self._vault.give_up_uploads(ObjectName(target.file), since=since)

    async def size(self, file: str) -> int | None:
        """See `Outlet.size`."""
        return await self._vault.size(ObjectName(file))

    async def read(self, file: str, *, offset: int, length: int) -> bytes:
        """See `Outlet.read`."""
        return await self._vault.read(ObjectName(file), offset=offset, length=length)

    async def aclose(self) -> None:
        """See `Outlet.aclose`."""
        await self._vault.aclose()


class OutletWriter:
    """An `ObjectWriter` that looks whether the name is free, once more, before it takes it."""

    def __init__(self, outlet: S3Outlet, writer: S3Writer, target: Target) -> None:
        self._outlet = outlet
        self._writer = writer
        self._target = target

    async def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        await self._writer.write(data)

    async def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        if not self._target.replace and await self._outlet.size(self._target.file) is not None:
            raise exists(self._outlet.url, file=self._target.file)
        await self._writer.commit()
