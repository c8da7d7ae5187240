"""Whether all is well, and if not, what is wrong and what to do: for somebody at 3 a.m.

Pure. Knows what the log knows: whether a cache answers right now is not asked here.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from daemon.answers import CacheView, LogView, Problem, Role, Status, VaultView
from daemon.api.views import (
    Moment,
    backup_view,
    backups_of,
    cache_view,
    last_restores,
    restore_view,
)
from daemon.errors import Unavailable
from events.facts import VaultName
from projections.restores import ACTIVE, Restore

RECENT = timedelta(days=1)
"""A restore that failed and left nothing to do is told of for so long."""


def status(
    moment: Moment,
    *,
    vaults: Mapping[VaultName, str],
    trouble: Unavailable | None,
    asked: tuple[Role, str, float],
) -> Status:
    """The whole at a glance; `asked` is the role, the daemon's version, and its uptime."""
    role, version, uptime = asked
    state = moment.state
    caches = tuple(
        cache_view(moment, cache, probe=False) for _, cache in sorted(state.caches.items())
    )
    unfinished = backups_of(state, None, unfinished=True)
    running = [b for b in unfinished if b.phase in ("waiting", "running")]
    restores = [state.restores[restore_id] for _, restore_id in sorted(state.active.items())]
    log = LogView(position=state.position, trouble=_problem(trouble))
    return Status(
        now=moment.now,
        version=version,
        uptime_seconds=uptime,
        your_role=role,
        log=log,
        installation=state.installation,
        problems=tuple(_problems(moment, log, caches)),
        caches=caches,
        vaults=tuple(_vault(moment, name, url) for name, url in sorted(vaults.items())),
        backups=tuple(backup_view(moment, backup) for backup in running),
        restores=tuple(restore_view(moment, restore) for restore in restores),
    )


def _problem(trouble: Unavailable | None) -> Problem | None:
    if trouble is None:
        return None
    return Problem(trouble.code, trouble.message, trouble.hint)


def _vault(moment: Moment, name: VaultName, url: str) -> VaultView:
    there = [b for b in backups_of(moment.state, None, unfinished=False) if b.vault == name]
    size = sum(b.stored.stored_bytes for b in there if b.stored)
    return VaultView(name=name, url=url, backups=len(there), stored_bytes=size)


def _problems(moment: Moment, log: LogView, caches: tuple[CacheView, ...]) -> Iterator[Problem]:
    if log.trouble is not None:
        yield log.trouble
    for cache in caches:
        yield from _of_cache(moment, cache)
    for restore in last_restores(moment.state):
        yield from _of_restore(moment, restore)


def _of_cache(moment: Moment, cache: CacheView) -> Iterator[Problem]:
    if cache.suspended:
        yield Problem(
            "suspended",
            f"{cache.name} is suspended and gets no backups: {cache.suspended}.",
            f"Declare it again, or `valkeep cache set {cache.name} --url …`.",
        )
    if cache.failed and cache.failed.failure:
        failed, failure = cache.failed, cache.failed.failure
        yield Problem(
            failure.code,
            f"Backup {cache.name}/{failed.name} failed: {failure.message}",
            failure.hint,
        )
    elif cache.newest is None and not cache.suspended:
        under_way = any(
            b.phase in ("waiting", "running")
            for b in backups_of(moment.state, cache.name, unfinished=True)
        )
        if not under_way:
            yield Problem(
                "no-backup",
                f"{cache.name} has no backup.",
                f"Make one: `valkeep backup create {cache.name} NAME`.",
            )


def _of_restore(moment: Moment, restore: Restore) -> Iterator[Problem]:
    failure = restore.failure
    if failure is None:
        return
    what = f"Restore {restore.restore_id} into {restore.target}"
    show = f"`valkeep events --cache {restore.target}`"
    if restore.phase in ACTIVE:
        yield Problem(
            "restore-undoing",
            f"{what} failed and is still being undone: {failure.message}",
            f"It is tried until it succeeds; see {show}.",
        )
    elif restore.phase == "failed" and (_recent(moment, restore) or _left_over(restore)):
        yield Problem(failure.code, f"{what} failed: {failure.message}", failure.hint)


def _recent(moment: Moment, restore: Restore) -> bool:
    return restore.ended_at is not None and moment.now - restore.ended_at < RECENT


def _left_over(restore: Restore) -> bool:
    return restore.ended is not None and not restore.ended.undone
