"""The place of a user's own at the other end of the line: files there, whole or not at all."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from daemon.storage.outlet import Outlet, Target, exists
from daemon.storage.vault import ObjectName
from tests.simulation.far import Far
from tests.simulation.line import Line
from tests.simulation.ports import FarVault, FarWriter

OUTLET = "outlet"
"""The name of its far side, beside the vaults'."""


class FarOutlets:
    """The `Outlets` seam: one place, whatever the URL."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @asynccontextmanager
    async def opened(self, url: str, entry: str | None) -> AsyncGenerator[Outlet, None]:
        """See `Outlets.opened`."""
        assert entry is None
        yield FarOutlet(self._line, url)


class FarOutlet:
    """An `Outlet` whose drafts are uploads of the far side."""

    def __init__(self, line: Line, url: str) -> None:
        self._line = line
        self._vault = FarVault(line, OUTLET)
        self.url = url

    @asynccontextmanager
    async def create(self, target: Target) -> AsyncIterator["NewWriter"]:
        """See `Outlet.create`."""
        async with self._vault.create(ObjectName(target.file)) as writer:
            yield NewWriter(self, writer, target)

    async def sweep(self, target: Target) -> None:
        """See `Outlet.sweep`."""

        def effect(far: Far) -> None:
            place = far.vault(OUTLET)
            left = [n for n, upload in place.uploads.items() if upload.name == target.file]
            for number in left:
                place.abort(number)

        await self._line.call(f"{OUTLET}: sweep {target.file}", effect)

    async def size(self, file: str) -> int | None:
        """See `Outlet.size`."""
        return await self._vault.size(ObjectName(file))

    async def read(self, file: str, *, offset: int, length: int) -> bytes:
        """See `Outlet.read`."""
        return await self._vault.read(ObjectName(file), offset=offset, length=length)

    async def aclose(self) -> None:
        """Nothing to give back."""


class NewWriter:
    """An `ObjectWriter` that looks, as the real ones do, whether the name is free."""

    def __init__(self, outlet: FarOutlet, writer: FarWriter, target: Target) -> None:
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
