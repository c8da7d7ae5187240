"""The bgsave source: have the server save, prove that the file is that save, read it.

Believes nothing that could be said of another's save as well: other clients may save at any
moment, and the path may be another server's. What cannot be proven is tried again, and then
refused; the file is never read on a mere likelihood.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import anyio
from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Offload
from daemon.valkey.child import call_off, idle, saved
from daemon.valkey.connection import Node, open_node
from daemon.valkey.history import difference, failed_over
from daemon.valkey.info import Saving, fields, saving
from daemon.valkey.occasion import Occasion, Taken, snapshot_facts
from daemon.valkey.rdb import HEADER_LIMIT, Header, read_header
from daemon.valkey.refusal import not_valkey
from events.facts import SnapshotFacts

CHUNK_BYTES = 1 << 20
TRIES = 5
TICK_MICROS = 20_000
_FOREIGN = "another client saved at the same time"


class Save(Struct, frozen=True):
    """A save of ours that has ended: what was so before it, and when it was."""

    before: Saving
    after: Saving
    run_id: str
    server_seconds: int
    old_file: tuple[int, int] | None
    started_at: datetime
    fork_seconds: float


class Opened(Struct, frozen=True):
    """The file as it was opened."""

    file: BinaryIO
    identity: tuple[int, int]
    size_bytes: int
    header: Header | None
    path: Path


class Unproven(Exception):
    """The file may be another's; says why."""


