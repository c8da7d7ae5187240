"""What the daemon answers about usage: what was stored in a month, for how long, at what price."""

from datetime import datetime

from daemon.answers import Answer


class UsageLine(Answer, frozen=True):
    """What one kind of backups of one cache has used in one vault; `cost` where prices are known.

    `stored_bytes` is at the end of what is counted.
    """

    vault: str
    cache: str
    kind: str
    stored_bytes: int
    byte_hours: float
    gb_months: float
    cost: float | None = None


class UsageMonth(Answer, frozen=True):
    """One month; `until` is the end of what is counted, `forecast` the whole of a current one."""

    month: str
    until: datetime
    complete: bool
    currency: str | None = None
    lines: tuple[UsageLine, ...] = ()
    forecast: tuple[UsageLine, ...] = ()
