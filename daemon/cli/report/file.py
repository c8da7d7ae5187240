"""The page's file: whole or not there at all, and never over something that is no page of ours.

A new one can be read by its owner alone: who may ask for a report is the daemon's to say, and the
file would pass it on. A page that is written again keeps the rights that somebody gave it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from daemon.errors import BadRequest, Failed, Rejected

HEAD_BYTES = 2048
PRIVATE = 0o600


def check(path: Path, mark: bytes) -> int:
    """The mode that the file is to have; raises where nothing may be written under this name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        _check_folder(path)
        return PRIVATE
    except OSError as error:
        raise _unfit(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise BadRequest(
            "not-a-file",
            f"{path} is no file.",
            "Name a file; `--html -` writes the page to stdout.",
        )
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise _unfit(path, error) from error
    if head and mark not in head:
        raise Rejected(
            "not-a-report",
            f"{path} is there and is not a report: it is left as it is.",
            "Name another file, or move that one away.",
        )
    return stat.S_IMODE(found.st_mode)


def write(path: Path, content: bytes, mode: int) -> None:
    """Put the page there in one step; what was there before stays until then."""
    target = path.resolve()
    try:
        descriptor, name = mkstemp(dir=target.parent, prefix=f".{target.name[:200]}.")
        with _swept(Path(name)), open(descriptor, "wb") as file:  # noqa: PTH123 - it is open
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            Path(name).replace(target)
    except OSError as error:
        raise _unfit(path, error) from error


@contextmanager
def _swept(temporary: Path) -> Iterator[None]:
    """Leave nothing half written behind; what was renamed is not there any more."""
    try:
        yield
    finally:
        temporary.unlink(missing_ok=True)


def _check_folder(path: Path) -> None:
    folder = path.resolve().parent
    if not folder.is_dir():
        raise BadRequest(
            "no-folder", f"There is no folder {folder}.", "Make it, or name another place."
        )


def _unfit(path: Path, error: OSError) -> Failed:
    return Failed(
        "unwritable",
        f"{path} cannot be written: {error.strerror}.",
        "Name a file in a folder that you may write to, and look whether the disk is full.",
    )
