"""The state as bytes, in named parts, and back again: every type in it survives exactly.

The parts follow from the types of `State` alone: a field that is added is carried, or the parts
cannot be made. JSON as in the log, because that keeps whole numbers of any size, and the zones of
instants. Knows nothing of files and logs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from operator import attrgetter
from typing import TypeVar, cast, get_args, get_origin

import msgspec
from immutables import Map
from msgspec import Struct, structs

from projections.state import State

PIECE_BYTES = 1 << 18
"""A piece of a map ends after so much: whoever writes pieces in a thread lets others in between."""

T = TypeVar("T", bound=Struct)
Thaw = Callable[[object], object]
"""From what the decoder gives to the real value."""


class Part(Struct, frozen=True):
    """One part of the state: a map, which may come in several pieces, or a single value."""

    name: str
    plain: object
    """The type that its JSON is decoded to."""
    get: Callable[[State], object]
    """From a state to this part of it."""
    thaw: Callable[[bytes], object]
    """From one piece's JSON to the real value."""


def frozen(state: State) -> Iterator[tuple[str, bytes]]:
    """The pieces of a state: of which part each is, and its JSON, which has no line breaks."""
    for part in parts():
        value = part.get(state)
        if isinstance(value, Map):
            for piece in _pieces(value):
                yield part.name, piece
        else:
            yield part.name, _ENCODE(value)


def thawed(pieces: Iterable[tuple[str, bytes]]) -> State:
    """The state of which these are the pieces; raises `ValueError` where they are no state's."""
    known = {part.name: part for part in parts()}
    found: dict[str, object] = {}
    for name, data in pieces:
        if name not in known:
            raise ValueError(f"there is no part {name}")
        value, before = known[name].thaw(data), found.get(name)
        if isinstance(before, Map) and isinstance(value, Map):
            value = before.update(value)
        elif name in found:
            raise ValueError(f"part {name} is there twice")
        found[name] = value
    if found.keys() != known.keys():
        raise ValueError(f"parts are missing: {', '.join(sorted(known.keys() - found.keys()))}")
    return _made(State, found, "")


@cache
def parts() -> tuple[Part, ...]:
    """All parts; raises `TypeError` for a type of which it is not known how to carry it."""
    return tuple(_parts(State, ""))


def _parts(kind: type[Struct], within: str) -> Iterator[Part]:
    for field in structs.fields(kind):
        name = f"{within}{field.name}"
        if _divided(field.type):
            yield from _parts(field.type, f"{name}.")
        else:
            yield _part(name, field.type)


def _part(name: str, kind: object) -> Part:
    plain = _plain(kind)
    decode, thaw = msgspec.json.Decoder(plain).decode, _thaw(kind)
    return Part(name, plain, attrgetter(name), lambda data: thaw(decode(data)))


def _divided(kind: object) -> bool:
    """Whether a part is divided: a struct that has maps of its own."""
    return isinstance(kind, type) and issubclass(kind, Struct) and _has_map(kind)


def _made(kind: type[T], found: Mapping[str, object], within: str) -> T:
    """A struct of its parts."""
    values = {}
    for field in structs.fields(kind):
        name = f"{within}{field.name}"
        divided = _divided(field.type)
        values[field.name] = _made(field.type, found, f"{name}.") if divided else found[name]
    return kind(**values)


def _pieces(whole: Map[object, object]) -> Iterator[bytes]:
    """The entries of a map, some at a time; of an empty one, none once."""
    piece: list[bytes] = []
    room = PIECE_BYTES
    for entry in whole.items():
        piece.append(_ENCODE(entry))
        room -= len(piece[-1])
        if room < 0:
            yield _listed(piece)
            piece, room = [], PIECE_BYTES
    if piece or not whole:
        yield _listed(piece)


def _listed(piece: list[bytes]) -> bytes:
    return b"[" + b",".join(piece) + b"]"


def _pairs(value: object) -> object:
    """A map as JSON has it: pairs, because keys may be tuples."""
    if isinstance(value, Map):
        return list(value.items())
    raise TypeError(f"{type(value).__name__} cannot be carried")


_ENCODE = msgspec.json.Encoder(enc_hook=_pairs).encode


@cache
def _has_map(kind: object) -> bool:
    """Whether there is a map anywhere in values of a type."""
    if get_origin(kind) is Map:
        return True
    if isinstance(kind, type) and issubclass(kind, Struct):
        return any(_has_map(field.type) for field in structs.fields(kind))
    return any(_has_map(inner) for inner in get_args(kind) if _is_type(inner))


def _is_type(inner: object) -> bool:
    """Not the words of a `Literal`, nor the dots of a tuple."""
    return not isinstance(inner, str | int) and inner is not Ellipsis


def _plain(kind: object) -> object:
    """The type that the decoder is given: the same with pairs in the place of maps."""
    if not _has_map(kind):
        return kind
    if get_origin(kind) is Map:
        key, value = get_args(kind)
        return list[tuple[key, _plain(value)]]  # type: ignore[misc, valid-type]
    if isinstance(kind, type) and issubclass(kind, Struct):
        fields = [(field.name, _plain(field.type)) for field in structs.fields(kind)]
        return msgspec.defstruct(f"Plain{kind.__name__}", fields, forbid_unknown_fields=True)
    raise TypeError(f"it is not known how to carry maps within {kind}")


def _thaw(kind: object) -> Thaw:
    """How a value of the plain type becomes one of this type."""
    if get_origin(kind) is Map:
        return _thaw_map(_thaw(get_args(kind)[1]))
    if isinstance(kind, type) and issubclass(kind, Struct) and _has_map(kind):
        return _thaw_struct(kind)
    return _as_it_is


def _as_it_is(value: object) -> object:
    return value


def _thaw_map(inner: Thaw) -> Thaw:
    if inner is _as_it_is:
        return cast("Thaw", Map)
    return lambda pairs: Map((key, inner(value)) for key, value in pairs)  # type: ignore[attr-defined]


def _thaw_struct(kind: type[Struct]) -> Thaw:
    inner = {field.name: _thaw(field.type) for field in structs.fields(kind)}
    return lambda plain: kind(**{name: thaw(getattr(plain, name)) for name, thaw in inner.items()})
