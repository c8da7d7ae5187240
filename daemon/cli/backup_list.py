"""`valkeep backup list`: one line for each backup."""

from collections.abc import Sequence

import click

from daemon.answers import Backups, BackupView
from daemon.cli.desk import Desk, json_option
from daemon.cli.table import Column, table
from daemon.cli.words import age, number, plural, size

COLUMNS = (
    Column("BACKUP"),
    Column("KIND", rank=2),
    Column("TAKEN"),
    Column("STORED", right=True),
    Column("KEYS", rank=1, right=True),
    Column("ID", rank=3),
)
ENCRYPTED = Column("ENCRYPTED")
"""Beside the others as soon as one backup is."""
COLUMNS_OF_ALL = (
    Column("BACKUP"),
    Column("STATE"),
    Column("ASKED FOR", rank=1),
    Column("TAKEN"),
    Column("STORED", rank=2, right=True),
    Column("ID", rank=3),
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
        rows = [_row_of_all(found, view) for view in found.backups]
        desk.show(raw, table(COLUMNS_OF_ALL, rows, desk.width))
        return
    columns: Sequence[Column] = COLUMNS
    rows = [_row(found, view) for view in found.backups]
    if any(view.encrypted for view in found.backups):
        columns = (COLUMNS[0], ENCRYPTED, *COLUMNS[1:])
        rows = [
            (row[0], "age" if view.encrypted else "no", *row[1:])
            for row, view in zip(rows, found.backups, strict=True)
        ]
    stored = sum(view.stored_bytes or 0 for view in found.backups)
    total = f"{plural(len(rows), 'backup')}, {size(stored)} stored"
    desk.show(raw, [*table(columns, rows, desk.width), total])


def _row(found: Backups, view: BackupView) -> tuple[str, ...]:
    return (
        f"{view.cache}/{view.name}",
        view.kind,
        age(found.now, view.taken_at),
        size(view.stored_bytes),
        number(view.keys),
        view.backup_id,
    )


def _row_of_all(found: Backups, view: BackupView) -> tuple[str, ...]:
    return (
        f"{view.cache}/{view.name}",
        view.progress.phase if view.progress else view.phase,
        age(found.now, view.requested_at),
        age(found.now, view.taken_at),
        size(view.stored_bytes),
        view.backup_id,
    )
