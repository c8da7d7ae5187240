"""The whole state: positions, heads, keys, and the daemon's comings and goings."""

from events.envelope import Envelope, IdempotencyKey
from events.facts import INSTALLATION, CommitId, Position, cache_stream
from events.types import DaemonStopped, Event, stream_of
from projections.state import Answered, State, evolve, fold
from tests.support.given import ANNA, NOON, At, envelopes, given
from tests.support.samples import (
    B1,
    HERE,
    ORDERS,
    STARTED,
    USERS,
    complete,
    registered,
    requested,
    running,
)


def keyed(position: int, event: Event) -> Envelope:
    """The envelope of a record that a keyed command led to."""
    return Envelope(
        position=Position(position),
        stream=stream_of(event),
        at=NOON,
        who=ANNA,
        commit_id=CommitId("one"),
        key=IdempotencyKey(uid=1000, key="k", body_sha256="ab"),
    )


def test_heads_are_each_streams_last_position() -> None:
    """The state knows the last record of every stream, as a commit has to name it (L2)."""
    state = given(STARTED, registered(), registered(USERS), requested())

    assert state.position == 4
    assert {INSTALLATION: 1, cache_stream(ORDERS): 4, cache_stream(USERS): 3} == dict(state.heads)


def test_daemon_is_up_between_start_and_stop() -> None:
    """The state tells whose log it is, when the daemon came up, and whether it went down well."""
    up = given(At(NOON, STARTED))
    down = given(DaemonStopped(reason="SIGTERM"), state=up)

    assert (HERE, NOON, True) == (up.installation, up.started_at, up.up)
    assert (HERE, NOON, False) == (down.installation, down.started_at, down.up)


def test_key_spans_the_records_of_its_command() -> None:
    """A key leads to the first and the last record of its command, and to its body (L4)."""
    state = State()
    events: list[Event] = [registered(), requested()]
    for number, event in enumerate(events, 1):
        state = evolve(state, keyed(number, event), event)
    state = given(requested(B1, name="other"), state=state)

    assert {(1000, "k"): Answered("ab", Position(1), Position(2))} == dict(state.keys)


def test_only_unfinished_backups_are_open() -> None:
    """What needs work is known without a search through all backups."""
    state = given(registered(), registered(USERS), *complete(B1))
    assert {} == dict(state.open_backups)

    busy = given(*running(B1, cache=USERS), state=state)

    assert {B1: USERS} == dict(busy.open_backups)


def test_fold_goes_on_from_a_state() -> None:
    """Folding the rest of a log onto the state of its beginning gives the state of the whole."""
    records = list(envelopes((STARTED, registered(), *complete()), State()))

    halfway = fold(records[:3])

    assert fold(records) == fold(records[3:], halfway)
    assert halfway.position == 3
