"""What the daemon answers about the schedule: what starts when, and what became of the last."""

from datetime import datetime
from typing import Literal

from daemon.answers import Answer, BackupView, LocalTime, StartView
from events.facts import Occurrence

Outcome = Literal["complete", "failed", "skipped", "missed", "cancelled"]


class LastView(Answer, frozen=True):
    """The last auto backup or occurrence that has ended, and how.

    `at` is when it was completed, or about when it ended otherwise; a `missed` one has no
    backup. `hint` says what to do, where the failure said so.
    """

    outcome: Outcome
    at: datetime
    backup_id: str | None = None
    name: str | None = None
    occurrence: Occurrence | None = None
    reason: str = ""
    hint: str = ""


class PendingView(Answer, frozen=True):
    """An auto backup that waits or runs: its next attempt, and the end of its window."""

    backup: BackupView
    retry: LocalTime | None = None
    start_before: LocalTime | None = None


class CacheSchedule(Answer, frozen=True):
    """One cache's schedule. `idle` says why nothing starts by itself, where that is so."""

    cache: str
    auto: bool
    timezone: str
    windows: tuple[str, ...] = ()
    idle: str | None = None
    starts: tuple[StartView, ...] = ()
    pending: tuple[PendingView, ...] = ()
    last: LastView | None = None


class Schedule(Answer, frozen=True):
    """The schedules of caches, by name; starts within the next three days, soonest first."""

    now: datetime
    caches: tuple[CacheSchedule, ...]
