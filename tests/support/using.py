"""Histories of storing in a few words, and the golden cases of usage that are written in them.

``2026-03-01T12:00 store a auto 1GB`` is one line of such a history; it becomes the events that a
log would hold. Nothing of the reckoning is known here.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from events.copies import BackupCleared, CopyCompleted, CopyDeleted, CopyRequested, CopyStarted
from events.facts import BackupId, BackupKind, BackupName, CacheName, StoredFacts, VaultName
from events.imports import ImportRequested
from events.prices import PricesSet, VaultPrice
from events.recoveries import BackupRecovered
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    CacheRemoved,
    DeletionRequested,
    Event,
    LeftoversSwept,
    SnapshotTaken,
)
from projections.state import State
from tests.support.given import At, an_id, given
from tests.support.samples import MAIN, ORDERS, OUTSIDE, SNAPSHOT, STARTED, STORED, registered

DATA = Path(__file__).parents[1] / "data" / "usage"
SIZES = {"B": 1, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_SIZE = re.compile(r"([0-9.]+)(B|MB|GB|TB)")


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """One line that is to come out; `gb_hours` is exact, `cost` has twelve decimals at most."""

    kind: str
    stored: str
    gb_hours: Decimal
    vault: str = "main"
    cache: str = "orders"
    cost: Decimal | None = None


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """A history, and what is to come out of it by month."""

    title: str
    why: str
    events: tuple[str, ...]
    months: dict[str, tuple[Wanted, ...]]
    until: datetime = datetime(2040, 1, 1, tzinfo=UTC)


def cases() -> Iterator[Case]:
    """All golden cases."""
    for path in sorted(DATA.glob("*.toml")):
        told = tomllib.loads(path.read_text(), parse_float=Decimal)["case"]
        yield from msgspec.convert(told, list[Case], strict=False)


def folded(*lines: str, state: State | None = None) -> State:
    """The state after a history, on top of another if one is given."""
    if state is None:
        state = given(At(datetime(2020, 1, 1, tzinfo=UTC), STARTED), *_begun())
    for line in lines:
        at, verb, *words = line.split()
        when = datetime.fromisoformat(at).replace(tzinfo=UTC)
        events = _VERBS[verb](state, words)
        state = given(*(At(when, event) for event in events), state=state)
    return state


def _begun() -> Iterator[At]:
    yield At(datetime(2020, 1, 1, tzinfo=UTC), registered(ORDERS))


def size(text: str) -> int:
    """``1.5GB`` in bytes."""
    found = _SIZE.fullmatch(text)
    assert found is not None, text
    return int(Decimal(found[1]) * SIZES[found[2]])


def id_of(name: str) -> BackupId:
    """The id of a backup that a history calls so."""
    return an_id(int.from_bytes(name.encode(), "big") % 0xFFFF_FFFF)


def _cache_of(state: State, name: str) -> CacheName:
    return next(cache for cache, of in sorted(state.catalog.items()) if id_of(name) in of)


def _stored(text: str) -> StoredFacts:
    return replace(STORED, stored_bytes=size(text))


def _asked(name: str, kind: BackupKind, *, cache: str, vault: str) -> tuple[Event, ...]:
    asked = BackupRequested(
        cache=CacheName(cache),
        backup_id=id_of(name),
        kind=kind,
        name=BackupName(name),
        vault=VaultName(vault),
    )
    begun = AttemptStarted(
        cache=CacheName(cache), backup_id=id_of(name), attempt=1, vault=VaultName(vault)
    )
    return (asked, begun)


def _store(_: State, words: list[str]) -> tuple[Event, ...]:
    """``store NAME KIND SIZE [CACHE [VAULT]]``."""
    name, kind, how_much, cache, vault = (*words, "orders", "main")[:5]
    if len(words) == 4:
        cache, vault = words[3], "main"
    found: BackupKind = msgspec.convert(kind, BackupKind)
    mine, backup_id = CacheName(cache), id_of(name)
    return (
        *_asked(name, found, cache=cache, vault=vault),
        SnapshotTaken(cache=mine, backup_id=backup_id, snapshot=SNAPSHOT),
        BackupCompleted(cache=mine, backup_id=backup_id, stored=_stored(how_much)),
    )


def _import(state: State, words: list[str]) -> tuple[Event, ...]:
    """``import NAME SIZE``."""
    told = _store(state, [words[0], "manual", words[1]])
    origin = ImportRequested(ORDERS, id_of(words[0]), "file", "/srv/dump.rdb")
    return (told[0], origin, *told[1:])


def _fail(_: State, words: list[str]) -> tuple[Event, ...]:
    """``fail NAME``: an attempt whose leftovers are swept."""
    mine = id_of(words[0])
    return (
        *_asked(words[0], "auto", cache="orders", vault="main"),
        BackupFailed(cache=ORDERS, backup_id=mine, attempt=1, failure=OUTSIDE),
        BackupAbandoned(cache=ORDERS, backup_id=mine, reason="no attempt is left"),
        LeftoversSwept(cache=ORDERS, backup_id=mine),
    )


def _ask(state: State, words: list[str]) -> tuple[Event, ...]:
    """``ask NAME``: somebody wants it gone."""
    cache = _cache_of(state, words[0])
    return (DeletionRequested(cache=cache, backup_id=id_of(words[0]), reason="command"),)


def _delete(state: State, words: list[str]) -> tuple[Event, ...]:
    """``delete NAME``: it is confirmed."""
    cache, backup_id = _cache_of(state, words[0]), id_of(words[0])
    gone = BackupDeleted(cache=cache, backup_id=backup_id)
    asked = state.catalog[cache][backup_id].phase == "deleting"
    return (gone,) if asked else (*_ask(state, words), gone)


def _clear(state: State, words: list[str]) -> tuple[Event, ...]:
    """``clear NAME``: its own vault has nothing of it, a copy is still there."""
    cache = _cache_of(state, words[0])
    return (*_ask(state, words), BackupCleared(cache, id_of(words[0]), MAIN))


def _copy(state: State, words: list[str]) -> tuple[Event, ...]:
    """``copy NAME VAULT``."""
    cache, mine, vault = _cache_of(state, words[0]), id_of(words[0]), VaultName(words[1])
    stored = state.catalog[cache][mine].stored
    assert stored is not None
    return (
        CopyRequested(cache, mine, vault, "command"),
        CopyStarted(cache, mine, vault, 1),
        CopyCompleted(cache, mine, vault, stored.stored_bytes),
    )


def _uncopy(state: State, words: list[str]) -> tuple[Event, ...]:
    """``uncopy NAME VAULT``."""
    return (CopyDeleted(_cache_of(state, words[0]), id_of(words[0]), VaultName(words[1])),)


def _recover(_: State, words: list[str]) -> tuple[Event, ...]:
    """``recover NAME KIND SIZE CREATED``."""
    name, kind, how_much, created = words
    return (
        BackupRecovered(
            cache=ORDERS,
            backup_id=id_of(name),
            kind=msgspec.convert(kind, BackupKind),
            name=BackupName(name),
            vault=MAIN,
            created_at=datetime.fromisoformat(created).replace(tzinfo=UTC),
            snapshot=SNAPSHOT,
            stored=_stored(how_much),
        ),
    )


def _remove(_: State, words: list[str]) -> tuple[Event, ...]:
    """``remove CACHE``."""
    return (CacheRemoved(cache=CacheName(words[0])),)


def _add(_: State, words: list[str]) -> tuple[Event, ...]:
    """``add CACHE``."""
    return (registered(CacheName(words[0])),)


def _price(_state: State, words: list[str]) -> tuple[Event, ...]:
    """``price CURRENCY VAULT=PRICE[/DAYS] …``, or ``price -`` for none."""
    prices = {}
    for word in words[1:]:
        vault, _, price = word.partition("=")
        text, _, days = price.partition("/")
        prices[VaultName(vault)] = VaultPrice(text, int(days or 0))
    return (PricesSet(None if words[0] == "-" else words[0], prices),)


_VERBS: Mapping[str, Callable[[State, list[str]], tuple[Event, ...]]] = {
    "store": _store,
    "import": _import,
    "fail": _fail,
    "ask": _ask,
    "delete": _delete,
    "clear": _clear,
    "copy": _copy,
    "uncopy": _uncopy,
    "recover": _recover,
    "remove": _remove,
    "add": _add,
    "price": _price,
}
