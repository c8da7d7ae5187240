"""A backup's plain RDB from the daemon's socket into a file of the caller's, or into any sink.

The caller's rights write it: under a temporary name, mode 0600, compared with the hash that the
daemon has told, durable, and only then under its own name. Whatever happens before that, nothing
of it stays.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from daemon.answers import ExportDetail, ProgressView
from daemon.cli.words import size
from daemon.client import Client, path_of
from daemon.errors import BadRequest, Failed, Rejected, Unreachable, ValkeepError

_REPORT_SECONDS = 5.0
_MOST_DRAFTS = 1000


def _silent(_progress: ProgressView) -> None:
    """Nobody is told."""


class Wanted(msgspec.Struct, frozen=True):
    """Which shard of which backup, from which vault; `destination` is for the daemon's log."""

    reference: str
    shard: str | None = None
    vault: str | None = None
    destination: str = ""


class Manner(msgspec.Struct, frozen=True):
    """How a file is written: over another one, and who hears how far it is."""

    replace: bool = False
    told: Callable[[ProgressView], None] = _silent


class Fetched(msgspec.Struct, frozen=True):
    """What has come, whole and right; `path` is where it lies, if it is a file."""

    export_id: str
    plain_bytes: int
    sha256: str
    path: Path | None = None


def write_rdb(
    client: Client,
    reference: str,
    path: Path,
    *,
    shard: str | None = None,
    vault: str | None = None,
) -> Fetched:
    """Write a backup's RDB to a file that is not there yet. See `write`."""
    return write(client, Wanted(reference, shard, vault, str(path)), path, Manner())


def write(client: Client, wanted: Wanted, path: Path, manner: Manner) -> Fetched:
    """Write an RDB to a file: whole, mode 0600, durable when it returns; or nothing at all.

    Raises `BadRequest` for a path that cannot be, ``file-exists`` (`Rejected`), ``disk-full`` and
    other `Failed`, and what the daemon answers.
    """
    check_path(path, replace=manner.replace)
    with _drafted(path) as draft:

        def begin(total_bytes: int) -> None:
            _has_room(path, total_bytes)

        fetched = fetch_rdb(client, wanted, _Sink(draft.write, begin, manner.told))
        draft.publish(replace=manner.replace)
    return msgspec.structs.replace(fetched, path=path)


class _Sink(msgspec.Struct, frozen=True):
    write: Callable[[bytes], None]
    begin: Callable[[int], None]
    told: Callable[[ProgressView], None]


def stream(client: Client, wanted: Wanted, write: Callable[[bytes], None]) -> Fetched:
    """Hand every piece on as it comes. What was handed on is whole only if this returns."""
    return fetch_rdb(client, wanted, _Sink(write, lambda _: None, _silent))


def fetch_rdb(client: Client, wanted: Wanted, sink: _Sink) -> Fetched:
    """All pieces into a sink, compared with length and hash; raises the daemon's own reason."""
    query = {"shard": wanted.shard, "vault": wanted.vault, "destination": wanted.destination}
    route = path_of("backups", wanted.reference, "rdb")
    export_id, digest, moved_bytes = "", hashlib.sha256(), 0
    try:
        with client.plain(route, query) as (headers, pieces):
            export_id = headers.get("valkeep-export", "")
            total_bytes = int(headers.get("content-length", "0"))
            sha256 = headers.get("valkeep-sha256", "")
            sink.begin(total_bytes)
            for piece in pieces:
                sink.write(piece)
                digest.update(piece)
                moved_bytes += len(piece)
                sink.told(ProgressView("writing", 0.0, 0.0, moved_bytes, total_bytes))
    except Unreachable as error:
        raise _reason(client, export_id, error) from error
    if digest.hexdigest() != sha256:
        raise Failed(
            "hash-differs",
            "What came over the socket is not what the daemon has sent.",
            "Nothing of it is kept. Please report this, and try again.",
        )
    return Fetched(export_id, total_bytes, sha256)


