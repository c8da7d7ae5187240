"""A vault in memory, for simulations and as the model that the other vaults are held to.

Keeps nothing beyond the process unless it is given the store of another. It knows no
faults: whoever wants them wraps it.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio.lowlevel
from msgspec import Struct, field

from daemon.storage.names import checked_folder, checked_prefix, checked_segments
from daemon.storage.vault import ObjectInfo, ObjectName
from daemon.storage.vault_errors import lost_upload, missing, too_large, too_short


class Upload(Struct, eq=False):
    """An object under way: what a crash of the daemon leaves behind."""

    name: ObjectName
    data: bytearray = field(default_factory=bytearray)


class MemoryStore(Struct):
    """What outlives one vault object, as a bucket outlives a daemon."""

    objects: dict[ObjectName, bytes] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)


class MemoryVault:
    """A `Vault` over a `MemoryStore`; every call is a checkpoint, as a real one would be."""

    def __init__(self, store: MemoryStore | None = None, *, url: str = "memory:") -> None:
        self._store = store if store is not None else MemoryStore()
        self._url = url

    @property
    def url(self) -> str:
        """For messages."""
        return self._url

    @asynccontextmanager
    async def create(self, name: ObjectName) -> AsyncIterator["MemoryWriter"]:
        """See `Vault.create`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        upload = Upload(name)
        self._store.uploads.append(upload)
        try:
            yield MemoryWriter(self._url, self._store, upload)
        finally:
            if upload in self._store.uploads:
                self._store.uploads.remove(upload)

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        self._store.objects[name] = bytes(data)

    async def put_new(self, name: ObjectName, data: bytes) -> bool:
        """See `Vault.put_new`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        if name in self._store.objects:
            return False
        self._store.objects[name] = bytes(data)
        return True

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        data = self._store.objects.get(name)
        if data is not None and len(data) > limit_bytes:
            raise too_large(self._url, name, size_bytes=len(data), limit_bytes=limit_bytes)
        return data

    async def read(self, name: ObjectName, *, offset: int, length: int) -> bytes:
        """See `Vault.read`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        if name not in self._store.objects:
            raise missing(self._url, name)
        data = self._store.objects[name][offset : offset + length]
        if len(data) != length:
            raise too_short(self._url, name, end=offset + length)
        return data

    async def size(self, name: ObjectName) -> int | None:
        """See `Vault.size`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        data = self._store.objects.get(name)
        return None if data is None else len(data)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """See `Vault.list`."""
        checked_prefix(prefix)
        for name in sorted(self._store.objects):
            await anyio.lowlevel.checkpoint()
            if name.startswith(prefix) and name in self._store.objects:
                yield ObjectInfo(name, len(self._store.objects[name]))

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        checked_segments(name)
        await anyio.lowlevel.checkpoint()
        self._store.objects.pop(name, None)

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`."""
        checked_folder(prefix)
        await anyio.lowlevel.checkpoint()
        for name in [name for name in self._store.objects if name.startswith(prefix)]:
            del self._store.objects[name]
        self._store.uploads[:] = [
            upload for upload in self._store.uploads if not upload.name.startswith(prefix)
        ]

    async def aclose(self) -> None:
        """Nothing to give back."""


class MemoryWriter:
    """An `ObjectWriter` over one upload of a store."""

    def __init__(self, url: str, store: MemoryStore, upload: Upload) -> None:
        self._url = url
        self._store = store
        self._upload = upload

    async def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        await anyio.lowlevel.checkpoint()
        self._upload.data += data

    async def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        await anyio.lowlevel.checkpoint()
        if self._upload not in self._store.uploads:
            raise lost_upload(f"the unfinished {self._upload.name} in {self._url} is gone")
        self._store.uploads.remove(self._upload)
        self._store.objects[self._upload.name] = bytes(self._upload.data)
