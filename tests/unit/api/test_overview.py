"""The page's answer for many caches: linear in what there is, and others get their turns."""

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from daemon.answers import Status
from daemon.api.health import judged
from daemon.api.metrics import Scrape, exposition
from daemon.api.overview import Asker, overview
from daemon.api.views import Moment
from daemon.api.vitals import Judgement
from events.comparisons import ComparisonRequested
from events.copies import CopyRequested
from events.differences import ComparisonId
from events.facts import CacheName, Policy, RestoreId, VaultName, VerificationId, Window
from events.proofs import VerificationRequested
from events.types import DeletionRequested, Event, PolicySet, RestoreCompleted
from projections.state import State
from tests.support.given import NOON, an_id, given
from tests.support.samples import (
    B1,
    B2,
    B3,
    ORDERS,
    RESULT,
    SECOND,
    abandoned,
    complete,
    registered,
    requested,
    running,
    under_way,
)

pytestmark = pytest.mark.anyio

Look = Callable[[FrameType, str, Any], Any]

DAILY = Policy(auto=True, windows=(Window("02:00", 120),), timezone="Europe/Paris")
NOW = NOON + timedelta(hours=30)
ASKER = Asker("viewer", "0.1.0", 60.0)
VAULTS = {VaultName("main"): "file:///v"}


class Nobody:
    """A board on which nothing is written."""

    def standing(self, work_id: str) -> None:
        """Nobody works."""


def world(count: int) -> State:
    """So many caches, each with two backups, one that waits, and a restore; half make one now."""
    return given(*(event for n in range(count) for event in _cache(n)))


def _cache(number: int) -> list[Event]:
    name, first = CacheName(f"cache-{number}"), number * 10
    ids = [an_id(first + n) for n in range(4)]
    restore = RestoreId(an_id(first + 5))
    return [
        registered(name),
        PolicySet(cache=name, policy=DAILY, declared=False),
        *complete(ids[0], cache=name, name="one"),
        *complete(ids[1], cache=name, name="two"),
        *(
            replace(event, restore_id=restore)
            for event in (
                *under_way(ids[0], to=name, of=name),
                RestoreCompleted(cache=name, restore_id=restore, result=RESULT),
            )
        ),
        *(running(ids[2], cache=name, name="now") if number % 2 else ()),
        requested(ids[3], cache=name, name="next"),
    ]


async def asked(state: State) -> Status:
    """The whole page's answer."""
    moment = Moment(state, NOW, Nobody())
    lines = await judged(moment, None, vaults=VAULTS)
    return await overview(moment, Judgement(lines, None), ASKER, VAULTS)


async def steps(function: Callable[[], Awaitable[object]]) -> int:
    """How many instructions of Python were executed."""
    count = 0

    def look(frame: FrameType, what: str, _arg: object) -> Look:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += what == "opcode"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        await function()
    finally:
        sys.settrace(before)
    return count


async def test_the_page_is_linear_in_what_there_is() -> None:
    """Four times the caches, backups, restores and waiting work take four times the steps."""
    few, many = world(25), world(100)
    assert 100 == len((await asked(many)).caches)
    assert await steps(lambda: asked(many)) < 4.2 * await steps(lambda: asked(few))


async def test_a_scrape_is_linear_too() -> None:
    """So is what Prometheus asks for."""

    async def scraped(state: State) -> None:
        exposition(Scrape(Moment(state, NOW, Nobody()), (), VAULTS, "0", 1.0, writable=True))

    few, many = world(25), world(100)
    assert await steps(lambda: scraped(many)) < 4.2 * await steps(lambda: scraped(few))


async def test_others_have_their_turns_meanwhile() -> None:
    """Nobody waits for more than some dozens of caches to be looked at."""
    state, turns = world(320), 0

    async def others() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        await asked(state)
        tasks.cancel_scope.cancel()
    assert turns >= 3 * 320 / 32


async def test_one_cache_has_only_its_own() -> None:
    """Of one cache come its backups and its work, and nobody else's."""
    state = world(3)
    moment, name = Moment(state, NOW, Nobody()), CacheName("cache-1")
    lines = await judged(moment, None, name, vaults=VAULTS)
    found = await overview(moment, Judgement(lines, None), ASKER, VAULTS, name)
    assert [name] == [view.name for view in found.caches]
    assert {name} == {view.cache for view in found.backups}
    assert {None, name} >= {problem.cache for problem in found.problems}


async def test_every_kind_of_work_is_told() -> None:
    """What is outstanding and no backup, restore or export is in the list of other work."""
    two = VerificationId(an_id(9))
    found = await asked(
        given(
            registered(),
            *complete(B1, name="one"),
            *complete(B2, name="two"),
            *abandoned(B3, name="bad"),
            CopyRequested(cache=ORDERS, backup_id=B1, vault=SECOND, wanted_by="command"),
            VerificationRequested(cache=ORDERS, backup_id=B1, verification_id=two, cause="command"),
            ComparisonRequested(
                cache=ORDERS,
                comparison_id=ComparisonId(an_id(8)),
                backup_id=B1,
                second_cache=ORDERS,
            ),
            DeletionRequested(cache=ORDERS, backup_id=B2, reason="command"),
        )
    )
    assert [
        ("copy", "copy of orders/one into second"),
        ("comparison", "comparison of orders/one with orders as it is"),
        ("deletion", "deletion of orders/two"),
        ("sweep", "sweep of what an attempt at orders/bad left"),
        ("verification", "verification of orders/one"),
    ] == sorted(
        [(view.kind, view.what) for view in found.work],
        key=lambda one: ("copy", "comparison", "deletion", "sweep", "verification").index(one[0]),
    )
    assert (1, 0, 50) == (
        found.vaults[0].backups,
        found.vaults[0].copies,
        found.vaults[0].stored_bytes,
    )
