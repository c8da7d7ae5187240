"""An RDB that a client sends, on its way to the attempt that stores it (S4).

The import is in the log before the first byte is taken, and it ends with the connection: what a
client no longer sends is not waited for. How the import ended is in the log, not in the answer.
"""

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated

import anyio
from msgspec import Meta, Struct

from daemon.answers import Accepted
from daemon.api.asked import Asked
from daemon.api.commands import accepted
from daemon.api.find import cache_named
from daemon.api.peer import user_name
from daemon.api.seams import Upload
from daemon.commands import CancelBackup, OpenImport
from daemon.errors import BadRequest, ValkeepError
from events.envelope import Who
from events.facts import BackupId, CacheName
from events.log import LogError
from projections import catalog

LAST_WORD_SECONDS = 1.0
"""How long a daemon that stops waits for the log to take the end of an import."""


class ImportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The `cache` that the backup will belong to, and where the client has it from (`source`).

    Without a `name` it gets one by itself.
    """

    cache: str
    source: Annotated[str, Meta(min_length=1, max_length=4096)] = "-"
    name: str | None = None


async def take(asked: Asked, chunks: AsyncGenerator[bytes, None]) -> Accepted:
    """Take a body to its end, or for as long as the import wants it; the answer names it."""
    query = asked.queried(ImportQuery)
    outside = asked.outside
    cache_named(outside.ledger.state, query.cache)
    user = await outside.offload(user_name, asked.peer.uid)
    who = Who(kind="user", uid=asked.peer.uid, user=user, pid=asked.peer.pid)
    command = OpenImport(query.cache, query.source, query.name)
    answer = accepted(await outside.ledger.execute(command, who))
    backup_id = BackupId(answer.backup_id or "")
    taken = False
    try:
        with outside.uploads.way(backup_id) as upload:
            try:
                await _sent(asked, backup_id, upload, chunks)
            finally:
                taken = upload.taken
    finally:
        if not taken:
            await _call_off(asked, backup_id, who)
    return answer


async def _sent(
    asked: Asked, backup_id: BackupId, upload: Upload, chunks: AsyncGenerator[bytes, None]
) -> None:
    """Hand everything over; returns when it was taken, or when the import is over."""
    cache = CacheName(asked.queried(ImportQuery).cache)
    wrong: ValkeepError | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await _over(asked, cache, backup_id)
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            await _handed_over(upload, chunks)
        except BadRequest as error:
            # Not through the group, which would raise it as one of several.
            wrong = error
        tasks.cancel_scope.cancel()
    if wrong is not None:
        upload.cut(wrong.message)
        raise wrong


async def _handed_over(upload: Upload, chunks: AsyncGenerator[bytes, None]) -> None:
    async for chunk in chunks:
        if not await upload.send(chunk):
            return
    await upload.end()


async def _over(asked: Asked, cache: CacheName, backup_id: BackupId) -> None:
    """Return when the import neither waits nor runs any more."""
    ledger = asked.outside.ledger
    state = ledger.state
    while True:
        backup = catalog.get(state.catalog, cache, backup_id)
        if backup is None or backup.phase not in ("waiting", "running"):
            return
        state = await ledger.changed(state)


async def _call_off(asked: Asked, backup_id: BackupId, who: Who) -> None:
    """The client is gone: an import that nobody sends is not waited for."""
    with (
        anyio.move_on_after(LAST_WORD_SECONDS, shield=True),
        suppress(ValkeepError, LogError),
    ):
        await asked.outside.ledger.execute(CancelBackup(backup_id), who)
