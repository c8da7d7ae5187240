"""Decisions: pure functions from state and command to events. No clock, no I/O, no ids."""

from typing import assert_never

from daemon.commands import (
    AdvanceSchedule,
    Command,
    DeleteBackup,
    ExpireBackups,
    FinishRecovery,
    ReconcileCaches,
    RecordCache,
    RecoverFound,
    RemoveCache,
    ReportAttemptFailed,
    ReportDeleted,
    ReportLogWentBack,
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    ReportSnapshot,
    ReportStored,
    ReportSwept,
    ReportUndone,
    RequestAutoBackup,
    RequestBackup,
    RequestRestore,
    RequestSafetyBackup,
    SetPolicy,
    StartAttempt,
    StartDaemon,
    StartRestore,
    StopDaemon,
)
from daemon.decide import (
    attempts,
    backups,
    caches,
    daemon,
    policies,
    recovery,
    restores,
    retention,
    schedule,
)
from daemon.decide.decision import Context, Decision
from projections.state import State

__all__ = ["Context", "Decision", "decide"]


def decide(state: State, command: Command, context: Context) -> Decision:
    """What happens because of this command; raises `Rejected` or `NotFound` with a hint.

    The same state, command and context give the same events for ever.
    """
    match command:
        case RecordCache() | RemoveCache() | ReconcileCaches():
            return caches.decide(state, command, context)
        case SetPolicy():
            return policies.decide(state, command, context)
        case AdvanceSchedule() | RequestAutoBackup():
            return schedule.decide(state, command, context)
        case ExpireBackups():
            return retention.decide(state, command, context)
        case RequestBackup() | DeleteBackup() | ReportDeleted() | RequestSafetyBackup():
            return backups.decide(state, command, context)
        case (
            StartAttempt()
            | ReportSnapshot()
            | ReportStored()
            | ReportAttemptFailed()
            | ReportSwept()
        ):
            return attempts.decide(state, command, context)
        case (
            RequestRestore()
            | ReportPlan()
            | StartRestore()
            | ReportRestored()
            | ReportRestoreFailed()
            | ReportUndone()
        ):
            return restores.decide(state, command, context)
        case ReportLogWentBack() | RecoverFound() | FinishRecovery():
            return recovery.decide(state, command)
        case StartDaemon() | StopDaemon():
            return daemon.decide(state, command, context)
        case _:
            assert_never(command)
