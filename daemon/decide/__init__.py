"""Decisions: pure functions from state and command to events. No clock, no I/O, no ids."""

from typing import assert_never

from daemon.commands import (
    AcknowledgeBackup,
    AdvanceSchedule,
    AlarmCommand,
    CancelBackup,
    CancelComparison,
    Command,
    ComparisonCommand,
    CopyReport,
    DeleteBackup,
    ExpireBackups,
    ExportReport,
    FinishRecovery,
    HookAsks,
    HookCommand,
    OpenExport,
    OpenImport,
    ReconcileCaches,
    ReconcileHooks,
    RecordCache,
    RecoverFound,
    RemoveCache,
    ReportAttemptFailed,
    ReportCompared,
    ReportCopied,
    ReportCopyFailed,
    ReportCopyGone,
    ReportDeleted,
    ReportExported,
    ReportExportFailed,
    ReportHook,
    ReportLogWentBack,
    ReportNotCompared,
    ReportPlan,
    ReportRefuted,
    ReportRestored,
    ReportRestoreFailed,
    ReportSnapshot,
    ReportStored,
    ReportStuck,
    ReportSwept,
    ReportUndone,
    ReportUnverified,
    ReportVault,
    ReportVerified,
    RequestAutoBackup,
    RequestBackup,
    RequestComparison,
    RequestCopy,
    RequestExport,
    RequestImport,
    RequestRestore,
    RequestSafetyBackup,
    RequestVerification,
    SetPolicy,
    StartAttempt,
    StartCopy,
    StartDaemon,
    StartHook,
    StartRestore,
    StartVerification,
    StopDaemon,
    UndoRestore,
    VerifyCopy,
)
from daemon.decide import (
    alarms,
    attempts,
    backups,
    caches,
    cancels,
    comparisons,
    copies,
    copy_proofs,
    daemon,
    exports,
    hooks,
    imports,
    policies,
    recovery,
    restores,
    retention,
    schedule,
    undo,
    vaults,
)
from daemon.decide.decision import Context, Decision
from projections.state import State

__all__ = ["Context", "Decision", "decide"]


_OfBackups = (
    RequestBackup
    | DeleteBackup
    | ReportDeleted
    | RequestSafetyBackup
    | AcknowledgeBackup
    | CancelBackup
    | CopyReport
    | RequestCopy
    | StartAttempt
    | ReportSnapshot
    | ReportStored
    | ReportAttemptFailed
    | ReportStuck
    | ReportSwept
    | RequestVerification
    | VerifyCopy
    | StartVerification
    | ReportVerified
    | ReportRefuted
    | ReportUnverified
    | RequestExport
    | OpenExport
    | ExportReport
    | ComparisonCommand
    | RequestImport
    | OpenImport
)


def decide(state: State, command: Command, context: Context) -> Decision:
    """What happens because of this command; raises `Rejected` or `NotFound` with a hint.

    The same state, command and context give the same events for ever.
    """
    match command:
        case HookAsks():
            return hooks.asked(state, command, decide(state, command.request, context))
        case RecordCache() | RemoveCache() | ReconcileCaches():
            return caches.decide(state, command, context)
        case SetPolicy():
            return policies.decide(state, command, context)
        case AdvanceSchedule() | RequestAutoBackup():
            return schedule.decide(state, command, context)
        case ExpireBackups():
            return retention.decide(state, command, context)
        case (
            RequestRestore()
            | ReportPlan()
            | StartRestore()
            | ReportRestored()
            | ReportRestoreFailed()
            | ReportUndone()
        ):
            return restores.decide(state, command, context)
        case UndoRestore():
            return undo.decide(state, command, context)
        case ReportLogWentBack() | RecoverFound() | FinishRecovery():
            return recovery.decide(state, command)
        case (
            StartDaemon()
            | StopDaemon()
            | ReportVault()
            | ReconcileHooks()
            | StartHook()
            | ReportHook()
        ):
            return _of_installation(state, command, context)
        case _:
            return _of_rest(state, command, context)


def _of_rest(state: State, command: _OfBackups | AlarmCommand, context: Context) -> Decision:
    if isinstance(command, AlarmCommand):
        return alarms.decide(state, command, context)
    return _of_backups(state, command, context)


def _of_installation(
    state: State, command: StartDaemon | StopDaemon | ReportVault | HookCommand, context: Context
) -> Decision:
    match command:
        case StartDaemon() | StopDaemon():
            return daemon.decide(state, command, context)
        case ReportVault():
            return vaults.decide(state, command)
        case ReconcileHooks() | StartHook() | ReportHook():
            return hooks.decide(state, command)


def _of_backups(state: State, command: _OfBackups, context: Context) -> Decision:
    match command:
        case (
            RequestBackup()
            | DeleteBackup()
            | ReportDeleted()
            | RequestSafetyBackup()
            | AcknowledgeBackup()
        ):
            return backups.decide(state, command, context)
        case RequestCopy() | StartCopy() | ReportCopied() | ReportCopyFailed() | ReportCopyGone():
            return copies.decide(state, command, context)
        case CancelBackup():
            return cancels.decide(state, command)
        case (
            StartAttempt()
            | ReportSnapshot()
            | ReportStored()
            | ReportAttemptFailed()
            | ReportStuck()
            | ReportSwept()
        ):
            return attempts.decide(state, command, context)
        case (
            RequestVerification()
            | VerifyCopy()
            | StartVerification()
            | ReportVerified()
            | ReportRefuted()
            | ReportUnverified()
        ):
            return copy_proofs.decide_any(state, command, context)
        case RequestExport() | OpenExport() | ReportExported() | ReportExportFailed():
            return exports.decide(state, command, context)
        case RequestComparison() | CancelComparison() | ReportCompared() | ReportNotCompared():
            return comparisons.decide(state, command, context)
        case RequestImport() | OpenImport():
            return imports.decide(state, command, context)
        case _:
            assert_never(command)
