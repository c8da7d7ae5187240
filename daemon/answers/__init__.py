"""What the daemon answers on its socket: the shapes of the JSON, and nothing else.

Instants are ISO-8601 in UTC, sizes are bytes, ids are texts. Shared by the API, which
builds them, and the command line, which shows them; what is null may be left out.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from daemon.answers.exports import ExportView
from daemon.answers.hook_runs import HookRunView
from daemon.answers.progress import ProgressView as ProgressView
from daemon.answers.proof import AssuranceView, CopiesView, ProofView
from daemon.answers.standing import FailureView, HostView, Level, ReachView, WorkView
from events.facts import (
    BackupKind,
    CacheSettings,
    Failure,
    Occurrence,
    Probe,
    RestorePlan,
    RestoreResult,
    SnapshotFacts,
    StoredFacts,
)
from events.moves import KeysWish, RestoreMethod
from events.suspicions import Suspicion

Role = Literal["viewer", "operator", "admin"]
BackupPhase = Literal[
    "waiting", "running", "complete", "failed", "skipped", "cancelled", "deleting"
]
CopyPhase = Literal["waiting", "running", "complete", "failed", "deleting"]
RestorePhase = Literal["requested", "planned", "started", "undoing", "completed", "failed"]


class Answer(Struct, frozen=True, omit_defaults=True):
    """Base of every answer. Unknown fields are ignored, so that a newer daemon can be asked."""


class Problem(Answer, frozen=True):
    """What is wrong, in words, and what to do about it."""

    code: str
    message: str
    hint: str


class Trouble(Problem, frozen=True):
    """What is wrong by one rule of `check`; with a cache, the message begins with its name."""

    level: Level
    rule: str
    cache: str | None = None


class ErrorAnswer(Answer, frozen=True):
    """Every answer that is not 200."""

    error: Problem


class Accepted(Answer, frozen=True):
    """A command is in the log, at these positions; none when there was nothing to do."""

    positions: tuple[int, ...]
    cache: str | None = None
    backup_id: str | None = None
    restore_id: str | None = None
    export_id: str | None = None
    comparison_id: str | None = None
    probe: Probe | None = None
    deleted_backup_ids: tuple[str, ...] = ()
    """Backups that are being deleted because of this command."""
    cancelled: str | None = None
    """The last word of the attempt that a cancelled backup was in, if it had one to say."""
    notification_ids: tuple[str, ...] = ()
    """Test messages that are being sent, one for each channel."""


class LocalTime(Answer, frozen=True):
    """An instant, in UTC and on the clocks of a policy's zone, with that zone's letters then."""

    at: datetime
    local: datetime
    zone: str


class StartView(LocalTime, frozen=True):
    """A backup that will start at this instant, if nothing changes; `window` as it is written."""

    occurrence: Occurrence
    window: str


class CopyView(Answer, frozen=True):
    """A backup's copy in another vault; a failed one is tried again at `retry_at`.

    `proof` is what verifications of the copy have found. One that was `damaged` so is `mending`
    until it was made anew, at `mended_at`.
    """

    vault: str
    phase: CopyPhase
    wanted_by: Literal["copy_to", "command"]
    requested_at: datetime
    attempts: int = 0
    completed_at: datetime | None = None
    retry_at: datetime | None = None
    failure: Failure | None = None
    progress: ProgressView | None = None
    proof: ProofView | None = None
    mending: bool = False
    mended_at: datetime | None = None
    damaged: Failure | None = None


class BackupView(Answer, frozen=True):
    """One backup. `waits_for` says why a waiting one has not started.

    An auto backup may have an `occurrence` that it serves, and no attempt at it starts at or
    after `start_before`; `retry_at` is when the next one is due, and `deferred` why the first one
    had to wait. A backup with a `suspicion` that is not acknowledged does not count as good.
    Its data takes `memory_bytes` of a server; that is a guess where no source has told
    (`memory_estimated`).
    """

    backup_id: str
    cache: str
    name: str
    kind: BackupKind
    phase: BackupPhase
    vault: str
    requested_at: datetime
    requested_by: str
    attempts: int = 0
    taken_at: datetime | None = None
    completed_at: datetime | None = None
    plain_bytes: int | None = None
    stored_bytes: int | None = None
    keys: int | None = None
    engine: str | None = None
    restore_id: str | None = None
    being_read: bool = False
    waits_for: str | None = None
    progress: ProgressView | None = None
    failure: Failure | None = None
    abandoned: str | None = None
    occurrence: Occurrence | None = None
    start_before: datetime | None = None
    retry_at: datetime | None = None
    deferred: str | None = None
    encrypted: bool = False
    copies: tuple[CopyView, ...] = ()
    suspicion: Suspicion | None = None
    acknowledged_at: datetime | None = None
    proof: ProofView | None = None
    memory_bytes: int | None = None
    memory_estimated: bool = False
    imported_from: str | None = None

    @property
    def suspect(self) -> bool:
        """Whether it is flagged and nobody has acknowledged that."""
        return self.suspicion is not None and self.acknowledged_at is None


class UndoView(Answer, frozen=True):
    """The newest restore into a cache can be taken back by `command`, until then.

    `safety_backup_id` is what comes back: the data of `taken_at`.
    """

    restore_id: str
    safety_backup_id: str
    command: str
    restored_at: datetime | None = None
    taken_at: datetime | None = None
    until: datetime | None = None


class BackupDetail(Answer, frozen=True):
    """One backup with all that is known of it; `objects` are where its shards lie.

    `undo` is there for a safety backup that `restore undo` would bring back.
    """

    now: datetime
    backup: BackupView
    objects: tuple[str, ...] = ()
    snapshot: SnapshotFacts | None = None
    stored: StoredFacts | None = None
    exports: tuple[ExportView, ...] = ()
    undo: UndoView | None = None
    hooks: tuple[HookRunView, ...] = ()


class Backups(Answer, frozen=True):
    """Backups, oldest first."""

    now: datetime
    backups: tuple[BackupView, ...]


class CacheView(Answer, frozen=True):
    """One cache and the state of its backups; `suspended` holds the reason.

    `failed` is the last backup that failed, unless a later one has been completed. `scheduled`
    is the newest good scheduled backup (A12), and `next_start` the next one's instant. The latter,
    `level` (its worst verdict) and `last_failure` are in a status only.
    """

    name: str
    settings: CacheSettings
    declared: bool
    added_at: datetime
    backups: int
    stored_bytes: int
    suspended: str | None = None
    probe: Probe | None = None
    probed_at: datetime | None = None
    newest: BackupView | None = None
    failed: BackupView | None = None
    scheduled: BackupView | None = None
    next_start: StartView | None = None
    assurance: AssuranceView | None = None
    copies: tuple[CopiesView, ...] = ()
    undo: UndoView | None = None
    level: Level | None = None
    last_failure: FailureView | None = None


class CacheDetail(Answer, frozen=True):
    """One cache."""

    now: datetime
    cache: CacheView


class Caches(Answer, frozen=True):
    """Caches by name; without their probes."""

    now: datetime
    caches: tuple[CacheView, ...]


class RestoreView(Answer, frozen=True):
    """One restore into a running cache; `safety` is the backup made before it.

    `command` repeats it after a failure, and `by_hand` lists what is then left to type.
    """

    restore_id: str
    target: str
    backup_id: str
    backup_cache: str
    phase: RestorePhase
    replace: bool
    safety_backup: bool
    requested_at: datetime
    requested_by: str
    force: tuple[str, ...] = ()
    backup_name: str | None = None
    ended_at: datetime | None = None
    plan: RestorePlan | None = None
    result: RestoreResult | None = None
    failure: Failure | None = None
    undone: bool | None = None
    command: str | None = None
    by_hand: tuple[str, ...] = ()
    safety: BackupView | None = None
    progress: ProgressView | None = None
    vault: str | None = None
    """Where it reads from, if that was said."""
    undoes: str | None = None
    """The restore that this one takes back."""
    undo: UndoView | None = None
    """How this one can be taken back."""
    hooks: tuple[HookRunView, ...] = ()
    """The runs of hooks before and after it."""


class RestoreDetail(Answer, frozen=True):
    """One restore."""

    now: datetime
    restore: RestoreView


class Restores(Answer, frozen=True):
    """Restores, oldest first."""

    now: datetime
    restores: tuple[RestoreView, ...]


class ExportDetail(Answer, frozen=True):
    """One export."""

    now: datetime
    export: ExportView


class PlanRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to plan: as `request-restore`, and nothing is touched."""

    backup: str
    to: str
    safety_backup: bool = True
    force: tuple[str, ...] = ()
    vault: str | None = None
    method: RestoreMethod = "replication"
    keys: KeysWish | None = None


