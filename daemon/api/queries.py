"""What can be asked: each handler reads the durable state and answers with a view of it.

Waiting is done on the ledger's changes, never by looking again and again.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

import anyio
from msgspec import Meta, Struct
from msgspec.structs import replace

from daemon.answers import (
    BackupDetail,
    Backups,
    CacheDetail,
    Caches,
    RestoreDetail,
    Restores,
    Status,
)
from daemon.api.asked import Asked
from daemon.api.exports_view import exports_of
from daemon.api.find import any_backup, cache_named, restore_by_id
from daemon.api.overview import Asker, overview
from daemon.api.places import occupied
from daemon.api.views import (
    Moment,
    backup_detail,
    backup_view,
    backups_of,
    cache_view,
    restore_view,
)
from daemon.api.vitals import judgement
from projections.caches import vaults_of
from projections.catalog import Backup
from projections.restores import ACTIVE, Restore
from projections.state import State

T = TypeVar("T")

MAX_WAIT_SECONDS = 60.0


class BackupsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache`: of this one only. `all`: also what waits, runs or has failed."""

    cache: str | None = None
    all: bool = False


class RestoresQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`active`: only those that have not ended."""

    active: bool = False


class StatusQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache`: of this one, its vaults and the installation."""

    cache: str | None = None


class WaitQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`wait`: answer when the work has ended, or after so many seconds."""

    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT_SECONDS)] = 0.0


class BackupWaitQuery(WaitQuery, frozen=True, forbid_unknown_fields=True):
    """`copies`: wait also until none of its copies waits or is made; a failed one has ended.

    `gone`: wait also while it is being deleted; when nothing is left of it there is no answer
    but 404.
    """

    copies: bool = False
    gone: bool = False


async def status(asked: Asked) -> Status:
    """The whole at a glance, or one cache."""
    outside = asked.outside
    moment, name = moment_of(asked), asked.queried(StatusQuery).cache
    only = None if name is None else cache_named(moment.state, name).name
    found = await judgement(outside, moment, only)
    uptime = (moment.now - outside.started_at).total_seconds()
    asker = Asker(asked.role, outside.version, uptime, outside.ledger.trouble)
    used = None if only is None else vaults_of(moment.state.caches[only])
    vaults = {n: url for n, url in outside.vaults.items() if used is None or n in used}
    return await overview(moment, found, asker, vaults, only)


async def caches(asked: Asked) -> Caches:
    """All caches by name."""
    moment = moment_of(asked)
    found = sorted(moment.state.caches.items())
    return Caches(
        now=moment.now,
        caches=tuple(cache_view(moment, cache, probe=False) for _, cache in found),
    )


async def cache(asked: Asked) -> CacheDetail:
    """One cache, with what its last probe found."""
    moment = moment_of(asked)
    found = cache_named(moment.state, asked.parts["name"])
    return CacheDetail(now=moment.now, cache=cache_view(moment, found, probe=True))


async def backups(asked: Asked) -> Backups:
    """Backups, of one cache or of all; also of caches that were removed (M2)."""
    moment = moment_of(asked)
    query = asked.queried(BackupsQuery)
    if query.cache is not None and query.cache not in moment.state.catalog:
        cache_named(moment.state, query.cache)
    found = backups_of(moment.state, query.cache, unfinished=query.all)
    places = occupied(moment.state)
    return Backups(now=moment.now, backups=tuple(backup_view(moment, b, places) for b in found))


async def backup(asked: Asked) -> BackupDetail:
    """One backup by id, unique prefix of one, or CACHE/NAME; perhaps after its end."""
    first = any_backup(asked.outside.ledger.state, asked.parts["ref"])

    def now_of(state: State) -> Backup:
        return any_backup(state, first.backup_id)

    query = asked.queried(BackupWaitQuery)

    def ended(backup: Backup) -> bool:
        copied = [copy.phase for copy in backup.copies] if query.copies else []
        unended = {"waiting", "running", "deleting"} if query.gone else {"waiting", "running"}
        return not {backup.phase, *copied} & unended

    found = await _when(asked, now_of, ended, query.wait)
    moment = moment_of(asked)
    detail = backup_detail(moment, found, asked.outside.locate)
    return replace(detail, exports=exports_of(moment, found))


async def restores(asked: Asked) -> Restores:
    """Restores, oldest first."""
    moment = moment_of(asked)
    query = asked.queried(RestoresQuery)
    found = [
        restore
        for _, restore in sorted(moment.state.restores.items())
        if restore.phase in ACTIVE or not query.active
    ]
    return Restores(now=moment.now, restores=tuple(restore_view(moment, r) for r in found))


async def restore(asked: Asked) -> RestoreDetail:
    """One restore by its id; perhaps after its end."""
    restore_id = asked.parts["id"]

    def now_of(state: State) -> Restore:
        return restore_by_id(state, restore_id)

    wait = asked.queried(WaitQuery).wait
    found = await _when(asked, now_of, lambda r: r.phase not in ACTIVE, wait)
    moment = moment_of(asked)
    return RestoreDetail(now=moment.now, restore=restore_view(moment, found))


def moment_of(asked: Asked) -> Moment:
    """The present moment."""
    outside = asked.outside
    return Moment(outside.ledger.state, outside.clock.now(), outside.board)


async def _when(
    asked: Asked, of: Callable[[State], T], ended: Callable[[T], bool], wait_seconds: float
) -> T:
    """What the state says, as soon as it has ended or so much time is over."""
    ledger = asked.outside.ledger
    found = of(ledger.state)
    with anyio.move_on_after(wait_seconds):
        while not ended(found):
            found = of(await ledger.changed(ledger.state))
    return of(ledger.state)
