"""The state file on disk: whole or not there, and nobody else's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.frozen import FileDrawer, drawer
from daemon.frozen.sheet import Unfit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it lies."""
    return tmp_path / "state.snapshot"


def content(path: Path) -> bytes | None:
    """What the drawer gives."""
    file = FileDrawer(path).open()
    if file is None:
        return None
    with file:
        return file.read()


def test_it_is_put_and_replaced(path: Path) -> None:
    """What is put is there, for its owner alone, with nothing beside it."""
    assert content(path) is None
    FileDrawer(path).put([b"one ", b"two"])
    assert content(path) == b"one two"
    FileDrawer(path).put([b"three"])

    assert content(path) == b"three"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [path] == list(path.parent.iterdir())


def test_it_is_cleared(path: Path) -> None:
    """What is cleared is gone; that may be repeated."""
    FileDrawer(path).put([b"one"])
    FileDrawer(path).clear()
    FileDrawer(path).clear()

    assert content(path) is None


def test_failure_leaves_the_old_one(path: Path) -> None:
    """When the new one cannot be finished, the old one is there and no draft."""

    def fails() -> Iterator[bytes]:
        yield b"begun"
        raise ValueError("no more")

    FileDrawer(path).put([b"old"])
    with pytest.raises(ValueError, match="no more"):
        FileDrawer(path).put(fails())

    assert content(path) == b"old"
    assert [path] == list(path.parent.iterdir())


def test_little_room_is_left_to_the_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is nearly full nothing is written."""
    monkeypatch.setattr(drawer, "LEAST_FREE_BYTES", 1 << 62)
    with pytest.raises(OSError, match="little room"):
        FileDrawer(path).put([b"one"])

    assert [] == list(path.parent.iterdir())


def test_what_a_killed_daemon_left_is_no_hindrance(path: Path) -> None:
    """A draft of old is removed, a link in its place is not followed."""
    other = path.with_name("other")
    other.write_bytes(b"precious")
    draft = path.with_name("state.snapshot.new")
    draft.symlink_to(other)
    FileDrawer(path).put([b"one"])

    assert content(path) == b"one"
    assert other.read_bytes() == b"precious"
    assert not draft.is_symlink()


def test_open_to_others_is_not_used(path: Path) -> None:
    """A file that somebody else may write or read is not used."""
    FileDrawer(path).put([b"one"])
    for mode in (0o620, 0o604, 0o644, 0o602):
        path.chmod(mode)
        with pytest.raises(Unfit, match=f"its mode is {mode:04o}"):
            content(path)


def test_of_another_owner_is_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is not used."""
    FileDrawer(path).put([b"one"])
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(Unfit, match="belongs to user"):
        content(path)


def test_what_is_no_file_is_not_used(path: Path) -> None:
    """A link, a pipe that nobody writes to, and a folder are not used, and keep nobody waiting."""
    other = path.with_name("other")
    FileDrawer(other).put([b"one"])
    path.symlink_to(other)
    with pytest.raises(Unfit, match="symbolic link"):
        content(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(Unfit, match="no file"):
        content(path)
    FileDrawer(path).put([b"put over the pipe"])
    assert content(path) == b"put over the pipe"
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(Unfit, match="no file"):
        content(path)
    with pytest.raises(OSError, match="directory"):
        FileDrawer(path).put([b"one"])


def test_too_large_is_not_used(path: Path) -> None:
    """A file without end is not read at all."""
    FileDrawer(path).put([b"one"])
    os.truncate(path, drawer.MOST_BYTES + 1)
    with pytest.raises(Unfit, match="larger than"):
        content(path)
