"""One comparison, from its request to its result in the log.

It is made once and never begun again: what fails has failed, and whoever wants it asks again.
"""

from contextlib import aclosing, suppress

import anyio

from daemon.actors.compare.loading import Loaded, loaded
from daemon.actors.compare.names import Keeping, NameShelf
from daemon.actors.compare.sides import LiveSide, Outside, Side, StoredSide
from daemon.commands import ComparisonReport, ReportCompared, ReportNotCompared
from daemon.errors import Failed, Permanent, Rejected, ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.valkey.contrast import Comparing, Contrast
from events.differences import ComparisonResult
from events.facts import Failure
from projections.comparisons import Comparison
from projections.work import ComparisonWork

_NO_ROOM = "not all names that were wanted are kept: they take too much room"


class CompareActor:
    """Makes comparisons."""

    def __init__(self, ledger: Ledger, outside: Outside, names: NameShelf) -> None:
        self._ledger = ledger
        self._outside = outside
        self._names = names

    async def perform(self, work: ComparisonWork, progress: Progress) -> None:
        """The whole comparison, to its end in the log."""
        wanted = self._ledger.state.comparisons.get(work.comparison_id)
        if wanted is None or wanted.phase != "requested":
            return
        report: ComparisonReport
        try:
            report = ReportCompared(work.comparison_id, await self._compared(wanted, progress))
        except Failed as error:
            report = ReportNotCompared(work.comparison_id, error.as_failure())
        except ValkeepError as error:
            end = Permanent(error.code, error.message, error.hint)
            report = ReportNotCompared(work.comparison_id, end.as_failure())
        await self._report(report)

    async def crashed(self, work: ComparisonWork, failure: Failure) -> None:
        """It got nowhere, or the bug is ours: nothing is known of what differs."""
        await self._report(ReportNotCompared(work.comparison_id, failure))

    async def _report(self, report: ComparisonReport) -> None:
        with suppress(Rejected):  # It was cancelled meanwhile.
            await self._ledger.report(report)

    async def _compared(self, wanted: Comparison, progress: Progress) -> ComparisonResult:
        began = anyio.current_time()
        sides = self._sides(wanted)
        async with loaded(self._outside, sides, progress) as both:
            names = self._names.keeping(wanted.comparison_id, wanted.wish.names)
            comparing = Comparing(wanted.wish, first=both.first, second=both.second)
            async with names as keeping:
                await _gone_through(comparing, keeping, progress, both.total_bytes)
        return _result(comparing.found, both, keeping, anyio.current_time() - began)

    def _sides(self, wanted: Comparison) -> tuple[Side, Side]:
        """What is to be compared; a cache may have been removed since."""
        state, outside = self._ledger.state, self._outside
        first = StoredSide(outside, state.catalog[wanted.cache][wanted.backup_id])
        if wanted.second_backup_id is not None:
            other = state.catalog[wanted.second_cache][wanted.second_backup_id]
            return first, StoredSide(outside, other)
        cache = state.caches.get(wanted.second_cache)
        if cache is None:
            raise Permanent(
                "unknown-cache",
                f"The cache {wanted.second_cache!r} was removed before it was compared.",
                "Compare with a backup of it.",
            )
        return first, LiveSide(outside, cache.name, cache.settings)


async def _gone_through(
    comparing: Comparing, keeping: Keeping, progress: Progress, total_bytes: int
) -> None:
    """All keys of both, each told as its share of the bytes; every step is a sign of life."""
    progress.phase("comparing", total_bytes)
    moved_bytes = 0
    async with aclosing(comparing.steps()) as steps:
        async for names in steps:
            await keeping.take(names)
            found = comparing.found
            reached = total_bytes * found.looked_at // max(1, found.keys)
            progress.advance(reached - moved_bytes)
            moved_bytes = reached


def _result(found: Contrast, both: Loaded, keeping: Keeping, seconds: float) -> ComparisonResult:
    return ComparisonResult(
        counts=found.total.counts(),
        first_at=both.instants[0],
        second_at=both.instants[1],
        engine=both.engine.label,
        load_seconds=round(both.seconds, 3),
        seconds=round(seconds, 3),
        databases={number: tally.counts() for number, tally in found.databases.items()},
        types={name: tally.counts() for name, tally in sorted(found.types.items())},
        functions_differ=found.functions_differ,
        names=keeping.kept,
        notes=(*both.notes, _NO_ROOM) if keeping.full else both.notes,
    )
