"""What a kill in the middle of a write leaves in a vault's directory, and who takes it away."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from daemon.storage import folders
from daemon.storage.local import DirectoryVault
from daemon.storage.names import OWNER, log_object
from daemon.storage.ownership import claim, owner
from daemon.storage.vault import ObjectName
from events.facts import InstallationId, Position
from tests.support.offload import at_once

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
T = TypeVar("T")
US = InstallationId("us")
SEGMENT = log_object(first=Position(1), last=Position(9))
CALLS = ("open", "write", "fsync", "link", "unlink", "rename", "mkdir")


class Killed(BaseException):
    """The process ends here: nothing that follows has an effect."""


class Life:
    """A process that is killed at its Nth system call that changes something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
        self.left = last
        self.handles: list[int] = []
        self._close = os.close
        for name in CALLS:
            monkeypatch.setattr(os, name, self._mortal(getattr(os, name)))
        monkeypatch.setattr(os, "close", self._closed)

    def _mortal(self, call: Callable[P, T]) -> Callable[P, T]:
        def mortal(*args: P.args, **kwargs: P.kwargs) -> T:
            self.left -= 1
            if self.left < 0:
                raise Killed
            found = call(*args, **kwargs)
            if isinstance(found, int) and call.__name__ == "open":
                self.handles.append(found)
            return found

        return mortal

    def _closed(self, handle: int) -> None:
        if self.left >= 0:
            self.handles.remove(handle)
            self._close(handle)

    def bury(self) -> None:
        """What the kernel does for a process that is gone."""
        for handle in self.handles:
            self._close(handle)


async def lived(root: Path, last: int) -> bool:
    """Claim a vault and write a copy of the log into it; whether that came to its end."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        life = Life(monkeypatch, last)
        vault = DirectoryVault(str(root), at_once)
        try:
            await claim(vault, US)
            await vault.put(SEGMENT, b"events")
        except Killed:
            return False
        finally:
            monkeypatch.undo()
            life.bury()
    return True


def files(root: Path) -> set[str]:
    """Every file in it, by its path."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_a_kill_at_any_step_leaves_nothing_that_the_next_life_does_not_take(
    tmp_path: Path,
) -> None:
    """Wherever a claim or a copy of the log is cut off, the next one ends with whole files only."""
    dirty, last = 0, 0
    while True:
        root = tmp_path / str(last)
        root.mkdir()
        ended = await lived(root, last)
        dirty += any(name.endswith(".tmp") for name in files(root))

        assert await lived(root, 10_000)

        assert files(root) == {str(OWNER), str(SEGMENT)}
        found = await owner(DirectoryVault(str(root), at_once))
        assert found is not None
        assert found.installation == US
        if ended:
            break
        last += 1
    assert dirty > 5, "the kills have left something to take away"


async def test_a_draft_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """A sweep takes no file from under somebody else who claims the vault at the same time."""
    place = folders.Place(str(tmp_path), (str(OWNER),))
    draft = folders.begin(place)

    assert folders.sweep_drafts(str(tmp_path)) == 0
    folders.append(draft, [b"{}"])
    assert folders.publish_new(draft)
    folders.discard(draft)

    assert files(tmp_path) == {str(OWNER)}


async def test_what_is_called_otherwise_is_somebody_elses(tmp_path: Path) -> None:
    """Hidden files of other names, links, and what lies in other folders stay."""
    (tmp_path / "log").mkdir()
    others = {".nfs0001", ".valkeep.json.swp", "log/.note.0.tmp", ".0.tmp"}
    for name in others:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / f".{OWNER}.0.tmp").symlink_to(tmp_path / ".nfs0001")
    vault = DirectoryVault(str(tmp_path), at_once)

    await vault.put(ObjectName("caches/orders/x"), b"1")

    assert others < files(tmp_path)
    assert (tmp_path / f".{OWNER}.0.tmp").is_symlink()


async def test_without_locks_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that knows no locks a draft may be anybody's: writing goes on as ever."""

    def none(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    left = tmp_path / f".{OWNER}.0.tmp"
    left.write_text("cut off")

    await claim(DirectoryVault(str(tmp_path), at_once), US)

    assert files(tmp_path) == {str(OWNER), left.name}
