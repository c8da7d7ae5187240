"""`valkeep status`: the page for three in the morning."""

from collections.abc import Iterator
from datetime import timedelta

import click

from daemon.answers import BackupView, CacheView, RestoreView, Status, VaultView
from daemon.answers.exports import ExportView
from daemon.cli.desk import Desk, json_option
from daemon.cli.export_page import running_line
from daemon.cli.follow import Standing, told
from daemon.cli.table import Column, table
from daemon.cli.words import age, duration, instant, plural, sentence, size

WATCH_SECONDS = 2.0
LATELY = timedelta(days=1)
"""So long it is told that a cache was restored."""
CACHES = (
    Column("CACHE"),
    Column("NEWEST GOOD", rank=1),
    Column("TAKEN"),
    Column("NEXT START"),
    Column("BACKUPS", rank=2, right=True),
    Column("STORED", rank=3, right=True),
    Column("NOTE"),
)
ASSURANCES = (
    Column("CACHE"),
    Column("LAST PROVEN"),
    Column("A RESTORE TAKES"),
    Column("YOU WOULD LOSE"),
    Column("KNOWN FROM", rank=1),
)
VAULTS = (
    Column("VAULT"),
    Column("BACKUPS", right=True),
    Column("STORED", right=True),
    Column("URL"),
)


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every other second.")
@json_option
@click.pass_obj
def status(desk: Desk, *, watch: bool) -> None:
    """Tell whether all is well, what runs, and how old the newest backups are."""
    while True:
        found, raw = desk.ask(Status, "/v1/status")
        if watch:
            click.echo("\x1b[2J\x1b[H", nl=False)
        desk.show(raw, page(desk, found))
        if not watch:
            return
        _pause()


def _pause() -> None:
    import anyio  # noqa: PLC0415 - slow to import, and only --watch needs it

    anyio.run(anyio.sleep, WATCH_SECONDS)


def page(desk: Desk, found: Status) -> Iterator[str]:
    """The lines of the page: the answer first, then the reasons, then the rest."""
    if found.problems:
        yield desk.mark(f"{plural(len(found.problems), 'problem')}:", colour="red")
    else:
        yield desk.mark("All is well.", colour="green")
    if not found.caches:
        yield "No cache is backed up yet: valkeep cache add NAME --url valkey://HOST:PORT"
    for problem in found.problems:
        yield f"  {desk.mark('!', colour='red')} {sentence(problem.message)}"
        yield f"    hint: {problem.hint}"
    yield from _running(found)
    yield from _apart(list(_restored(found)))
    caches = [_cache_row(found, view) for view in found.caches]
    yield from _apart(table(CACHES, caches, desk.width))
    known = [assured(found, view) for view in found.caches]
    yield from _apart(table(ASSURANCES, known, desk.width))
    vaults = [(v.name, _held(v), size(v.stored_bytes), v.url) for v in found.vaults]
    yield from _apart(table(VAULTS, vaults, desk.width))
    log = "NOT WRITABLE" if found.log.trouble else "writable"
    yield ""
    yield (
        f"valkeep {found.version}, up {duration(found.uptime_seconds)}, log {log} "
        f"at position {found.log.position:,}; you are {found.your_role}"
    )


def _apart(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _held(view: VaultView) -> str:
    copied = "1 copy" if view.copies == 1 else f"{view.copies:,} copies"
    return f"{view.backups:,} + {copied}" if view.copies else f"{view.backups:,}"


def _cache_row(found: Status, view: CacheView) -> tuple[str, ...]:
    # Where backups are scheduled, only those count (A12).
    newest = view.scheduled if view.next_start else view.newest
    note = "suspended" if view.suspended else "last one failed" if view.failed else ""
    start = view.next_start
    return (
        view.name,
        newest.name if newest else "-",
        age(found.now, newest.taken_at if newest else None),
        f"{start.local:%Y-%m-%d %H:%M} {start.zone}" if start else "-",
        f"{view.backups:,}",
        size(view.stored_bytes),
        note,
    )


def assured(found: Status, view: CacheView) -> tuple[str, ...]:
    """What a cache's backups are good for: proven when, how fast to restore, what is lost."""
    known = view.assurance
    if known is None:
        return view.name, "-", "-", "-", ""
    proven = f"{age(found.now, known.proven_at)} ({known.level})" if known.proven_at else "never"
    seconds, lost = known.restore_seconds, known.lost_seconds
    return (
        view.name,
        proven,
        "unknown" if seconds is None else f"about {duration(max(1.0, seconds))}",
        "everything" if lost is None else f"the last {duration(lost)}",
        known.restore_from,
    )


def _running(found: Status) -> Iterator[str]:
    if found.backups or found.restores or found.exports:
        yield ""
    for backup in found.backups:
        yield f"backup {backup.cache}/{backup.name}: {_backup_state(found, backup)}"
    for restore in found.restores:
        what = restore.backup_name or restore.backup_id
        yield (
            f"restore of {restore.backup_cache}/{what} into {restore.target}: "
            f"{_restore_state(found, restore)}"
        )
    for export in found.exports:
        yield f"{running_line(export)}: {_export_state(found, export)}"


def _export_state(found: Status, view: ExportView) -> str:
    label = "a client reads" if view.kind == "client" else "waiting"
    return told(Standing(ended=False, label=label, progress=view.progress, now=found.now))


def _restored(found: Status) -> Iterator[str]:
    """What was restored lately, and how to take it back."""
    for view in found.caches:
        undo = view.undo
        at = undo.restored_at if undo else None
        if undo is None or at is None or found.now - at > LATELY:
            continue
        yield f"{view.name} was restored {age(found.now, at)}. To undo: {undo.command}"
        if undo.until is not None:
            yield f"  (until {instant(undo.until)})"


def _backup_state(found: Status, view: BackupView) -> str:
    waits = f"waiting: {view.waits_for}" if view.waits_for else view.phase
    if view.phase == "waiting" and view.failure is not None:
        waits = f"{waits}; attempt {view.attempts} failed: {view.failure.message}"
    return told(Standing(ended=False, label=waits, progress=view.progress, now=found.now))


def _restore_state(found: Status, view: RestoreView) -> str:
    return told(Standing(ended=False, label=view.phase, progress=view.progress, now=found.now))
