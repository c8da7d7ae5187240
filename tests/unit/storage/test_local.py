"""A directory as a vault: durable, private, and not to be led astray (V4)."""

import errno
import os
import pwd
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from daemon.errors import Failed, Permanent, Transient
from daemon.storage import local
from daemon.storage.local import DirectoryVault
from daemon.storage.vault import ObjectName
from tests.support.offload import THREADS
from tests.support.storing import CACHE, ID, OBJECT, stored

pytestmark = pytest.mark.anyio

FOLDER = Path(OBJECT).parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The vault's own directory, with something precious beside it."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "0000.rdb.zst").write_bytes(b"precious")
    made = tmp_path / "vault"
    made.mkdir()
    return made


@pytest.fixture
def vault(root: Path) -> DirectoryVault:
    """A vault in it."""
    return DirectoryVault(str(root), THREADS)


def modes_below(root: Path) -> list[str]:
    """The permissions of everything, from above to below."""
    return [f"{path.stat().st_mode & 0o777:o}" for path in sorted(root.rglob("*"))]


async def test_files_and_folders_are_private(vault: DirectoryVault, root: Path) -> None:
    """Files are 0600 and folders 0700, whatever the umask says."""
    old = os.umask(0)
    try:
        await stored(vault, b"secret")
    finally:
        os.umask(old)
    assert modes_below(root) == ["700", "700", "700", "600"]


