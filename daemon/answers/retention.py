"""What the daemon answers about retention: why a backup is kept, and which will exist when."""

from datetime import date, datetime
from typing import Literal

from daemon.answers import Answer, BackupPhase
from events.facts import BackupKind

KeptBy = Literal[
    "manual",
    "age",
    "keep-last",
    "suspect",
    "before-suspect",
    "read",
    "suspended",
    "expired",
    "deleting",
    "unfinished",
    "failed",
    "skipped",
    "cancelled",
    "deleted",
]


class Retained(Answer, frozen=True):
    """Whether one backup is kept, by which rule, and what would change that.

    `until` is when its age is over; `keep_last` is set where the backup is among so many newest
    scheduled ones. `phase` is absent for one that is deleted, of which the history tells.
    """

    now: datetime
    backup_id: str
    cache: str
    name: str
    kind: BackupKind
    kept: bool
    rule: KeptBy
    told: str
    phase: BackupPhase | None = None
    taken_at: datetime | None = None
    until: datetime | None = None
    retention_days: int | None = None
    keep_last: int | None = None
    being_read: bool = False
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class ForecastBackup(Answer, frozen=True):
    """One backup of a forecast; an `assumed` one is yet to be made and has no id.

    It exists at the end of each day from `from_day` on, and no longer at that of `gone_day`.
    """

    name: str
    kind: BackupKind
    taken_at: datetime
    from_day: date
    gone_day: date | None = None
    reason: str | None = None
    assumed: bool = False
    backup_id: str | None = None
    stored_bytes: int | None = None


class ForecastDay(Answer, frozen=True, omit_defaults=False):
    """What exists at one day's end; `stored_bytes` is null where a size cannot be assumed.

    `oldest_auto_at` is the oldest snapshot among the scheduled ones.
    """

    day: date
    ends_at: datetime
    made: int
    gone: int
    backups: int
    stored_bytes: int | None
    oldest_auto_at: datetime | None


class Forecast(Answer, frozen=True):
    """A cache's backups on the days to come, if the policy stays and each backup succeeds.

    `assumed_bytes` is the stored size that is assumed of each backup that is yet to be made.
    """

    now: datetime
    cache: str
    timezone: str
    retention_days: int
    keep_last: int
    days: tuple[ForecastDay, ...]
    backups: tuple[ForecastBackup, ...]
    assumed_bytes: int | None = None
    notes: tuple[str, ...] = ()
