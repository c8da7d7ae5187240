"""The proof that the rules of auto backups bite: schedule, retries and retention are broken."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import anyio
import pytest
from msgspec.structs import replace

from daemon.actors import backup, packing, removal
from daemon.actors.scheduler import Scheduler
from daemon.commands import PolicyChange, RequestBackup, SetPolicy
from daemon.decide import Context, Decision
from daemon.decide import schedule as deciding_schedule
from daemon.decide.attempts import Cut
from daemon.errors import Failed
from daemon.ledger import KeyedBy, Ledger
from daemon.storage import names
from daemon.storage.catalog import delete_backup, write_manifest
from daemon.storage.manifest import Manifest
from daemon.storage.vault import Vault
from events.envelope import Envelope, Who
from events.facts import BackupId, CacheName, Occurrence
from events.types import (
    BackupAbandoned,
    BackupFailed,
    BackupSkipped,
    DeletionRequested,
    Event,
    RetentionExpired,
    WindowMissed,
)
from projections import catalog, occurrences, retention, schedule
from projections import work as projected_work
from projections.catalog import Backup
from projections.schedule import Agenda, Open
from projections.state import State
from tests.simulation.breaking import Mutation, Patch, deciding, prove
from tests.simulation.far import Far
from tests.simulation.line import FaultKind, Weather
from tests.simulation.schedules import DAILY, MINUTE, SCHEDULES, add, until
from tests.simulation.stories import STORIES, ask
from tests.simulation.virtual import START
from tests.simulation.world import Life, Plan, Script

WAITS = ("projections.work.waits_for", "daemon.decide.attempts.waits_for")


class Dark(Weather, frozen=True):
    """Every call that begins so fails, for ever."""

    what: str = "snapshot"

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        return "before" if what.startswith(self.what) else None


class Slow(Weather, frozen=True):
    """Snapshots take twenty minutes."""

    def seconds(self, what: str) -> float:
        """See `Sky.seconds`."""
        return 20 * MINUTE if what.startswith("snapshot") else 0.01


class Heavy(Weather, frozen=True):
    """What is removed is removed late, and what is written takes two seconds."""

    def seconds(self, what: str) -> float:
        """See `Sky.seconds`."""
        return {"write": 2.0, "clear": 1.0}.get(what.partition(" ")[0], 0.01)


async def window(life: Life, policy: PolicyChange = DAILY) -> None:
    """A window opens and closes."""
    await add(life, policy)
    await until(life, 19 * MINUTE)


async def tireless(life: Life) -> None:
    """A window of a policy that allows ten retries."""
    await window(life, replace(DAILY, retries=10))


async def in_the_way(life: Life) -> None:
    """A manual backup runs when the instant comes."""
    await add(life)
    await ask(life, RequestBackup("orders", "mine"))
    await until(life, 45 * MINUTE)


async def away(life: Life) -> None:
    """The first life ends before the window, the second begins after it."""
    await add(life)
    if life.number == 1:
        life.stop()
    await until(life, life.loop.time() + 3 * MINUTE)


async def set_back(life: Life) -> None:
    """The clock is set back to before the window when its backup is made."""
    await window(life)
    if life.view.clock_set:
        return
    life.set_clock(timedelta(minutes=-19))
    await until(life, 38 * MINUTE)


async def turned_off(life: Life, policy: PolicyChange = DAILY) -> None:
    """Auto backups are turned off, and the retention of the only one passes."""
    await window(life, policy)
    await ask(life, SetPolicy("orders", PolicyChange(auto=False)))
    if life.line.far.wall(life.loop.time()) < START + timedelta(days=1):
        life.set_clock(timedelta(days=1, minutes=-1))
    await until(life, 25 * MINUTE)


async def a_night(life: Life) -> None:
    """The hours in which Paris changes its clock."""
    await add(life, replace(DAILY, timezone="Europe/Paris", windows=("02:30+15m", "06:00+15m")))
    await until(life, 6 * 60 * MINUTE)


def at(instant: datetime) -> Callable[[], Far]:
    """A world that begins at this instant."""
    return lambda: Far(born_at=instant)


SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC)


def _no_retry(patch: Patch, change: Callable[[Backup], str | None]) -> None:
    def why(state: State, found: Backup, now: datetime) -> str | None:
        return change(found)

    patch.setattr("daemon.decide.attempts._why_no_retry", why)


def retries_go_past_the_window(patch: Patch) -> None:
    """Attempts are made again as long as some are left, open window or not."""
    _no_retry(patch, lambda found: "no more" if found.attempts > 10 else None)
    patch.setattr("daemon.decide.attempts.next_attempt", lambda _, now: now + timedelta(minutes=5))


def retries_go_past_the_limit(patch: Patch) -> None:
    """Attempts are made again as long as the window is open."""
    _no_retry(patch, lambda found: "late" if found.attempts > 6 else None)


def retries_are_not_made(patch: Patch) -> None:
    """The first failure is the last."""
    _no_retry(patch, lambda _: "tired")


def _waiting(patch: Patch, change: Callable[[Backup], Backup]) -> None:
    plain = projected_work.waits_for

    def waits_for(
        state: State, found: Backup, now: datetime, leaving: frozenset[BackupId] = frozenset()
    ) -> str | None:
        return plain(state, change(found), now, leaving)

    for place in WAITS:
        patch.setattr(place, waits_for)


def retries_do_not_wait(patch: Patch) -> None:
    """The instant of a retry is recorded, and nobody waits for it."""
    _waiting(patch, lambda found: replace(found, not_before=None))


def windows_never_close(patch: Patch) -> None:
    """What waits is begun whenever it can be."""
    _waiting(patch, lambda found: replace(found, start_before=None))
    deciding(patch, lambda events: tuple(e for e in events if not isinstance(e, BackupSkipped)))


def an_hour_is_two(patch: Patch) -> None:
    """A backup by hand may start within two hours."""
    patch.setattr(deciding_schedule, "WITHIN", timedelta(hours=2))


def daylight_saving_is_off_by_an_hour(patch: Patch) -> None:
    """A repeated time means the second one, and a time in the gap one before the gap."""

    def opening(day: date, start: str, place: ZoneInfo) -> datetime:
        local = datetime.fromisoformat(f"{day}T{start}")
        return local.replace(tzinfo=place, fold=1).astimezone(UTC)

    patch.setattr("projections.occurrences.opening", opening)
    # What is remembered of the true openings must not stand in, nor these be remembered.
    patch.setattr("projections.occurrences._openings", occurrences._openings.__wrapped__)


def instants_come_late(patch: Patch) -> None:
    """Backups start at the end of their windows, with no room for a retry."""

    def late(cache: CacheName, occurrence: Occurrence, *, retries: int) -> datetime:
        return occurrence.closes_at - timedelta(minutes=2)

    patch.setattr(schedule, "instant", late)


def _agenda(patch: Patch, change: Callable[[Agenda], Agenda]) -> None:
    plain = schedule.agenda

    def agenda(state: State, name: CacheName, now: datetime) -> Agenda:
        return change(plain(state, name, now))

    patch.setattr("daemon.decide.schedule.agenda", agenda)
    patch.setattr("daemon.actors.scheduler.agenda", agenda)


def openings_are_slept_over(patch: Patch) -> None:
    """Nothing is asked for when its instant comes; that it passed is recorded."""

    def closed(found: Agenda) -> Agenda:
        openings = [step for step in found.steps if isinstance(step, Open)]
        rest = tuple(step for step in found.steps if not isinstance(step, Open))
        ends = [found.next_at, *(step.occurrence.closes_at for step in openings)]
        return Agenda(rest, min(at for at in ends if at is not None))

    _agenda(patch, closed)


def scheduler_does_nothing(patch: Patch) -> None:
    """Nobody looks at the schedule; nothing wrong is ever done."""

    async def run(_: Scheduler) -> None:
        await anyio.sleep_forever()

    patch.setattr(Scheduler, "run", run)


def misses_are_not_recorded(patch: Patch) -> None:
    """What was missed is passed over in silence."""
    deciding(patch, lambda events: tuple(e for e in events if not isinstance(e, WindowMissed)))


def misses_are_recorded_twice(patch: Patch) -> None:
    """What was missed is told twice."""
    deciding(patch, lambda events: (*events, *(e for e in events if isinstance(e, WindowMissed))))


def _forgetting(patch: Patch, change: Callable[[State, datetime], State]) -> None:
    plain = schedule.agenda

    def agenda(state: State, name: CacheName, now: datetime) -> Agenda:
        return plain(change(state, now), name, now)

    patch.setattr("daemon.decide.schedule.agenda", agenda)
    patch.setattr("daemon.actors.scheduler.agenda", agenda)
    patch.setattr(schedule, "_made", lambda *_: False)


def restarts_forget_what_was_served(patch: Patch) -> None:
    """After a restart nobody knows which windows have been served."""

    def forgotten(state: State, now: datetime) -> State:
        started = state.started_at or now
        slots = {
            name: tuple(slot for slot in of_cache if slot.noted_at > started)
            for name, of_cache in state.slots.items()
        }
        return replace(state, slots=type(state.slots)(slots))

    _forgetting(patch, forgotten)


def what_is_to_come_is_forgotten(patch: Patch) -> None:
    """By a clock that was set back, what was served in the future does not count."""

    def forgotten(state: State, now: datetime) -> State:
        is_back = state.last_at is not None and state.last_at > now
        return replace(state, slots=type(state.slots)()) if is_back else state

    _forgetting(patch, forgotten)


def _terms(patch: Patch, **changes: Callable[[int], int]) -> None:
    plain = retention.terms_of

    def terms_of(state: State, name: CacheName) -> retention.Terms | None:
        terms = plain(state, name)
        if terms is None:
            return None
        new = {what: change(getattr(terms.policy, what)) for what, change in changes.items()}
        return replace(terms, policy=replace(terms.policy, **new))

    patch.setattr(retention, "terms_of", terms_of)


def keep_last_is_ignored(patch: Patch) -> None:
    """Retention takes the last backup, too."""
    _terms(patch, keep_last=lambda _: 0, retention_days=lambda _: 1)


def retention_is_a_day_short(patch: Patch) -> None:
    """Backups go a day too early."""
    _terms(patch, retention_days=lambda days: days - 1, keep_last=lambda _: 0)


def retention_is_a_day_long(patch: Patch) -> None:
    """Backups go a day too late."""
    _terms(patch, retention_days=lambda days: days + 1)


def deletion_comes_before_its_reason(patch: Patch) -> None:
    """A deletion is asked for, and only then it is said why."""

    def swapped(events: tuple[Event, ...]) -> tuple[Event, ...]:
        reasons = [e for e in events if isinstance(e, RetentionExpired)]
        rest = [e for e in events if not isinstance(e, RetentionExpired)]
        return (*rest, *reasons) if any(isinstance(e, DeletionRequested) for e in rest) else events

    deciding(patch, swapped)


def deletion_comes_before_its_event(patch: Patch) -> None:
    """A new backup drives out the one before it, at once, and the log hears of it later."""
    written: list[Manifest] = []

    async def write(vault: Vault, manifest: Manifest) -> str:
        for old in written:
            await vault.clear(names.backup_folder(old.cache, old.backup_id, old.attempt))
        written[:] = [manifest]
        return await write_manifest(vault, manifest)

    patch.setattr(backup, "write_manifest", write)


def reasons_are_withheld(patch: Patch) -> None:
    """Backups are given up, and nobody says why."""

    def silent(events: tuple[Event, ...]) -> tuple[Event, ...]:
        return tuple(
            replace(e, reason="") if isinstance(e, BackupSkipped | BackupAbandoned) else e
            for e in events
        )

    deciding(patch, silent)


def short_streams_are_taken_for_whole(patch: Patch) -> None:
    """Nobody looks at the end mark and the checksum of an RDB."""

    class Credulous:
        def feed(self, chunk: bytes, /) -> None:
            """Anything."""

        def finish(self) -> None:
            """At any time."""

    patch.setattr(packing, "RdbGuard", Credulous)


def failed_commits_left_nothing(patch: Patch) -> None:
    """An error of commit is taken for "there is no object", so nothing is swept."""
    plain = catalog._step

    def step(found: Backup, envelope: Envelope, event: catalog._Step) -> Backup:
        after = plain(found, envelope, event)
        lost = isinstance(event, BackupFailed) and event.failure.message.startswith("commit")
        return replace(after, unswept=False) if lost else after

    patch.setattr(catalog, "_step", step)


def failed_sweeps_found_nothing(patch: Patch) -> None:
    """An error of a sweep is taken for "there was nothing to sweep"."""

    async def delete(
        vault: Vault, cache: CacheName, backup_id: BackupId, *, attempts: int = 1
    ) -> None:
        try:
            await delete_backup(vault, cache, backup_id, attempts=attempts)
        except Failed:
            return

    patch.setattr(removal, "delete_backup", delete)


def sweeps_take_live_uploads(patch: Patch) -> None:
    """A sweep aborts every upload of its cache, whoever makes it."""

    async def delete(
        vault: Vault, cache: CacheName, backup_id: BackupId, *, attempts: int = 1
    ) -> None:
        await vault.clear(f"caches/{cache}/")

    patch.setattr(removal, "delete_backup", delete)


def fold_is_out_of_order(patch: Patch) -> None:
    """The events of a commit are folded in another order than they are stored in."""
    plain = Ledger._join

    def join(
        self: Ledger, decision: Decision, context: Context, who: Who, key: KeyedBy | None
    ) -> object:
        if not any(isinstance(event, BackupFailed) for event in decision.events):
            return plain(self, decision, context, who, key)  # type: ignore[arg-type]
        turned = Decision(decision.events[::-1], decision.also_read)
        batch, positions = plain(self, turned, context, who, key)  # type: ignore[arg-type]
        last = batch.commits[-1]
        batch.commits[-1] = replace(last, entries=last.entries[::-1])
        return batch, positions

    patch.setattr(Ledger, "_join", join)


def daemon_blames_everything(patch: Patch) -> None:
    """A failure for good is tried again like any other."""

    def why(state: State, found: Backup, cut: Cut, context: Context) -> str | None:
        return None if found.attempts < 3 else "enough"

    patch.setattr("daemon.decide.attempts._why_no_more", why)


DARK = (Plan(weather=Dark()),)
SLOW = (Plan(weather=Slow()),)
FOR_GOOD = tuple(Plan(weather=Weather({number: "permanent"})) for number in range(1, 14))
NEXT_DAY: tuple[Script, ...] = (SCHEDULES["next day"],)
SHORT = tuple(Plan(weather=Weather({number: "short"})) for number in range(5, 14))
SWEEPS = tuple(
    Plan(weather=Weather({number: "after", later: "before"}))
    for number in range(14, 18)
    for later in range(18, 23)
)
COMMITS = tuple(Plan(weather=Weather({number: "after"})) for number in range(10, 24))
WINDOW: tuple[Script, ...] = (window,)
MUTATIONS = [
    Mutation("retries_keep_to_the_limit", retries_go_past_the_window, DARK, (tireless,)),
    Mutation("retries_keep_to_the_limit", retries_go_past_the_limit, DARK, WINDOW),
    Mutation("retries_keep_to_the_limit", daemon_blames_everything, FOR_GOOD, WINDOW),
    Mutation("nobody_gives_up_early", retries_are_not_made, DARK, WINDOW),
    Mutation("retries_wait_and_count", retries_do_not_wait, DARK, WINDOW),
    Mutation("starts_are_inside_the_window", windows_never_close, SLOW, (in_the_way,)),
    Mutation("requests_are_inside_the_window", an_hour_is_two, stories=(SCHEDULES["by hand"],)),
    Mutation(
        "occurrences_are_the_references",
        daylight_saving_is_off_by_an_hour,
        stories=(a_night,),
        far=at(SPRING),
    ),
    Mutation(
        "occurrences_are_the_references",
        daylight_saving_is_off_by_an_hour,
        stories=(a_night,),
        far=at(AUTUMN),
    ),
    Mutation("requests_are_on_time", instants_come_late, stories=WINDOW),
    Mutation("misses_have_an_excuse", openings_are_slept_over, stories=WINDOW),
    Mutation("every_occurrence_has_its_outcome", scheduler_does_nothing, stories=WINDOW),
    Mutation(
        "every_occurrence_has_its_outcome",
        misses_are_not_recorded,
        (Plan(down_seconds=30 * MINUTE),),
        (away,),
    ),
    Mutation(
        "misses_are_recorded_once",
        misses_are_recorded_twice,
        (Plan(down_seconds=30 * MINUTE),),
        (away,),
    ),
    Mutation(
        "occurrences_succeed_once",
        restarts_forget_what_was_served,
        tuple(Plan(kill_at=step) for step in range(190, 290, 10)),
        (window,),
    ),
    Mutation("occurrences_succeed_once", what_is_to_come_is_forgotten, stories=(set_back,)),
    Mutation("deletions_are_by_the_rules", keep_last_is_ignored, stories=(turned_off,)),
    Mutation(
        "deletions_are_by_the_rules",
        retention_is_a_day_short,
        stories=(partial(turned_off, policy=replace(DAILY, retention_days=2)),),
    ),
    Mutation("retention_is_done", retention_is_a_day_long, stories=NEXT_DAY),
    Mutation("expiry_comes_before_deletion", deletion_comes_before_its_reason, stories=NEXT_DAY),
    Mutation("the_living_are_not_swept", deletion_comes_before_its_event, stories=NEXT_DAY),
    Mutation("reasons_are_given", reasons_are_withheld, DARK, WINDOW),
    Mutation("only_whole_backups_are_listed", short_streams_are_taken_for_whole, SHORT, WINDOW),
    Mutation("nothing_is_left_over", failed_commits_left_nothing, COMMITS, WINDOW),
    Mutation("nothing_is_left_over", failed_sweeps_found_nothing, SWEEPS, WINDOW),
    Mutation(
        "live_uploads_are_left_alone",
        sweeps_take_live_uploads,
        tuple(Plan(weather=Heavy({number: "short"})) for number in range(8, 12)),
        (STORIES["two backups"],),
    ),
    Mutation("memory_is_the_log", fold_is_out_of_order, DARK, WINDOW),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_schedule_is_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A schedule that is broken in one place breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
