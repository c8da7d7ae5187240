"""Everything that can be asked of the ledger, as one tagged union.

`Request` is what a client may send over the socket; `Command` adds what only the daemon's
own parts say (reports of actors, the start and the end). Knows shapes only.
"""

from daemon.commands.alarms import (
    AdvanceAlarms,
    AlarmCommand,
    AlarmReport,
    Found,
    ReportAlarms,
    ReportNotified,
    ReportNotNotified,
    SetNotifications,
    TestNotifications,
)
from daemon.commands.asked import (
    AcknowledgeBackup,
    AddCache,
    CancelBackup,
    DeleteBackup,
    PolicyChange,
    RemoveCache,
    Request,
    RequestAutoBackup,
    RequestBackup,
    RequestCopy,
    RequestExport,
    RequestImport,
    RequestRestore,
    RequestVerification,
    SetCache,
    SetPolicy,
    UndoRestore,
)
from daemon.commands.compared import (
    CancelComparison,
    ComparisonCommand,
    ComparisonReport,
    DifferingKey,
    ReportCompared,
    ReportNotCompared,
    RequestComparison,
)
from daemon.commands.found import (
    FinishRecovery,
    FoundBackup,
    FoundCache,
    FoundDeletion,
    RecoverFound,
    ReportLogWentBack,
)
from daemon.commands.hooked import (
    HookAsks,
    HookCommand,
    ReconcileHooks,
    ReportHook,
    StartHook,
)
from daemon.commands.said import (
    AdvanceSchedule,
    CopyReport,
    DeclaredCache,
    ExpireBackups,
    ExportReport,
    OpenExport,
    OpenImport,
    ProofReport,
    ReconcileCaches,
    RecordCache,
    Report,
    ReportAttemptFailed,
    ReportCopied,
    ReportCopyFailed,
    ReportCopyGone,
    ReportDeleted,
    ReportExported,
    ReportExportFailed,
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
    RequestSafetyBackup,
    StartAttempt,
    StartCopy,
    StartDaemon,
    StartRestore,
    StartVerification,
    StopDaemon,
    VerifyCopy,
)

__all__ = [
    "AcknowledgeBackup",
    "AddCache",
    "AdvanceAlarms",
    "AdvanceSchedule",
    "AlarmCommand",
    "AlarmReport",
    "CancelBackup",
    "CancelComparison",
    "Command",
    "ComparisonCommand",
    "ComparisonReport",
    "CopyReport",
    "DeclaredCache",
    "DeleteBackup",
    "DifferingKey",
    "ExpireBackups",
    "ExportReport",
    "FinishRecovery",
    "Found",
    "FoundBackup",
    "FoundCache",
    "FoundDeletion",
    "HookAsks",
    "HookCommand",
    "OpenExport",
    "OpenImport",
    "PolicyChange",
    "ProofReport",
    "ReconcileCaches",
    "ReconcileHooks",
    "RecordCache",
    "RecoverFound",
    "RemoveCache",
    "Report",
    "ReportAlarms",
    "ReportAttemptFailed",
    "ReportCompared",
    "ReportCopied",
    "ReportCopyFailed",
    "ReportCopyGone",
    "ReportDeleted",
    "ReportExportFailed",
    "ReportExported",
    "ReportHook",
    "ReportLogWentBack",
    "ReportNotCompared",
    "ReportNotNotified",
    "ReportNotified",
    "ReportPlan",
    "ReportRefuted",
    "ReportRestoreFailed",
    "ReportRestored",
    "ReportSnapshot",
    "ReportStored",
    "ReportStuck",
    "ReportSwept",
    "ReportUndone",
    "ReportUnverified",
    "ReportVault",
    "ReportVerified",
    "Request",
    "RequestAutoBackup",
    "RequestBackup",
    "RequestComparison",
    "RequestCopy",
    "RequestExport",
    "RequestImport",
    "RequestRestore",
    "RequestSafetyBackup",
    "RequestVerification",
    "SetCache",
    "SetNotifications",
    "SetPolicy",
    "StartAttempt",
    "StartCopy",
    "StartDaemon",
    "StartHook",
    "StartRestore",
    "StartVerification",
    "StopDaemon",
    "TestNotifications",
    "UndoRestore",
    "VerifyCopy",
]

Command = (
    RecordCache
    | SetPolicy
    | RemoveCache
    | ReconcileCaches
    | AdvanceSchedule
    | ExpireBackups
    | RequestBackup
    | RequestAutoBackup
    | DeleteBackup
    | CancelBackup
    | RequestCopy
    | AcknowledgeBackup
    | CopyReport
    | RequestRestore
    | UndoRestore
    | RequestExport
    | OpenExport
    | RequestImport
    | OpenImport
    | ExportReport
    | ComparisonCommand
    | RequestVerification
    | StartDaemon
    | StopDaemon
    | StartAttempt
    | StartVerification
    | VerifyCopy
    | StartRestore
    | RequestSafetyBackup
    | ReportVault
    | ReportLogWentBack
    | RecoverFound
    | FinishRecovery
    | HookCommand
    | HookAsks
    | AlarmCommand
    | Report
)
