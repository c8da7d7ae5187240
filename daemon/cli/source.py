"""SOURCE, where an RDB comes from: what a word of the command line means, and sending it.

What the daemon can reach by itself it is told of; a file of the caller's, and a pipe, are read
here with the caller's rights and sent.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import click
import msgspec

from daemon.answers import Accepted
from daemon.cli.desk import Desk, Interrupted
from daemon.cli.words import size
from daemon.commands import RequestImport
from daemon.errors import BadRequest, NotFound

PIPE = "-"
STEP_BYTES = 4 << 20


def is_source(word: str) -> bool:
    """Whether a word can only mean a source, and no backup: those are ids and CACHE/NAME."""
    return word == PIPE or "://" in word or word.startswith(("/", "./", "../", "~/"))


def imported(desk: Desk, wish: RequestImport) -> tuple[Accepted, bytes]:
    """The answer to an import that was asked for, and, if it was sent, has arrived."""
    if not was_sent(wish.source):
        return desk.tell(Accepted, "/v1/commands", wish)
    query = {"cache": wish.cache, "name": wish.name, "source": _told(wish.source)}
    with _opened(wish.source) as source:
        try:
            raw = desk.client.send("/v1/imports", query, source, _Bar(source))
        except KeyboardInterrupt:
            raise Interrupted("Nothing was kept: an import ends with who sends it.") from None
        finally:
            _clear()
    return msgspec.json.decode(raw, type=Accepted), raw


class _Bar:
    """On a terminal, how much was sent; nothing elsewhere."""

    def __init__(self, source: int) -> None:
        total_bytes = os.fstat(source).st_size
        self._of = f" of {size(total_bytes)}" if total_bytes else ""
        self._shown_bytes = 0

    def __call__(self, sent_bytes: int) -> None:
        """So many bytes are gone."""
        if sys.stderr.isatty() and sent_bytes - self._shown_bytes >= STEP_BYTES:
            self._shown_bytes = sent_bytes
            click.echo(f"\r\x1b[Ksending {size(sent_bytes)}{self._of}", err=True, nl=False)


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)


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
