"""Keeps copies of the log in every vault of ours, after each was compared with the log (L3, L6).

Until that has been done, nothing is deleted in the vault. Which positions are copied is derived
from what lies there. Nothing of this is in the log itself: a copy that told of itself would
never end. What fails is told by `check`, and tried again.
"""

from contextlib import aclosing
from datetime import datetime
from functools import partial

import anyio
import structlog
from anyio.lowlevel import checkpoint
from msgspec import Struct

from daemon.actors.bulkhead import contained
from daemon.actors.history.comparison import difference
from daemon.actors.history.seams import Outside
from daemon.commands import ReportLogWentBack
from daemon.errors import Failed, Permanent, ValkeepError
from daemon.ledger import Ledger
from daemon.storage.log_copies import LINES_BYTES, list_segments, write_segment
from daemon.storage.ownership import owner
from daemon.storage.segments import (
    MERGED_RECORDS,
    Segment,
    Span,
    merges,
    missing,
    redundant,
)
from daemon.storage.vault import ObjectName, Vault
from events import audit
from events.chain import EMPTY
from events.envelope import Head, Record
from events.facts import START, Position, VaultName
from events.log import LogError

log = structlog.get_logger()

COPY_SECONDS = 60.0
"""At most one copy in this time (L6)."""
FIRST_SECONDS = 20.0
"""Until the first copy of a run: one that is restarted often must not copy each time."""
MERGE_SECONDS = 24 * 3600.0
MANY = 200
"""So many segments are merged without waiting for the day's end."""
ROUND_SECONDS = 300.0
"""What a vault may take for one round, before it is given up for this time."""
BREATH = 100
"""Lines that are made before others get a turn on the event loop."""
FLUSH_SECONDS = 3.0
"""What the end of the daemon may wait for its last copy."""
REST_SECONDS = (2.0, 900.0)
"""First and longest wait after a round that failed."""


class Clearance:
    """The vaults that were compared with the log: only there anything may be deleted."""

    def __init__(self) -> None:
        self._vaults: set[VaultName] = set()

    def __call__(self, vault: VaultName) -> bool:
        """Whether it has been compared since the daemon started."""
        return vault in self._vaults

    def give(self, vault: VaultName) -> None:
        """It has been compared, or there is nothing of ours in it."""
        self._vaults.add(vault)

    def take_back(self) -> None:
        """They are others now."""
        self._vaults.clear()


class Standing(Struct, frozen=True):
    """How far one vault's copy of the log is; since when it is behind, and why."""

    vault: VaultName
    copied: Position
    behind_since: datetime | None = None
    trouble: str = ""
    hint: str = ""


class _Kept(Struct):
    """What is known of one vault; `segments` is None until they were listed."""

    segments: dict[ObjectName, Segment] | None = None
    compared: bool = False
    ours: bool = False
    recovered_at: datetime | None = None
    copied: Position = START
    copy_at: float = 0.0
    merged_at: float = 0.0
    tries: int = 0
    not_before: float = 0.0
    behind_since: datetime | None = None
    trouble: ValkeepError | None = None


