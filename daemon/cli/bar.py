"""One line that tells how far running work is, within the width there is. Pure.

What matters least is left out first: the bar shrinks, then amounts go, at last the words are cut.
Of a total that is not known nothing is told, and no time left once all is moved.
"""

from collections.abc import Iterator

from daemon.answers.progress import ProgressView
from daemon.cli.rate import Rate
from daemon.cli.wide import cut, width
from daemon.cli.words import duration, size

USUAL = 20
BARS = (40, 30, 25, USUAL, 15, 10)
"""Signs of a bar: few lengths, so that it does not quiver with the figures beside it."""
RATE, LEFT = "1023.9 KiB/s", "89 min left"
"""As wide as they become: room is kept for them before they are known."""
QUIET_SECONDS = 10.0
"""So long nothing has to move before that is told in place of a rate."""


def line(progress: ProgressView, rate: Rate, columns: int | None = None) -> str:
    """Phase, bar, amount, rate and time left, each as far as it is known and has room."""
    total = progress.total_bytes
    tail = [part for part in _tail(progress, rate) if part]
    if not total:
        return _fitted([progress.phase, _amount(progress), *tail], columns)
    part = min(1.0, progress.moved_bytes / total)
    percent = f"{_percent(part)}%"
    layouts = (
        (f"{size(total)} of {size(total)}", _amount(progress)),
        (size(total), size(progress.moved_bytes)),
    )
    for widest, amount in layouts:
        bare = f"{progress.phase}  [] 100%  {widest}  {RATE}  {LEFT}"
        room = USUAL if columns is None else columns - width(bare)
        signs = next((signs for signs in BARS if signs <= room), 0)
        if signs:
            bar = f"{_bar(part, signs)} {percent}"
            return _fitted([progress.phase, bar, amount, *tail], columns)
    return _fitted([progress.phase, percent, _amount(progress), *tail], columns)


def counted(doing: str, done: int, total: int | None) -> str:
    """What is counted in pieces: how many of how many, then what is done, which may be long."""
    if not total:
        return doing
    part = min(1.0, done / total)
    return f"{_bar(part, USUAL)} {_percent(part)}%  {done:,} of {total:,}  {doing}"


def _amount(progress: ProgressView) -> str:
    moved, total = progress.moved_bytes, progress.total_bytes
    if total and moved <= total:
        return f"{size(moved)} of {size(total)}"
    if moved:
        return size(moved)
    return duration(progress.phase_seconds) if progress.phase_seconds >= 1 else ""


def _tail(progress: ProgressView, rate: Rate) -> Iterator[str]:
    """What is told after the amount, in this order."""
    moved, total = progress.moved_bytes, progress.total_bytes
    if total and moved >= total:
        yield "finishing"
        return
    if not moved:
        return
    if rate.quiet_seconds >= QUIET_SECONDS:
        yield f"nothing for {duration(rate.quiet_seconds)}"
        return
    if rate.bytes_per_second:
        yield f"{size(rate.bytes_per_second)}/s"
    if rate.left_seconds is not None:
        yield f"{_left(rate.left_seconds)} left"


def _left(seconds: float) -> str:
    return duration(max(1.0, seconds))


def _percent(part: float) -> int:
    """Whole percents; 100 is only said when all is moved."""
    return 100 if part >= 1 else min(99, int(100 * part))


def _bar(part: float, signs: int) -> str:
    full = min(signs, int(part * signs))
    return f"[{'#' * full}{'.' * (signs - full)}]"


def _fitted(parts: list[str], columns: int | None) -> str:
    """All parts, or the first ones and the last: how long it takes matters more than how much."""
    parts = [part for part in parts if part]
    if columns is None:
        return "  ".join(parts)
    while len(parts) > 2 and width("  ".join(parts)) > columns:
        # From the right, but for the time left, which is the last one.
        del parts[-2]
    return cut("  ".join(parts), columns)
