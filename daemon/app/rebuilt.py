"""A log that was rebuilt from a vault's copy: written beside the one in use, then swapped in.

The swap happens when no daemon has the log open: at a start. A name that ends in ``recovered``
means that the rebuilt log is whole and wanted, whatever was killed since; the old log is kept.
"""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import structlog
from msgspec import Struct

from daemon.commands import Command
from daemon.ledger import Ledger
from daemon.ports import Clock, Ids
from events.envelope import Record, Who
from events.lockfile import lock_path, unreadable, writing
from events.sqlite import open_log

log = structlog.get_logger()

PAGE = 1_000
KEPT_AS = "before-recovery"
_BESIDE = ("", "-wal", "-shm")


class Tools(Struct, frozen=True):
    """What a ledger of its own is made with."""

    clock: Clock
    ids: Ids


class Rebuilder:
    """Builds a log beside the one at `path`. `wanted` is set when it is to be used."""

    def __init__(self, path: Path, tools: Tools) -> None:
        self.wanted = anyio.Event()
        self._path = path
        self._tools = tools

    def clear(self) -> None:
        """Take away what a recovery that was killed has built so far; our log must be held."""
        draft = _draft(self._path)
        _remove(draft)
        lock_path(draft).unlink(missing_ok=True)

    async def build(
        self, records: AsyncGenerator[Record, None], commands: Sequence[Command], who: Who
    ) -> None:
        """See `Rebuilding.build`."""
        draft = _draft(self._path)
        self.clear()
        async with open_log(draft, pid=os.getpid()) as built, aclosing(records):
            page: list[Record] = []
            async for record in records:
                # A commit stays whole within a page.
                if len(page) >= PAGE and record.envelope.commit_id != page[-1].envelope.commit_id:
                    await built.restore(page)
                    page = []
                page.append(record)
            await built.restore(page)
            ledger = Ledger(built, self._tools.clock, self._tools.ids)
            await ledger.load()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ledger.run)
                for command in commands:
                    await ledger.execute(command, who)
                tasks.cancel_scope.cancel()

    def put_in_place(self) -> None:
        """See `Rebuilding.put_in_place`: from here on every start uses it."""
        draft = _draft(self._path)
        _renamed(draft, to=_rebuilt(self._path))
        lock_path(draft).unlink(missing_ok=True)
        self.wanted.set()


def swap_in(path: Path) -> None:
    """Put a rebuilt log in the place of the one at `path`, if there is one; may be repeated.

    The old one stays beside it. Raises `LogInUse` while a daemon has the log.
    """
    rebuilt = _rebuilt(path)
    if not rebuilt.exists():
        return
    with writing(path, pid=os.getpid()):
        kept = _kept(path)
        # What belongs to the log goes first: when the log itself has gone, nothing is left of it.
        for end in reversed(_BESIDE):
            old = path.with_name(f"{path.name}{end}")
            if old.exists():
                _renamed(old, to=kept.with_name(f"{kept.name}{end}"))
        _renamed(rebuilt, to=path)
    log.warning("log replaced by the recovered one", log=str(path), old=str(kept))


def _kept(path: Path) -> Path:
    """A name that no log was kept under yet."""
    number = 1
    while (kept := path.with_name(f"{path.name}.{KEPT_AS}-{number}")).exists():
        number += 1
    return kept


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.recovering")


def _rebuilt(path: Path) -> Path:
    return path.with_name(f"{path.name}.recovered")


def _remove(path: Path) -> None:
    for end in _BESIDE:
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)


def _renamed(old: Path, *, to: Path) -> None:
    """Rename, durable when it returns."""
    try:
        old.rename(to)
        folder = os.open(to.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unreadable(to, error) from error
