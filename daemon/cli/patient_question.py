"""Questions that take long: how far they are is shown while they are answered.

Knows how the daemon tells of it; a log without a daemon is told of in the same way.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from daemon.answers.underway import Told, Underway
from daemon.cli.bar import counted
from daemon.cli.desk import Desk
from daemon.cli.sign import Standing, sign
from daemon.client import Query
from daemon.errors import Unreachable

T = TypeVar("T")
Show = Callable[[Underway], None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ask(
    desk: Desk,
    shape: type[T],
    route: str,
    query: Query | None = None,
    said: msgspec.Struct | None = None,
) -> tuple[T, bytes]:
    """An answer in its shape and as the daemon wrote it; with `said`, to a command."""
    body = None if said is None else msgspec.json.encode(said)
    decoder = msgspec.json.Decoder(Told)
    lines = desk.client.lines(route, {**(query or {}), "progress": True}, body=body)
    with closing(lines), showing(desk) as show:
        for line in lines:
            told = decoder.decode(line)
            if bytes(told.answer):
                return msgspec.json.decode(told.answer, type=shape), bytes(told.answer)
            if told.progress is not None:
                show(told.progress)
    raise Unreachable(
        "cut-short",
        f"The daemon on {desk.client.path} ended its answer before there was one.",
        "Its own log says why: `journalctl -u valkeep`.",
    )


@contextmanager
def showing(desk: Desk) -> Iterator[Show]:
    """Where it is told how far something is; nothing of it is left on the screen."""
    shown_on = sign(terminal=desk.environment.get("TERM", ""), as_json=desk.as_json)

    def show(underway: Underway) -> None:
        now = _EPOCH + timedelta(seconds=desk.seconds())
        label = counted(underway.doing, underway.done, underway.total)
        shown_on.show(Standing(ended=False, label=label, progress=None, now=now, moving=True))

    try:
        yield show
    finally:
        shown_on.clear()
