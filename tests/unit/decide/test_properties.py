"""Properties of any sequence of commands: nothing breaks, and the indexes say what is true.

The figures in the state are compared with an independent reckoning from the events alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from daemon.commands import (
    AdvanceSchedule,
    Command,
    DeclaredCache,
    DeleteBackup,
    ExpireBackups,
    PolicyChange,
    ReconcileCaches,
    RemoveCache,
    ReportAttemptFailed,
    ReportDeleted,
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    ReportSnapshot,
    ReportStored,
    ReportSwept,
    ReportUndone,
    RequestAutoBackup,
    RequestBackup,
    RequestRestore,
    RequestSafetyBackup,
    SetPolicy,
    StartAttempt,
    StartDaemon,
    StartRestore,
    StopDaemon,
)
from daemon.decide import Context, decide
from daemon.errors import ValkeepError
from events.facts import INSTALLATION, BackupId, CacheName, InstallationId, Policy, RestoreId
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationRequested,
)
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeferred,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheRegistered,
    DeletionRequested,
    Event,
    LeftoversSwept,
    PolicySet,
    RestoreCompleted,
    RestoreFailed,
    RestoreRequested,
    RetryScheduled,
    WindowMissed,
    stream_of,
)
from projections import catalog
from projections.schedule import agenda
from projections.state import State, fold
from projections.work import BackupWork, outstanding, ready
from tests.support.given import NOON, At, an_id, envelopes
from tests.support.reference import reference_occurrences
from tests.support.samples import (
    HERE,
    ORDERS,
    OTHER_SETTINGS,
    OUTSIDE,
    R1,
    RESULT,
    SETTINGS,
    SNAPSHOT,
    STORED,
    USERS,
    add_cache,
    plan,
    set_cache,
)

T = TypeVar("T", BackupId, RestoreId)
NAMES = (ORDERS, USERS)
START = StartRestore(R1, "r", {}, {}, "l", "b")


class Step(Struct, frozen=True):
    """A command to be made when its turn comes: which of those that fit, so many seconds later."""

    kind: str
    which: int
    seconds: int = 1


def _pick(choices: Iterable[T], which: int, otherwise: T) -> T:
    known = sorted(choices)
    return known[which % len(known)] if known else otherwise


def _open(state: State, which: int) -> BackupId:
    return _pick(state.open_backups, which, an_id(1))


def _any(state: State, which: int) -> BackupId:
    return _pick((b for of in state.catalog.values() for b in of), which, an_id(1))


def _active(state: State, which: int) -> RestoreId:
    return _pick(state.active.values(), which, RestoreId(an_id(1)))


def _file(which: int) -> ReconcileCaches:
    settings = (SETTINGS, OTHER_SETTINGS)[which // 4 % 2]
    declared = [DeclaredCache(name, settings) for n, name in enumerate(NAMES) if which >> n & 1]
    return ReconcileCaches(tuple(declared), "file")


SETS_OF_WINDOWS = (("02:00+2h",), ("02:15+15m", "02:30+90m", "14:00+2h"), ("00:00+24h",), ())


def _policy(which: int) -> SetPolicy:
    change = PolicyChange(
        auto=True,
        retries=which % 3,
        timezone=("UTC", "Europe/Paris")[which // 2 % 2],
        windows=SETS_OF_WINDOWS[which // 3 % 4],
        retention_days=1 + which % 2,
    )
    return SetPolicy(NAMES[which % 2], change)


def _backup(which: int) -> RequestBackup:
    return RequestBackup(NAMES[which % 2], ("one", "two", "1")[which // 2 % 3])


MAKERS: dict[str, Callable[[State, int], Command]] = {
    "add": lambda _, n: add_cache(NAMES[n % 2]),
    "set": lambda _, n: set_cache(NAMES[n % 2]),
    "remove": lambda _, n: RemoveCache(NAMES[n % 2]),
    "file": lambda _, n: _file(n),
    "backup": lambda _, n: _backup(n),
    "delete": lambda s, n: DeleteBackup(_any(s, n)),
    "refer": lambda _, n: DeleteBackup(("orders/one", "users/two", "2026", "", "x/y")[n % 5]),
    "restore": lambda s, n: RequestRestore(_any(s, n), NAMES[n % 2], replace=n % 3 == 0),
    "up": lambda _, n: StartDaemon(InstallationId("else") if n % 7 == 6 else HERE, "0.1.0"),
    "down": lambda *_: StopDaemon("SIGTERM"),
    "start": lambda s, n: StartAttempt(_open(s, n)),
    "again": lambda s, n: StartAttempt(_any(s, n)),
    "snapshot": lambda s, n: ReportSnapshot(_open(s, n), SNAPSHOT),
    "stored": lambda s, n: ReportStored(_open(s, n), STORED),
    "failed": lambda s, n: ReportAttemptFailed(_open(s, n), OUTSIDE, by_daemon=n % 2 == 0),
    "swept": lambda s, n: ReportSwept(_any(s, n)),
    "deleted": lambda s, n: ReportDeleted(_any(s, n)),
    "plan": lambda s, n: ReportPlan(_active(s, n), plan(target_keys=n % 5 // 4)),
    "overwrite": lambda s, n: replace(START, restore_id=_active(s, n)),
    "safety": lambda s, n: RequestSafetyBackup(_active(s, n)),
    "restored": lambda s, n: ReportRestored(_active(s, n), RESULT),
    "broken": lambda s, n: ReportRestoreFailed(_active(s, n), OUTSIDE),
    "undone": lambda s, n: ReportUndone(_active(s, n), loaded=n % 2 == 0),
    "policy": lambda _, n: _policy(n),
    "off": lambda _, n: SetPolicy(NAMES[n % 2], PolicyChange(auto=False)),
    "look": lambda _, n: AdvanceSchedule(NAMES[n % 2]),
    "auto": lambda _, n: RequestAutoBackup(NAMES[n % 2]),
    "expire": lambda _, n: ExpireBackups(NAMES[n % 2]),
}
USUAL = [
    "backup",
    "start",
    "stored",
    "failed",
    "swept",
    "restore",
    "plan",
    "overwrite",
    "safety",
    "restored",
    "undone",
]


OF_A_VERIFICATION = (BackupVerified, VerificationFailed, VerificationAbandoned)


class Told:
    """What the events say, reckoned backup by backup without the projections' help."""

    def __init__(self, events: list[Event]) -> None:
        self.of: dict[BackupId, list[Event]] = {}
        self.cache: dict[BackupId, CacheName] = {}
        self.restores: dict[RestoreId, list[Event]] = {}
        for event in events:
            if isinstance(event, BackupRequested):
                self.cache[event.backup_id] = event.cache
            backup_id = getattr(event, "backup_id", None)
            if backup_id in self.cache and not isinstance(event, RestoreRequested):
                self.of.setdefault(BackupId(backup_id), []).append(event)
            if (restore_id := getattr(event, "restore_id", None)) is not None:
                self.restores.setdefault(RestoreId(restore_id), []).append(event)

    def open_backups(self) -> dict[BackupId, CacheName]:
        """Backups of which something is left to do."""
        return {b: self.cache[b] for b, story in self.of.items() if _needs_work(story)}

    def active(self) -> dict[CacheName, RestoreId]:
        """Restores that have not ended, by their targets."""
        return {story[0].cache: r for r, story in self._open_restores()}

    def held(self) -> dict[BackupId, int]:
        """How many restores and verifications read each backup."""
        held = Counter(story[0].backup_id for _, story in self._open_restores())
        for backup_id, story in self.of.items():
            asked = sum(isinstance(event, VerificationRequested) for event in story)
            ended = sum(isinstance(event, OF_A_VERIFICATION) for event in story)
            held += Counter({backup_id: asked - ended})
        return dict(held)

    def listed(self) -> set[BackupId]:
        """Backups that exist."""
        return {
            b
            for b, story in self.of.items()
            if _has(story, BackupCompleted) and not _has(story, DeletionRequested)
        }

    def _open_restores(self) -> list[tuple[RestoreId, tuple[RestoreRequested, ...]]]:
        found = []
        for restore_id, story in self.restores.items():
            first = [event for event in story if isinstance(event, RestoreRequested)]
            if first and not _has(story, RestoreCompleted) and not _has(story, RestoreFailed):
                found.append((restore_id, tuple(first)))
        return found


