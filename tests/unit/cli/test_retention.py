"""`valkeep retention`: what is printed, how wide, and what slips are told."""

import json
from datetime import timedelta

import pytest

from events.facts import Policy
from events.types import BackupDeleted, DeletionRequested, PolicySet
from tests.support.api import serving
from tests.support.given import NOON
from tests.support.retaining import policy, story
from tests.support.samples import B1, B2, B3, ORDERS, registered

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
THREE_DAYS = PolicySet(
    cache=ORDERS,
    policy=policy(windows="02:00+2h 14:00+2h", retention_days=3, timezone="Asia/Tokyo"),
)
OLD = story(B1, NOON - 5 * DAY, name="old")
NEW = story(B2, NOON - 2 * DAY, name="new")
KEEP = story(B3, NOON, kind="manual", name="keep")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


async def test_why_is_one_page() -> None:
    """A2, A11: the verdict comes first, then what is also true, figures, and what changes it."""
    async with serving(registered(), THREE_DAYS, OLD, NEW) as api:
        printed = await api.type("retention", "why", "orders/new")

    assert [
        "orders/new",
        "  verdict   It is kept until 2026-03-02 12:00:00Z, 21.0 hours from now: auto",
        "            backups of orders are kept for 3 days from their snapshot.",
        "  note      It is the newest scheduled backup (keep_last 1): while that is so,",
        "            it stays after its age is over.",
        f"  id        {B2}",
        "  kind      auto",
        "  taken     2026-02-27 12:00:00Z",
        "  age over  2026-03-02 12:00:00Z",
        "what would change it",
        "  -  valkeep policy set orders --retention-days N changes the days, for this",
        "     backup too",
        "  -  valkeep backup delete orders/new deletes it now",
    ] == printed.out.splitlines()
    assert 0 == printed.code


async def test_why_of_a_deleted_one_tells_who_to_ask() -> None:
    """A backup that is gone is told of in the same words, by the name it had."""
    gone = (
        DeletionRequested(cache=ORDERS, backup_id=B3, reason="command"),
        BackupDeleted(cache=ORDERS, backup_id=B3),
    )
    async with serving(registered(), KEEP, gone) as api:
        printed = await api.type("retention", "why", "orders/keep")

    assert "It is gone since 2026-03-01 12:02:00Z: somebody deleted it." in printed.out
    assert "valkeep events --cache orders" in printed.out
    assert "what would change it" not in printed.out


async def test_the_days_to_come_fit_the_screen() -> None:
    """A2: one line a day in the policy's zone, what goes with its reason, all in 80 columns."""
    async with serving(registered(), THREE_DAYS, OLD, NEW, KEEP) as api:
        printed = await api.type("retention", "simulate", "orders", "--days", "4")

    lines = printed.out.splitlines()
    assert [
        "orders: auto backups are kept for 3 days, the newest one whatever the age.",
        "DAY             MADE  GO  BACKUPS  STORED  OLDEST AUTO",
        "Mon 2026-03-02     2   2        3   150 B  2026-03-02 02:37",
    ] == lines[:3]
    assert [
        "what goes, and why:",
        "  2026-03-02  old: its snapshot is 6 days old, and it is kept for 3 days",
        "  2026-03-02  new: its snapshot is 3 days old, and it is kept for 3 days",
    ] == lines[8:11]
    assert max(map(len, lines)) <= 80
    assert 0 == printed.code


async def test_many_that_go_are_counted() -> None:
    """A long forecast tells the first that go and how many more, and fits the screen."""
    async with serving(registered(), THREE_DAYS, OLD, NEW, KEEP) as api:
        printed = await api.type("retention", "simulate", "orders", "--days", "730")

    lines = printed.out.splitlines()
    assert "  and 1,436 more; --json has them all" == lines[-1]
    assert max(map(len, lines)) <= 80


async def test_json_is_exact() -> None:
    """With --json both say exactly what the daemon answered."""
    async with serving(registered(), THREE_DAYS, OLD, NEW, KEEP) as api:
        found = await api.type("retention", "simulate", "orders", "--days", "2", "--json")
        why = await api.type("retention", "why", "orders/keep", "--json")

    told = json.loads(found.out)
    assert ("orders", "Asia/Tokyo", 3, 1) == (
        told["cache"],
        told["timezone"],
        told["retention_days"],
        told["keep_last"],
    )
    assert ["2026-03-02", "2026-03-03"] == [day["day"] for day in told["days"]]
    assert "2026-03-02T15:00:00Z" == told["days"][0]["ends_at"]
    assert ("manual", True) == (json.loads(why.out)["rule"], json.loads(why.out)["kept"])


@pytest.mark.parametrize(
    ("set_", "said"),
    [
        (policy(auto=False), "Auto backups of orders are off: none is made"),
        (policy(), "orders has no windows: no backup is made by itself."),
    ],
)
async def test_where_nothing_is_made_it_is_said(set_: Policy, said: str) -> None:
    """A1: with auto off, or without windows, the forecast says that none is made."""
    async with serving(registered(), PolicySet(cache=ORDERS, policy=set_), KEEP) as api:
        printed = await api.type("retention", "simulate", "orders")

    assert said in printed.out
    assert "No further ones are expected." in printed.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("wy", "orders/new"), 2, "Did you mean 'why'?"),
        (("why",), 2, "BACKUP is missing"),
        (("why", "orders/nwe"), 4, "Did you mean 'orders/new'?"),
        (("simulate", "ordres"), 4, "Did you mean 'orders'?"),
        (("simulate", "orders", "--days", "0"), 2, "from 1 to 730"),
        (("simulate", "orders", "--days", "soon"), 2, "'soon' is no whole number"),
    ],
)
async def test_slips_are_told(words: tuple[str, ...], code: int, said: str) -> None:
    """A wrong word, name or number is told with what was probably meant."""
    async with serving(registered(), THREE_DAYS, NEW) as api:
        printed = await api.type("retention", *words)

    assert said in printed.err
    assert code == printed.code
