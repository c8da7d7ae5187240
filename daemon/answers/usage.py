"""What the daemon answers about usage: bytes, byte-hours, GB-months and money by month (S3).

A GB is 2^30 bytes. Floats are for charts; the exact figures beside them are decimals in text, and
those of a month's lines add up to its total without any drift.
"""

from datetime import datetime

from daemon.answers import Answer


class UsagePart(Answer, frozen=True, omit_defaults=False):
    """A stretch of a month under one price; the price is absent where none was known."""

    since: datetime
    until: datetime
    byte_hours: float
    gb_months: float
    currency: str | None = None
    price_per_gb_month: str | None = None
    cost_exact: str | None = None


class UsageLine(Answer, frozen=True, omit_defaults=False):
    """What one cache's backups of one kind (or its copies) used of one vault in a month.

    `stored_bytes` lay there when the month was over, or lie there now. `byte_microseconds` is a
    whole number without a limit. `cost` is null where nothing is known of it, and without the
    `unpriced_byte_hours`; it includes `early_cost_exact`, for what went before the vault's least
    days were over. `parts` are there where the price changed within the month.
    """

    vault: str
    cache: str
    kind: str
    stored_bytes: int
    byte_hours: float
    gb_months: float
    cost: float | None
    byte_microseconds: str = "0"
    gb_months_exact: str = "0"
    cost_exact: str | None = None
    early_byte_hours: float = 0.0
    early_cost_exact: str | None = None
    unpriced_byte_hours: float = 0.0
    parts: tuple[UsagePart, ...] = ()


class UsageMonth(Answer, frozen=True, omit_defaults=False):
    """A month in UTC, as far as `until`; it is `complete` when it is over.

    `currency` is that of every cost in it. `forecast` has the lines of the running month as they
    will be at its end, and `basis` says what that rests on. `total_cost` is the sum of what is
    known; `notes` say what it leaves out. `log_began` is there if that was within this month:
    what was stored before is not known.
    """

    month: str
    until: datetime
    complete: bool
    currency: str | None
    lines: tuple[UsageLine, ...]
    forecast: tuple[UsageLine, ...] = ()
    total_cost: str | None = None
    total_gb_months: str = "0"
    basis: str = ""
    notes: tuple[str, ...] = ()
    log_began: datetime | None = None


class UsageMonths(Answer, frozen=True, omit_defaults=False):
    """Several months, oldest first; the last one is the running one, without its forecast."""

    now: datetime
    months: tuple[UsageMonth, ...]
