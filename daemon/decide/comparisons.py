"""Deciding on comparisons: what can be compared with what, and how a comparison ends (A11)."""

from collections.abc import Iterator

from daemon.commands import (
    CancelComparison,
    ComparisonCommand,
    ReportCompared,
    ReportNotCompared,
    RequestComparison,
)
from daemon.decide.decision import Context, Decision, known_backup, superseded, suspended
from daemon.errors import BadRequest, NotFound, Rejected
from events.comparisons import (
    ComparisonCompleted,
    ComparisonEvent,
    ComparisonFailed,
    ComparisonRequested,
)
from events.differences import ComparisonId, ComparisonWish
from events.facts import CacheName, Failure, cache_stream
from projections.catalog import Backup
from projections.comparisons import Comparison, outstanding
from projections.state import State

CANCELLED = Failure(
    code="cancelled",
    message="The comparison was cancelled.",
    hint="Ask for it again when it is wanted: nothing of it is kept.",
    permanent=True,
)
MOST_PATTERNS = 64


def decide(state: State, command: ComparisonCommand, context: Context) -> Decision:
    """The events of one command or report about a comparison."""
    match command:
        case RequestComparison():
            event = _requested(state, command, context)
            return Decision((event,), frozenset({cache_stream(event.second_cache)}))
        case CancelComparison():
            return Decision((_failed(_running(state, command.comparison), CANCELLED),))
        case ReportCompared() | ReportNotCompared():
            return Decision((_ended(state, command),))


def _requested(state: State, command: RequestComparison, context: Context) -> ComparisonRequested:
    _check(command)
    first = _complete(known_backup(state, command.backup))
    second_backup_id = None
    cache = state.caches.get(CacheName(command.to))
    if cache is None:
        second = _complete(known_backup(state, command.to))
        second_cache, second_backup_id = second.cache, second.backup_id
    else:
        second_cache = cache.name
        if cache.suspended:
            raise suspended(cache)
        if cache.name in state.active:
            raise Rejected(
                "restore-running",
                f"A restore into {cache.name!r} is under way: it is neither the old nor the new.",
                f"Wait for its end: restore {state.active[cache.name]} in `valkeep status`.",
            )
    return ComparisonRequested(
        cache=first.cache,
        comparison_id=ComparisonId(context.new_id),
        backup_id=first.backup_id,
        second_cache=second_cache,
        second_backup_id=second_backup_id,
        wish=ComparisonWish(command.keys, command.database, command.names),
    )


def _check(command: RequestComparison) -> None:
    if (command.names or 0) < 0 or (command.database or 0) < 0:
        raise BadRequest(
            "comparison", "A number of names or of a database is not negative.", "Give 0 or more."
        )
    if len(command.keys) > MOST_PATTERNS or not all(command.keys):
        raise BadRequest(
            "comparison",
            f"Patterns are at most {MOST_PATTERNS}, and none of them is empty.",
            "Leave them out to compare all keys.",
        )


def _complete(backup: Backup) -> Backup:
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"Backup {backup.cache}/{backup.name} is not complete yet.",
            f"Wait for its end: `valkeep backup show {backup.backup_id}`.",
        )
    return backup


def _running(state: State, comparison_id: str) -> Comparison:
    found = state.comparisons.get(ComparisonId(comparison_id))
    if found is None:
        raise NotFound(
            "unknown-comparison",
            f"There is no comparison {comparison_id!r}.",
            "`valkeep events` shows the ids of all comparisons.",
        )
    if found.phase != "requested":
        raise Rejected(
            "comparison-over", f"Comparison {comparison_id} has ended.", "Nothing is left to do."
        )
    return found


def _ended(state: State, command: ReportCompared | ReportNotCompared) -> ComparisonEvent:
    found = state.comparisons.get(command.comparison_id)
    if found is None or found.phase != "requested":
        raise superseded(f"Comparison {command.comparison_id}")
    if isinstance(command, ReportNotCompared):
        return _failed(found, command.failure)
    return ComparisonCompleted(found.cache, found.comparison_id, command.result)


def _failed(comparison: Comparison, failure: Failure) -> ComparisonFailed:
    return ComparisonFailed(comparison.cache, comparison.comparison_id, failure)


def cut_off(state: State, failure: Failure) -> Iterator[ComparisonFailed]:
    """The comparisons that the end of the daemon has cut off: whoever wants one asks again."""
    for one in outstanding(state.comparisons):
        yield _failed(one, failure)
