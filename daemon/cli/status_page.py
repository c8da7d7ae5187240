"""The page of `valkeep status`: the verdict, what is wrong, what runs, every cache, the rest. Pure.

From the daemon's answer to lines: all times are the daemon's. What is well and many is counted,
what is not is told; `--all` tells everything.
"""

from collections.abc import Iterator

from msgspec import Struct

from daemon.answers import CacheView, Status, Trouble
from daemon.answers.standing import Level
from daemon.cli.status_host import host_lines, vault_lines
from daemon.cli.status_work import work_lines
from daemon.cli.table import Column, table
from daemon.cli.wide import wrapped
from daemon.cli.words import age, duration, instant, plural, sentence, size

COLOURS: dict[Level, str] = {"critical": "red", "warning": "yellow", "unknown": "magenta"}
_ORDER: tuple[Level, ...] = ("critical", "unknown", "warning", "ok")
FEW = 12
"""So many caches are all shown."""
MOST = 20
"""Problems, and caches that have some, that are shown of many."""
ALIKE = 3
"""More problems than this of one kind are told as one."""
LATELY_SECONDS = 86_400.0
"""So long it is told that a cache was restored, or that something had failed."""

CACHES = (
    Column("CACHE"),
    Column("NEWEST GOOD"),
    Column("LAST PROVEN"),
    Column("NEXT START"),
    Column("RESTORE"),
    Column("YOU WOULD LOSE", rank=2),
    Column("BACKUPS", rank=4, right=True),
    Column("STORED", rank=3, right=True),
    Column("STATE", rank=1),
)


class Screen(Struct, frozen=True):
    """How wide the page is, whether everything is told, and whether there are colours."""

    width: int
    everything: bool = False
    colours: bool = False

    def mark(self, text: str, *, colour: str) -> str:
        """Text in a colour, where there are colours."""
        if not self.colours:
            return text
        import click  # noqa: PLC0415 - only a terminal has colours

        return click.style(text, fg=colour, bold=True)


def page(screen: Screen, found: Status) -> Iterator[str]:
    """All its lines."""
    yield from verdict(screen, found)
    yield from apart(work_lines(found, screen.width, everything=screen.everything))
    yield from apart(_restored(found, screen.width))
    yield from apart(_caches(screen, found))
    yield from apart(_failures(screen, found))
    yield from apart(vault_lines(found, screen.width))
    yield from apart(host_lines(found, screen.width))


def apart(lines: Iterator[str]) -> Iterator[str]:
    """Lines after a blank one, if there are any."""
    first = next(lines, None)
    if first is not None:
        yield ""
        yield first
        yield from lines


def verdict(screen: Screen, found: Status) -> Iterator[str]:
    """Whether all is well, in one line; then each problem and what to do about it."""
    problems = found.problems
    if not problems:
        yield screen.mark("All is well.", colour="green")
    else:
        critical = sum(problem.level == "critical" for problem in problems)
        told = plural(len(problems), "problem")
        if critical:
            told = f"{told}, {critical:,} critical"
        if critical == len(problems):
            told = plural(critical, "critical problem")
        colour = "red" if critical else "yellow"
        yield screen.mark(f"{told}:", colour=colour)
    yield from _problems(screen, problems)
    if not found.caches:
        yield "No cache is backed up yet: valkeep cache add NAME --url valkey://HOST:PORT"


def _problems(screen: Screen, problems: tuple[Trouble, ...]) -> Iterator[str]:
    """Those of one kind together; of very many the first."""
    kinds: dict[tuple[str, ...], list[Trouble]] = {}
    for number, problem in enumerate(problems):
        alone = screen.everything or problem.cache is None
        kind = (str(number),) if alone else (problem.level, problem.rule, problem.code)
        kinds.setdefault(kind, []).append(problem)
    groups = [
        part
        for alike in kinds.values()
        for part in ([alike] if len(alike) > ALIKE else [[one] for one in alike])
    ]
    shown = groups if screen.everything else groups[:MOST]
    for alike in shown:
        yield from _problem(screen, alike[0])
        if len(alike) > 1:
            yield from _likewise(screen.width, [one.cache or "" for one in alike[1:]])
    left = sum(map(len, groups[len(shown) :]))
    if left:
        yield f"  and {left:,} more: `valkeep check --quiet` has a line for each."


def _problem(screen: Screen, problem: Trouble) -> Iterator[str]:
    word = problem.level.upper()
    first, *rest = wrapped(
        f"{word} {sentence(problem.message)}", screen.width, first="  ", rest="    "
    )
    yield first.replace(word, screen.mark(word, colour=COLOURS.get(problem.level, "red")), 1)
    yield from rest
    if problem.hint:
        told = sentence(problem.hint)
        yield from wrapped(f"hint: {told}", screen.width, first="    ", rest="      ")


def _likewise(width: int, names: list[str]) -> list[str]:
    some = ", ".join(names[:5])
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return wrapped(f"the same of {some}{more}", width, first="    ", rest="    ")


