"""The real daemon, doomed to kill itself with SIGKILL at a named point, or to suffer there.

`main` is what the nursery runs. A point is one of

    before TAG            an append to the log that holds such an event is about to begin
    after TAG             it is durable, and nobody has been told yet
    phase NAME            work enters that phase
    bytes NUMBER NAME     so many bytes were moved in one phase of that name
    upload part           a part of an upload to S3 has been answered

and ``#2`` at the end means the second time. Others let it live:

    stall TAG             an append that holds such an event never ends
    crowded FILE          SQLite has no room for more pages as long as that file exists
    fell PID PHASE        that process is killed when work enters the phase
    orphan PID PHASE      the children of that process are
    blocks NUMBER each    what it stores is in blocks of so many bytes, for tests with many

Nothing else of the daemon is changed.
"""

import os
import re
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import anyio

from daemon.app import serve
from daemon.board import Entry
from daemon.storage import stages
from daemon.storage.parts import PartBody
from daemon.storage.s3_upload import Part, S3Writer
from events.envelope import Commit
from events.log import Appended, Conflict
from events.sqlite import SqliteLog

_KINDS = "before|after|phase|bytes|upload|stall|crowded|blocks|fell|orphan"
_POINT = re.compile(rf"({_KINDS}) (?:(\d+) )?(.+?)(?: #(\d+))?")
MOST_PAGES = 1 << 30
_append, _phase, _advance = SqliteLog.append, Entry.phase, Entry.advance
_sent = S3Writer._sent


class Point(NamedTuple):
    """Where it dies."""

    kind: str
    name: str
    bytes: int
    time: int


def point(text: str) -> Point:
    """A point from its text."""
    found = _POINT.fullmatch(text)
    if found is None:
        raise ValueError(f"no such point: {text!r}")
    kind, moved, name, time = found.groups()
    return Point(kind, name, int(moved or 0), int(time or 1))


class Doom:
    """Watches the daemon's own steps, and ends it at its point."""

    def __init__(self, fate: Point) -> None:
        self._fate = fate
        self._left = fate.time

    def met(self, kind: str, *, name: str) -> None:
        """A step of that kind and name is made now."""
        fate = self._fate
        if (kind, name) != (_MEANS.get(fate.kind, fate.kind), fate.name):
            return
        self._left -= 1
        if self._left == 0:
            for pid in _victims(fate):
                os.kill(pid, signal.SIGKILL)

    async def suffer(self, log: SqliteLog, tags: Sequence[str]) -> None:
        """What happens to an append besides dying."""
        if self._fate.kind == "stall" and self._fate.name in tags:
            await anyio.sleep_forever()
        if self._fate.kind == "crowded":
            pages = 1 if await anyio.Path(self._fate.name).exists() else MOST_PAGES
            await log._db.execute(f"PRAGMA max_page_count = {pages}")

    def moved(self, phase: str, *, before_bytes: int, after_bytes: int) -> None:
        """A phase has got so far."""
        if before_bytes < self._fate.bytes <= after_bytes:
            self.met("bytes", name=phase)


_MEANS = {"fell": "phase", "orphan": "phase"}


def _victims(fate: Point) -> list[int]:
    """Who dies: the daemon itself, a server, or a server's children."""
    if fate.kind == "orphan":
        children = Path(f"/proc/{fate.bytes}/task/{fate.bytes}/children").read_text()
        return [int(pid) for pid in children.split()]
    return [fate.bytes] if fate.kind == "fell" else [os.getpid()]


def install(doom: Doom, stack: ExitStack) -> None:
    """Put the doom behind the log's appends and the progress board."""

    async def append(log: SqliteLog, commits: Sequence[Commit]) -> tuple[Appended | Conflict, ...]:
        tags = [_tag(entry.data) for commit in commits for entry in commit.entries]
        for tag in tags:
            doom.met("before", name=tag)
        await doom.suffer(log, tags)
        answers = await _append(log, commits)
        for tag in tags:
            doom.met("after", name=tag)
        return answers

    def phase(entry: Entry, name: str, total_bytes: int | None = None) -> None:
        _phase(entry, name, total_bytes)
        doom.met("phase", name=name)

    def advance(entry: Entry, moved_bytes: int) -> None:
        standing = entry._standing
        before_bytes = standing.moved_bytes
        _advance(entry, moved_bytes)
        doom.moved(standing.phase, before_bytes=before_bytes, after_bytes=standing.moved_bytes)

    async def sent(upload: S3Writer, number: int, body: PartBody) -> Part:
        part = await _sent(upload, number, body)
        doom.met("upload", name="part")
        return part

    stack.enter_context(patch.object(S3Writer, "_sent", sent))
    stack.enter_context(patch.object(SqliteLog, "append", append))
    stack.enter_context(patch.object(Entry, "phase", phase))
    stack.enter_context(patch.object(Entry, "advance", advance))


def _tag(data: bytes) -> str:
    found = re.search(rb'"type":"([a-z-]+)/', data)
    return found[1].decode() if found else ""


def main(config: str, *, doom: str) -> int:
    """Run the daemon until its end."""
    with ExitStack() as stack:
        fate = point(doom)
        if fate.kind == "blocks":
            stack.enter_context(patch.object(stages, "BLOCK_BYTES", fate.bytes))
        install(Doom(fate), stack)
        return serve(config)
