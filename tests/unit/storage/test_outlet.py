"""Places of the user's own: how files are called there, and a directory that keeps the rules."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.errors import Permanent
from daemon.storage.outlet import Target, file_name, place_of
from daemon.storage.outlet_folder import FolderOutlet, temporary
from events.facts import BackupName, CacheName
from tests.support.offload import THREADS
from tests.support.outcome import files_in

pytestmark = pytest.mark.anyio

TARGET = Target("x.rdb", "20260301T120000Z-0000e001", datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("destination", "place"),
    [
        ("s3://team", ("s3://team", None)),
        ("s3://team/", ("s3://team", None)),
        ("s3://team/rdb/", ("s3://team/rdb", None)),
        ("s3://team/rdb/mine.rdb", ("s3://team/rdb", "mine.rdb")),
        ("s3://team.rdb", ("s3://team.rdb", None)),
        ("s3://team/.rdb", ("s3://team/.rdb", None)),
        ("file:///srv/rdb", ("file:///srv/rdb", None)),
        ("file:///srv/x.rdb", ("file:///srv", "x.rdb")),
    ],
)
def test_destination_is_a_folder_unless_it_names_a_file(
    destination: str, place: tuple[str, str | None]
) -> None:
    """A destination is a folder; only a last part that ends with ``.rdb`` names the file."""
    assert place == place_of(destination)


def test_file_is_called_after_cache_backup_and_shard() -> None:
    """Nobody has to open a file to know what is in it."""
    assert "orders-nightly-0000.rdb" == file_name(
        CacheName("orders"), BackupName("nightly"), "0000"
    )


async def test_sweep_takes_what_this_export_left_and_nothing_else(tmp_path: Path) -> None:
    """Of the drafts in a folder only the export's own one goes."""
    names = [temporary(TARGET), ".x.rdb.20260301T120000Z-0000e002.tmp", "x.rdb"]
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    outlet = FolderOutlet(str(tmp_path), THREADS)
    await outlet.sweep(TARGET)
    await outlet.sweep(TARGET)
    assert set(names[1:]) == files_in(tmp_path)


async def written(folder: Path, target: Target, between: Callable[[], object]) -> None:
    """Write a file; something happens before it gets its name."""
    async with FolderOutlet(str(folder), THREADS).create(target) as writer:
        await writer.write(b"mine")
        between()
        await writer.commit()


async def test_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    """A name that somebody has taken while the file was written is not taken over."""
    file = tmp_path / "x.rdb"
    with pytest.raises(Permanent, match="already"):
        await written(tmp_path, TARGET, lambda: file.write_bytes(b"theirs"))
    assert b"theirs" == file.read_bytes()
    assert {"x.rdb"} == files_in(tmp_path)


async def test_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A link that was planted under the file's name is refused, and what it points to stays."""
    (tmp_path / "secret").write_bytes(b"keep")
    (tmp_path / "x.rdb").symlink_to(tmp_path / "secret")
    target = replace(TARGET, replace=True)
    with pytest.raises(Permanent, match="cannot finish"):
        await written(tmp_path, target, lambda: None)
    assert b"keep" == (tmp_path / "secret").read_bytes()
    assert {"secret", "x.rdb"} == files_in(tmp_path)
