"""The state as bytes: nothing of it is lost, whatever is in it, and the fold goes on from it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin

import pytest
from immutables import Map
from msgspec import Struct, inspect, structs
from msgspec.structs import replace

from benchmarks.history import fleet, years
from events import codec
from events.facts import BackupId
from events.types import BackupRequested
from projections import frozen as carrying
from projections.frozen import PIECE_BYTES, frozen, parts, thawed
from projections.state import State, evolve
from tests.simulation.dice import Dice, dice
from tests.simulation.stories import STORIES
from tests.simulation.world import Plan, World
from tests.support.given import At, envelopes, given
from tests.support.golden import SEQUELS, golden, leading_to

T = TypeVar("T")
TEXTS = ("", "plain", 'quote " \\', "line\nend", "é \U0001f4a9 \x00", "x" * 300)


def there_and_back(state: State) -> State:
    """The state that was made into bytes, and of them again."""
    return thawed(list(frozen(state)))


def _instant(thrown: Dice) -> datetime:
    zone = timezone(timedelta(hours=thrown.randrange(9)))
    return datetime(2031, 10, 26, 2, 30, 0, thrown.randrange(10**6), zone)


def anything(kind: object, thrown: Dice) -> object:
    """A value of a type, with as much in it as the type allows."""
    makers: dict[object, Callable[[], object]] = {
        str: lambda: thrown.choice(TEXTS),
        int: lambda: thrown.choice([0, -1, 7, 2**63, -(2**64), 10**30]),
        float: lambda: thrown.choice([0.0, 0.1, -1.5e300, 3.0]),
        bool: lambda: thrown.random() < 0.5,
        NoneType: lambda: None,
        date: lambda: date(2028, 2, 29),
        datetime: lambda: _instant(thrown),
    }
    kind = getattr(kind, "__supertype__", kind)
    if kind in makers:
        return makers[kind]()
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind(**{f.name: anything(f.type, thrown) for f in structs.fields(kind)})
    return _anything_of(kind, thrown)


def _anything_of(kind: object, thrown: Dice) -> object:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return thrown.choice(inner)
    if origin in (Union, UnionType):
        return anything(thrown.choice(inner), thrown)
    if origin is tuple and inner[-1] is not Ellipsis:
        return tuple(anything(each, thrown) for each in inner)
    if origin is tuple:
        return tuple(anything(inner[0], thrown) for _ in range(thrown.randrange(3)))
    assert origin in (dict, Map), f"no value of {kind} can be made: teach this test to"
    made = {
        anything(inner[0], thrown): anything(inner[1], thrown) for _ in range(thrown.randrange(4))
    }
    return made if origin is dict else Map(made)


@pytest.mark.parametrize("seed", range(60))
def test_any_state_survives(seed: int) -> None:
    """A state of any values that its types allow comes back equal, to the zone of an instant."""
    state = anything(State, dice(seed, "state"))

    assert isinstance(state, State)
    back = there_and_back(state)
    assert state == back
    assert repr(sorted(map(repr, _flat(state)))) == repr(sorted(map(repr, _flat(back))))


def _flat(value: object) -> list[object]:
    """What is in a value, without the order of maps."""
    if isinstance(value, Map | dict):
        return [leaf for pair in value.items() for each in pair for leaf in _flat(each)]
    if isinstance(value, tuple):
        return [type(value).__name__, *(leaf for each in value for leaf in _flat(each))]
    if isinstance(value, Struct):
        fields = (getattr(value, name) for name in value.__struct_fields__)
        return [type(value).__name__, *(leaf for each in fields for leaf in _flat(each))]
    return [value]


def test_every_type_of_the_state_can_be_carried() -> None:
    """There is no type in the state that the decoder would have to guess at."""
    unknown = (inspect.AnyType, inspect.CustomType, inspect.RawType)
    for part in parts():
        assert _kinds(inspect.type_info(part.plain)).isdisjoint(unknown), part.name


def _kinds(info: object, seen: frozenset[int] = frozenset()) -> set[type]:
    """The kinds of a type and of all that is in it."""
    found = {type(info)}
    if isinstance(info, inspect.Field):
        return _kinds(info.type, seen)
    if not isinstance(info, inspect.Type) or id(info) in seen:
        return set()
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for each in value if isinstance(value, tuple) else (value,):
            found |= _kinds(each, seen | {id(info)})
    return found


def test_new_types_are_refused_until_they_are_carried() -> None:
    """A map inside of something else than a map or a struct is refused when the parts are made."""
    with pytest.raises(TypeError, match="not known how to carry"):
        carrying._plain(tuple[Map[str, int], ...])


@pytest.mark.parametrize("name", SEQUELS)
def test_golden_events_survive(name: str) -> None:
    """A state that an event of any kind has made comes back equal, and so it folds on."""
    event = golden(name)
    before = given(*leading_to(event))
    state = given(event, state=before)

    assert state == there_and_back(state)
    assert state == given(event, state=there_and_back(before))


@pytest.mark.parametrize("story", STORIES)
def test_fold_goes_on_from_bytes(story: str) -> None:
    """At any place of a history the state that comes back folds on as the first does."""
    world = World()
    world.live(STORIES[story], Plan(kill_at=60))
    world.live(STORIES[story])
    state = goes_on = State()
    for record in world.far.records:
        event = codec.decode(record.data)
        state = evolve(state, record.envelope, event)
        goes_on = there_and_back(evolve(goes_on, record.envelope, event))
        assert state == goes_on

    assert len(world.far.records) > 5


def test_large_maps_come_in_pieces() -> None:
    """A map is divided, so that no piece is much larger than it need be."""
    events = [At(at, event) for at, event in [*fleet(200), *years(4_000, caches=300)]]
    state = State()
    for envelope, event in envelopes(events, state):
        state = evolve(state, envelope, event)
    pieces = list(frozen(state))

    names = [name for name, _ in pieces]
    assert names.count("catalog") > 1
    assert {part.name for part in parts()} == set(names)
    assert all(len(data) < 2 * PIECE_BYTES for _, data in pieces)
    assert not any(b"\n" in data for _, data in pieces)
    assert state == thawed(pieces)


def _without(name: str) -> Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]:
    return lambda pieces: [piece for piece in pieces if piece[0] != name]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without("heads"), "missing: heads"),
        (_without("hooks.file"), "missing: hooks.file"),
        (lambda pieces: [*pieces, ("up", b"true")], "up is there twice"),
        (lambda pieces: [*pieces, ("future", b"[]")], "no part future"),
        (lambda pieces: [*pieces, ("heads", b'[["cache/orders","7"]]')], "Expected `int`"),
        (lambda pieces: [*pieces, ("alarms.channels", b'[["mail",{}]]')], "missing required"),
    ],
)
def test_what_is_no_state_is_refused(
    change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]], told: str
) -> None:
    """Pieces that do not make up a state are a `ValueError`, never half a state."""
    asked = golden("backup-requested-2")
    assert isinstance(asked, BackupRequested)
    pieces = list(frozen(given(replace(asked, backup_id=BackupId("b")))))

    with pytest.raises(ValueError, match=told):
        thawed(change(pieces))
