"""What can be told: one command in, one transaction of the ledger, one answer out.

A cache is looked at before it is recorded (C2); everything else goes to the ledger as it
came. Nothing is retried here: the fate of a command is in the log.
"""

import msgspec

from daemon.answers import Accepted, PlanAnswer, PlanRequest
from daemon.api import keys
from daemon.api.asked import Asked
from daemon.api.cancelling import LastWord, meant
from daemon.api.comparisons import check_names
from daemon.api.copies import check_copy, check_copy_to, check_verification, read_from
from daemon.api.exports import export_of, placed
from daemon.api.find import any_backup, cache_named
from daemon.api.imports import check_import
from daemon.api.keys import Place
from daemon.api.notifications import queued
from daemon.api.peer import user_name
from daemon.api.queries import moment_of
from daemon.api.rights import role_for, tag_of
from daemon.api.settings import provisional, settings_for
from daemon.api.undo_view import undoing_named
from daemon.api.views import backup_view
from daemon.commands import (
    AcknowledgeBackup,
    AddCache,
    CancelBackup,
    CancelComparison,
    DeleteBackup,
    HookAsks,
    RecordCache,
    RemoveCache,
    Request,
    RequestAutoBackup,
    RequestBackup,
    RequestComparison,
    RequestCopy,
    RequestExport,
    RequestImport,
    RequestRestore,
    RequestVerification,
    SetCache,
    SetPolicy,
    TestNotifications,
    UndoRestore,
)
from daemon.errors import Failed, Rejected
from daemon.ledger import KeyedBy, Outcome
from events.comparisons import ComparisonRequested
from events.copies import CopyRequested
from events.copy_proofs import CopyMendingRequested, CopyVerificationRequested
from events.envelope import Who
from events.facts import CacheSettings, Probe
from events.proofs import VerificationRequested
from events.suspicions import SuspicionAcknowledged
from events.transfers import ExportRequested
from events.types import (
    BackupCancelled,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    DeletionRequested,
    PolicySet,
    RestoreRequested,
)

_Told = (
    RecordCache
    | SetPolicy
    | RemoveCache
    | RequestBackup
    | RequestAutoBackup
    | DeleteBackup
    | CancelBackup
    | RequestCopy
    | AcknowledgeBackup
    | RequestRestore
    | RequestExport
    | UndoRestore
    | RequestVerification
    | RequestComparison
    | CancelComparison
    | RequestImport
    | TestNotifications
)

_OF_HOOKS = RequestBackup | RequestAutoBackup | RequestRestore | UndoRestore
"""What a hook may ask for that has hooks itself: a circle is known by it."""

_request = msgspec.json.Decoder(Request)
_plan = msgspec.json.Decoder(PlanRequest)


async def command(asked: Asked) -> Accepted:
    """Decide one command; the answer comes when its events are durable."""
    request = _plainest(asked.read(_request.decode))
    asked.demand(role_for(request), f"The command {tag_of(request)}")
    request = placed(asked, request)
    told: Probe | None = None
    if isinstance(request, AddCache | SetCache):
        record = await _checked(asked, request)
        told = record.probe
        outcome = await _executed(asked, record)
    else:
        _names_a_cache(asked, request)
        if isinstance(request, CancelBackup):
            return await _cancelled(asked, request)
        outcome = await _executed(asked, request)
    return accepted(outcome, told)


async def _cancelled(asked: Asked, request: CancelBackup) -> Accepted:
    """End a backup, and tell what became of the attempt that ran, if there was one."""
    found = meant(asked, request.backup)
    last_word = LastWord(asked.outside.board, found.backup_id if found else "")
    answer = accepted(await _executed(asked, request))
    return msgspec.structs.replace(answer, cancelled=await last_word.heard())


def _plainest(request: Request) -> Request:
    """A change of a cache that says nothing but a policy is one of the policy: nothing to probe."""
    if isinstance(request, SetCache) and request.policy is not None:
        bare = SetCache(request.name, policy=request.policy, probe=request.probe)
        if request == bare:
            return SetPolicy(request.name, request.policy)
    return request


def _names_a_cache(asked: Asked, request: _Told) -> None:
    """Refuse a name that no cache, backup or vault has with the nearest one."""
    state = asked.outside.ledger.state
    if asked.key is not None and (asked.peer.uid, asked.key) in state.keys:
        return
    match request:
        case (
            RequestBackup(cache=name)
            | RequestAutoBackup(cache=name)
            | SetPolicy(cache=name)
            | RequestRestore(to=name)
            | RemoveCache(name=name)
        ):
            cache_named(state, name)
        case RequestImport():
            check_import(asked.outside, request)
        case AcknowledgeBackup(backup=reference):
            any_backup(state, reference)
        case RequestCopy():
            check_copy(asked.outside, request)
        case RequestVerification():
            check_verification(asked.outside, request)
        case RequestComparison():
            check_names(state, request)
        case UndoRestore():
            undoing_named(state, request.cache)
        case _:
            return


