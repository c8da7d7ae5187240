"""The suspicion gate by golden cases, and what any sequence of sizes leads to (A11)."""

import tomllib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from daemon.commands import AcknowledgeBackup, ExpireBackups
from daemon.decide.suspicion import suspected
from events.facts import BackupKind
from events.suspicions import Suspicion
from events.types import DeletionRequested, PolicySet
from projections.catalog import Backup
from projections.doubts import suspects
from projections.forecast import simulate
from projections.state import State
from projections.suspicion import Measure, suspicion
from tests.support.given import NOON, At, an_id, given, refused, when
from tests.support.retaining import policy, story
from tests.support.samples import MAIN, ORDERS, SERVER, SNAPSHOT, STORED, registered

DATA = Path(__file__).parents[2] / "data" / "suspicion"
SOME = Suspicion(
    keys=1,
    median_keys=2,
    plain_bytes=1,
    median_plain_bytes=2,
    compared=3,
    percent=50,
    reason="some",
)
DAY = timedelta(days=1)


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """Backups before, a new one, and what is to be said of it."""

    title: str
    before: tuple[str, ...]
    new: str
    says: str
    percent: int = 50


def cases() -> Iterator[Case]:
    """All golden cases."""
    for path in sorted(DATA.glob("*.toml")):
        yield from msgspec.convert(tomllib.loads(path.read_text())["case"], list[Case])


def measure(text: str) -> Measure:
    """``KEYS`` or ``KEYS/BYTES``; bytes that are not said are as always."""
    keys, _, plain_bytes = text.partition("/")
    return Measure(int(keys), int(plain_bytes or 100))


def backup(number: int, text: str) -> Backup:
    """A complete backup of a golden case; a greater number is newer."""
    size, _, word = text.partition(" ")
    kind: BackupKind = "auto"
    if word in ("manual", "safety"):
        kind = "manual" if word == "manual" else "safety"
    found = measure(size)
    server = replace(SERVER, keys={0: found.keys})
    return Backup(
        backup_id=an_id(number),
        cache=ORDERS,
        kind=kind,
        name=story(an_id(number), NOON)[0].name,  # type: ignore[union-attr]
        vault=MAIN,
        requested_at=NOON,
        requested_by="anna",
        phase="complete",
        snapshot=replace(SNAPSHOT, server=server, taken_at=NOON + number * DAY),
        stored=replace(STORED, plain_bytes=found.plain_bytes),
        suspicion=SOME if word in ("suspect", "acknowledged") else None,
        acknowledged_at=NOON if word == "acknowledged" else None,
    )


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.title)
def test_golden_case(case: Case) -> None:
    """The gate says of a backup what the case says, in whatever order the others come."""
    before = [backup(number, text) for number, text in enumerate(case.before)]
    for order in (before, before[::-1]):
        found = suspicion(order, measure(case.new), case.percent)
        assert case.says == (found.reason if found else "")


def lived(sizes: Sequence[int], *, keep_last: int = 1) -> State:
    """A cache with a day between its scheduled backups, each of so many keys, flagged or not."""
    state = given(
        registered(), PolicySet(cache=ORDERS, policy=policy(retention_days=1, keep_last=keep_last))
    )
    for number, keys in enumerate(sizes):
        at = NOON + number * DAY
        asked, begun, taken, done = story(an_id(number + 1), at)
        server = replace(SERVER, keys={0: keys})
        taken = replace(taken, snapshot=replace(SNAPSHOT, server=server, taken_at=at))
        state = given(*(At(at, event) for event in (asked, begun, taken)), state=state)
        made = state.catalog[ORDERS][an_id(number + 1)]
        flags = suspected(state, made, STORED)
        state = given(*(At(at, event) for event in (done, *flags)), state=state)
    return state


def goes(state: State, *, days: int) -> set[str]:
    """What retention deletes when so many days have passed since the first backup."""
    decided = when(state, ExpireBackups(ORDERS), now=NOON + days * DAY)
    return {e.backup_id for e in decided.events if isinstance(e, DeletionRequested)}


SIZES = st.lists(st.sampled_from([0, 1, 40, 100, 101, 5000]), min_size=1, max_size=14)


@any_of(SIZES, st.integers(0, 3), st.integers(0, 40))
def test_nothing_good_is_lost_before_a_suspicion(sizes: list[int], keep: int, days: int) -> None:
    """Whatever the sizes: the last good ones before the first suspect one stay, and it does."""
    state = lived(sizes, keep_last=keep)
    found = suspects(state, ORDERS)
    if not found:
        return
    first = found[0].backup_id
    good = sorted(b for b, one in state.catalog[ORDERS].items() if b < first and not one.suspect)

    going = goes(state, days=days)

    assert good[-max(1, keep) :], "a first suspect has good ones before it"
    assert going.isdisjoint({first, found[-1].backup_id, *good[-max(1, keep) :]})


@any_of(SIZES, st.integers(0, 3))
def test_forecast_agrees_with_retention(sizes: list[int], keep: int) -> None:
    """What `simulate` says will be gone on a later day is what retention deletes by then."""
    state = lived(sizes, keep_last=keep)
    now = NOON + len(sizes) * DAY
    fates = simulate(state, ORDERS, now, days=9).fates
    gone = {fate.backup.backup_id for fate in fates if fate.last is not None}

    assert goes(state, days=len(sizes) + 9) == gone


def test_acknowledged_is_good_and_settles_it() -> None:
    """After the word nothing is suspect, the old ones may go, and a second word is refused."""
    state = lived((100, 100, 100, 1))
    assert {an_id(1), an_id(2)} == goes(state, days=30)

    said = when(state, AcknowledgeBackup(an_id(4)), now=NOON + 4 * DAY).state

    assert () == suspects(said, ORDERS)
    assert {an_id(1), an_id(2), an_id(3)} == goes(said, days=30)
    assert "already-acknowledged" == refused(said, AcknowledgeBackup(an_id(4))).code


def test_only_what_is_suspect_is_acknowledged() -> None:
    """A word on a backup that nobody has flagged is refused."""
    state = lived((100, 100))
    assert "not-suspect" == refused(state, AcknowledgeBackup(an_id(1))).code
