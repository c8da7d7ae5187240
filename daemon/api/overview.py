"""The whole at a glance, put together: all caches or one, what runs, the vaults, the host.

Everything is gone through once, and many caches take turns with everybody else: it is linear in
what there is.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import takewhile

from anyio.lowlevel import checkpoint
from msgspec import Struct
from msgspec.structs import replace

from daemon.answers import CacheView, LogView, Problem, Role, Status, Trouble, VaultView
from daemon.answers.standing import FailureView, Level, Vitals
from daemon.api.exports_view import running as running_exports
from daemon.api.health import AT_ONCE
from daemon.api.places import occupied
from daemon.api.views import Moment, backup_view, cache_view, next_start, restore_view
from daemon.api.vitals import Judgement
from daemon.api.work_view import work_views
from daemon.errors import Unavailable
from events.facts import CacheName, VaultName
from projections import catalog
from projections.caches import Cache
from projections.catalog import Backup
from projections.checks import Line
from projections.last_failure import last_failure
from projections.restore_pace import by_cache


class Asker(Struct, frozen=True):
    """Who asks whom: the role, the daemon's version, its uptime, why its log is not writable."""

    role: Role
    version: str
    uptime_seconds: float
    trouble: Unavailable | None = None


async def overview(
    moment: Moment,
    judgement: Judgement,
    asker: Asker,
    vaults: Mapping[VaultName, str],
    only: CacheName | None = None,
) -> Status:
    """All of it, or what there is to say of one cache."""
    state, vitals = moment.state, judgement.vitals
    exports = running_exports(moment)
    restores = (state.restores[restore_id] for _, restore_id in sorted(state.active.items()))
    places = occupied(state)
    return Status(
        now=moment.now,
        version=asker.version,
        uptime_seconds=asker.uptime_seconds,
        your_role=asker.role,
        log=LogView(position=state.position, trouble=_trouble(asker.trouble)),
        installation=state.installation,
        problems=tuple(map(_problem, _bad(judgement.lines))),
        caches=tuple([view async for view in _caches(moment, judgement.lines, only)]),
        vaults=tuple([view async for view in vault_views(moment, vaults, vitals)]),
        backups=tuple([backup_view(moment, one, places) async for one in _begun(moment, only)]),
        restores=tuple(
            restore_view(moment, one)
            for one in restores
            if only is None or only in (one.target, one.backup_cache)
        ),
        exports=tuple(one for one in exports if only in (None, one.cache)),
        work=tuple([view async for view in work_views(moment, only)]),
        host=vitals.host if vitals else None,
    )


async def _begun(moment: Moment, only: CacheName | None) -> AsyncIterator[Backup]:
    """Backups that wait or run, oldest first."""
    for number, (backup_id, cache) in enumerate(sorted(moment.state.open_backups.items())):
        if number % AT_ONCE == 0:
            await checkpoint()
        backup = catalog.get(moment.state.catalog, cache, backup_id)
        if backup and backup.phase in ("waiting", "running") and only in (None, cache):
            yield backup


def _bad(lines: tuple[Line, ...]) -> Iterator[Line]:
    """Those that are not well; they come first."""
    return takewhile(lambda line: line.level != "ok", lines)


async def _caches(
    moment: Moment, lines: tuple[Line, ...], only: CacheName | None
) -> AsyncIterator[CacheView]:
    levels: dict[str, Level] = {}
    # Worst first, so the first line of a cache is its level; what is well comes last.
    for line in _bad(lines):
        if line.cache is not None:
            levels.setdefault(line.cache, line.level)
    restores = by_cache(moment.state)
    found = sorted(moment.state.caches.items())
    for number, (name, cache) in enumerate(found):
        if number % AT_ONCE == 0:
            await checkpoint()
        if only in (None, name):
            view = cache_view(
                moment, cache, probe=only is not None, restores=restores.get(name, ())
            )
            yield _with_outlook(moment, cache, view, levels.get(name, "ok"))


def _with_outlook(moment: Moment, cache: Cache, view: CacheView, level: Level) -> CacheView:
    failed = last_failure(moment.state, cache.name, moment.now)
    told = failed and FailureView(
        at=failed.at,
        what=failed.what,
        why=failed.why,
        hint=failed.hint,
        code=failed.code,
        backup_id=failed.backup_id,
        since=failed.since.name if failed.since else None,
        since_at=failed.since.completed_at if failed.since else None,
    )
    coming = next_start(moment, cache)
    return replace(view, level=level, last_failure=told, next_start=coming)


class _Held(Struct):
    """What the log says lies in a vault."""

    backups: int = 0
    copies: int = 0
    stored_bytes: int = 0


async def vault_views(
    moment: Moment, urls: Mapping[VaultName, str], vitals: Vitals | None
) -> AsyncIterator[VaultView]:
    """Every vault: what the log says lies in it, and whether it answers."""
    held = {name: _Held() for name in urls}
    for number, of_cache in enumerate(moment.state.catalog.values()):
        if number % AT_ONCE == 0:
            await checkpoint()
        for backup in of_cache.values():
            _count(held, backup)
    for name, url in sorted(urls.items()):
        found, reach = held[name], vitals.vaults.get(name) if vitals else None
        yield VaultView(name, url, found.backups, found.stored_bytes, found.copies, reach)


def _count(held: dict[VaultName, _Held], backup: Backup) -> None:
    """One backup where it lies, and its copies where they are."""
    if backup.phase == "complete" and backup.stored and (own := held.get(backup.vault)):
        own.backups += 1
        own.stored_bytes += backup.stored.stored_bytes
    for copy in backup.copies:
        if copy.phase == "complete" and (there := held.get(copy.vault)):
            there.copies += 1
            there.stored_bytes += copy.stored_bytes


def _trouble(trouble: Unavailable | None) -> Problem | None:
    return Problem(trouble.code, trouble.message, trouble.hint) if trouble else None


def _problem(line: Line) -> Trouble:
    told = f"{line.cache}: {line.message}" if line.cache else line.message
    return Trouble(line.code, told, line.hint, line.level, line.rule, line.cache)
