"""What has grown since the backup before, in the words of a table. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from daemon.cli.key_names import raw
from daemon.cli.words import size
from daemon.commands.surveyed import KeyPrefix, KeyspaceBefore, KeyspaceDetail

NEW = "new"
MOST_GONE = 5


class Grown(NamedTuple):
    """One cell in bytes, and one in percent; empty where nothing is known."""

    bytes: str = ""
    percent: str = ""


def grown(now: int, before: int | None) -> Grown:
    """From one figure to another, which is the same but for a trifle; None was not there."""
    if before is None:
        return Grown(f"+{size(now)}", NEW)
    if abs(now - before) <= before // 2_000:
        return Grown("=")
    return Grown(signed(now - before), percent(now, before=before))


def signed(difference: int) -> str:
    """``+1.2 MiB``, ``-300 B``."""
    return f"{'+' if difference > 0 else '-'}{size(abs(difference))}"


def percent(now: int, *, before: int) -> str:
    """``+3 %``, ``-0.4 %``; from ten times on ``x12``."""
    if not before or now == before:
        return NEW if now and not before else ""
    share = 100 * (now - before) / before
    if abs(share) < 0.05:
        return ""
    if share >= 900:
        return f"x{now / before:.0f}"
    return f"{share:+.0f} %" if abs(share) >= 10 else f"{share:+.1f} %"


def of_prefix(row: KeyPrefix, before: KeyspaceBefore | None) -> Grown:
    """A prefix against the one of that name.

    One that may have been there before, too light to be told, is not called new.
    """
    if before is None or not before.prefixes:
        return Grown()
    same = _by_name(before.prefixes).get(_name(row))
    if same is not None:
        return grown(row.bytes, same.bytes)
    return grown(row.bytes, None) if row.bytes > 2 * before.least_bytes else Grown()


def gone(detail: KeyspaceDetail) -> Iterator[KeyPrefix]:
    """Prefixes of before that there are no more, the heaviest first; none of those below them."""
    before = detail.before
    if before is None or not detail.prefixes:
        return
    there, told = _by_name(detail.prefixes), 0
    lost = [row for row in before.prefixes if row.bytes > 2 * detail.least_bytes]
    lost = [row for row in lost if _name(row) not in there]
    for row in sorted(lost, key=lambda row: -row.bytes):
        if told < MOST_GONE and not any(is_below(row, other=other) for other in lost):
            told += 1
            yield row


def is_below(row: KeyPrefix, *, other: KeyPrefix) -> bool:
    """Whether all keys of the one are among those of the other, by their patterns."""
    (number, name), (other_number, above) = _name(row), _name(other)
    return (
        number == other_number
        and name != above
        and above.endswith(b"*")
        and name.startswith(above[:-1])
    )


def pattern(row: KeyPrefix) -> bytes:
    """Its pattern as it is."""
    return raw(row.pattern, encoded=row.pattern_base64)


def _name(row: KeyPrefix) -> tuple[int, bytes]:
    return row.database, pattern(row)


def _by_name(rows: tuple[KeyPrefix, ...]) -> dict[tuple[int, bytes], KeyPrefix]:
    return {_name(row): row for row in rows}