def _reason(client: Client, export_id: str, error: Unreachable) -> ValkeepError:
    """Why the daemon has cut us off, as far as it can tell."""
    if not export_id:
        return error
    with suppress(ValkeepError):
        raw = client.get(path_of("exports", export_id), {"wait": _REPORT_SECONDS})
        failure = msgspec.json.decode(raw, type=ExportDetail).export.failure
        if failure is not None:
            return Failed(failure.code, failure.message, failure.hint)
    return error


def check_path(path: Path, *, replace: bool) -> None:
    """Refuse what can be seen to fail, before the daemon is asked for anything."""
    folder = path.parent
    if not folder.is_dir():
        raise BadRequest(
            "path", f"There is no folder {folder}.", "Make it, or correct the path; it is not made."
        )
    if path.is_dir():
        raise BadRequest("path", f"{path} is a folder.", f"Name the file: {path / 'dump.rdb'}.")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BadRequest(
            "path", f"{path} is a link or no file at all.", "Name a file of its own, or remove it."
        )
    if path.exists() and not replace:
        raise _taken(path)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Rejected(
            "path-rights",
            f"You may not write into {folder}.",
            "The file is written with your own rights: choose another folder, or use sudo.",
        )


def _taken(path: Path) -> Rejected:
    return Rejected("file-exists", f"{path} is there already.", "Say --replace to overwrite it.")


def _has_room(path: Path, total_bytes: int) -> None:
    found = os.statvfs(path.parent)
    free_bytes = found.f_bavail * found.f_frsize
    if total_bytes > free_bytes:
        raise Failed(
            "disk-full",
            f"The file would have {size(total_bytes)}, and {path.parent} has {size(free_bytes)} "
            "of room.",
            "Make room, or choose another disk. Nothing was written.",
        )


class _Draft:
    """A temporary file beside the one that it is to be."""

    def __init__(self, path: Path, handle: int, *, place: Path) -> None:
        self._path = path
        self._place = place
        self._handle = handle

    def write(self, piece: bytes) -> None:
        """All of it; the system may take it in pieces."""
        view = memoryview(piece)
        with _explained(self._path):
            while view:
                view = view[os.write(self._handle, view) :]

    def publish(self, *, replace: bool) -> None:
        """Durable, and then under its name."""
        with _explained(self._path):
            os.fsync(self._handle)
            if replace:
                self._place.rename(self._path)
            else:
                self._take_name()
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _take_name(self) -> None:
        """By a hard link, which never overwrites; file systems without them get a rename."""
        try:
            os.link(self._place, self._path)
        except FileExistsError:
            raise _taken(self._path) from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            if self._path.exists():
                raise _taken(self._path) from None
            self._place.rename(self._path)


@contextmanager
def _drafted(path: Path) -> Generator[_Draft, None, None]:
    """A draft of which nothing is left afterwards, if it was not published."""
    place, handle = _opened(path)
    try:
        yield _Draft(path, handle, place=place)
    finally:
        os.close(handle)
        place.unlink(missing_ok=True)


def _opened(path: Path) -> tuple[Path, int]:
    """A name that nobody has; the serial number only keeps drafts apart."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    _sweep(path)
    with _explained(path):
        for serial in range(_MOST_DRAFTS):
            place = path.with_name(f".{path.name}.{os.getpid()}.{serial}.part")
            with suppress(FileExistsError):
                handle = os.open(place, flags, 0o600)
                _lock(handle)
                return place, handle
    raise Failed("path", f"{path.parent} is full of drafts.", "Remove the *.part files in it.")


def _sweep(path: Path) -> None:
    """Remove drafts of this file whose writers were killed: nobody holds a lock on them."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9]+\.[0-9]+\.part")
    with suppress(OSError):
        drafts = [one for one in path.parent.iterdir() if name.fullmatch(one.name)]
        for draft in drafts:
            _remove_unlocked(draft)


def _remove_unlocked(draft: Path) -> None:
    with suppress(OSError):
        handle = os.open(draft, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()
        finally:
            os.close(handle)


def _lock(handle: int) -> None:
    with suppress(OSError):  # not every file system knows locks; there no draft is swept
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the system says, in words; nothing half written stays."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise Failed(
            "disk-full" if full else "file",
            f"{path} cannot be written: {error.strerror or error}.",
            "Make room, or choose another disk." if full else "Look at the folder and its disk.",
        ) from None
