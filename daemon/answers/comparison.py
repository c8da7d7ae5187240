"""What the daemon answers about comparisons; names come apart, and only for a while."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from daemon.answers import Answer, ProgressView
from events.differences import ComparisonResult, ComparisonWish
from events.facts import Failure


class ComparisonView(Struct, frozen=True, omit_defaults=True):
    """One comparison; `first` and `second` are what a person calls its sides.

    Without a `second_backup_id` the second side is the live cache `second_cache`.
    """

    comparison_id: str
    phase: Literal["requested", "completed", "failed"]
    first: str
    second: str
    backup_id: str
    second_cache: str
    wish: ComparisonWish
    requested_at: datetime
    requested_by: str
    second_backup_id: str | None = None
    ended_at: datetime | None = None
    progress: ProgressView | None = None
    result: ComparisonResult | None = None
    failure: Failure | None = None


class ComparisonDetail(Answer, frozen=True):
    """One comparison."""

    now: datetime
    comparison: ComparisonView
