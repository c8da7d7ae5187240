"""What the daemon answers when it is asked for a policy, or what a change of it would do."""

from datetime import datetime

from msgspec import Struct

from daemon.answers import Answer, BackupView, StartView
from events.facts import VerifyWhen


class PolicySettings(Struct, frozen=True):
    """A policy as it is written, always whole: each of `windows` is ``HH:MM+LENGTH``."""

    auto: bool
    retention_days: int
    retries: int
    timezone: str
    windows: tuple[str, ...]
    keep_last: int
    suspect_drop_percent: int
    verify: VerifyWhen = "daily"


class PolicyView(Answer, frozen=True):
    """A cache's policy, and in `words` what comes of it, each a sentence.

    `known` is false while nobody has set one: then these are the defaults. `declared` says that
    only `file` can change it (C3). `next_start` is there if one comes within three days.
    """

    cache: str
    settings: PolicySettings
    known: bool
    declared: bool
    words: tuple[str, ...]
    file: str | None = None
    suspended: str | None = None
    next_start: StartView | None = None


class PolicyDetail(Answer, frozen=True):
    """A cache's policy."""

    now: datetime
    policy: PolicyView


class PolicyPlan(Answer, frozen=True):
    """What a change would make of a policy; nothing is changed.

    `going` are the backups that retention would delete at once because of it (A2), and
    `ending` those that wait for a start or a retry and would not get it any more.
    """

    now: datetime
    policy: PolicyView
    changes: bool
    going: tuple[BackupView, ...] = ()
    ending: tuple[BackupView, ...] = ()
