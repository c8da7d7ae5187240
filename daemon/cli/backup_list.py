"""`valkeep backup list`: one line for each backup, and why one that was asked for is none."""

from collections.abc import Iterator, Sequence

import click

from daemon.answers import Backups, BackupView, CopyView
from daemon.cli.desk import Desk, json_option
from daemon.cli.receipt_page import short
from daemon.cli.table import Column, grouped, table
from daemon.cli.wide import cut, wrapped
from daemon.cli.words import age, instant, number, plural, size

COLUMNS = (
    Column("BACKUP"),
    Column("KIND", rank=3),
    Column("TAKEN"),
    Column("MEMORY", rank=1, right=True),
    Column("RDB", rank=2, right=True),
    Column("STORED", right=True),
    Column("KEYS", rank=4, right=True),
    Column("PROVEN"),
    Column("ID", rank=5),
)
"""MEMORY is what a server needs for the data, RDB the plain file, STORED what the vault holds."""
ENCRYPTED = Column("ENCRYPTED")
"""Beside the others as soon as one backup is."""
COPY = Column("COPY")
"""Beside the others as soon as one has a copy, or is to have one."""
SUSPECT = Column("GOOD")
"""Beside the others as soon as one is suspect."""
STATE_COLUMNS = 24
"""A phase may be a whole sentence; `backup show` has all of it."""
COLUMNS_OF_ALL = (
    Column("BACKUP"),
    Column("STATE"),
    Column("KIND", rank=2),
    Column("WINDOW"),
    Column("ASKED FOR", rank=1),
    Column("TAKEN", rank=2),
    Column("STORED", rank=3, right=True),
    Column("ID", rank=4),
)


@click.command("list")
@click.argument("cache", required=False)
@click.option("--all", "every", is_flag=True, help="Also what waits, runs or has failed.")
@json_option
@click.pass_obj
def list_backups(desk: Desk, *, cache: str | None, every: bool) -> None:
    """List backups, oldest first; of CACHE or of all."""
    found, raw = desk.ask(Backups, "/v1/backups", cache=cache, all=every)
    if not found.backups:
        of = f" of {cache}" if cache else ""
        desk.show(raw, [f"There are no backups{of}. `valkeep backup create CACHE NAME` makes one."])
        return
    if every:
        desk.show(raw, _all(found, desk.width))
        return
    columns: Sequence[Column] = COLUMNS
    rows = [_row(found, view) for view in found.backups]
    if any(view.encrypted for view in found.backups):
        columns = (COLUMNS[0], ENCRYPTED, *COLUMNS[1:])
        rows = [
            (row[0], "age" if view.encrypted else "no", *row[1:])
            for row, view in zip(rows, found.backups, strict=True)
        ]
    for column, cell in ((COPY, copies), (SUSPECT, _good)):
        if any(cell(view) for view in found.backups):
            columns = (*columns[:-1], column, columns[-1])
            pairs = zip(rows, found.backups, strict=True)
            rows = [(*row[:-1], cell(view) or "-", row[-1]) for row, view in pairs]
    stored = sum(view.stored_bytes or 0 for view in found.backups)
    total = f"{plural(len(rows), 'backup')}, {size(stored)} stored"
    desk.show(raw, [*table(columns, rows, desk.width), total])


def needed(view: BackupView) -> str:
    """The memory that a server needs for its data; a guess is marked."""
    return f"~{size(view.memory_bytes)}" if view.memory_estimated else size(view.memory_bytes)


def copies(view: BackupView) -> str:
    """Where its copies are, whether they were read back, and how those stand that are not made."""
    return ", ".join(f"{copy.vault}{_standing(copy)}" for copy in view.copies)


def _standing(copy: CopyView) -> str:
    proof = copy.proof
    if proof is not None and proof.refuted is not None:
        return " (DAMAGED)"
    if copy.phase != "complete":
        return f" ({copy.phase})"
    return " (proven)" if proof is not None and proof.receipt is not None else ""


def _good(view: BackupView) -> str:
    return "SUSPECT" if view.suspect else ""


def _row(found: Backups, view: BackupView) -> tuple[str, ...]:
    return (
        f"{view.cache}/{view.name}",
        view.kind,
        age(found.now, view.taken_at),
        needed(view),
        size(view.plain_bytes),
        size(view.stored_bytes),
        number(view.keys),
        short(view, found.now),
        view.backup_id,
    )


def _all(found: Backups, width: int) -> Iterator[str]:
    """A line for each, and below it why it is not complete."""
    rows = [_row_of_all(found, view) for view in found.backups]
    heads, *each = grouped(COLUMNS_OF_ALL, rows, width)
    yield from heads
    for lines, view in zip(each, found.backups, strict=True):
        yield from lines
        yield from _below(_why(view), width)


def _below(text: str, width: int) -> list[str]:
    indent = "    "
    return wrapped(text, width, first=indent, rest=indent)


def _why(view: BackupView) -> str:
    """Why a backup is not complete, in words; nothing for one that is or that runs."""
    failed = (
        f"attempt {view.attempts} failed: {view.failure.message.rstrip('.')}"
        if view.failure
        else ""
    )
    match view.phase:
        case "waiting" if view.retry_at is not None:
            return f"tried again at {instant(view.retry_at)}; {failed}"
        case "waiting":
            return f"waits: {view.waits_for}" if view.waits_for else view.deferred or ""
        case "failed":
            return "; ".join(words for words in (failed, view.abandoned) if words)
        case "skipped":
            return view.abandoned or ""
        case _:
            return ""


def _row_of_all(found: Backups, view: BackupView) -> tuple[str, ...]:
    return (
        f"{view.cache}/{view.name}",
        cut(view.progress.phase if view.progress else view.phase, STATE_COLUMNS),
        view.kind,
        f"{view.occurrence.start} of {view.occurrence.day}" if view.occurrence else "-",
        age(found.now, view.requested_at),
        age(found.now, view.taken_at),
        size(view.stored_bytes),
        view.backup_id,
    )
