"""What the keys of each backup take, with their names: files of our own, beside the log.

A file goes when its backup goes. Nothing is lost with one that verifying the backup would not
bring back; so whatever cannot be read is as good as not there.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from daemon.commands.surveyed import KeyspaceDetail
from daemon.ledger import Ledger
from daemon.ports import Offload
from events.facts import BackupId, CacheName
from projections import catalog
from projections.catalog import Backup
from projections.state import State

MOST_BYTES = 8 << 20
"""A file that is larger than that is none of ours."""
_SUFFIX = ".json"
_decoder = msgspec.json.Decoder(KeyspaceDetail)

log = structlog.get_logger()


class KeyspaceShelf:
    """A file for each backup whose keys were counted: ``<directory>/<cache>/<backup id>.json``."""

    def __init__(self, directory: Path, offload: Offload, ledger: Ledger) -> None:
        self._directory = directory
        self._offload = offload
        self._ledger = ledger
        self._kept: dict[CacheName, set[BackupId]] = {}

    async def put(self, cache: CacheName, backup_id: BackupId, detail: KeyspaceDetail) -> None:
        """Keep this, in the place of what there was; raises `OSError`."""
        data = msgspec.json.encode(detail)
        await self._offload(_written, self._file(cache, backup_id), data)
        self._kept.setdefault(cache, set()).add(backup_id)

    async def get(self, cache: CacheName, backup_id: BackupId) -> KeyspaceDetail | None:
        """What is known of a backup's keys, if anything is."""
        if backup_id not in self._kept.get(cache, ()):
            return None
        try:
            return _decoder.decode(await self._offload(_read, self._file(cache, backup_id)))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("key facts unreadable", backup_id=backup_id, error=type(error).__name__)
            return None

    async def before(self, backup: Backup) -> tuple[Backup, KeyspaceDetail] | None:
        """The newest good backup of the same cache before this one, of which it is known."""
        state, mark = self._ledger.state, _order(backup)
        kept = sorted(self._kept.get(backup.cache, ()))
        known = [catalog.get(state.catalog, backup.cache, one) for one in kept]
        older = [b for b in known if b and _order(b) < mark and b.proof.refuted is None]
        for one in sorted(older, key=_order, reverse=True):
            detail = await self.get(one.cache, one.backup_id)
            if detail is not None:
                return one, detail
        return None

    async def load(self) -> None:
        """Look what there is; called once, before anything else."""
        self._kept = await self._offload(_listed, self._directory)

    async def run(self) -> None:
        """Take away what is of no living backup, at first and whenever one goes."""
        state, names = self._ledger.state, frozenset(self._kept)
        while True:
            await self._sweep(state, names)
            after = state.position
            state = await self._ledger.changed(state)
            touched = self._ledger.touched(after)
            names = frozenset(self._kept) if touched is None else touched

    async def _sweep(self, state: State, names: frozenset[CacheName]) -> None:
        for cache in sorted(names & self._kept.keys()):
            for backup_id in sorted(self._kept[cache]):
                backup = catalog.get(state.catalog, cache, backup_id)
                if backup is None or backup.phase == "deleting":
                    await self._offload(_removed, self._file(cache, backup_id))
                    self._kept[cache].discard(backup_id)

    def _file(self, cache: CacheName, backup_id: BackupId) -> Path:
        return self._directory / cache / f"{backup_id}{_SUFFIX}"


def _order(backup: Backup) -> tuple[float, BackupId]:
    return (backup.completed_at or backup.requested_at).timestamp(), backup.backup_id


def _written(file: Path, data: bytes) -> None:
    """Whole or not at all, for us alone."""
    for folder in (file.parent.parent, file.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}")
    with suppress(FileNotFoundError):
        temporary.unlink()
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as target:  # noqa: PTH123 - a handle has no path
            target.write(data)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _read(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(MOST_BYTES)


def _removed(file: Path) -> None:
    """Gone, and the folder of its cache with the last one."""
    with suppress(OSError):
        file.unlink()
        file.parent.rmdir()


def _listed(directory: Path) -> dict[CacheName, set[BackupId]]:
    """What there is, without what a write that was cut off has left."""
    kept: dict[CacheName, set[BackupId]] = {}
    for file in _files(directory):
        if file.name.startswith("."):
            with suppress(OSError):
                file.unlink()
        elif file.suffix == _SUFFIX:
            kept.setdefault(CacheName(file.parent.name), set()).add(BackupId(file.stem))
    return kept


def _files(directory: Path) -> Iterator[Path]:
    try:
        yield from directory.glob("*/*")
    except OSError as error:
        log.warning("key facts unreadable", error=error.strerror)
