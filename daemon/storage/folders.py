"""The blocking half of the directory vault: every system call, relative to a handle.

No path is ever put together: each part of a name is opened under the handle of the one
before it, never following a link, so that nothing planted in a vault leads out of it. It
knows no event loop; `local` calls it in worker threads, each function whole.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct

from daemon.storage import leftovers

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
TEMPORARY = "."
"""Temporary names begin so, and no object's name does (see `names`)."""


class RootMissing(OSError):
    """The vault itself is not there; a `FileNotFoundError` is only about what is below it."""


class Place(Struct, frozen=True):
    """An object's place: the vault's root (which may be a link), and the checked parts below."""

    root: str
    segments: tuple[str, ...]

    @property
    def folders(self) -> tuple[str, ...]:
        """The parts that are folders."""
        return self.segments[:-1]

    @property
    def file(self) -> str:
        """The last part."""
        return self.segments[-1]


@contextmanager
def folder(root: str, segments: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """A handle of a folder; with `make`, missing ones are made (0700) and made durable.

    The root is opened anew each time: a file system that was mounted over it is noticed. It
    is never made.
    """
    try:
        handle = os.open(root, _FOLDER)
    except FileNotFoundError as error:
        raise RootMissing(error.errno, error.strerror, root) from None
    try:
        for segment in segments:
            handle = _enter(handle, segment, make=make)
        yield handle
    finally:
        os.close(handle)


def _enter(parent: int, segment: str, *, make: bool) -> int:
    """The handle of a folder in `parent`, which stays open only if this raises."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(segment, 0o700, dir_fd=parent)
            os.fsync(parent)
    child = os.open(segment, _FOLDER | _NO_LINK, dir_fd=parent)
    os.close(parent)
    return child


class Draft(Struct, frozen=True):
    """A temporary file under way: its handle, and where it is to go."""

    handle: int
    place: Place
    temporary: str


def begin(place: Place) -> Draft:
    """A new temporary file (0600) beside the final name.

    The serial number only keeps drafts apart; `O_EXCL` decides who has which.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
    with folder(place.root, place.folders, make=True) as parent:
        serial = 0
        while True:
            temporary = f"{TEMPORARY}{place.file}.{serial}.tmp"
            try:
                handle = os.open(temporary, flags, 0o600, dir_fd=parent)
            except FileExistsError:
                serial += 1
                continue
            if leftovers.hold(handle):
                return Draft(handle, place, temporary)
            os.close(handle)  # it was swept before it could be held


def sweep_drafts(root: str) -> int:
    """Remove what writes that were killed have left where nothing else clears; how many files."""
    count = 0
    for segments, pattern in leftovers.PLACES:
        with suppress(FileNotFoundError), folder(root, segments) as parent:
            count += leftovers.sweep(parent, pattern)
    return count


def append(draft: Draft, data: Sequence[bytes]) -> None:
    """Write all of it; the system may take it in pieces."""
    for piece in data:
        view = memoryview(piece)
        while view:
            view = view[os.write(draft.handle, view) :]


def publish(draft: Draft, expected_bytes: int) -> None:
    """fsync, check the size, rename over the final name, fsync the folder (V4)."""
    os.fsync(draft.handle)
    found = os.fstat(draft.handle).st_size
    if found != expected_bytes:
        raise OSError(errno.EIO, f"{found} bytes on disk, {expected_bytes} written")
    with folder(draft.place.root, draft.place.folders) as parent:
        _refuse_strange(parent, draft.place.file)
        os.rename(draft.temporary, draft.place.file, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)


def publish_new(draft: Draft) -> bool:
    """As `publish`, but False where the final name is taken; atomic by a hard link.

    File systems without hard links (FAT, some network ones) get a check and a rename.
    """
    os.fsync(draft.handle)
    with folder(draft.place.root, draft.place.folders) as parent:
        try:
            os.link(draft.temporary, draft.place.file, src_dir_fd=parent, dst_dir_fd=parent)
        except FileExistsError:
            _refuse_strange(parent, draft.place.file)
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            if _kind(parent, draft.place.file) is not None:
                return False
            os.rename(draft.temporary, draft.place.file, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)
        return True


def discard(draft: Draft) -> None:
    """Close the draft, and remove its temporary file if that is still there."""
    os.close(draft.handle)
    with suppress(FileNotFoundError), folder(draft.place.root, draft.place.folders) as parent:
        os.unlink(draft.temporary, dir_fd=parent)


def read_range(place: Place, *, offset: int, length: int) -> bytes | None:
    """Up to `length` bytes, fewer only where the file ends; None where there is no file."""
    pieces = []
    with suppress(FileNotFoundError), _opened(place) as handle:
        while length and (piece := os.pread(handle, length, offset)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return None


def size_of(place: Place) -> int | None:
    """Bytes of a regular file, None where there is none."""
    with suppress(FileNotFoundError), _opened(place) as handle:
        return os.fstat(handle).st_size
    return None


@contextmanager
def _opened(place: Place) -> Iterator[int]:
    """A regular file, for reading; `O_NONBLOCK` so that a planted FIFO cannot hold us."""
    flags = os.O_RDONLY | os.O_NONBLOCK | _NO_LINK
    with folder(place.root, place.folders) as parent:
        handle = os.open(place.file, flags, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.ELOOP, "not a regular file")
        yield handle
    finally:
        os.close(handle)


def remove(place: Place) -> None:
    """Remove a regular file for good; none there is success."""
    with suppress(FileNotFoundError), folder(place.root, place.folders) as parent:
        _refuse_strange(parent, place.file)
        os.unlink(place.file, dir_fd=parent)
        os.fsync(parent)


def remove_tree(place: Place) -> None:
    """Remove a folder and all that is in it, links themselves and not what they point to."""
    with suppress(FileNotFoundError), folder(place.root, place.folders) as parent:
        _remove_folder(parent, place.file)
        os.fsync(parent)


def _remove_folder(parent: int, name: str) -> None:
    handle = os.open(name, _FOLDER | _NO_LINK, dir_fd=parent)
    try:
        for entry in _entries(handle):
            remove_one = _remove_folder if entry.is_dir else _unlink
            with suppress(FileNotFoundError):
                remove_one(handle, entry.name)
    finally:
        os.close(handle)
    os.rmdir(name, dir_fd=parent)


def _unlink(parent: int, name: str) -> None:
    os.unlink(name, dir_fd=parent)


class Entry(Struct, frozen=True):
    """One name in a folder; size -1 unless it is a regular file."""

    name: str
    is_dir: bool
    size_bytes: int


def entries(root: str, segments: Sequence[str]) -> list[Entry] | None:
    """What is in a folder, in the order of full object names; None where there is no folder."""
    with suppress(FileNotFoundError), folder(root, segments) as handle:
        return sorted(_entries(handle), key=_full_name)
    return None


def _full_name(entry: Entry) -> str:
    return f"{entry.name}/" if entry.is_dir else entry.name


def _entries(handle: int) -> list[Entry]:
    with os.scandir(handle) as scan:
        return [_entry(entry) for entry in scan]


def _entry(entry: os.DirEntry[str]) -> Entry:
    is_file = entry.is_file(follow_symlinks=False)
    size_bytes = entry.stat(follow_symlinks=False).st_size if is_file else -1
    return Entry(entry.name, entry.is_dir(follow_symlinks=False), size_bytes)


def _kind(parent: int, name: str) -> int | None:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def _refuse_strange(parent: int, name: str) -> None:
    """A link, FIFO or folder where an object should be is somebody's mistake or malice."""
    if _kind(parent, name) not in (None, stat.S_IFREG):
        raise OSError(errno.ELOOP, "not a regular file")