def _has(story: list[Event], kind: type[Event]) -> bool:
    return any(isinstance(event, kind) for event in story)


def _needs_work(story: list[Event]) -> bool:
    """The last word on whether it is wanted, and on whether the vault may hold leftovers."""
    if _has(story, BackupDeleted):
        return False
    if _has(story, BackupCompleted):
        return _has(story, DeletionRequested)
    if not (_has(story, BackupAbandoned) or _has(story, BackupSkipped)):
        return True
    vault = [event for event in story if isinstance(event, AttemptStarted | LeftoversSwept)]
    return bool(vault) and isinstance(vault[-1], AttemptStarted)


def play(steps: list[Step]) -> tuple[State, list[Event]]:
    """The state after commands, and the events that led to it."""
    state, told = played(steps, NOON)
    return state, [item.event for item in told]


def played(steps: list[Step], now: datetime) -> tuple[State, list[At]]:
    """Decide commands one after the other; what is refused is a `ValkeepError`, or a bug."""
    state, told = State(), list[At]()
    for step in steps:
        now += timedelta(seconds=step.seconds)
        command = MAKERS[step.kind](state, step.which)
        try:
            decision = decide(state, command, Context(now, an_id(state.position + 1)))
        except ValkeepError:
            continue
        assert {stream_of(event) for event in decision.events} <= set(decision.streams)
        events = [At(now, event) for event in decision.events]
        state = fold(envelopes(events, state), state)
        told += events
    return state, told