async def plan(asked: Asked) -> PlanAnswer:
    """What a restore would do now; nothing is touched, nothing is recorded."""
    request = asked.read(_plan.decode)
    moment = moment_of(asked)
    backup = any_backup(moment.state, request.backup)
    target = cache_named(moment.state, request.to)
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"Backup {backup.cache}/{backup.name} is not complete ({backup.phase}).",
            f"See `valkeep backup show {backup.backup_id}`.",
        )
    vault = read_from(asked.outside, backup, request.vault)
    if request.method == "keys":
        found = await keys.plan(asked.outside, request, Place(backup, target, vault))
    else:
        found = await asked.outside.planner.plan(backup, target, vault)
    if not request.safety_backup:
        found = msgspec.structs.replace(found, safety_backup=False)
    lifted = set(request.force)
    blockers = tuple(
        f.code
        for f in found.findings
        if f.level == "blocker" and not (f.forcible and f.code in lifted)
    )
    return PlanAnswer(
        backup=backup_view(moment, backup), target=target.name, plan=found, blockers=blockers
    )


async def _checked(asked: Asked, request: AddCache | SetCache) -> RecordCache:
    """The command to record, with what a look at the cache found.

    A key that was answered before, and what will be refused anyway, is not worth a look.
    """
    outside = asked.outside
    state = outside.ledger.state
    if asked.key is not None and (asked.peer.uid, asked.key) in state.keys:
        return RecordCache(request, provisional(request))
    settings = settings_for(state, request, tuple(outside.vaults))
    check_copy_to(outside, settings)
    outside.check_url(settings.url)
    outside.ledger.check(RecordCache(request, settings))
    if not request.probe:
        return RecordCache(request, settings)
    return RecordCache(request, settings, await _probed(asked, request, settings))


async def _probed(asked: Asked, request: AddCache | SetCache, settings: CacheSettings) -> Probe:
    try:
        return await asked.outside.prober.probe(settings)
    except Failed as error:
        verb = "add" if isinstance(request, AddCache) else "set"
        other = f"or {verb} it without a look at it: `valkeep cache {verb} … --no-probe`."
        raise type(error)(
            error.code, error.message, f"{error.hint.rstrip('.')}; {other}"
        ) from error


async def _executed(asked: Asked, command: _Told) -> Outcome:
    outside, peer = asked.outside, asked.peer
    user = await outside.offload(user_name, peer.uid)
    who = Who(kind="user", uid=peer.uid, user=user, pid=peer.pid)
    key = KeyedBy(peer.uid, asked.key, asked.body) if asked.key is not None else None
    if asked.cause is not None and isinstance(command, _OF_HOOKS):
        hook, work_id = asked.cause
        return await outside.ledger.execute(HookAsks(command, hook, work_id), who, key)
    return await outside.ledger.execute(command, who, key)


def accepted(outcome: Outcome, probe: Probe | None = None) -> Accepted:
    """The answer to a command, from its events alone, so that it can be given again (L4)."""
    cache: str | None = None
    backup_id: str | None = None
    restore_id: str | None = None
    compared = [e.comparison_id for e in outcome.events if isinstance(e, ComparisonRequested)]
    deleted: list[str] = []
    for event in outcome.events:
        match event:
            case CacheRegistered() | CacheReconfigured():
                cache, probe = event.cache, event.probe or probe
            case CacheRemoved() | PolicySet() | ComparisonRequested():
                cache = event.cache
            case BackupRequested() | BackupCancelled():
                cache, backup_id = event.cache, event.backup_id
            case VerificationRequested() | CopyVerificationRequested() | CopyMendingRequested():
                cache, backup_id = event.cache, event.backup_id
            case BackupSkipped() if event.backup_id == backup_id:
                backup_id = None  # nobody asked for it: a window that had passed was settled
            case DeletionRequested():
                cache = event.cache
                deleted.append(event.backup_id)
            case CopyRequested() | SuspicionAcknowledged() | ExportRequested():
                cache, backup_id = event.cache, event.backup_id
            case RestoreRequested():
                cache, restore_id = event.cache, event.restore_id
            case _:
                pass
    return Accepted(
        positions=outcome.positions,
        cache=cache,
        backup_id=backup_id,
        restore_id=restore_id,
        export_id=export_of(outcome.events),
        comparison_id=next(iter(compared), None),
        probe=probe,
        deleted_backup_ids=tuple(deleted),
        notification_ids=queued(outcome.events),
    )
