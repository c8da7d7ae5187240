"""Given these events, when this command, then these events: the words of the core's tests.

Folds events in envelopes of its own making and decides commands on the result. It knows no
ledger, log or clock: an event's instant is given, or follows from its place.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct

from daemon.commands import Command, StartAttempt
from daemon.decide import Context, Decision, decide
from daemon.errors import ValkeepError
from events.envelope import Envelope, Who
from events.facts import BackupId, CommitId, Position
from events.types import Event, stream_of
from projections.state import State, evolve

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAEMON = Who(kind="daemon")
ANNA = Who(kind="user", uid=1000, user="anna", pid=4242)


class At(Struct, frozen=True):
    """An event at an instant of its own."""

    at: datetime
    event: Event


class Then(Struct, frozen=True):
    """What a command led to: its events, and the state that holds them."""

    events: tuple[Event, ...]
    state: State
    decision: Decision


def an_id(number: int) -> BackupId:
    """A well-formed id; a greater number sorts later."""
    return BackupId(f"20260301T120000Z-{number:08x}")


def envelopes(
    events: Iterable[Event | At], after: State, who: Who = ANNA
) -> Iterator[tuple[Envelope, Event]]:
    """Each event in the envelope of a commit of its own, a second after the one before."""
    position = after.position
    for item in events:
        position = Position(position + 1)
        at = item.at if isinstance(item, At) else NOON + timedelta(seconds=position)
        event = item.event if isinstance(item, At) else item
        yield (
            Envelope(
                position=position,
                stream=stream_of(event),
                at=at,
                who=who,
                commit_id=CommitId(f"commit-{position}"),
            ),
            event,
        )


def given(*events: Event | At, state: State | None = None) -> State:
    """The state after these events, on top of another state if one is given."""
    state = state or State()
    for envelope, event in envelopes(events, state):
        state = evolve(state, envelope, event)
    return state


def when(
    state: State, command: Command, *, now: datetime | None = None, new_id: str | None = None
) -> Then:
    """What is decided, with an id that no earlier decision got unless one is given."""
    now = now or NOON + timedelta(seconds=state.position + 1)
    decision = decide(state, command, Context(now, new_id or an_id(state.position + 1)))
    after = given(*(At(now, event) for event in decision.events), state=state)
    return Then(decision.events, after, decision)


def after(state: State, *commands: Command) -> State:
    """The state after commands, each decided on what the one before led to."""
    for command in commands:
        state = when(state, command).state
    return state


def refused(state: State, command: Command) -> ValkeepError:
    """The refusal of a command; fails the test when it is not refused."""
    with pytest.raises(ValkeepError) as caught:
        when(state, command)
    assert caught.value.message
    assert caught.value.hint
    return caught.value


def may_start(state: State, backup_id: BackupId) -> bool:
    """Whether an attempt at a backup would be accepted now."""
    try:
        when(state, StartAttempt(backup_id))
    except ValkeepError:
        return False
    return True