ADDED = [Step("add", 0), Step("add", 1)]
BACKED_UP = [*ADDED, Step("backup", 0), Step("start", 0), Step("stored", 0)]
which = st.integers(0, 11)
wild = st.builds(Step, st.sampled_from(sorted(MAKERS)), which, st.integers(-5, 90))
usual = st.builds(Step, st.sampled_from(USUAL), which)
sequences = st.lists(st.one_of(wild, usual, usual, usual), min_size=30, max_size=90).map(
    lambda steps: BACKED_UP + steps
)


@for_all(sequences)
@settings(max_examples=150)
def test_indexes_say_what_the_events_say(sequence: list[Step]) -> None:
    """Open backups, active restores and held backups are what the events alone amount to."""
    state, events = play(sequence)
    told = Told(events)

    assert told.open_backups() == dict(state.open_backups)
    assert told.active() == dict(state.active)
    assert told.held() == dict(state.held)
    assert told.listed() == {backup.backup_id for backup in catalog.listed(state.catalog)}


@for_all(sequences)
@settings(max_examples=100)
def test_state_is_the_fold_of_the_events(sequence: list[Step]) -> None:
    """Deciding and folding one by one gives the state that folding all at once gives (I6)."""
    state, events = play(sequence)
    again = State()
    for number, (envelope, event) in enumerate(envelopes(events, State()), 1):
        again = fold([(envelope, event)], again)
        assert again.position == number

    assert (state.position, state.heads, state.open_backups, state.active, state.held) == (
        again.position,
        again.heads,
        again.open_backups,
        again.active,
        again.held,
    )


@for_all(sequences)
@settings(max_examples=100)
def test_rules_hold_whatever_is_commanded(sequence: list[Step]) -> None:
    """One running backup a cache (A7), unique names (M1), no attempt too many (A6, M3)."""
    state, events = play(sequence)

    kinds = {e.backup_id: e.kind for e in events if isinstance(e, BackupRequested)}
    attempts = Counter(e.backup_id for e in events if isinstance(e, AttemptStarted))
    most = {"manual": 2, "safety": 1, "auto": 3}
    assert all(count <= most[kinds[b]] for b, count in attempts.items())
    for cache in state.catalog:
        backups = state.catalog[cache].values()
        assert sum(backup.phase == "running" for backup in backups) <= 1
        names = [backup.name for backup in catalog.living(state.catalog, cache)]
        assert len(names) == len(set(names))
    assert all(r in state.restores for r in state.active.values())


