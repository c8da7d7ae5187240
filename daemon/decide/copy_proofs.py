"""Deciding on verifications of copies: who gets one, how it ends, and what follows from damage.

A damaged copy is made anew from its backup, which is proven first; nothing that is found in a
copy is held against the backup. What is wrong with more than the stored bytes is wrong with the
backup as well: then that is looked at.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec.structs import replace

from daemon.commands import (
    ProofReport,
    ReportRefuted,
    ReportUnverified,
    ReportVerified,
    RequestVerification,
    StartVerification,
    VerifyCopy,
)
from daemon.decide import verifications
from daemon.decide.decision import Context, Decision, backup_by_id, known_backup, superseded
from daemon.decide.verifications import retry_at
from daemon.errors import Rejected
from events.copy_proofs import (
    CopyMendingRequested,
    CopyVerificationAbandoned,
    CopyVerificationFailed,
    CopyVerificationPutOff,
    CopyVerificationRequested,
    CopyVerificationStarted,
    CopyVerified,
)
from events.facts import BackupId, CacheName, Failure, VaultName, VerificationId
from events.proofs import VerificationRequested
from events.types import Event
from projections import catalog
from projections.catalog import Backup
from projections.copies import Copy, in_vault
from projections.copy_words import may_be_read, why_no_copy
from projections.proofs import Verification
from projections.state import State
from projections.work import proving_waits_for

Command = RequestVerification | StartVerification | ProofReport
_OF_STORED = ("manifest-", "object-", "block-")
"""How the codes begin of what is found wrong with a backup while it is read to be copied."""


def decide_any(state: State, command: Command | VerifyCopy, context: Context) -> Decision:
    """The events of one command about a verification, of a backup or of a copy."""
    if isinstance(command, VerifyCopy) or _is_of_copy(state, command):
        return decide(state, command, context)
    decision = verifications.decide(state, command, context)
    if not isinstance(command, ReportVerified):
        return decision
    wanted = state.verifications[command.backup_id]
    mended = _mended_at_last(state.catalog[wanted.cache][wanted.backup_id])
    return replace(decision, events=(*decision.events, *mended))


def _mended_at_last(backup: Backup) -> Iterator[CopyMendingRequested]:
    """Copies that could not be made anew, because their backup was not whole: now it is."""
    for copy in backup.copies:
        failure = copy.failure if copy.mending and copy.phase == "failed" else None
        if failure is not None and is_of_original(failure):
            yield CopyMendingRequested(backup.cache, backup.backup_id, copy.vault)


def _is_of_copy(state: State, command: Command) -> bool:
    match command:
        case RequestVerification(vault=vault):
            return vault is not None and vault != known_backup(state, command.backup).vault
        case StartVerification(vault=vault):
            return vault is not None
        case _:
            return _checked(state, command) is not None


def decide(state: State, command: Command | VerifyCopy, context: Context) -> Decision:
    """The events of one command about the verification of a copy."""
    match command:
        case RequestVerification():
            return Decision((_requested(state, command, context),))
        case VerifyCopy():
            return Decision(_by_policy(state, command, context))
        case StartVerification():
            return Decision((_started(state, command, context.now),))
        case _:
            return Decision(tuple(_ended(state, command, context)))


def _requested(
    state: State, command: RequestVerification, context: Context
) -> CopyVerificationRequested:
    """Of one that the policy wants and that waits, this takes the place."""
    backup, vault = known_backup(state, command.backup), VaultName(command.vault or "")
    copy = in_vault(backup.copies, vault)
    if backup.phase != "complete" or copy is None or not may_be_read(copy):
        raise Rejected("no-copy", *why_no_copy(backup, vault))
    if copy.check is not None and (copy.check.running or copy.check.cause == "command"):
        raise Rejected(
            "verification-running",
            f"The copy of backup {backup.cache}/{backup.name} in {vault!r} is being verified.",
            f"See how far it is: `valkeep backup show {backup.backup_id}`.",
        )
    return CopyVerificationRequested(
        cache=backup.cache,
        backup_id=backup.backup_id,
        vault=vault,
        verification_id=VerificationId(context.new_id),
        cause="command",
        quick=command.quick,
    )


def _by_policy(
    state: State, command: VerifyCopy, context: Context
) -> tuple[CopyVerificationRequested, ...]:
    """Of hashes: the copy is byte for byte the backup, which is proven further where it lies."""
    backup = catalog.get(state.catalog, command.cache, command.backup_id)
    copy = in_vault(backup.copies, command.vault) if backup is not None else None
    what = f"The verification of the copy of {command.backup_id} in {command.vault}"
    if backup is None or copy is None or copy.check is not None:
        raise superseded(what)
    if backup.phase != "complete" or copy.phase != "complete":
        raise superseded(what)
    return (
        CopyVerificationRequested(
            cache=backup.cache,
            backup_id=backup.backup_id,
            vault=command.vault,
            verification_id=VerificationId(context.new_id),
            cause="policy",
            quick=True,
        ),
    )


def _started(state: State, command: StartVerification, now: datetime) -> CopyVerificationStarted:
    backup = backup_by_id(state, command.backup_id)
    copy = in_vault(backup.copies, VaultName(command.vault or ""))
    wanted = copy.check if copy else None
    if copy is None or wanted is None or wanted.running:
        raise superseded(f"The verification of the copy of {backup.backup_id}")
    if proving_waits_for(state, wanted, now) is not None:
        raise superseded(f"The verification of the copy of {backup.backup_id}")
    return CopyVerificationStarted(*_of(backup, copy, wanted), attempt=wanted.tries + 1)


def _of(
    backup: Backup, copy: Copy, wanted: Verification
) -> tuple[CacheName, BackupId, VaultName, VerificationId]:
    return backup.cache, backup.backup_id, copy.vault, wanted.verification_id


def _checked(state: State, report: ProofReport) -> tuple[Backup, Copy, Verification] | None:
    """The copy whose verification a report is of, if it is of a copy's."""
    cache = state.open_backups.get(report.backup_id)
    backup = catalog.get(state.catalog, cache, report.backup_id) if cache is not None else None
    if backup is None:
        return None
    for copy in backup.copies:
        if copy.check is not None and copy.check.verification_id == report.verification_id:
            return backup, copy, copy.check
    return None