class PlanAnswer(Answer, frozen=True):
    """A restore's plan; `blockers` are the codes that no `force` of the request lifts."""

    backup: BackupView
    target: str
    plan: RestorePlan
    blockers: tuple[str, ...] = ()


class VaultView(Answer, frozen=True):
    """A configured vault, and what the log says lies in it; `stored_bytes` is with the copies."""

    name: str
    url: str
    backups: int = 0
    stored_bytes: int = 0
    copies: int = 0
    reach: ReachView | None = None


class LogView(Answer, frozen=True):
    """The event log: its end, and why it cannot be written, if it cannot."""

    position: int
    trouble: Problem | None = None


class Status(Answer, frozen=True):
    """The whole at a glance, or one cache. All is well exactly when `problems` is empty."""

    now: datetime
    version: str
    uptime_seconds: float
    your_role: Role
    log: LogView
    installation: str | None = None
    problems: tuple[Trouble, ...] = ()
    caches: tuple[CacheView, ...] = ()
    vaults: tuple[VaultView, ...] = ()
    backups: tuple[BackupView, ...] = ()
    """Waiting and running ones."""
    restores: tuple[RestoreView, ...] = ()
    """Those that have not ended."""
    exports: tuple[ExportView, ...] = ()
    """Those that have not ended."""
    work: tuple[WorkView, ...] = ()
    """What else is outstanding."""
    host: HostView | None = None


class TipView(Answer, frozen=True):
    """One vault's memory of the log: its newest manifest's, or why there is none (`unread`).

    `position` and `hash` are the chain's head when that backup was written.
    """

    vault: str
    backup_id: str | None = None
    position: int | None = None
    hash: str | None = None
    unread: str | None = None


class VerdictView(Answer, frozen=True):
    """The chain was followed to its end without a break, and agrees with these `tips`."""

    records: int
    position: int
    hash: str
    tips: tuple[TipView, ...] = ()