class Bgsave:
    """A snapshot in a file that is proven to be ours; see `valkey.source`."""

    def __init__(self, opened: Opened, save: Save, occasion: Occasion, offload: Offload) -> None:
        self._opened = opened
        self._save = save
        self._occasion = occasion
        self._offload = offload

    @property
    def expected_bytes(self) -> int | None:
        """The file's size."""
        return self._opened.size_bytes

    @property
    def holds_fork(self) -> bool:
        """No: it ended when the file was written."""
        return False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The file, in portions of 1 MiB."""
        left_bytes = self._opened.size_bytes
        while left_bytes:
            try:
                chunk = await self._offload(self._opened.file.read, min(CHUNK_BYTES, left_bytes))
            except OSError as error:
                raise _cut(self._occasion, f"could not be read: {error.strerror}") from error
            if not chunk:
                raise _cut(self._occasion, f"ended {left_bytes} bytes early")
            left_bytes -= len(chunk)
            yield chunk

    async def facts(self) -> SnapshotFacts:
        """What is to be recorded; the fork has ended before the file could be opened."""
        header = self._opened.header or Header(0, {})
        offset = header.number("repl-offset")
        replication_id = header.fields.get("repl-id")
        replication = None if replication_id is None or offset is None else (replication_id, offset)
        taken = Taken(
            at=self._save.started_at,
            header=header,
            fork_seconds=self._save.fork_seconds,
            copy_on_write_bytes=self._save.after.copy_on_write_bytes,
            replication=replication,
        )
        return snapshot_facts(self._occasion, taken)


@asynccontextmanager
async def bgsave(path: Path, occasion: Occasion, offload: Offload) -> AsyncGenerator[Bgsave, None]:
    """A save of ours, ended and proven, open for reading; leaving the context closes the file.

    Raises `Transient("bgsave-contended")` when other clients' saves spoil the proof each time,
    `Transient("bgsave-failed")` when the server could not save, `Permanent("bgsave-file")`
    when the file cannot be read here or is not this server's.
    """
    async with open_node(occasion.login, occasion.timeouts) as node:
        save, opened = await _proven(node, path, occasion, offload)
    try:
        occasion.progress.phase("reading", opened.size_bytes)
        yield Bgsave(opened, save, occasion, offload)
    finally:
        opened.file.close()


async def _proven(
    node: Node, path: Path, occasion: Occasion, offload: Offload
) -> tuple[Save, Opened]:
    why = ""
    for _ in range(TRIES):
        save = await _save(node, path, occasion, offload)
        with ExitStack() as closing:
            opened = await offload(open_rdb, path)
            closing.callback(opened.file.close)
            try:
                await _prove(node, save, opened, occasion)
            except Unproven as error:
                why = str(error)
                continue
            closing.pop_all()
            return save, opened
    raise Transient(
        "bgsave-contended",
        f"{occasion.login.address}: no save could be proven to be ours in {TRIES} tries: {why}",
        'set source = "replication" for this cache, or have the others save at other times',
    )


async def _save(node: Node, path: Path, occasion: Occasion, offload: Offload) -> Save:
    """Have the server save, and wait until it has; other children are waited for first."""
    while True:
        before, run_id = await idle(node, occasion.progress)
        old_file = await offload(identity, path)
        server_seconds = _seconds(await node.items("TIME"), node)
        if await _begun(node):
            break
    occasion.progress.phase("saving")
    started_at, forked = occasion.clock.now(), anyio.current_time()
    try:
        after = await saved(node, occasion.progress)
    except anyio.get_cancelled_exc_class():
        await call_off(occasion, before, run_id)
        raise
    fork_seconds = anyio.current_time() - forked
    if not after.ok:
        raise Transient(
            "bgsave-failed",
            f"{occasion.login.address} could not save to {path}",
            "its log says why: a full disk, no right to write there, no memory for the fork",
        )
    return Save(before, after, run_id, server_seconds, old_file, started_at, fork_seconds)


async def _prove(node: Node, save: Save, opened: Opened, occasion: Occasion) -> None:
    """That the opened file is our save's; asked after it was opened. Raises if it is not so.

    If since our command one save in all has begun and none runs, no other save can have put
    its file there before we opened ours. The counter alone would prove nothing: it rises when
    a save starts. The rest finds out a path that leads to another server's file.
    """
    info = fields(await node.text("INFO"))
    now = saving(info)
    if info.get("run_id") != save.run_id:
        raise Transient("bgsave-failed", "the server was restarted while it saved", "try again")
    if changed := difference(occasion.history, info):
        raise failed_over(occasion.node.address, what=changed)
    if now.saves is None or save.before.saves is None:
        raise Permanent(
            "bgsave-file",
            f"this server does not count its saves, so none can be proven ({opened.path})",
            'set source = "replication" for this cache',
        )
    if now.running or now.saves != save.before.saves + 1:
        raise Unproven(_FOREIGN)
    if not now.ok or now.last_save < save.server_seconds:
        raise Unproven("the server's last save is not ours")
    created = opened.header.number("ctime") if opened.header is not None else None
    same = opened.identity == save.old_file
    if same or created is None or not save.server_seconds <= created <= now.last_save:
        raise _foreign_file(opened.path)
    if opened.header is None or not written_by(info, opened.header):
        # Tried again, because a server that just got its first replica looks like this too.
        raise Unproven("the file there looks like another server's")


def written_by(info: Mapping[str, str], header: Header) -> bool:
    """Whether this header can be that server's: its version, and its replication id.

    Another server's file under our path may be new as well, if it saves at the same time (two
    servers with one ``dir``, say). The id tells them apart wherever the server has a backlog,
    as a primary has once a replica came. [tried]
    """
    engine = "valkey" if "valkey_version" in info else "redis"
    if header.fields.get(f"{engine}-ver") not in {None, info.get(f"{engine}_version")}:
        return False
    expected = info.get("master_replid") if info.get("repl_backlog_active") == "1" else None
    found = header.fields.get("repl-id")
    return found == expected or (found is None and info.get("role") == "slave")


async def _begun(node: Node) -> bool:
    """Ask for a save: whether it is ours, or another came in between."""
    try:
        await node.call("BGSAVE")
    except Failed as error:
        busy = "in progress" in error.message or "child process is active" in error.message
        if error.code == "cache-refused" and busy:
            return False
        raise
    return True


def _seconds(answer: list[object], node: Node) -> int:
    """The whole second of ``TIME``'s answer, by the clock that saves are dated with.

    ``TIME`` reads the exact clock; ``LASTSAVE`` and the RDB's ``ctime`` come from ``time()``,
    which goes on once a tick only, so that they may show the second before. [tried]
    """
    match [str(part) for part in answer]:
        case [seconds, micros] if seconds.isdecimal() and micros.isdecimal():
            return (int(seconds) * 1_000_000 + int(micros) - TICK_MICROS) // 1_000_000
        case _:
            raise not_valkey(node.login.address)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file there; None if there is none or it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_rdb(path: Path) -> Opened:
    """Open the file and read its header; the handle stays with this file whatever happens."""
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise Permanent(
            "bgsave-file",
            f"the daemon cannot read {path}: {error.strerror}",
            'let its user read the file and its folder, or set source = "replication"',
        ) from error
    opened = False
    try:
        found = os.fstat(file.fileno())
        header = read_header(file.read(HEADER_LIMIT))
        file.seek(0)
        opened = True
        return Opened(file, (found.st_dev, found.st_ino), found.st_size, header, path)
    except Transient as error:
        raise _foreign_file(path) from error
    finally:
        if not opened:
            file.close()


def _foreign_file(path: Path) -> Permanent:
    return Permanent(
        "bgsave-file",
        f"the file that the daemon sees as {path} is not the one that the server has just saved",
        "the server runs in a container or on another host, it seems: "
        'set source = "replication" for this cache',
    )


def _cut(occasion: Occasion, what: str) -> Transient:
    return Transient(
        "source-ended-early",
        f"the file saved by {occasion.login.address} {what}",
        "did something shorten the file, or is the disk failing?",
    )