def _ended(state: State, report: ProofReport, context: Context) -> Iterator[Event]:
    found = _checked(state, report)
    if found is None or not found[2].running:
        raise superseded(f"The verification of a copy of {report.backup_id}")
    backup, copy, wanted = found
    of = _of(backup, copy, wanted)
    match report:
        case ReportVerified():
            yield CopyVerified(*of, receipt=report.receipt)
        case ReportUnverified():
            yield _unverified(backup, copy, report.failure, context.now)
        case ReportRefuted():
            yield CopyVerificationFailed(*of, level=report.level, failure=report.failure)
            if report.level == "hashes" and not copy.mending:
                yield CopyMendingRequested(backup.cache, backup.backup_id, copy.vault)
            elif report.level != "hashes":
                # The bytes are those that were copied: it is no better where they came from.
                yield from original_doubted(state, backup, context, quick=False)


def original_doubted(
    state: State, backup: Backup, context: Context, *, quick: bool = True
) -> Iterator[VerificationRequested]:
    """The backup itself is to be verified, if nothing is known against it yet."""
    known = backup.proof.refuted is not None or backup.backup_id in state.verifications
    if backup.phase == "complete" and not known:
        yield VerificationRequested(
            cache=backup.cache,
            backup_id=backup.backup_id,
            verification_id=VerificationId(context.new_id),
            cause="policy",
            quick=quick,
        )


def is_of_original(failure: Failure) -> bool:
    """Whether a try at a copy failed because its backup is not what it should be."""
    return failure.permanent and failure.code.startswith(_OF_STORED)


def _unverified(
    backup: Backup, copy: Copy, failure: Failure, now: datetime
) -> CopyVerificationPutOff | CopyVerificationAbandoned:
    """The end of a try that came to nothing."""
    wanted = copy.check
    if wanted is None:
        raise TypeError(f"the copy of {backup.backup_id} is not being verified")
    again, of = retry_at(wanted, failure, now), _of(backup, copy, wanted)
    if again is None:
        return CopyVerificationAbandoned(*of, failure=failure)
    return CopyVerificationPutOff(*of, failure=failure, retry_at=again)


def given_up(state: State, backup: Backup, why: str) -> Iterator[Event]:
    """The end of all verifications of a backup and of its copies because it is to go."""
    yield from verifications.given_up(state, backup, why)
    end = Failure("superseded", why, "Nothing is left to do here.", permanent=True)
    for copy in backup.copies:
        if copy.check is not None:
            yield CopyVerificationAbandoned(*_of(backup, copy, copy.check), failure=end)


def interrupted(backup: Backup, why: Failure, now: datetime) -> Iterator[Event]:
    """The verifications of a backup's copies that the end of the daemon has cut off."""
    for copy in backup.copies:
        if copy.check is not None and copy.check.running:
            yield _unverified(backup, copy, why, now)
