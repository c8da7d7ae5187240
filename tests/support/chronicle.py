"""Chronicles: stories of a cache's auto backups, as lines that a person reads and a test plays.

A line that is not indented is an instant (UTC) and what is done; the indented lines under it
are what was decided. Knows commands and events; the files are in `tests/data/schedule`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from daemon.commands import (
    AdvanceSchedule,
    Command,
    DeclaredCache,
    PolicyChange,
    ReconcileCaches,
    ReportAttemptFailed,
    ReportStored,
    ReportSwept,
    RequestAutoBackup,
    RequestBackup,
    RequestRestore,
    SetPolicy,
    StartAttempt,
    StartDaemon,
    StopDaemon,
)
from daemon.decide.policies import changed
from daemon.errors import ValkeepError
from events.facts import BackupId
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeferred,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheSuspended,
    Event,
    RetryScheduled,
    WindowMissed,
)
from tests.support.given import At, given, when
from tests.support.samples import (
    FILE,
    FOR_GOOD,
    HERE,
    ORDERS,
    OUTSIDE,
    SETTINGS,
    STARTED,
    STORED,
    USERS,
    registered,
    set_cache,
)

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class Chronicle:
    """A cache `orders` that was added long ago, and what becomes of it."""

    def __init__(self, *, declared: bool = False) -> None:
        added = At(LONG_AGO, registered(declared=declared))
        self.state = given(At(LONG_AGO, STARTED), added, At(LONG_AGO, registered(USERS)))
        self.names: dict[str, BackupId] = {}

    def tell(self, story: str) -> str:
        """The story as it happens: each of its actions, followed by what is decided."""
        told: list[str] = []
        for line in story.strip().splitlines():
            if line.startswith(" ") or not line:
                continue
            at, action = datetime.fromisoformat(f"{line[:19]}Z"), line[21:]
            told += [line, *(f"    {outcome}" for outcome in self._act(at, action))]
        return "\n".join(told)

    def _act(self, at: datetime, action: str) -> list[str]:
        verb, _, rest = action.partition(" ")
        try:
            then = when(self.state, ACTIONS[verb](self, rest), now=at)
        except ValkeepError as error:
            return [f"refused: {error.message}"]
        self.state = then.state
        for event in then.events:
            if isinstance(event, BackupRequested):
                self.names[event.name] = event.backup_id
        if verb == "fails":  # what it left is swept at once: that is another story
            swept = ReportSwept(self.names[rest.split()[0]])
            self.state = when(self.state, swept, now=at + timedelta(seconds=1)).state
        return [self._outcome(event) for event in then.events] or ["nothing"]

    def _outcome(self, event: Event) -> str:
        match event:
            case BackupRequested():
                until = f", to start before {_at(event.start_before)}" if event.start_before else ""
                no_window = event.kind == "auto" and event.occurrence is None
                return f"asked for {event.name}{until}{', for no window' if no_window else ''}"
            case BackupDeferred():
                return f"deferred: {event.reason}"
            case BackupSkipped():
                return f"skipped {self._name(event.backup_id)}: {event.reason}"
            case WindowMissed():
                day, start = event.occurrence.key
                return f"missed {start} of {day}: {event.reason}"
            case CacheSuspended():
                return f"suspended: {event.reason}"
            case _:
                return self._of_attempt(event) or type(event).__name__

    def _of_attempt(self, event: Event) -> str | None:
        match event:
            case AttemptStarted():
                return f"attempt {event.attempt} at {self._name(event.backup_id)}"
            case BackupCompleted():
                return f"{self._name(event.backup_id)} is complete"
            case BackupFailed():
                return f"attempt {event.attempt} failed: {event.failure.message}"
            case RetryScheduled():
                return f"to be tried again at {_at(event.retry_at)}"
            case BackupAbandoned():
                return f"abandoned {self._name(event.backup_id)}: {event.reason}"
            case _:
                return None

    def _name(self, backup_id: BackupId) -> str:
        return next(name for name, known in self.names.items() if known == backup_id)


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _change(text: str) -> PolicyChange:
    """A policy in few words: ``02:00+2h 14:30+90m in Europe/Paris retries 3``, or ``off``."""
    if text == "off":
        return PolicyChange(auto=False)
    words = text.split()
    named = dict(pairwise(words))
    return PolicyChange(
        auto=True,
        retries=int(named.get("retries", "0")),
        timezone=named.get("in", "UTC"),
        windows=tuple(word for word in words if "+" in word),
        verify="never",
    )


def _file(_: Chronicle, text: str) -> Command:
    """``file POLICY`` declares the cache with it, ``file without it`` no longer does."""
    if text == "without it":
        return ReconcileCaches((), FILE)
    policy = changed(None, _change(text))
    return ReconcileCaches((DeclaredCache(ORDERS, SETTINGS, policy),), FILE)


def _fails(story: Chronicle, text: str) -> Command:
    name, _, how = text.partition(" ")
    return ReportAttemptFailed(story.names[name], FOR_GOOD if how else OUTSIDE)


ACTIONS: dict[str, Callable[[Chronicle, str], Command]] = {
    "policy": lambda _, text: SetPolicy(ORDERS, _change(text)),
    "file": _file,
    "settings": lambda *_: set_cache(ORDERS),
    "look": lambda *_: AdvanceSchedule(ORDERS),
    "command": lambda *_: RequestAutoBackup(ORDERS),
    "manual": lambda _, name: RequestBackup(ORDERS, name),
    "elsewhere": lambda _, name: RequestBackup(USERS, name),
    "begin": lambda story, name: StartAttempt(story.names[name]),
    "stored": lambda story, name: ReportStored(story.names[name], STORED),
    "fails": _fails,
    "restore": lambda _, name: RequestRestore(f"{ORDERS}/{name}", ORDERS, replace=True),
    "start": lambda *_: StartDaemon(HERE, "0.1.0"),
    "stop": lambda *_: StopDaemon("SIGTERM"),
}
"""What may be done; the rest of the line goes with it."""
