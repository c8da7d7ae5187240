"""What people and the daemon say of comparisons."""

from msgspec import Struct

from events.differences import ComparisonId, ComparisonResult, Difference
from events.facts import Failure


class RequestComparison(Struct, frozen=True, forbid_unknown_fields=True, tag="request-comparison"):
    """Tell what differs from a `backup` to `to`: another backup, or the name of a cache, live.

    `keys` are globs, any of which may fit; `database` is the only one to look at. With `names`
    so many names of each kind of difference are kept for a while, and all of them with 0; that
    takes the role admin, because names are data.
    """

    backup: str
    to: str
    keys: tuple[str, ...] = ()
    database: int | None = None
    names: int | None = None


class CancelComparison(Struct, frozen=True, forbid_unknown_fields=True, tag="cancel-comparison"):
    """End a `comparison` that has not ended; its id."""

    comparison: str


class ReportCompared(Struct, frozen=True):
    """Both sides were compared whole."""

    comparison_id: ComparisonId
    result: ComparisonResult


class ReportNotCompared(Struct, frozen=True):
    """A comparison has come to nothing."""

    comparison_id: ComparisonId
    failure: Failure


ComparisonReport = ReportCompared | ReportNotCompared
ComparisonCommand = RequestComparison | CancelComparison | ComparisonReport


class DifferingKey(Struct, frozen=True, omit_defaults=True):
    """One key that differs, as it is told to who asked: never in the log.

    `type` is the one it had first, or got. A `key` that is no UTF-8 is in `key_base64` instead.
    """

    difference: Difference
    database: int
    type: str
    key: str | None = None
    key_base64: str | None = None
