"""Whether all is well, and if not, what is wrong and what to do: for somebody at 3 a.m.

Knows what the log knows: whether a cache answers right now is not asked here. What is wrong is
judged in one place for `status` and `check`. Many caches take turns with everybody else.
"""

from collections.abc import Mapping

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from daemon.answers import CacheView, LogView, Problem, Role, Status, VaultView
from daemon.api.exports_view import running as running_exports
from daemon.api.views import (
    Moment,
    backup_view,
    backups_of,
    cache_view,
    next_start,
    restore_view,
)
from daemon.errors import Unavailable
from events.facts import CacheName, Failure, VaultName
from projections import checks
from projections.catalog import copies_in
from projections.checks import Line
from projections.log_checks import CopyStanding
from projections.verdicts import elsewhere

AT_ONCE = 32
"""Caches that are looked at before others get a turn on the event loop."""


async def judged(
    moment: Moment,
    trouble: Unavailable | None,
    only: CacheName | None = None,
    *,
    vaults: Mapping[VaultName, str],
    copies: tuple[CopyStanding, ...] = (),
) -> tuple[Line, ...]:
    """Every rule's verdict, worst first; on all caches or on one, and on the installation."""
    failure = Failure(trouble.code, trouble.message, trouble.hint) if trouble else None
    lines: list[Line] = [
        *elsewhere(moment.state, moment.now, vaults, copies, only),
    ]
    for number, portion in enumerate(checks.judge(moment.state, moment.now, failure, only)):
        if number % AT_ONCE == 0:
            await checkpoint()
        lines += portion
    return checks.ordered(lines)


async def status(
    moment: Moment,
    *,
    vaults: Mapping[VaultName, str],
    trouble: Unavailable | None,
    asked: tuple[Role, str, float],
    copies: tuple[CopyStanding, ...] = (),
) -> Status:
    """The whole at a glance; `asked` is the role, the daemon's version, and its uptime."""
    role, version, uptime = asked
    state = moment.state
    unfinished = backups_of(state, None, unfinished=True)
    running = [b for b in unfinished if b.phase in ("waiting", "running")]
    restores = [state.restores[restore_id] for _, restore_id in sorted(state.active.items())]
    lines = await judged(moment, trouble, vaults=vaults, copies=copies)
    return Status(
        now=moment.now,
        version=version,
        uptime_seconds=uptime,
        your_role=role,
        log=LogView(position=state.position, trouble=_trouble(trouble)),
        installation=state.installation,
        problems=tuple(_problem(line) for line in lines if line.level != "ok"),
        caches=await _caches(moment),
        vaults=tuple(_vault(moment, name, url) for name, url in sorted(vaults.items())),
        backups=tuple(backup_view(moment, backup) for backup in running),
        restores=tuple(restore_view(moment, restore) for restore in restores),
        exports=running_exports(moment),
    )


async def _caches(moment: Moment) -> tuple[CacheView, ...]:
    views = []
    for number, (_, cache) in enumerate(sorted(moment.state.caches.items())):
        if number % AT_ONCE == 0:
            await checkpoint()
        view = cache_view(moment, cache, probe=False)
        views.append(replace(view, next_start=next_start(moment, cache)))
    return tuple(views)


def _trouble(trouble: Unavailable | None) -> Problem | None:
    if trouble is None:
        return None
    return Problem(trouble.code, trouble.message, trouble.hint)


def _problem(line: Line) -> Problem:
    told = f"{line.cache}: {line.message}" if line.cache else line.message
    return Problem(line.code, told, line.hint)


def _vault(moment: Moment, name: VaultName, url: str) -> VaultView:
    there = [b for b in backups_of(moment.state, None, unfinished=False) if b.vault == name]
    size = sum(b.stored.stored_bytes for b in there if b.stored)
    copied = copies_in(moment.state.catalog, name)
    return VaultView(
        name=name,
        url=url,
        backups=len(there),
        stored_bytes=size + sum(copy.stored_bytes for copy in copied),
        copies=len(copied),
    )