def _restored(found: Status, width: int) -> Iterator[str]:
    """What was restored lately, and how to take it back."""
    for view in found.caches:
        undo = view.undo
        at = undo.restored_at if undo else None
        if undo is None or at is None or (found.now - at).total_seconds() > LATELY_SECONDS:
            continue
        told = f"{view.name} was restored {age(found.now, at)}. To undo: {undo.command}"
        until = f" (until {instant(undo.until)})" if undo.until is not None else ""
        yield from wrapped(f"{told}{until}", width, rest="  ")


def _caches(screen: Screen, found: Status) -> Iterator[str]:
    """A table of all, or of those that are not well and how many are."""
    ordered = sorted(found.caches, key=lambda one: (_ORDER.index(one.level or "ok"), one.name))
    shown = ordered
    if len(ordered) > FEW and not screen.everything:
        shown = [one for one in ordered if one.level not in (None, "ok")]
    left = ordered[len(shown) :]
    well = [one for one in left if one.level in (None, "ok")]
    if not screen.everything and len(shown) > max(MOST, FEW):
        yield from table(CACHES, [row(found, one) for one in shown[:MOST]], screen.width)
        yield f"and {len(shown) - MOST:,} more have problems (--all lists them)."
    else:
        yield from table(CACHES, [row(found, one) for one in shown], screen.width)
    if well:
        yield from wrapped(_well(found, well, some=len(shown) > 0), screen.width)


def _well(found: Status, well: list[CacheView], *, some: bool) -> str:
    number = f"{len(well):,} more are well" if some else f"All {len(well):,} caches are well"
    known = [(one.assurance.lost_seconds, one.name) for one in well if one.assurance]
    ages = [(seconds, name) for seconds, name in known if seconds is not None]
    seconds, name = max(ages, default=(0.0, ""))
    oldest = f"; the oldest of their newest good backups is {duration(seconds)} old ({name})"
    none = f"; {len(well) - len(ages):,} have no backup yet" if len(ages) < len(well) else ""
    coming = [(one.next_start.at, one.name) for one in well if one.next_start]
    at, first = min(coming, default=(found.now, ""))
    when = f"; {first} starts next, {_ahead(found, at)}" if first else ""
    return f"{number}{oldest if name else ''}{none}{when} (--all lists them)."


def row(found: Status, view: CacheView) -> tuple[str, ...]:
    """One cache as a line of the table; a safety backup is not its newest one (A12)."""
    known = view.assurance
    return (
        view.name,
        _newest(found, view),
        proven(found, view),
        next_start(found, view),
        restore_time(view),
        lost(view) if known else "-",
        f"{view.backups:,}",
        size(view.stored_bytes),
        "suspended" if view.suspended else view.level or "ok",
    )


def _newest(found: Status, view: CacheView) -> str:
    """Where backups are scheduled only those count (A12); one by hand is better than none."""
    if view.scheduled is not None:
        return age(found.now, view.scheduled.taken_at)
    by_hand = age(found.now, view.newest.taken_at) if view.newest else "none"
    return f"by hand, {by_hand}" if view.newest and view.next_start else by_hand


def proven(found: Status, view: CacheView) -> str:
    """When a backup was last proven, and how."""
    known = view.assurance
    if known is None or known.proven_at is None:
        return "never"
    return f"{age(found.now, known.proven_at)}, {known.level}"


def restore_time(view: CacheView) -> str:
    """How long a restore of the newest good backup would take."""
    known = view.assurance
    if known is None or known.restore_seconds is None:
        return "unknown"
    about = "over" if known.restore_partly else "about"
    return f"{about} {duration(max(1.0, known.restore_seconds))}"


def lost(view: CacheView) -> str:
    """What would be lost if the cache were gone now."""
    known = view.assurance
    seconds = known.lost_seconds if known else None
    return "everything" if seconds is None else f"the last {duration(seconds)}"


def next_start(found: Status, view: CacheView) -> str:
    """``02:14 CET, in 5 h``; with the day where that is not plain."""
    start = view.next_start
    if start is None:
        return "suspended" if view.suspended else "-"
    far = (start.at - found.now).total_seconds() > 20 * 3600
    day = f"{start.local:%a} " if far else ""
    return f"{day}{start.local:%H:%M} {start.zone}, {_ahead(found, start.at)}"


def _ahead(found: Status, at: object) -> str:
    seconds = (at - found.now).total_seconds()  # type: ignore[operator]
    return f"in {duration(seconds)}" if seconds >= 1 else "due now"


def _failures(screen: Screen, found: Status) -> Iterator[str]:
    """Failures of late of caches that are well again: the others are among the problems."""
    for view in found.caches:
        failed = view.last_failure
        if failed is None or (view.level not in (None, "ok") and not screen.everything):
            continue
        late = (found.now - failed.at).total_seconds() <= LATELY_SECONDS
        if late or screen.everything:
            told = f"{view.name}: {failure(found, view)}"
            yield from wrapped(told, screen.width, rest="  ")


def failure(found: Status, view: CacheView) -> str:
    """The last failure in words, and whether a backup has succeeded since."""
    failed = view.last_failure
    if failed is None:
        return "none that is remembered"
    why = f": {failed.why}" if failed.why else ""
    since = "; no good backup since"
    if failed.since is not None:
        since = f"; {failed.since} succeeded {age(found.now, failed.since_at)}"
    return f"{failed.what} {age(found.now, failed.at)}{why}{since}"
