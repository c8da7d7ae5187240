"""Deciding on imports: a manual backup that is made of what lies elsewhere (S4, M1, M2).

What becomes of one is decided where that of every backup is; here is what is told beside it.
"""

from collections.abc import Iterator

from daemon.commands import OpenImport, RequestBackup, RequestImport
from daemon.decide import backups
from daemon.decide.decision import Context, Decision
from daemon.errors import BadRequest
from events.facts import BackupId, CacheName, Failure, StoredFacts, VerificationId
from events.imports import ImportCompleted, ImportFailed, ImportRequested
from events.moves import ImportKind
from events.proofs import VerificationRequested
from projections.catalog import Backup
from projections.state import State

CANCELLED = Failure("cancelled", "It was cancelled.", "Ask for it again, if it is wanted.")
LONGEST_SOURCE = 4096


def decide(state: State, command: RequestImport | OpenImport, context: Context) -> Decision:
    """The events of one command about an import."""
    kind: ImportKind = "client" if isinstance(command, OpenImport) else kind_of(command.source)
    if not 0 < len(command.source) <= LONGEST_SOURCE or not command.source.isprintable():
        raise _no_source("that")
    name = command.name or f"import-{context.new_id}"
    asked = backups.decide(state, RequestBackup(command.cache, name), context)
    backup_id, cache = BackupId(context.new_id), CacheName(command.cache)
    told = ImportRequested(cache, backup_id, kind, command.source)
    return Decision((*asked.events, told), asked.also_read)


def kind_of(source: str) -> ImportKind:
    """What a source is that the daemon can reach; raises `BadRequest` for what is none."""
    if "@" in source.removeprefix("s3://").partition("/")[0] and source.startswith("s3:"):
        raise _no_source("a URL with a key in it")
    if source.startswith("s3://"):
        return "s3"
    if source.startswith("file:///"):
        return "file"
    if "://" in source or source.startswith(("/", ".")) or "/" not in source:
        raise _no_source(repr(source))
    return "entry"


def _no_source(what: str) -> BadRequest:
    return BadRequest(
        "source",
        f"{what} is no place that the daemon can import from.",
        "Say s3://BUCKET/KEY, file:///PATH on the daemon's host, ENTRY/KEY of an [exports] entry, "
        "the path of a file of yours, or - for a pipe.",
    )


def completed(
    backup: Backup, stored: StoredFacts, context: Context
) -> Iterator[ImportCompleted | VerificationRequested]:
    """What follows the end of an import: that it has come, and that it is proven by a load."""
    if backup.origin is None:
        return
    yield ImportCompleted(
        cache=backup.cache,
        backup_id=backup.backup_id,
        source=backup.origin.source,
        plain_bytes=stored.plain_bytes,
        sha256=stored.sha256,
    )
    yield VerificationRequested(
        cache=backup.cache,
        backup_id=backup.backup_id,
        verification_id=VerificationId(context.new_id),
        cause="policy",
    )


def given_up(backup: Backup, failure: Failure) -> Iterator[ImportFailed]:
    """What follows the end of an import that there will be no backup of."""
    if backup.origin is not None:
        source = backup.origin.source
        yield ImportFailed(backup.cache, backup.backup_id, source, failure)


def why_not_again(backup: Backup) -> str | None:
    """Why an import cannot be tried again; None where it can."""
    if backup.origin is not None and backup.origin.kind == "client":
        return "what a client sends cannot be asked for again"
    return None
