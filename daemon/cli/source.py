"""SOURCE, where an RDB comes from: what a word of the command line means, and sending it.

What the daemon can reach by itself it is told of; a file of the caller's, and a pipe, are read
here with the caller's rights and sent.
"""

import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec

from daemon.answers import Accepted, ProgressView
from daemon.cli import follow
from daemon.cli.desk import Desk, Interrupted
from daemon.commands import RequestImport
from daemon.errors import BadRequest, NotFound

PIPE = "-"


def is_source(word: str) -> bool:
    """Whether a word can only mean a source, and no backup: those are ids and CACHE/NAME."""
    return word == PIPE or "://" in word or word.startswith(("/", "./", "../", "~/"))


def imported(desk: Desk, wish: RequestImport) -> tuple[Accepted, bytes]:
    """The answer to an import that was asked for, and, if it was sent, has arrived."""
    if not was_sent(wish.source):
        return desk.tell(Accepted, "/v1/commands", wish)
    query = {"cache": wish.cache, "name": wish.name, "source": _told(wish.source)}
    with _opened(wish.source) as source, follow.moving(desk) as told:
        try:
            raw = desk.client.send("/v1/imports", query, source, _sending(source, told))
        except KeyboardInterrupt:
            raise Interrupted("Nothing was kept: an import ends with who sends it.") from None
    return msgspec.json.decode(raw, type=Accepted), raw


def _sending(source: int, told: Callable[[ProgressView], None]) -> Callable[[int], None]:
    """Tells how much is sent; of a pipe nobody knows how much is still to come."""
    found = os.fstat(source)
    total_bytes = found.st_size if stat.S_ISREG(found.st_mode) else None

    def sent(sent_bytes: int) -> None:
        told(ProgressView("sending", 0.0, 0.0, sent_bytes, total_bytes))

    return sent


def was_sent(source: str) -> bool:
    """Whether it is a pipe, or a file of the caller's: what only looks like one is as well."""
    if "://" in source:
        return False
    return os.path.lexists(source) or is_source(source)


def _told(source: str) -> str:
    """Where it comes from, for the record: a name that still says something tomorrow."""
    told = "standard input" if source == PIPE else os.path.abspath(source)  # noqa: PTH100
    return "".join(letter if letter.isprintable() else "?" for letter in told)[:4096]


@contextmanager
def _opened(source: str) -> Generator[int, None, None]:
    if source == PIPE:
        if sys.stdin.isatty():
            raise BadRequest(
                "source", "Nothing is piped in.", "Say `… - < FILE`, or name the file itself."
            )
        yield sys.stdin.fileno()
        return
    try:
        handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(
            "source-missing",
            f"There is no file {source} here.",
            "Look for a typing error; file:///PATH is looked for on the daemon's host.",
        ) from None
    except OSError as error:
        raise BadRequest(
            "source-unreadable",
            f"{source} cannot be read: {(error.strerror or 'I/O error').lower()}.",
            "It is read with your own rights; file:///PATH is read with the daemon's.",
        ) from None
    try:
        _refuse_folder(handle, source)
        yield handle
    finally:
        os.close(handle)


def _refuse_folder(handle: int, source: str) -> None:
    if os.stat in os.supports_fd and os.path.isdir(handle):  # noqa: PTH112 - a descriptor
        raise BadRequest(
            "source-type", f"{source} is a folder.", "Name the RDB file itself: dump.rdb, mostly."
        )
