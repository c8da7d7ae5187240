"""Exports to places of the user's own: whole files under their names, or nothing (S4, R5, R7).

An export that was interrupted starts again from zero. What passes is tried again a few times
within one run; what does not, or goes on failing, ends it.
"""

import hashlib
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
from msgspec import Struct

from daemon.actors.export.source import Sources, Stored, with_copies
from daemon.commands import ExportReport, ReportExported, ReportExportFailed
from daemon.errors import Failed, Permanent, Rejected, ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.outlet import Outlet, Target, exists, file_name, place_of
from events.facts import ONLY_SHARD, Failure, ShardName
from events.moves import ExportedFile
from projections.catalog import Backup
from projections.exports import Export
from projections.work import ExportWork

REST_SECONDS = (1.0, 5.0, 20.0)
"""How long to wait before each further try."""
_PIECE_BYTES = 8 << 20


class Outlets(Protocol):
    """Opens places to export to."""

    def opened(self, url: str, entry: str | None) -> AbstractAsyncContextManager[Outlet]:
        """The folder or bucket and prefix of that URL, with the keys of an ``[exports]`` entry.

        Raises `Permanent` when there is no such entry any more, `BadRequest` for a URL that is
        none; the place itself is not looked at.
        """
        ...


class Exporting(Struct, frozen=True):
    """What an export needs beside the ledger."""

    sources: Sources
    outlets: Outlets


class _Job(Struct, frozen=True):
    export: Export
    backup: Backup
    outlet: Outlet
    progress: Progress


class ExportActor:
    """Writes plain RDB files."""

    def __init__(self, ledger: Ledger, outside: Exporting) -> None:
        self._ledger = ledger
        self._outside = outside

    async def perform(self, work: ExportWork, progress: Progress) -> None:
        """One export from its beginning to its end in the log."""
        export = self._ledger.state.exporting.get(work.export_id)
        if export is None:
            return
        backup = self._ledger.state.catalog[work.cache][work.backup_id]
        began = anyio.current_time()
        report: ExportReport
        try:
            files = await self._exported(export, backup, progress)
        except Failed as error:
            told = with_copies(error, backup, export.vault)
            report = ReportExportFailed(work.export_id, told.as_failure())
        except ValkeepError as error:
            end = Permanent(error.code, error.message, error.hint)
            report = ReportExportFailed(work.export_id, end.as_failure())
        else:
            report = ReportExported(work.export_id, files, anyio.current_time() - began)
        await self._report(report)

    async def crashed(self, work: ExportWork, failure: Failure) -> None:
        """Our own bug, or it got nowhere: it has failed."""
        await self._report(ReportExportFailed(work.export_id, failure))

    async def _report(self, report: ExportReport) -> None:
        try:
            await self._ledger.report(report)
        except Rejected:
            return

    async def _exported(
        self, export: Export, backup: Backup, progress: Progress
    ) -> tuple[ExportedFile, ...]:
        """All files; what fails in passing is tried again after a while."""
        rests = iter(REST_SECONDS)
        while True:
            try:
                return await self._try(export, backup, progress)
            except Failed as error:
                rest = next(rests, None)
                if error.permanent or rest is None:
                    raise
                progress.phase(f"waiting to try again: {error.message}")
                await anyio.sleep(rest)

    async def _try(
        self, export: Export, backup: Backup, progress: Progress
    ) -> tuple[ExportedFile, ...]:
        progress.phase("connecting")
        folder, named = place_of(export.destination)
        async with self._outside.outlets.opened(folder, export.entry) as outlet:
            job = _Job(export, backup, outlet, progress)
            await outlet.sweep(_target(job, ONLY_SHARD, named))
            stored = await self._outside.sources.stored(backup, export.vault)
            if named is not None:
                stored.shard(None)  # one name is for one shard
            targets = [(shard, _target(job, shard.shard, named)) for shard in stored.shards]
            for _, target in targets:
                await outlet.sweep(target)
            progress.phase("exporting", sum(shard.plain_bytes for shard in stored.shards))
            return tuple([await _written(job, stored, *one) for one in targets])


def _target(job: _Job, shard: ShardName, named: str | None) -> Target:
    export, backup = job.export, job.backup
    file = named or file_name(backup.cache, backup.name, shard)
    return Target(file, export.export_id, export.requested_at, export.replace)


async def _written(job: _Job, stored: Stored, shard: ShardObject, target: Target) -> ExportedFile:
    """One file, whole in its place; one that is there already and the same is as good."""
    done = ExportedFile(
        shard=shard.shard,
        place=f"{job.outlet.url.rstrip('/')}/{target.file}",
        plain_bytes=shard.plain_bytes,
        sha256=shard.sha256,
    )
    if not target.replace and await _is_there(job, stored, shard, target):
        return done
    async with stored.plain(shard) as chunks, job.outlet.create(target) as writer:
        async for chunk in chunks:
            await writer.write(chunk)
            job.progress.advance(len(chunk))
        await writer.commit()
    return done


async def _is_there(job: _Job, stored: Stored, shard: ShardObject, target: Target) -> bool:
    """Whether the very file is there: an earlier run may have ended before it could say so."""
    size_bytes = await job.outlet.size(target.file)
    if size_bytes is None:
        return False
    if size_bytes != shard.plain_bytes:
        raise exists(job.outlet.url, file=target.file)
    digest, offset = hashlib.sha256(), 0
    while offset < size_bytes:
        length = min(_PIECE_BYTES, size_bytes - offset)
        data = await job.outlet.read(target.file, offset=offset, length=length)
        await stored.offload(digest.update, data)
        job.progress.advance(length)
        offset += length
    if digest.hexdigest() != shard.sha256:
        raise exists(job.outlet.url, file=target.file)
    return True
