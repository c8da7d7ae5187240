"""A forecast of usage against a month that is lived to its end by the daemon's decisions (S3)."""

from collections.abc import Iterable
from datetime import timedelta

from hypothesis import given as drawn
from hypothesis import settings
from msgspec.structs import replace

from daemon.commands import ReportDeleted
from projections.retention import next_expiry
from projections.schedule import agenda
from projections.state import State
from projections.usage import month_of, month_start
from projections.usage_forecast import expected
from projections.usage_month import Line, lines
from tests.support.given import when
from tests.support.samples import ORDERS
from tests.unit.decide.test_forecast import Old, World, settled, worlds

Figures = dict[tuple[str, str], tuple[int, int]]


@settings(max_examples=25, deadline=None)
@drawn(worlds)
def test_a_month_comes_out_as_it_was_forecast(world: World) -> None:
    """To the microsecond: what comes, when it comes, and when retention lets it go."""
    sized = Old(timedelta(days=20), "manual")  # without any backup no size could be assumed
    world = replace(world, old=(sized, *world.old))
    state, month = world.state(), month_of(world.now)
    ahead = figures(expected(state, world.now).lines)
    really = figures(lines(lived(world, state).usage, month, month_start(month + 1)))

    assert really == ahead


def figures(found: Iterable[Line]) -> Figures:
    """What lies there at the end, and byte-microseconds, by kind and vault."""
    return {(one.kind, one.vault): (one.stored_bytes, one.byte_micros) for one in found}


def lived(world: World, state: State) -> State:
    """The month as it comes: what is due is decided, and succeeds at once, deletions too."""
    now, end = world.now, month_start(month_of(world.now) + 1)
    while now < end:
        state = settled(state, now)
        for backup_id in sorted(state.open_backups):
            state = when(state, ReportDeleted(backup_id), now=now).state
        nexts = (agenda(state, ORDERS, now).next_at, next_expiry(state, ORDERS, now))
        now = min((at for at in nexts if at is not None), default=end)
    return state
