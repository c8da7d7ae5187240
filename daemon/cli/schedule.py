"""`valkeep schedule`: what starts when, on the clocks of the policy's zone, and the last result.

One line for each cache and the reasons below, or one cache on a page of its own. All times are
the daemon's.
"""

from collections.abc import Iterator
from datetime import datetime

import click

from daemon.answers import LocalTime, StartView
from daemon.answers.schedule import CacheSchedule, LastView, PendingView, Schedule
from daemon.cli.desk import Desk, json_option
from daemon.cli.table import Column, facts, table
from daemon.cli.wide import wrapped
from daemon.cli.words import age, duration, instant

COLUMNS = (
    Column("CACHE"),
    Column("NEXT START"),
    Column("IN"),
    Column("WINDOW", rank=1),
    Column("LAST"),
)
COUNT_OF_ONE = 5


@click.command()
@click.argument("cache", required=False)
@click.option(
    "--count",
    type=click.IntRange(1, 100),
    metavar="N",
    help="At most N starts of each cache, within three days. [default: 1, of one cache 5]",
)
@json_option
@click.pass_obj
def schedule(desk: Desk, *, cache: str | None, count: int | None) -> None:
    """Show the next starts of CACHE or of all, and what became of the last ones."""
    wanted = count or (COUNT_OF_ONE if cache else 1)
    found, raw = desk.ask(Schedule, "/v1/schedule", cache=cache, count=wanted)
    if cache is not None:
        desk.show(raw, [line for one in found.caches for line in page(found, one, desk.width)])
    elif not found.caches:
        desk.show(raw, ["There are no caches yet. `valkeep cache add NAME --url …` adds one."])
    else:
        desk.show(raw, overview(found, desk.width))


def overview(found: Schedule, width: int) -> Iterator[str]:
    """All caches in a table, and below it what is not as it should be."""
    rows = [row for one in found.caches for row in _rows(found, one)]
    yield from table(COLUMNS, rows, width)
    notes = [note for one in found.caches for note in _notes(found, one)]
    if notes:
        yield ""
    for note in notes:
        yield from _wrapped(note, width)


def _rows(found: Schedule, one: CacheSchedule) -> Iterator[tuple[str, ...]]:
    last = f"{one.last.outcome} {age(found.now, one.last.at)}" if one.last else "none yet"
    if not one.starts:
        yield (one.cache, one.idle or "none within three days", "", "", last)
    for number, start in enumerate(one.starts):
        first = (one.cache, last) if number == 0 else ("", "")
        yield (first[0], _short(start), _until(start.at, now=found.now), start.window, first[1])


def _wrapped(note: str, width: int) -> list[str]:
    """On as many lines as it takes; names and commands are not cut."""
    return wrapped(note, width, rest="  ")


def _until(at: datetime, *, now: datetime) -> str:
    return "now" if at <= now else duration((at - now).total_seconds())


def _notes(found: Schedule, one: CacheSchedule) -> Iterator[str]:
    for pending in one.pending:
        yield f"{one.cache}: {pending.backup.name} {_standing(found, pending)}"
    if one.last is not None and one.last.outcome != "complete":
        yield f"{one.cache}: {_last(found, one.last)}"


def page(found: Schedule, one: CacheSchedule, width: int) -> Iterator[str]:
    """One cache: its windows, its next starts, what is under way, and the last result."""
    windows = " and ".join(one.windows) or "no windows"
    yield one.cache
    nexts = [("" if n else "next", _start(found, start)) for n, start in enumerate(one.starts)]
    pairs = [
        ("windows", f"{windows}, {one.timezone}"),
        *(nexts or [("next", f"nothing starts by itself: {one.idle}")]),
        *(("now", f"{p.backup.name} {_standing(found, p)}") for p in one.pending),
        ("last", _last(found, one.last) if one.last else "none yet"),
        ("hint", one.last.hint if one.last else ""),
    ]
    yield from facts(pairs, indent="  ", width=width)


def _start(found: Schedule, start: StartView) -> str:
    ahead = "due now" if start.at <= found.now else f"in {_until(start.at, now=found.now)}"
    return f"{exact(start)}, {ahead}, window {start.window}"


def _short(at: LocalTime) -> str:
    return f"{at.local:%Y-%m-%d %H:%M} {at.zone}"


def exact(at: LocalTime) -> str:
    """``Mon 2026-03-02 02:14:05 CET (+01:00)``; no letters where the zone has none."""
    offset = _offset(at.local)
    letters = at.zone if at.zone[:1].isalpha() else ""
    told = f"{at.local:%a %Y-%m-%d %H:%M:%S}"
    return f"{told} {letters} ({offset})" if letters else f"{told} {offset}"


def _offset(at: datetime) -> str:
    text = f"{at:%z}"
    return f"{text[:3]}:{text[3:5]}"


def _standing(found: Schedule, pending: PendingView) -> str:
    backup, retry = pending.backup, pending.retry
    if backup.phase == "running":
        return f"runs, attempt {backup.attempts}"
    until = f"; no start after {_short(pending.start_before)}" if pending.start_before else ""
    if retry is None:
        return f"waits: {backup.waits_for or 'it starts at once'}{until}"
    why = f"; the last one failed: {backup.failure.message.rstrip('.')}" if backup.failure else ""
    ahead = _until(retry.at, now=found.now)
    when = f"{_short(retry)}, {'due now' if ahead == 'now' else f'in {ahead}'}"
    return f"is tried again (attempt {backup.attempts + 1}) at {when}{why}{until}"


def _last(found: Schedule, last: LastView) -> str:
    of = last.occurrence
    window = f" (window {of.start} of {of.day})" if of else ""
    what = last.name or ("" if last.outcome == "missed" else last.backup_id or "")
    told = f"{what} {_SAID[last.outcome]} {age(found.now, last.at)}".strip()
    return f"{told}{window}" + (f": {last.reason}" if last.reason else f", {instant(last.at)}")


_SAID = {
    "complete": "was completed",
    "failed": "failed and was given up",
    "skipped": "was skipped",
    "cancelled": "was cancelled",
    "missed": "missed",
}
