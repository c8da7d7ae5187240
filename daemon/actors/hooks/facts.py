"""What a hook is told of its occasion: facts by their names, none of them a secret.

Pure. A name is the one in the JSON on standard input; in the environment it is in capitals,
after ``VALKEEP_``. What is not known is left out.
"""

from collections.abc import Iterator

from events.facts import BackupId, Failure, RestoreId
from projections import catalog
from projections.catalog import Backup
from projections.hooks import Occasion
from projections.restores import Restore
from projections.state import State

Fact = tuple[str, str | int | None]


def facts_of(state: State, hook: str, occasion: Occasion) -> dict[str, str | int]:
    """All that a hook is told, as the log knows it now."""
    return {name: value for name, value in _facts(state, hook, occasion) if value is not None}


def _facts(state: State, hook: str, occasion: Occasion) -> Iterator[Fact]:
    yield "hook", hook
    yield "event", occasion.when
    yield "cache", occasion.cache
    yield "outcome", occasion.outcome
    if occasion.when.endswith("restore"):
        restore = state.restores.get(RestoreId(occasion.work_id))
        yield "restore_id", occasion.work_id
        yield "target", occasion.cache
        if restore is not None:
            yield from _of_restore(state, restore, occasion)
        return
    yield "backup_id", occasion.work_id
    yield "kind", occasion.kind
    yield "attempt", occasion.attempt
    backup = catalog.get(state.catalog, occasion.cache, BackupId(occasion.work_id))
    if backup is not None:
        yield from _of_backup(backup, occasion)


def _of_backup(backup: Backup, occasion: Occasion) -> Iterator[Fact]:
    yield "backup_name", backup.name
    yield "vault", backup.vault
    yield "restore_id", backup.restore_id
    if occasion.outcome in ("failed", "retry"):
        yield from _of_failure(backup.failure)
        yield "reason", backup.abandoned
    if occasion.outcome == "completed":
        yield from _of_stored(backup)


def _of_stored(backup: Backup) -> Iterator[Fact]:
    snapshot, stored = backup.snapshot, backup.stored
    if snapshot is not None:
        yield "taken_at", f"{snapshot.taken_at:%Y-%m-%dT%H:%M:%SZ}"
    if stored is not None:
        yield "stored_bytes", stored.stored_bytes
        yield "rdb_bytes", stored.plain_bytes
        yield "keys", stored.totals.keys if stored.totals else None


def _of_restore(state: State, restore: Restore, occasion: Occasion) -> Iterator[Fact]:
    backup = catalog.get(state.catalog, restore.backup_cache, restore.backup_id)
    yield "backup_id", restore.backup_id
    yield "backup_cache", restore.backup_cache
    yield "backup_name", backup.name if backup is not None else None
    yield "method", restore.method
    yield "undoes", restore.undoes
    if occasion.outcome is not None:
        yield "serves", restore.ended.serves if restore.ended else None
        yield from _of_failure(restore.failure)
    if occasion.outcome == "completed" and restore.result is not None:
        yield "keys", sum(restore.result.keys.values())


def _of_failure(failure: Failure | None) -> Iterator[Fact]:
    if failure is not None:
        yield "code", failure.code
        yield "message", failure.message
