"""Events to stored bytes and back: JSON that opens with a tag, such as ``backup-requested/1``.

Knows the tags of today and the way up from every older one. It knows nothing of envelopes
and hashes, and it never skips: what it cannot read, it refuses. Bytes are a function of the
event alone: fields in the order of their definition, mappings in the order of their keys.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast, get_args

import msgspec
from msgspec import Struct, structs

from events.facts import Position
from events.log import LogCorrupt, UnknownEvent
from events.types import Event

T = TypeVar("T", bound=Struct)
Plain = dict[str, Any]
"""An event as plain JSON values; an upcaster sees nothing else, so that types may go."""


class Upcast(Struct, frozen=True):
    """One step up: what to do with the plain values, and the tag they then have.

    `change` must not modify what it is given. Steps are chained (v1 to v2 to v3), so a new
    version needs one new step and no change to the old ones.
    """

    tag: str
    change: Callable[[Plain], Plain]


def _unchanged(old: Plain) -> Plain:
    """A newer version only added fields that may be missing."""
    return old


def _serves(old: Plain) -> Plain:
    """What a target was left with after a failed restore was told in words only."""
    if "had loaded the backup" in old["failure"]["message"]:
        return {**old, "serves": "new"}
    restarted = any("was restarted meanwhile" in note for note in old.get("by_hand", ()))
    return {**old, "serves": "unknown"} if restarted or not old["undone"] else old


UPCASTS: Mapping[str, Upcast] = {
    "cache-registered/1": Upcast("cache-registered/2", _unchanged),
    "cache-reconfigured/1": Upcast("cache-reconfigured/2", _unchanged),
    "backup-requested/1": Upcast("backup-requested/2", _unchanged),
    "backup-completed/1": Upcast("backup-completed/2", _unchanged),
    "cache-registered/2": Upcast("cache-registered/3", _unchanged),
    "cache-reconfigured/2": Upcast("cache-reconfigured/3", _unchanged),
    "policy-set/1": Upcast("policy-set/2", _unchanged),
    "leftovers-swept/1": Upcast("leftovers-swept/2", _unchanged),
    "snapshot-taken/1": Upcast("snapshot-taken/2", _unchanged),
    "restore-requested/1": Upcast("restore-requested/2", _unchanged),
    "restore-requested/2": Upcast("restore-requested/3", _unchanged),
    "restore-planned/1": Upcast("restore-planned/2", _unchanged),
    "restore-completed/1": Upcast("restore-completed/2", _unchanged),
    "snapshot-taken/2": Upcast("snapshot-taken/3", _unchanged),
    "backup-verified/1": Upcast("backup-verified/2", _unchanged),
    "backup-verified/2": Upcast("backup-verified/3", _unchanged),
    "backup-recovered/1": Upcast("backup-recovered/2", _unchanged),
    "restore-failed/1": Upcast("restore-failed/2", _serves),
}
"""From every tag that was ever written and is no longer a type; may only grow."""


class Codec(Generic[T]):
    """Encodes and decodes one union of tagged structs.

    A table of upcasts that does not lead every old tag to a type of today is a `ValueError`.
    """

    def __init__(self, types: tuple[type[T], ...], upcasts: Mapping[str, Upcast]) -> None:
        union = types[0]
        for other in types[1:]:
            union = cast("type[T]", union | other)
        self._decoder = msgspec.json.Decoder(union)
        self._encoder = msgspec.json.Encoder()
        self._tags = {_tag(kind) for kind in types}
        self._upcasts = upcasts
        for old in upcasts:
            self._check(old)

    def encode(self, event: T) -> bytes:
        """The bytes to store; the same for equal events."""
        return self._encoder.encode(_ordered(event))

    def decode(self, data: bytes, position: Position | None = None) -> T:
        """The event in stored bytes, brought up to its newest version.

        `position` is for messages only. Raises `UnknownEvent` for a tag or a shape that this
        version does not know, `LogCorrupt` for bytes that are no tagged JSON object.
        """
        try:
            return self._decoder.decode(data)
        except ValueError as error:
            return self._decode_old(data, _where(position), error)

    def _decode_old(self, data: bytes, where: str, cause: ValueError) -> T:
        """The slow way: climb from an old tag, or say what is wrong."""
        plain = _plain(data, where)
        tag = plain["type"]
        if tag in self._tags:
            raise _misfit(tag, cause, where=where) from cause
        while tag not in self._tags:
            step = self._upcasts.get(tag)
            if step is None:
                raise UnknownEvent(
                    f'the event{where} is of type "{tag}", which this version does not know',
                    "this log was written by a newer Valkeep; install it",
                ) from None
            tag = step.tag
            plain = {**step.change(plain), "type": tag}
        try:
            return self._decoder.decode(self._encoder.encode(plain))
        except ValueError as error:
            raise _misfit(tag, error, where=where) from error

    def _check(self, old: str) -> None:
        """Every way up ends at a type of today, and no type of today is on the way."""
        if old in self._tags:
            raise ValueError(f"{old} is a type of today and must not be upcast")
        seen = {old}
        while old not in self._tags:
            step = self._upcasts.get(old)
            if step is None or step.tag in seen:
                raise ValueError(f"the upcasts lead to {old} and from there to no type of today")
            old = step.tag
            seen.add(old)


def _tag(kind: type[Struct]) -> str:
    tag = kind.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{kind.__name__} has no tag and cannot be stored")
    return tag


def _where(position: Position | None) -> str:
    return "" if position is None else f" at position {position}"


def _plain(data: bytes, where: str) -> Plain:
    try:
        plain = msgspec.json.decode(data)
    except ValueError:
        plain = None
    if not isinstance(plain, dict) or not isinstance(plain.get("type"), str):
        raise LogCorrupt(
            f"the event{where} is not a JSON object with a type",
            "keep the file as it is; `valkeep audit verify --file LOG` tells where it is damaged",
        )
    return plain


def _misfit(tag: str, error: ValueError, *, where: str) -> UnknownEvent:
    return UnknownEvent(
        f"the event{where} does not have the shape of {tag}: {error}",
        "this log was written by another Valkeep; install the version that wrote it",
    )


def _ordered(value: object) -> object:
    """The same value with every mapping in the order of its keys.

    msgspec's own `order="deterministic"` refuses mappings whose keys are numbers.
    """
    if isinstance(value, Struct):
        changed = {}
        for name in value.__struct_fields__:
            field = getattr(value, name)
            if isinstance(field, (Struct, dict, tuple)) and (new := _ordered(field)) is not field:
                changed[name] = new
        return structs.replace(value, **changed) if changed else value
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return tuple(_ordered(item) for item in value)
    return value


_CODEC = Codec[Any](get_args(Event), UPCASTS)


def encode(event: Event) -> bytes:
    """The bytes to store; the same for equal events."""
    return _CODEC.encode(event)


def decode(data: bytes, position: Position | None = None) -> Event:
    """The event in stored bytes, brought up to its newest version; see `Codec.decode`."""
    return cast("Event", _CODEC.decode(data, position))