@for_all(sequences)
@settings(max_examples=100)
def test_failed_attempts_have_a_sequel(sequence: list[Step]) -> None:
    """A failed attempt is followed in its commit by a retry or by why there is none (A6, M3)."""
    _, events = play(sequence)

    for event, sequel in zip(events, [*events, None][1:], strict=True):
        if isinstance(event, BackupFailed):
            assert isinstance(sequel, RetryScheduled | BackupAbandoned)
            assert sequel.backup_id == event.backup_id


@for_all(sequences)
@settings(max_examples=100)
def test_start_leaves_nothing_running(sequence: list[Step]) -> None:
    """After a start nothing runs, and each backup that still waits may run one day (A6, R7)."""
    state, _ = play(sequence)
    start = StartDaemon(state.installation or HERE, "0.1.0")
    later = NOON + timedelta(days=1)
    decision = decide(state, start, Context(later, an_id(999)))
    state = fold(envelopes([At(later, event) for event in decision.events], state), state)

    backups = [backup for of_cache in state.catalog.values() for backup in of_cache.values()]
    assert all(backup.phase != "running" for backup in backups)
    assert all(state.restores[r].phase == "undoing" for r in state.active.values())
    for work in outstanding(state):
        if isinstance(work, BackupWork) and not ready(state, work, later):
            cache = state.caches.get(work.cache)
            assert cache is not None
            over = catalog.get(state.catalog, work.cache, work.backup_id)
            assert cache.suspended or work.cache in state.active or (over and over.start_before)
    assert INSTALLATION in state.heads


FRIDAY = datetime(2026, 3, 27, tzinfo=UTC)
"""Two days before the clocks of Europe are put forward."""
POLICIES = [Step("add", 0), Step("add", 1), Step("policy", 0), Step("policy", 7)]
minutes = st.integers(0, 90).map(lambda n: 60 * n)
spans = st.one_of(minutes, minutes, st.integers(1, 70), st.sampled_from([-7200, 40_000, 260_000]))
DAILY = ["look", "look", "start", "start", "stored", "failed", "swept", "look", "start", "stored"]
SELDOM = ["auto", "backup", "policy", "off", "up", "set", "expire", "remove", "add", "file"]
daily = st.builds(Step, st.sampled_from(DAILY), which, spans)
seldom = st.builds(Step, st.sampled_from(SELDOM), which, spans)
weeks = st.lists(st.one_of(daily, daily, daily, seldom), min_size=30, max_size=80).map(
    lambda steps: POLICIES + steps
)
ALL_DAY = [Step("add", 0), Step("policy", 6)]
SERVED = [Step("look", 0, 22 * 3600), Step("start", 0), Step("stored", 0)]
SET_BACK = [*POLICIES, Step("look", 0, 3 * 3600 + 50 * 60), Step("start", 0, -2 * 3600)]
CHANGED = [*ALL_DAY, *SERVED, Step("set", 0), Step("look", 0), Step("start", 0), Step("stored", 0)]
HOUR_OVER = [*ALL_DAY, Step("auto", 0, 40_000)]
YEARS = [*ALL_DAY, *SERVED, Step("look", 0, 10**8), Step("look", 0, -(10**8)), *SERVED[1:]]


class Requests:
    """Auto backups by what was asked for, and the policy that was in force at that time."""

    def __init__(self, told: list[At]) -> None:
        self.of: dict[BackupId, BackupRequested] = {}
        self.policies: dict[BackupId, Policy] = {}
        self.told = told
        policies: dict[CacheName, Policy] = {}
        for item in told:
            event = item.event
            if isinstance(event, PolicySet):
                policies[event.cache] = event.policy
            if isinstance(event, BackupRequested) and event.kind == "auto":
                self.of[event.backup_id] = event
                self.policies[event.backup_id] = policies[event.cache]


