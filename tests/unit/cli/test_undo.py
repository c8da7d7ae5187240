"""`valkeep restore undo` against a real socket: what it shows, asks, and exits with."""

import json

import pytest

from daemon.answers import RestoreDetail
from daemon.cli.restore_page import result_lines
from events.types import Event, RestoreCompleted
from projections.state import State
from tests.support.api import Served, serving
from tests.support.given import NOON
from tests.support.samples import (
    B1,
    ORDERS,
    R1,
    RESULT,
    complete,
    plan,
    registered,
    under_way,
)
from tests.unit.decide.test_undo import safety, saved

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


STORY: tuple[Event | tuple[Event, ...], ...] = (
    registered(),
    complete(name="nightly"),
    under_way(B1),
    saved(R1, ORDERS),
    RestoreCompleted(cache=ORDERS, restore_id=R1, result=RESULT),
)
SAFETY = f"before-{R1}"


def asked(state: State) -> list[tuple[str | None, str]]:
    """Every undoing that was asked for, and the backup that it restores."""
    return [(r.undoes, r.backup_id) for r in state.restores.values() if r.undoes]


async def test_undo_shows_what_comes_back() -> None:
    """The plan of an undoing tells what was restored when by whom, what comes back, till when."""
    async with serving(*STORY) as api:
        printed = await api.type("restore", "undo", "orders", "--plan")
        as_json = await api.type("restore", "--json", "undo", "orders", "--plan")

    lines = printed.out.splitlines()
    assert f"Undo: restore {R1} of orders/nightly into orders" == lines[0]
    assert "  asked for   2026-03-01 12:02:00Z by daemon" == lines[1]
    assert f"  comes back  the data of {NOON:%Y-%m-%d %H:%M:%SZ}, 3 h ago" == lines[3]
    assert "  kept until  2026-03-08 12:00:00Z" == lines[4]
    assert f"Plan: restore orders/{SAFETY} into orders" in lines
    assert max(map(len, lines)) <= 80
    assert R1 == json.loads(as_json.out)["undoes"]["restore_id"]
    assert [] == asked(api.ledger.state)


@pytest.mark.parametrize(
    ("words", "keyboard", "code"),
    [
        ((), None, 3),
        (("--yes",), None, 0),
        (("--replace",), None, 0),
        ((), "orders\n", 0),
        ((), "order\n", 3),
        (("--replace",), "n\n", 3),
    ],
)
async def test_undoing_has_to_be_said(
    words: tuple[str, ...], keyboard: str | None, code: int
) -> None:
    """What a cache holds now is overwritten after its name was typed, or with --yes (R3)."""
    async with serving(*STORY) as api:
        api.outcomes.planned = plan(target_keys=7)
        printed = await api.type("restore", "undo", "orders", *words, keyboard=keyboard)

    assert code == printed.code, printed.err
    assert [(R1, safety(R1))] * (code == 0) == asked(api.ledger.state)


async def test_pages_tell_how_to_undo() -> None:
    """After a restore its own page, the safety backup's and `status` tell how to undo it."""
    async with serving(*STORY) as api:
        status = await api.type("status")
        of_backup = await api.type("backup", "show", f"orders/{SAFETY}")
        detail = await api.get(RestoreDetail, f"/v1/restores/{R1}")

    assert "To undo: valkeep restore undo orders" in status.out
    assert "valkeep restore undo orders (until 2026-03-08 12:00:00Z)" in of_backup.out
    assert detail.restore.undo is not None
    assert "valkeep restore undo orders" == detail.restore.undo.command
    assert any("undo orders" in line for line in result_lines(detail.restore, 80))


async def refuses(api: Served, *words: str) -> tuple[int, str]:
    """The exit code and what was told."""
    printed = await api.type("restore", *words)
    return printed.code, printed.err


async def test_slips_are_met_with_the_nearest_word() -> None:
    """A slip in `undo` or in the cache's name is answered with what was meant; nothing is done."""
    async with serving(registered(), complete(name="nightly")) as api:
        code, told = await refuses(api, "udno", "orders")
        assert (2, True) == (code, "Did you mean 'restore undo'?" in told)
        code, told = await refuses(api, "undo", "oders")
        assert (4, True) == (code, "Did you mean 'orders'?" in told)
        code, told = await refuses(api, "undo", "orders")
        assert (3, True) == (code, "Nothing has been restored into 'orders' yet" in told)
        code, told = await refuses(api, "undo")
        assert (2, True) == (code, "CACHE" in told)
        code, _ = await refuses(api, "orders/nightly", "--to", "orders")
        assert 0 == code
