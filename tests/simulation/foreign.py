"""The `Imports` seam in a simulated world.

What is imported is another small, valid RDB each time it is read, sent in pieces.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from daemon.actors.seams import Judged
from daemon.ports import Progress
from events.facts import Failure, RdbTotals, SnapshotFacts
from events.moves import ImportedFrom
from projections.catalog import Backup
from projections.imports import Origin
from tests.simulation.line import Line
from tests.simulation.ports import FarSnapshot

TOTALS = RdbTotals(keys=3, expires=0, highest_database=0, by="a checker")


class FarImports:
    """Sources at the other end of the line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @asynccontextmanager
    async def snapshot(self, backup: Backup, progress: Progress) -> AsyncIterator["FarForeign"]:
        """See `Imports.snapshot`."""
        progress.phase("opening")
        assert backup.origin is not None
        origin = backup.origin
        rdb = await self._line.call(f"open {origin.source}", lambda far: far.snapshot())
        yield FarForeign(FarSnapshot(self._line, rdb), origin)

    def explained(self, failure: Failure, origin: Origin) -> Failure:
        """See `Imports.explained`."""
        return replace(failure, message=f"{origin.source}: {failure.message}")


class FarForeign:
    """What is imported."""

    def __init__(self, inner: FarSnapshot, origin: Origin) -> None:
        self._inner = inner
        self._origin = origin
        self.judged = Judged(TOTALS)

    @property
    def expected_bytes(self) -> int | None:
        """See `Snapshot.expected_bytes`."""
        return None

    @property
    def holds_fork(self) -> bool:
        """See `Snapshot.holds_fork`."""
        return False

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """See `Snapshot.chunks`."""
        return self._inner.chunks()

    async def facts(self) -> SnapshotFacts:
        """See `Foreign.facts`."""
        facts = await self._inner.facts()
        came = ImportedFrom(self._origin.kind, self._origin.source)
        return replace(facts, source="import", imported=came)
