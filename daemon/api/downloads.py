"""A backup's plain bytes over the socket, to a client that writes them where it may (S4, R1).

Recorded as an export before the first byte and after the last. Whoever cannot be given all of it,
right to the last bit, is cut off, and sees that by the length.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from msgspec import Struct

from daemon.api.asked import Asked
from daemon.api.copies import read_from
from daemon.api.exports import exporter_of
from daemon.api.find import any_backup
from daemon.api.peer import user_name
from daemon.api.seams import Plain
from daemon.commands import ExportReport, OpenExport, ReportExported, ReportExportFailed
from daemon.errors import Failed, Permanent, Rejected, Transient, Unavailable, ValkeepError
from events.envelope import Who
from events.facts import Failure, VaultName
from events.moves import ExportedFile
from events.transfers import ExportRequested
from projections.catalog import Backup

STALL_SECONDS = 60.0
"""A client that takes not a byte for so long is cut off."""
_REPORT_SECONDS = 5.0
_LONGEST = 500


class PlainQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which `shard` (the only one), from which `vault` (its own); `destination` is for the log."""

    shard: str | None = None
    vault: str | None = None
    destination: str = ""


class StalledError(ConnectionAbortedError):
    """The client takes nothing any more."""


class Download(Struct, frozen=True):
    """What goes over the wire: one shard, with the id of its export."""

    export_id: str
    plain: Plain

    @property
    def headers(self) -> dict[str, str]:
        """Length, hash and id; the body is what the length says or is cut short."""
        return {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(self.plain.plain_bytes),
            "Valkeep-SHA256": self.plain.sha256,
            "Valkeep-Export": self.export_id,
        }


@asynccontextmanager
async def rdb(asked: Asked) -> AsyncGenerator[Download, None]:
    """One shard of a backup; leaving the context records how it ended.

    Entering raises what stands in the way, before a byte. What the body raises is the reason of
    the failure; one that is cancelled has lost its client.
    """
    opening, began = _Opening(asked), anyio.current_time()
    failure: Failure | None = _gone("The client went away, or the daemon was told to end.")
    files: tuple[ExportedFile, ...] = ()
    try:
        opened = await opening.opened()
        async with exporter_of(asked).plain(*opening.wanted(opened)) as plain:
            yield Download(opened.export_id, plain)
        files = (ExportedFile(plain.shard, opened.destination, plain.plain_bytes, plain.sha256),)
        failure = None
    except ValkeepError as error:
        failure = _as_failure(error)
        raise
    except StalledError:
        failure = _gone(f"The client took nothing for {STALL_SECONDS:g} s, and was cut off.")
        raise
    finally:
        await opening.close(files, failure, anyio.current_time() - began)


class _Opening:
    """An export's two entries in the log: whoever makes the first makes the second.

    The server cancels a request whose client has gone, wherever it is; what has to be done all
    the same is done by tasks of its own, which are waited for.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._event: ExportRequested | None = None
        self._refused: ValkeepError | None = None

    async def opened(self) -> ExportRequested:
        """Put it into the log: who reads what; the backup is held from now on."""
        await _surely(self._open)
        if self._refused is not None:
            raise self._refused
        if self._event is None:
            raise TypeError("an export was opened, or refused")
        return self._event

    def wanted(self, opened: ExportRequested) -> tuple[Backup, VaultName | None, str | None]:
        """What is to be read."""
        backup = self._asked.outside.ledger.state.catalog[opened.cache][opened.backup_id]
        return backup, opened.vault, self._asked.queried(PlainQuery).shard

    async def close(
        self, files: tuple[ExportedFile, ...], failure: Failure | None, seconds: float
    ) -> None:
        """Record the end, if there was a beginning."""
        if self._event is None:
            return
        report: ExportReport = ReportExported(self._event.export_id, files, seconds)
        if failure is not None:
            report = ReportExportFailed(self._event.export_id, failure)
        await _surely(partial(self._report, report))

    async def _open(self) -> None:
        outside, peer = self._asked.outside, self._asked.peer
        try:
            command = _command(self._asked)
            user = await outside.offload(user_name, peer.uid)
            who = Who(kind="user", uid=peer.uid, user=user, pid=peer.pid)
            outcome = await outside.ledger.execute(command, who)
        except ValkeepError as error:
            self._refused = error
            return
        self._event = next(e for e in outcome.events if isinstance(e, ExportRequested))

    async def _report(self, report: ExportReport) -> None:
        """What cannot be recorded now has failed by the next start."""
        with anyio.move_on_after(_REPORT_SECONDS):
            try:
                await self._asked.outside.ledger.report(report)
            except (Rejected, Unavailable):
                return


async def _surely(function: Callable[[], Awaitable[None]]) -> None:
    """Run it to its end, though whoever waits for it is cancelled; the function raises nothing."""

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            await function()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shielded)


def _command(asked: Asked) -> OpenExport:
    query = asked.queried(PlainQuery)
    backup = any_backup(asked.outside.ledger.state, asked.parts["ref"])
    vault = read_from(asked.outside, backup, query.vault)
    destination = query.destination if query.destination.isprintable() else ""
    if len(destination) > _LONGEST:
        destination = f"{destination[:_LONGEST]}…"
    return OpenExport(backup.backup_id, destination or "a client", vault)


def _as_failure(error: ValkeepError) -> Failure:
    if isinstance(error, Failed):
        return error.as_failure()
    return Permanent(error.code, error.message, error.hint).as_failure()


def _gone(message: str) -> Failure:
    hint = "Nothing is to be done here: whatever it has written is not whole. Ask again."
    return Transient("client-gone", message, hint).as_failure()