@for_all(weeks)
@example(SET_BACK)
@settings(max_examples=50)
def test_attempts_start_inside_their_windows(sequence: list[Step]) -> None:
    """No attempt starts outside its window or its hour, whatever the clock does (A6, A5b).

    The windows are those of the policy at the request, by an independent reckoning.
    """
    _, told = played(sequence, FRIDAY)
    requests = Requests(told)

    for backup_id, asked in requests.of.items():
        if (one := asked.occurrence) is not None:
            known = reference_occurrences(
                requests.policies[backup_id],
                since=one.opens_at,
                until=one.opens_at + timedelta(seconds=1),
            )
            assert (one.day, one.start, one.opens_at, one.closes_at) in known
    for item in told:
        if isinstance(item.event, AttemptStarted) and item.event.backup_id in requests.of:
            asked = requests.of[item.event.backup_id]
            assert asked.start_before is not None
            assert item.at < asked.start_before
            assert asked.occurrence is None or asked.occurrence.opens_at <= item.at


@for_all(weeks)
@example(CHANGED)
@example(YEARS)
@settings(max_examples=50)
def test_occurrences_are_served_once(sequence: list[Step]) -> None:
    """An occurrence has one complete backup at most, and is missed once at most (A4, A9).

    A cache that was removed and added again begins anew.
    """
    _, told = played(sequence, FRIDAY)
    requests, lives = Requests(told), Counter[CacheName]()
    made, missed = Counter[object](), Counter[object]()
    for item in told:
        event = item.event
        match event:
            case CacheRegistered():
                lives[event.cache] += 1
            case BackupCompleted():
                asked = requests.of.get(event.backup_id)
                if asked is not None and asked.occurrence is not None:
                    made[event.cache, lives[event.cache], asked.occurrence.key] += 1
            case WindowMissed():
                missed[event.cache, lives[event.cache], event.occurrence.key] += 1

    assert set(made.values()) <= {1}
    assert set(missed.values()) <= {1}


@for_all(weeks)
@example(HOUR_OVER)
@settings(max_examples=50)
def test_looking_settles_everything(sequence: list[Step]) -> None:
    """After a look nothing is due, whatever came before, and the next look is to come (A9).

    A second look is needed where the first ended a backup made by command whose hour was over:
    its window may be open still.
    """
    state, told = played(sequence, FRIDAY)
    now = max([FRIDAY, *(item.at for item in told)]) + timedelta(hours=1)
    for name in [*state.caches, *state.caches]:
        context = Context(now, an_id(state.position + 1))
        looked = decide(state, AdvanceSchedule(name), context).events
        state = fold(envelopes([At(now, event) for event in looked], state), state)

        after = agenda(state, name, now)
        if any(isinstance(event, BackupSkipped | BackupAbandoned) for event in looked):
            continue
        assert after.steps == ()
        assert after.next_at is None or after.next_at > now


def test_weeks_are_eventful() -> None:
    """The weeks of these properties come as far as skips, misses, deferrals and retries."""
    seen: Counter[type[Event]] = Counter()

    @for_all(weeks)
    @settings(max_examples=60, derandomize=True, database=None)
    def count(sequence: list[Step]) -> None:
        seen.update({type(item.event) for item in played(sequence, FRIDAY)[1]})

    count()
    for kind in (BackupSkipped, WindowMissed, BackupDeferred, RetryScheduled, BackupCompleted):
        assert seen[kind] >= 5


def test_sequences_reach_far() -> None:
    """The sequences of these properties come as far as a restore with its safety backup."""
    kinds = ["backup", "start", "stored", "restore", "plan", "overwrite", "safety", "start"]
    seen = {type(event) for event in play(ADDED + [Step(kind, 0) for kind in kinds])[1]}

    assert {BackupCompleted, RestoreRequested, AttemptStarted} <= seen
