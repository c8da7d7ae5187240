"""Every route there is. The one list that the router and the description are made from."""

from daemon import answers
from daemon.answers.check import Checked
from daemon.answers.comparison import ComparisonDetail
from daemon.answers.doctor import Examined
from daemon.answers.notifications import Notifications, SentMessage
from daemon.answers.policy import PolicyDetail, PolicyPlan
from daemon.answers.recovery import Recover, Recoverable, RecoveredAnswer
from daemon.answers.retention import Forecast, Retained
from daemon.answers.schedule import Schedule
from daemon.answers.undo import UndoPlan, UndoRequest
from daemon.api import (
    check,
    commands,
    comparisons,
    downloads,
    exports,
    metrics,
    notifications,
    policies,
    proofs,
    queries,
    recovery,
    retention,
    schedule,
    streams,
    undoing,
    uploads,
)
from daemon.api.asked import Asked
from daemon.api.openapi import Document, document
from daemon.api.route import Route
from daemon.commands import DifferingKey, PolicyChange, Request


async def _examined(asked: Asked) -> Examined:
    return await asked.outside.doctor()


async def _described(asked: Asked) -> Document:
    return document(ROUTES, asked.outside.version)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/commands",
        "operator",
        "Give one command; it is durable when the answer comes",
        answers.Accepted,
        commands.command,
        body=Request,
    ),
    Route(
        "POST",
        "/v1/plans",
        "admin",
        "What a restore would do, without touching anything",
        answers.PlanAnswer,
        commands.plan,
        body=answers.PlanRequest,
    ),
    Route(
        "POST",
        "/v1/imports",
        "admin",
        "Send an RDB, which is kept as a manual backup; the answer comes when all has arrived",
        answers.Accepted,
        takes=uploads.take,
        query=uploads.ImportQuery,
    ),
    Route(
        "POST",
        "/v1/plans/undo",
        "admin",
        "What taking back the newest restore into a cache would do, without touching anything",
        UndoPlan,
        undoing.plan,
        body=UndoRequest,
    ),
    Route("GET", "/v1/status", "viewer", "The whole at a glance", answers.Status, queries.status),
    Route(
        "GET",
        "/v1/check",
        "viewer",
        "Every rule's verdict, for monitoring; worst first",
        Checked,
        check.check,
        query=check.CheckQuery,
    ),
    Route(
        "GET",
        "/v1/doctor",
        "operator",
        "Try out every part: can it be reached, and does it let us do what we must",
        Examined,
        _examined,
    ),
    Route(
        "GET",
        "/v1/notifications",
        "viewer",
        "The channels, what is on its way to them, and what stands",
        Notifications,
        notifications.notifications,
    ),
    Route(
        "GET",
        "/v1/notifications/{id}",
        "viewer",
        "One message, perhaps when its delivery has ended",
        SentMessage,
        notifications.message,
        query=queries.WaitQuery,
    ),
    Route(
        "GET",
        "/v1/schedule",
        "viewer",
        "The next starts, and what became of the last one",
        Schedule,
        schedule.schedule,
        query=schedule.ScheduleQuery,
    ),
    Route("GET", "/v1/caches", "viewer", "All caches", answers.Caches, queries.caches),
    Route("GET", "/v1/caches/{name}", "viewer", "One cache", answers.CacheDetail, queries.cache),
    Route(
        "GET",
        "/v1/caches/{name}/forecast",
        "viewer",
        "Which backups will exist on each day to come",
        Forecast,
        retention.simulate,
        query=retention.ForecastQuery,
    ),
    Route(
        "GET",
        "/v1/retention/{ref}",
        "viewer",
        "Why a backup is kept, or why it goes or went",
        Retained,
        retention.why,
    ),
    Route(
        "GET",
        "/v1/caches/{name}/policy",
        "viewer",
        "A cache's policy, also in words",
        PolicyDetail,
        policies.show,
    ),
    Route(
        "POST",
        "/v1/caches/{name}/policy/plan",
        "admin",
        "What a change of a policy would do, without changing anything",
        PolicyPlan,
        policies.plan,
        body=PolicyChange,
    ),
    Route(
        "GET",
        "/v1/backups",
        "viewer",
        "Backups, oldest first",
        answers.Backups,
        queries.backups,
        query=queries.BackupsQuery,
    ),
    Route(
        "GET",
        "/v1/backups/{ref}/rdb",
        "admin",
        "The plain RDB of one shard, checked; a body that is cut short is not whole",
        bytes,
        body_of=downloads.rdb,
        query=downloads.PlainQuery,
    ),
    Route(
        "GET",
        "/v1/exports/{id}",
        "viewer",
        "One export, perhaps when it has ended",
        answers.ExportDetail,
        exports.export,
        query=queries.WaitQuery,
    ),
    Route(
        "GET",
        "/v1/backups/{ref}",
        "viewer",
        "One backup, by id, unique prefix of one, or CACHE/NAME",
        answers.BackupDetail,
        queries.backup,
        query=queries.BackupWaitQuery,
    ),
    Route(
        "GET",
        "/v1/proofs/{ref}",
        "viewer",
        "One backup, perhaps when its verification has ended",
        answers.BackupDetail,
        proofs.proof,
        query=queries.WaitQuery,
    ),
    Route(
        "GET",
        "/v1/restores",
        "viewer",
        "Restores, oldest first",
        answers.Restores,
        queries.restores,
        query=queries.RestoresQuery,
    ),
    Route(
        "GET",
        "/v1/restores/{id}",
        "viewer",
        "One restore",
        answers.RestoreDetail,
        queries.restore,
        query=queries.WaitQuery,
    ),
    Route(
        "GET",
        "/v1/comparisons/{id}",
        "viewer",
        "What differs between two backups, or a backup and a cache",
        ComparisonDetail,
        comparisons.comparison,
        query=queries.WaitQuery,
    ),
    Route(
        "GET",
        "/v1/comparisons/{id}/names",
        "admin",
        "The names of the keys that differ, while they are kept",
        DifferingKey,
        lines=comparisons.names,
    ),
    Route(
        "GET",
        "/v1/events",
        "viewer",
        "The history, and if followed what is added to it; a blank line every 15 s",
        streams.EventLine,
        lines=streams.events,
        query=streams.EventsQuery,
    ),
    Route(
        "GET",
        "/v1/audit/verify",
        "viewer",
        "Follow the hash chain of the log to its end",
        answers.VerdictView,
        streams.verify,
    ),
    Route(
        "GET",
        "/v1/audit/export",
        "viewer",
        "The whole log with its hashes, for checking elsewhere",
        streams.ExportLine,
        lines=streams.export,
    ),
    Route(
        "GET",
        "/v1/recovery",
        "admin",
        "What the vaults know that the log does not; changes nothing",
        Recoverable,
        recovery.look,
        query=recovery.RecoveryQuery,
    ),
    Route(
        "POST",
        "/v1/recovery",
        "admin",
        "Take over what the vaults know",
        RecoveredAnswer,
        recovery.recover,
        body=Recover,
    ),
    Route(
        "GET",
        "/metrics",
        "viewer",
        "Figures for Prometheus, in its text format",
        str,
        text=metrics.metrics,
    ),
    Route("GET", "/openapi.json", "viewer", "This description", Document, _described),
)
