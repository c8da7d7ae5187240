"""The socket's place in the file system: taken safely, and given back.

Replaces a dead daemon's socket and nothing else. Permissions are in place before anybody
can connect; what protects the daemon is the peer check at accept, not the mode.
"""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.errors import Permanent

PATH_BYTES = 107
"""``sun_path`` of Linux holds 108, its closing NUL included."""
BACKLOG = 64


@contextmanager
def listening(path: Path, handed: socket.socket | None = None) -> Iterator[socket.socket]:
    """A listening socket at a path, mode 0666 in a folder of mode 0755; gone at the end.

    One that was handed over is used as it is, and stays. Raises `Permanent` when a living daemon
    has the path, something that is no dead socket is in the way, or the one handed over is at
    another path.
    """
    if handed is not None:
        with _same(handed, path).dup() as door:
            yield door
        return
    if len(os.fsencode(path)) > PATH_BYTES:
        raise Permanent(
            "socket-path",
            f"The socket's path is longer than {PATH_BYTES} bytes: {path}.",
            "Choose a shorter one: [daemon] socket in the configuration.",
        )
    try:
        _folder(path.parent)
        _clear(path)
        door = _bound(path)
    except OSError as error:
        raise Permanent(
            "socket-path",
            f"The socket {path} cannot be made: {error.strerror}.",
            "The daemon's user must be able to write in its folder ([daemon] socket).",
        ) from error
    made = path.lstat()
    try:
        yield door
    finally:
        door.close()
        _give_back(path, made)


def _same(handed: socket.socket, path: Path) -> socket.socket:
    """What was handed over, if clients will find it where the configuration says."""
    there = str(handed.getsockname())
    if Path(there) != path:
        raise Permanent(
            "socket-handed-over",
            f"The service manager listens on {there}, the configuration says {path}.",
            "Make ListenStream= of the socket unit and [daemon] socket the same path.",
        )
    return handed


def _folder(folder: Path) -> None:
    """Make the folder if it is not there; one that is there keeps the mode it was given."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return
    folder.chmod(0o755)


def _bound(path: Path) -> socket.socket:
    """Bound, then the mode, then listening: until the last step every connect is refused."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.settimeout(0)
        door.bind(os.fspath(path))
        path.chmod(0o666)
        door.listen(BACKLOG)
    except OSError:
        door.close()
        raise
    return door


def _clear(path: Path) -> None:
    """Take away a socket that nobody answers on; refuse for whatever else is there."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise Permanent(
            "socket-in-the-way",
            f"There is {_kind(there.st_mode)} at {path}, where the socket should be.",
            "Move it away, or choose another path: [daemon] socket in the configuration.",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(0)
        try:
            caller.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # its backlog is full: it is alive
            raise _taken(path, "another process") from None
        raise _taken(path, _name(caller))


def _name(caller: socket.socket) -> str:
    told = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("=iII"))
    pid, _, _ = struct.unpack("=iII", told)
    return f"process {pid}"


def _taken(path: Path, who: str) -> Permanent:
    return Permanent(
        "daemon-running",
        f"A daemon already listens on {path}: {who}.",
        "Use that one, or stop it first (`systemctl stop valkeep`).",
    )


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "something that is no socket"


def _give_back(path: Path, made: os.stat_result) -> None:
    """Remove the socket, unless another one stands there by now."""
    with suppress(OSError):
        there = path.lstat()
        if (there.st_dev, there.st_ino) == (made.st_dev, made.st_ino):
            path.unlink()
