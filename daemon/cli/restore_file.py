"""`valkeep restore --file`: the plain RDB into a file, written with the caller's own rights."""

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from daemon.answers import BackupDetail
from daemon.cli import follow
from daemon.cli.desk import Desk
from daemon.cli.file_steps import lines
from daemon.cli.plain_file import Fetched, Manner, Wanted, check_path, write
from daemon.client import path_of


class FileWish(msgspec.Struct, frozen=True):
    """What the caller has said of a file."""

    reference: str
    file: str
    shard: str | None = None
    vault: str | None = None
    replace: bool = False


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ``--json`` prints."""

    file: str
    export_id: str
    plain_bytes: int
    sha256: str


def to_file(desk: Desk, wish: FileWish) -> None:
    """Write the file, and tell how a server is started on it."""
    path = Path(wish.file).expanduser().absolute()
    check_path(path, replace=wish.replace)
    detail, _ = desk.ask(BackupDetail, path_of("backups", wish.reference))
    wanted = Wanted(detail.backup.backup_id, wish.shard, wish.vault, str(path))
    with follow.moving(desk) as told:
        fetched = write(desk.client, wanted, path, Manner(wish.replace, told))
    desk.show(_json(path, fetched), lines(detail, fetched, path, desk.width))


def _json(path: Path, fetched: Fetched) -> bytes:
    found = _Answer(str(path), fetched.export_id, fetched.plain_bytes, fetched.sha256)
    return msgspec.json.encode(found)


def only_for_a_cache(given: Mapping[str, object]) -> None:
    """Refuse what makes sense for a running cache alone."""
    flags = {
        "target": "--to",
        "plan_only": "--plan",
        "force": "--force",
        "timeout": "--timeout",
    }
    said = [flag for name, flag in flags.items() if given.get(name)]
    if said:
        raise click.UsageError(f"{said[0]} is for a restore into a running cache, not for --file.")


def file_wish(given: Mapping[str, object]) -> FileWish:
    """Of all that was said what is about a file."""
    names = FileWish.__struct_fields__
    return msgspec.convert({name: given[name] for name in names}, FileWish)


def with_target(given: Mapping[str, object]) -> Mapping[str, object]:
    """What was said, for a restore into a cache; a cache must have been named."""
    if given["target"] is None:
        raise click.UsageError("Say where to: --to CACHE, --new DIR, or --file PATH.")
    if given["shard"] is not None:
        raise click.UsageError("--shard is for --file.")
    return {name: value for name, value in given.items() if name not in ("file", "shard")}
