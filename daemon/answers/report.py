"""What the daemon answers for the report: the history of some days, and what stands today."""

from datetime import date, datetime
from typing import Literal

from daemon.answers import Answer, StartView, VaultView
from daemon.answers.check import CheckLine
from daemon.answers.proof import AssuranceView
from daemon.answers.standing import Level
from events.facts import BackupKind

DayState = Literal[
    "none",
    "proven",
    "good",
    "retried",
    "open",
    "cancelled",
    "skipped",
    "missed",
    "suspect",
    "failed",
    "damaged",
]
"""From nothing and well to worst; a day is as bad as its worst backup."""


class DayView(Answer, frozen=True):
    """One day of one cache, in its policy's zone; `told` is what was not well, in words.

    `made` backups were completed. `none` says that nothing was wanted.
    """

    day: date
    state: DayState
    made: int = 0
    told: tuple[str, ...] = ()


class MadeView(Answer, frozen=True):
    """One backup that was asked for in these days, or that is still there from before.

    `at` is its snapshot's instant, or when it was asked for. `seconds` is how long its last
    attempt took, `fork_seconds` how long the engine's child lived. `there` says that it is still
    stored; then `until` is when its age is over and `kept_by` the rule that keeps it, with
    `kept_because` in words. One that is not there any more may have gone at `gone_at`.
    """

    backup_id: str
    name: str
    kind: BackupKind
    vault: str
    at: datetime
    state: DayState
    attempts: int = 0
    failures: int = 0
    seconds: float | None = None
    fork_seconds: float | None = None
    copy_on_write_bytes: int | None = None
    plain_bytes: int | None = None
    stored_bytes: int | None = None
    level: str = ""
    there: bool = False
    until: datetime | None = None
    kept_by: str = ""
    kept_because: str = ""
    gone_at: datetime | None = None
    reason: str = ""


class VerifiedView(Answer, frozen=True):
    """How the verifications of these days have ended."""

    passed: int = 0
    refuted: int = 0
    unproven: int = 0


class CacheReport(Answer, frozen=True):
    """One cache: its calendar, its backups, and what stands today.

    `stored_bytes` is what is stored of it now, copies left out. A `removed` one has manual
    backups left. `more` backups were left out of `backups`, the oldest ones.
    """

    name: str
    level: Level
    timezone: str
    auto: bool
    days: tuple[DayView, ...]
    backups: tuple[MadeView, ...]
    verified: VerifiedView
    windows: tuple[str, ...] = ()
    retention_days: int = 0
    keep_last: int = 0
    suspended: str | None = None
    removed: bool = False
    living: int = 0
    stored_bytes: int = 0
    more: int = 0
    next_start: StartView | None = None
    assurance: AssuranceView | None = None


class TroubleView(Answer, frozen=True):
    """Something that did not go as it should have, `count` times from `first_at` to `at`.

    `what` is one of ``attempt``, ``given-up``, ``skipped``, ``missed``, ``damaged``,
    ``unproven``, ``suspect``, ``copy``, ``copy-damaged``, ``export``, ``import``, ``restore``.
    """

    at: datetime
    cache: str
    what: str
    message: str
    hint: str
    code: str = ""
    of: str = ""
    count: int = 1
    first_at: datetime | None = None


class RestoreLine(Answer, frozen=True):
    """One restore into a cache that was asked for in these days."""

    restore_id: str
    target: str
    backup: str
    phase: str
    requested_at: datetime
    requested_by: str
    ended_at: datetime | None = None
    keys: int | None = None
    seconds: float | None = None
    told: str = ""
    hint: str = ""


class Report(Answer, frozen=True):
    """The history of `days` days up to now, and what stands today.

    `problems` are the lines of `valkeep check` that are not ok, worst first: all is well exactly
    when there are none. `cache` is the one that was asked for, if one was. `left_out` are the
    names of caches that did not fit; `more_troubles` counts the oldest ones, left out too.
    """

    now: datetime
    version: str
    first_day: date
    days: int
    level: Level
    caches: tuple[CacheReport, ...] = ()
    problems: tuple[CheckLine, ...] = ()
    troubles: tuple[TroubleView, ...] = ()
    more_troubles: int = 0
    restores: tuple[RestoreLine, ...] = ()
    vaults: tuple[VaultView, ...] = ()
    cache: str | None = None
    installation: str | None = None
    left_out: tuple[str, ...] = ()