async def test_an_object_is_durable_before_it_is_there(
    vault: DirectoryVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is fsynced before it gets its name, and the folder after."""
    await stored(vault, b"folders exist now")
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(handle: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_rename(*names: str, src_dir_fd: int, dst_dir_fd: int) -> None:
        calls.append("rename")
        rename(names[0], names[1], src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    await stored(vault, b"data")
    assert calls == ["file", "rename", "folder"]


Attempt = Callable[[], Awaitable[object]]


def calls(vault: DirectoryVault, *more: Attempt) -> tuple[Attempt, ...]:
    """Every call about one object, and more."""
    return (
        partial(vault.put, OBJECT, b"x"),
        partial(vault.put_new, OBJECT, b"x"),
        partial(vault.get, OBJECT, 100),
        partial(vault.read, OBJECT, offset=0, length=1),
        partial(vault.size, OBJECT),
        partial(vault.delete, OBJECT),
        *more,
    )


STRANGE: dict[str, Callable[[Path], None]] = {
    "a link to a file": lambda place: place.symlink_to("../../../../precious/0000.rdb.zst"),
    "a link to nowhere": lambda place: place.symlink_to("none"),
    "a FIFO": os.mkfifo,
    "a folder": lambda place: place.mkdir(),
}


@pytest.mark.parametrize("kind", STRANGE)
async def test_what_stands_in_an_object_s_place_is_refused(
    vault: DirectoryVault, root: Path, kind: str
) -> None:
    """Reading, writing and deleting refuse whatever is no regular file, and do not touch it."""
    precious = root.parent / "precious"
    (root / FOLDER).mkdir(parents=True)
    STRANGE[kind](root / OBJECT)
    for attempt in calls(vault):
        with pytest.raises(Permanent) as refused:
            await attempt()
        assert refused.value.code == "vault-obstructed"
        assert str(root) in refused.value.message
    assert [path.name for path in (root / FOLDER).iterdir()] == [Path(OBJECT).name]
    assert (precious / "0000.rdb.zst").read_bytes() == b"precious"


@pytest.mark.parametrize("level", [0, 1, 2])
async def test_a_folder_that_is_a_link_is_not_entered(
    vault: DirectoryVault, root: Path, level: int
) -> None:
    """A link in place of any folder leads nowhere: nothing is read, written or removed there."""
    precious = root.parent / "precious"
    place = root / Path(*FOLDER.parts[: level + 1])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(precious)
    below = precious / Path(*FOLDER.parts[level + 1 :])
    below.mkdir(parents=True, exist_ok=True)
    (below / "0000.rdb.zst").write_bytes(b"precious")
    for attempt in calls(vault, partial(vault.clear, f"{FOLDER}/")):
        with pytest.raises(Permanent) as refused:
            await attempt()
        assert refused.value.code == "vault-obstructed"
    assert [info async for info in vault.list("")] == []
    assert (below / "0000.rdb.zst").read_bytes() == b"precious"


async def test_clearing_removes_links_and_not_what_they_point_to(
    vault: DirectoryVault, root: Path
) -> None:
    """A link inside a cleared folder is removed itself."""
    precious = root.parent / "precious"
    (root / FOLDER / "deeper").mkdir(parents=True)
    (root / FOLDER / "deeper" / "link").symlink_to(precious)
    (root / FOLDER / "file-link").symlink_to(precious / "0000.rdb.zst")
    await vault.clear(f"{FOLDER}/")
    assert not (root / FOLDER).exists()
    assert (precious / "0000.rdb.zst").read_bytes() == b"precious"


async def test_a_missing_directory_is_not_an_empty_vault(root: Path) -> None:
    """A disk that is not mounted holds backups: nothing is concluded, made or deleted."""
    vault = DirectoryVault(str(root / "mnt"), THREADS)
    everything: tuple[Attempt, ...] = (
        partial(vault.clear, f"{FOLDER}/"),
        partial(anext, vault.list("")),
    )
    for attempt in calls(vault, *everything):
        with pytest.raises(Transient) as failed:
            await attempt()
        assert failed.value.code == "vault-missing"
        assert str(root / "mnt") in failed.value.hint
    assert not (root / "mnt").exists()


ERRORS = [
    (errno.ENOSPC, "vault-full", False),
    (errno.EDQUOT, "vault-full", False),
    (errno.EACCES, "vault-rights", True),
    (errno.EROFS, "vault-read-only", True),
    (errno.EIO, "vault-io", False),
    (errno.ESTALE, "vault-io", False),
]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("error", ERRORS)
async def test_a_failing_disk_is_told_and_tidied(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: tuple[int, str, bool]
) -> None:
    """Each error of the system has a code and a hint, and the temporary file is removed."""
    number, code, permanent = error
    vault = DirectoryVault(str(root), THREADS)
    (root / FOLDER).mkdir(parents=True)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(Failed) as failed:
            await stored(vault, b"data" * 100_000)
    assert (failed.value.code, failed.value.permanent) == (code, permanent)
    assert failed.value.hint
    assert list((root / FOLDER).iterdir()) == []


async def test_a_file_that_is_shorter_than_written_is_not_published(
    vault: DirectoryVault, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that the disk has lost between writing and naming fail the object."""

    def forgetful(handle: int, data: memoryview) -> int:
        return len(data)

    monkeypatch.setattr(os, "write", forgetful)
    with pytest.raises(Transient) as failed:
        await stored(vault, b"data" * 100_000)
    assert failed.value.code == "vault-io"
    assert list((root / FOLDER).iterdir()) == []


async def test_what_others_left_in_the_root_is_not_listed(
    vault: DirectoryVault, root: Path
) -> None:
    """Names that no object can have, of a file system or an editor, are passed over."""
    await stored(vault, b"data")
    (root / "lost+found").mkdir(mode=0)
    (root / ".snapshot").mkdir()
    (root / "notes~").write_text("x")
    (root / ".valkeep.json.0.tmp").write_text("x")
    assert [info.name async for info in vault.list("")] == [OBJECT]


async def test_a_draft_of_a_dead_daemon_is_in_nobody_s_way(
    vault: DirectoryVault, root: Path
) -> None:
    """A temporary file that a crash has left does not stop the object, and `clear` removes it."""
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / ".0000.rdb.zst.0.tmp").write_bytes(b"half")
    await stored(vault, b"data")
    assert await vault.size(ObjectName(OBJECT)) is not None
    await vault.clear(f"{FOLDER}/")
    assert not (root / FOLDER).exists()


async def test_new_objects_work_without_hard_links(
    vault: DirectoryVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems that know no links still tell a new object from an old one."""

    def no_links(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert await vault.put_new(OBJECT, b"first")
    assert not await vault.put_new(OBJECT, b"second")
    assert await vault.get(OBJECT, 100) == b"first"


def test_messages_name_the_vault_and_the_action() -> None:
    """An error says what could not be done, where, and what to do."""
    error = local.explain(OSError(errno.ENOSPC, "No space"), "/vault", action=f"write {CACHE}/{ID}")
    assert "/vault" in error.message
    assert f"write {CACHE}/{ID}" in error.message
    assert "No space" in error.message
    assert "tried again" not in error.hint


def test_commands_in_hints_can_be_pasted() -> None:
    """A folder's name is quoted, and its owner is the user that the daemon runs as."""
    error = local.explain(OSError(errno.EACCES, "Denied"), "/my vault", action="list")
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert error.hint.endswith(f"chown -R {user} '/my vault'")
