"""A restore by keys, from its plan to the result (R7): nothing is frozen, and nothing is undone.

Before the first key goes over, all of the backup is loaded and checked, the safety backup is
made, and the start is in the log.
"""

import anyio
from msgspec import Struct, structs

from daemon.actors.holding import bounded_elsewhere
from daemon.actors.restore.keys_visit import KeysVisit, KeysVisits
from daemon.actors.restore.safety import safety_backup
from daemon.commands import ReportPlan, ReportRestored, StartRestore
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.valkey.durable import Before
from daemon.valkey.info import fields, number
from daemon.valkey.keys.mover import Counts
from daemon.valkey.keys.settled import earlier, lost_and_left, settled
from events.facts import RestoreResult
from events.moves import KeysMoved, KeysWish
from projections.catalog import Backup
from projections.keys_plan import Wanted
from projections.restores import Restore


class _Begun(Struct, frozen=True):
    """The moment before the first write; `unsaved_bytes` were written since the safety backup."""

    counters: tuple[Before, ...]
    unsaved_bytes: int | None
    at: float


class KeysRestore:
    """Carries restores by keys out."""

    def __init__(self, ledger: Ledger, visits: KeysVisits) -> None:
        self._ledger = ledger
        self._visits = visits

    async def restore(self, restore: Restore, wish: KeysWish, progress: Progress) -> None:
        """One restore to its end; raises what ends it before."""
        state = self._ledger.state
        wanted = Wanted(
            backup=state.catalog[restore.backup_cache][restore.backup_id],
            settings=state.caches[restore.target].settings,
            wish=wish,
            replace=restore.replace,
            safety_backup=restore.safety_backup,
            force=restore.force,
            vault=restore.vault,
        )
        began = anyio.current_time()
        async with self._visits.visit(wanted, progress) as visit:
            await self._ledger.report(ReportPlan(restore.restore_id, visit.plan))
            planned = self._ledger.state.restores[restore.restore_id]
            if planned.phase != "planned" or visit.mover is None:
                return
            await self._start(restore, visit)
            begun = await self._begin(restore, visit, progress)
            found = visit.plan.keys or KeysMoved()
            counts = await visit.mover.move(found.chosen, plain_bytes=visit.plain_bytes)
            result = await _result(visit, begun, counts, progress)
        seconds = round(anyio.current_time() - began, 3)
        result = structs.replace(result, total_seconds=seconds)
        await self._ledger.report(ReportRestored(restore.restore_id, result))

    async def _start(self, restore: Restore, visit: KeysVisit) -> None:
        """Say in the log that keys will be written; no setting of the target is changed."""
        await self._ledger.report(
            StartRestore(
                restore_id=restore.restore_id,
                run_id=visit.facts.server.run_id,
                old_settings={},
                changes={},
                listener="",
                replication_id="",
            )
        )

    async def _begin(self, restore: Restore, visit: KeysVisit, progress: Progress) -> _Begun:
        """Make the safety backup, and note what the target has written since."""
        unsaved = None
        if visit.plan.safety_backup:
            backup = await safety_backup(self._ledger, restore, progress)
            unsaved = await _unsaved_bytes(visit, backup)
        return _Begun(await earlier(visit.way), unsaved, anyio.current_time())


async def _unsaved_bytes(visit: KeysVisit, backup: Backup) -> int | None:
    """How much the target has written since the snapshot, where both are of one history."""
    now = fields(await visit.node.text("INFO", "replication"))
    taken = backup.snapshot.server if backup.snapshot else None
    if taken is None or now.get("master_replid") != taken.replication_id:
        return None
    return max(0, number(now, "master_repl_offset") - taken.replication_offset)


async def _result(
    visit: KeysVisit, begun: _Begun, counts: Counts, progress: Progress
) -> RestoreResult:
    served = round(anyio.current_time() - begun.at, 3)
    progress.phase("making it durable")
    async with bounded_elsewhere(progress):
        sentence = await settled(visit.way)
    gone, left = await lost_and_left(visit.way, begun.counters)
    found = visit.plan.keys or KeysMoved()
    return RestoreResult(
        keys=left,
        evicted_keys=gone,
        durability=sentence,
        served_seconds=served,
        total_seconds=0.0,
        lost_offset_bytes=begun.unsaved_bytes,
        warnings=_warnings(counts, gone=gone, left_out=found.chosen - counts.chosen),
        moved=structs.replace(counts.moved(), existing=found.existing),
    )


def _warnings(counts: Counts, *, gone: int, left_out: int) -> tuple[str, ...]:
    lines = []
    if left_out > 0:
        lines.append(f"{left_out:,} chosen keys were left out: the target lacks their databases.")
    if gone:
        lines.append(
            f"{gone:,} keys were evicted during or right after the restore: maxmemory is too small "
            "for this data. Raise it and restore again."
        )
    if counts.refused:
        lines.append(f"{len(counts.refused):,} keys were not taken by the target.")
    return tuple(lines)