class Keeper:
    """Compares each vault with the log, and then keeps the log's copy in it."""

    def __init__(self, ledger: Ledger, outside: Outside) -> None:
        self.clearance = Clearance()
        self._ledger = ledger
        self._outside = outside
        self._kept: dict[VaultName, _Kept] = {}
        self._changed = anyio.Event()

    def standings(self) -> tuple[Standing, ...]:
        """One for each vault of ours that is configured."""
        return tuple(
            Standing(
                name,
                kept.copied,
                kept.behind_since,
                kept.trouble.message if kept.trouble else "",
                kept.trouble.hint if kept.trouble else "",
            )
            for name, kept in sorted(self._kept.items())
            if name in self._outside.vaults.names and (kept.ours or kept.trouble)
        )

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self.round()
            with anyio.move_on_after(self._patience()):
                await self._changed.wait()
            self._changed = anyio.Event()

    def forget(self) -> None:
        """The vaults were configured anew: each is compared again before anything goes there."""
        self._kept.clear()
        self.clearance.take_back()
        self._changed.set()

    async def flush(self) -> None:
        """A last copy on the way out, if it is quickly made."""
        with anyio.move_on_after(FLUSH_SECONDS):
            await self.round(last=True)

    async def round(self, *, last: bool = False) -> None:
        """Do in each vault what is due there now."""
        async with anyio.create_task_group() as tasks:
            for name in self._outside.vaults.names:
                kept = self._of(name)
                if last or kept.not_before <= anyio.current_time():
                    tasks.start_soon(self._guarded, name, kept, last)

    def _of(self, name: VaultName) -> _Kept:
        if name not in self._kept:
            now = anyio.current_time()
            self._kept[name] = _Kept(copy_at=now + FIRST_SECONDS, merged_at=now)
        return self._kept[name]

    def _patience(self) -> float:
        now = anyio.current_time()
        waits = [
            (kept.not_before if kept.tries else kept.copy_at) - now for kept in self._kept.values()
        ]
        return max(0.1, min((COPY_SECONDS, *waits)))

    async def _guarded(self, name: VaultName, kept: _Kept, last: bool) -> None:  # noqa: FBT001 - a task's arguments have no names
        trouble: ValkeepError | None = None
        with anyio.move_on_after(ROUND_SECONDS) as patience:
            try:
                bug = await contained(partial(self._keep, name, kept, last), work=f"log in {name}")
                trouble = Permanent("bug", f"Valkeep itself failed: {bug}", _SEE) if bug else None
            except (ValkeepError, LogError) as error:
                code = error.code if isinstance(error, ValkeepError) else "log"
                trouble = Failed(code, error.message, error.hint)
        if patience.cancelled_caught:
            trouble = Failed("vault-slow", f"vault {name} took too long", "Look at the vault.")
        self._ended(name, kept, trouble)

    def _ended(self, name: VaultName, kept: _Kept, trouble: ValkeepError | None) -> None:
        if trouble is None:
            if kept.tries:
                log.info("log copied again", vault=name)
            kept.tries, kept.trouble, kept.behind_since, kept.not_before = 0, None, None, 0.0
            if kept.copy_at <= anyio.current_time():
                kept.copy_at = anyio.current_time() + COPY_SECONDS
            return
        if not kept.tries:
            log.warning("log not copied", vault=name, error=trouble.message, hint=trouble.hint)
        first, longest = REST_SECONDS
        wait = min(longest, first * 2**kept.tries) * (1 + self._outside.ids.jitter() / 4)
        kept.segments = None  # what has been stored is found out by looking
        kept.trouble, kept.tries = trouble, min(kept.tries + 1, 16)
        kept.not_before = anyio.current_time() + wait
        kept.behind_since = kept.behind_since or self._outside.clock.now()

    def _is_idle(self, kept: _Kept) -> bool:
        """Whether there is nothing to copy and nothing to merge: then the vault is not asked."""
        is_copied = kept.copied == self._ledger.state.position and kept.segments is not None
        return is_copied and anyio.current_time() < kept.merged_at + MERGE_SECONDS

    async def _keep(self, name: VaultName, kept: _Kept, last: bool) -> None:  # noqa: FBT001
        if self._is_idle(kept):
            return
        vault = await self._outside.vaults.readable(name)
        kept.ours = await _is_ours(vault, self._outside)
        if not kept.ours:
            kept.segments = None
            self._clear(name, kept)
            return
        if not kept.compared:
            await self._compare(name, kept)
        recovery = self._ledger.state.recovery
        if recovery.ahead or recovery.recovered_at != kept.recovered_at:
            kept.segments, kept.recovered_at = None, recovery.recovered_at
        now = anyio.current_time()
        if not recovery.ahead and (last or now >= kept.copy_at):
            await self._copy_missing(name, vault, kept)

    async def _compare(self, name: VaultName, kept: _Kept) -> None:
        found = await difference(self._ledger, self._outside, name)
        if found is not None:
            witness = found.witness
            log.error("log went back", vault=name, known=witness.position, here=found.here)
            await self._ledger.report(
                ReportLogWentBack(name, witness.position, found.here, witness.name, found.forked)
            )
        kept.compared = True
        self._clear(name, kept)

    def _clear(self, name: VaultName, kept: _Kept) -> None:
        """Unless the vaults were configured anew meanwhile."""
        if self._kept.get(name) is kept:
            self.clearance.give(name)

    async def _copy_missing(self, name: VaultName, vault: Vault, kept: _Kept) -> None:
        head = await self._ledger.head()
        if kept.segments is None:
            kept.segments = {one.name: one for one in await list_segments(vault)}
        for span in missing((one.span for one in kept.segments.values()), head.position):
            await self._copy(name, vault, kept.segments, span)
        kept.copied = head.position
        due = anyio.current_time() >= kept.merged_at + MERGE_SECONDS
        if due or len(merges(list(kept.segments.values()))) > MANY // 2:
            await self._merge(name, vault, kept.segments)
            kept.merged_at = anyio.current_time()

    async def _merge(
        self, name: VaultName, vault: Vault, segments: dict[ObjectName, Segment]
    ) -> None:
        """The merged ones first, and only then those that they cover go."""
        for span in merges(list(segments.values())):
            await self._copy(name, vault, segments, span)
        for segment in redundant(segments.values()):
            await vault.delete(segment.name)
            del segments[segment.name]

    async def _copy(
        self, name: VaultName, vault: Vault, segments: dict[ObjectName, Segment], span: Span
    ) -> None:
        """Copy a span of the log, in as many segments as its size asks for."""
        sealing = self._outside.keys.sealing(name)
        first = span.first
        while first <= span.last:
            lines = await _lines(self._ledger, Span(first, span.last))
            part = Span(first, Position(first + len(lines) - 1))
            stored = await write_segment(vault, part, lines, self._outside.offload, sealing)
            segments[stored.name] = stored
            first = Position(part.last + 1)


_SEE = "Please report this with the daemon's log, which has the traceback."


async def _is_ours(vault: Vault, outside: Outside) -> bool:
    found = await owner(vault)
    return found is not None and found.installation == outside.installation


async def _lines(ledger: Ledger, span: Span) -> list[bytes]:
    """The beginning of a span as lines of the export, at least one: as many as fit a segment."""
    lines: list[bytes] = []
    size, wanted = 0, span.last - span.first + 1
    async with aclosing(ledger.records(Position(max(0, span.first - 2)))) as records:
        before = EMPTY if span.first == 1 else _head_of(await anext(records))
        async with aclosing(audit.export(records, before)) as exported:
            while size < LINES_BYTES and len(lines) < min(MERGED_RECORDS, wanted):
                lines.append(await anext(exported))
                size += len(lines[-1])
                await _breath(len(lines))
    return lines


async def _breath(lines: int) -> None:
    if lines % BREATH == 0:
        await checkpoint()


def _head_of(record: Record) -> Head:
    return Head(record.position, record.hash)
