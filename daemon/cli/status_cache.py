"""`valkeep status CACHE`: one cache on a page. Pure."""

from collections.abc import Iterator

from daemon.answers import BackupView, CacheView, Status
from daemon.answers.proof import CopiesView
from daemon.cli.status_host import vault_lines
from daemon.cli.status_page import Screen, apart, failure, lost, next_start, restore_time, verdict
from daemon.cli.status_work import work_lines
from daemon.cli.table import facts
from daemon.cli.wide import wrapped
from daemon.cli.words import age, instant, plural, size


def page(screen: Screen, found: Status) -> Iterator[str]:
    """Its problems, its work, and what its backups are good for."""
    yield from verdict(screen, found)
    yield from apart(work_lines(found, screen.width, everything=True))
    for view in found.caches:
        yield ""
        yield f"{view.name}  {view.settings.url}"
        yield from facts(list(_facts(found, view)), indent="  ", width=screen.width)
    yield from apart(vault_lines(found, screen.width))
    yield ""
    yield from wrapped("`valkeep status` shows everything, the daemon included.", screen.width)


def _facts(found: Status, view: CacheView) -> Iterator[tuple[str, str]]:
    if view.suspended:
        yield "suspended", view.suspended
    by_schedule = view.scheduled is not None or view.next_start is not None
    newest = view.scheduled if by_schedule else view.newest
    yield "newest good", _backup(found, newest) if newest else "none"
    if view.newest is not None and view.newest != newest:
        yield "newest by hand", _backup(found, view.newest)
    yield "proven", _proven(found, view)
    yield "copies", "; ".join(_copies(found, one) for one in view.copies)
    start = view.next_start
    when = f" ({instant(start.at)}, window {start.window})" if start else ""
    yield "next start", f"{next_start(found, view)}{when}" if start else "nothing starts by itself"
    yield "last failure", failure(found, view)
    yield "a restore", _restore(view)
    yield "lost if gone now", lost(view)
    yield "stored", f"{plural(view.backups, 'backup')}, {size(view.stored_bytes)}"
    if view.undo is not None:
        yield (
            "to undo",
            f"the restore of {age(found.now, view.undo.restored_at)}: {view.undo.command}",
        )


def _copies(found: Status, copies: CopiesView) -> str:
    """What lies in one further vault, and how far it is known to be whole."""
    many = plural(copies.whole + copies.damaged, "copy", "copies")
    bad = f", {copies.damaged:,} DAMAGED" if copies.damaged else ""
    last = f"one read back {age(found.now, copies.proven_at)}" if copies.proven_at else ""
    return f"{many} in {copies.vault}{bad}, {last or 'none read back yet'}"


def _restore(view: CacheView) -> str:
    known = view.assurance
    if known is None or known.restore_seconds is None:
        return "takes nobody knows how long: neither a restore nor a verification was timed yet"
    return f"of {known.newest} takes {restore_time(view)}: {known.restore_from}"


def _backup(found: Status, view: BackupView) -> str:
    taken = f"taken {age(found.now, view.taken_at)}"
    keys = f", {plural(view.keys, 'key')}" if view.keys is not None else ""
    return (
        f"{view.name}, {taken}{keys}, {size(view.plain_bytes)} stored as {size(view.stored_bytes)}"
    )


def _proven(found: Status, view: CacheView) -> str:
    known = view.assurance
    if known is None or known.proven_at is None:
        return "never: `valkeep backup verify BACKUP` proves one"
    how = {"loaded": "a private engine has loaded it", "parsed": "parsed", "hashes": "by hashes"}
    return f"{known.name}, {age(found.now, known.proven_at)}: {how.get(known.level, known.level)}"
