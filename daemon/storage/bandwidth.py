"""Limits of bandwidth on the way into a vault: the daemon's, and each cache's (V7).

Counted are stored bytes, after compression and encryption: what an uplink carries. A writer that
waits for its turn gives signs of life, and so does each call that returns, so that a slow vault
is not taken for one that hangs.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from daemon.ports import Progress
from daemon.rates import rate
from daemon.storage.throttle import Throttle, slice_bytes, take
from daemon.storage.vault import ObjectInfo, ObjectName, ObjectWriter, Vault
from events.facts import CacheName


class Bandwidth:
    """The limits in force. The daemon's changes at once, a cache's with its next attempt."""

    def __init__(self, text: str | None = None) -> None:
        self._all = Throttle(rate(text))
        self._caches: dict[CacheName, Throttle] = {}

    def set(self, text: str | None) -> None:
        """Another limit for all together, from now on."""
        self._all.rate = rate(text)

    def of(self, cache: CacheName, text: str | None) -> tuple[Throttle, ...]:
        """What holds for one cache: its own limit, shared by all that is done for it, and all's."""
        own = self._caches.setdefault(cache, Throttle())
        own.rate = rate(text)
        return own, self._all


class Way(Struct, frozen=True):
    """One job's way into a vault: what limits it, and where it gives its signs of life."""

    throttles: Sequence[Throttle]
    progress: Progress


class LimitedVault:
    """A `Vault` whose writers wait for their turn; all else goes through as it is."""

    def __init__(self, vault: Vault, way: Way) -> None:
        self._vault = vault
        self._way = way

    @property
    def url(self) -> str:
        """See `Vault.url`."""
        return self._vault.url

    @asynccontextmanager
    async def create(self, name: ObjectName) -> AsyncIterator["LimitedWriter"]:
        """See `Vault.create`."""
        async with self._vault.create(name) as writer:
            yield LimitedWriter(writer, self._way)

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        await self._vault.put(name, data)

    async def put_new(self, name: ObjectName, data: bytes) -> bool:
        """See `Vault.put_new`."""
        return await self._vault.put_new(name, data)

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        return await self._vault.get(name, limit_bytes)

    async def read(self, name: ObjectName, *, offset: int, length: int) -> bytes:
        """See `Vault.read`."""
        return await self._vault.read(name, offset=offset, length=length)

    async def size(self, name: ObjectName) -> int | None:
        """See `Vault.size`."""
        return await self._vault.size(name)

    def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """See `Vault.list`."""
        return self._vault.list(prefix)

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        await self._vault.delete(name)

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`."""
        await self._vault.clear(prefix)

    async def aclose(self) -> None:
        """See `Vault.aclose`."""
        await self._vault.aclose()


class LimitedWriter:
    """An `ObjectWriter` that is given its bytes as fast as the limits allow."""

    def __init__(self, writer: ObjectWriter, way: Way) -> None:
        self._writer = writer
        self._way = way

    async def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        at = 0
        while at < len(data):
            turn = slice_bytes(self._way.throttles, len(data) - at)
            await take(self._way.throttles, turn)
            await self._writer.write(data[at : at + turn])
            self._way.progress.advance(0)
            at += turn

    async def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        await self._writer.commit()
        self._way.progress.advance(0)
