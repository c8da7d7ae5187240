"""Comparisons as answers: what came of one, and the names that differ while they are kept."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio

from daemon.answers.comparison import ComparisonDetail, ComparisonView
from daemon.api.asked import Asked
from daemon.api.find import any_backup, cache_named
from daemon.api.queries import WaitQuery, moment_of
from daemon.api.views import Moment, progress_view
from daemon.commands import RequestComparison
from daemon.errors import NotFound
from events.differences import ComparisonId
from events.facts import BackupId, CacheName
from projections import catalog
from projections.comparisons import Comparison
from projections.state import State


async def comparison(asked: Asked) -> ComparisonDetail:
    """One comparison by its id; with `wait`, as soon as it has ended."""
    ledger = asked.outside.ledger
    found = _known(ledger.state, asked.parts["id"])
    with anyio.move_on_after(asked.queried(WaitQuery).wait):
        while _known(ledger.state, found.comparison_id).phase == "requested":
            await ledger.changed(ledger.state)
    moment = moment_of(asked)
    found = _known(moment.state, found.comparison_id)
    return ComparisonDetail(now=moment.now, comparison=_view(moment, found))


async def names(asked: Asked) -> AsyncGenerator[bytes, None]:
    """The names of the keys that differ, one a line."""
    found = _known(asked.outside.ledger.state, asked.parts["id"])
    async with aclosing(asked.outside.names(found.comparison_id)) as lines:
        async for some in lines:
            yield some


def check_names(state: State, request: RequestComparison) -> None:
    """Refuse a side that there is not, with the nearest one that there is."""
    any_backup(state, request.backup)
    if CacheName(request.to) in state.caches:
        return
    try:
        any_backup(state, request.to)
    except NotFound as unknown:
        if "/" in request.to:
            raise
        try:
            cache_named(state, request.to)
        except NotFound as other:
            hint = other.hint if other.hint.startswith("Did you") else unknown.hint
            raise NotFound(
                "unknown-side", f"There is no backup and no cache {request.to!r}.", hint
            ) from None


def _known(state: State, comparison_id: str) -> Comparison:
    """A comparison by its id or the unique beginning of one, or `NotFound`."""
    exact = state.comparisons.get(ComparisonId(comparison_id))
    if exact is not None:
        return exact
    begun = [one for i, one in state.comparisons.items() if i.startswith(comparison_id)]
    if comparison_id and len(begun) == 1:
        return begun[0]
    raise NotFound(
        "unknown-comparison",
        f"There is no comparison {comparison_id!r}."
        if not begun
        else f"{comparison_id!r} fits {len(begun)} comparisons.",
        "`valkeep events` shows the ids of all comparisons.",
    )


def _view(moment: Moment, found: Comparison) -> ComparisonView:
    second = f"{found.second_cache} (live)"
    if found.second_backup_id is not None:
        second = _named(moment.state, found.second_cache, found.second_backup_id)
    return ComparisonView(
        comparison_id=found.comparison_id,
        phase=found.phase,
        first=_named(moment.state, found.cache, found.backup_id),
        second=second,
        backup_id=found.backup_id,
        second_cache=found.second_cache,
        wish=found.wish,
        requested_at=found.requested_at,
        requested_by=found.requested_by,
        second_backup_id=found.second_backup_id,
        ended_at=found.ended_at,
        progress=progress_view(moment, found.comparison_id),
        result=found.result,
        failure=found.failure,
    )


def _named(state: State, cache: CacheName, backup_id: BackupId) -> str:
    backup = catalog.get(state.catalog, cache, backup_id)
    return f"{cache}/{backup.name if backup else backup_id}"
