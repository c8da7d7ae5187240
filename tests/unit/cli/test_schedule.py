"""`valkeep schedule` as it is printed, and the schedule's words in lists and pages."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from daemon.commands import PolicyChange
from events.facts import CacheName
from events.types import CacheSuspended
from tests.support.api import serving
from tests.support.samples import B1, FOR_GOOD, USERS, registered, running
from tests.support.scheduled import Story

pytestmark = pytest.mark.anyio

OPENS = datetime(2026, 3, 2, 1, tzinfo=UTC)
CLOSES = OPENS + timedelta(hours=2)
LONG = CacheName("the-cache-with-the-longest-name-that-anybody-would-ever-think-of")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


async def test_the_overview_tells_the_next_start_and_the_last_result() -> None:
    """Each cache has a line with its next start in local time, in how long, and the last result."""
    gone = CacheSuspended(cache=USERS, reason="it left the file")
    async with serving(registered(), registered(USERS), gone) as api:
        story = Story(api)
        await story.policy()
        await story.completed()
        api.clock.instant = CLOSES
        printed = await api.type("schedule")

    heads, orders, users = printed.out.splitlines()
    assert (0, "") == (printed.code, printed.err)
    assert ["CACHE", "NEXT", "START", "IN", "WINDOW", "LAST"] == heads.split()
    assert orders.startswith("orders  2026-03-03 02:")
    assert orders.split()[3:6] == ["CET", "22", "h"]
    assert orders.split()[6:8] == ["02:00+2h", "complete"]
    assert orders.endswith(" ago")
    assert ["users", "suspended", "none", "yet"] == users.split()


async def test_what_is_not_as_it_should_be_is_told_below() -> None:
    """A pending retry and a last result that was not good are told with their reasons."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        backup_id = await story.started()
        await story.failed(backup_id)
        retried = await api.type("schedule")
        await story.moved(CLOSES)
        closed = await api.type("schedule")

    told = " ".join(retried.out.split())
    assert "orders: auto-20260302-0200 is tried again (attempt 2) at 2026-03-02 02:" in told
    assert " s; the last one failed: Nobody listens; no start after 2026-03-02 04:00 CET" in told
    assert "orders: auto-20260302-0200 failed and was given up" in closed.out.replace("\n  ", " ")
    assert "its window closed before the next attempt" in " ".join(closed.out.split())


async def test_one_cache_on_a_page() -> None:
    """One cache is told with its windows, several starts to the second, and the last result."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy(
            PolicyChange(
                auto=True, timezone="Australia/Lord_Howe", windows=("02:00+2h", "14:30+90m")
            )
        )
        printed = await api.type("schedule", "orders", "--count", "3")

    lines = printed.out.splitlines()
    assert "orders" == lines[0]
    assert "  windows  02:00+2h and 14:30+90m, Australia/Lord_Howe" == lines[1]
    assert ["next", "Mon", "2026-03-02"] == lines[2].split()[:3]
    assert ["+11:00,", "in"] == lines[2].split()[4:6]
    assert lines[2].endswith("window 02:00+2h")
    assert lines[3].endswith("window 14:30+90m")
    assert "  last     none yet" == lines[5]


async def test_a_backup_that_waits_or_runs_is_told() -> None:
    """A7: a deferred backup is told with what it waits for, a running one with its attempt."""
    async with serving(registered(), running(B1, name="long")) as api:
        story = Story(api)
        await story.policy()
        await story.moved(OPENS + timedelta(hours=1, minutes=30))
        waits = await api.type("schedule", "orders")
        await story.stored(B1)
        await story.begun()
        runs = await api.type("schedule", "orders")

    assert "auto-20260302-0200 waits: backup long of this cache" in waits.out
    assert "auto-20260302-0200 runs, attempt 1" in runs.out


async def test_why_nothing_starts_is_told() -> None:
    """A1: a cache whose auto backups are off says so on its page."""
    async with serving(registered()) as api:
        printed = await api.type("schedule", "orders")

    assert "  next     nothing starts by itself: auto backups are off" in printed.out


@pytest.mark.parametrize("flags", [(), ("--count", "4"), ("orders",), (LONG,)])
async def test_it_fits_the_terminal(flags: tuple[str, ...]) -> None:
    """Whatever the names and the reasons are, no line is longer than 80 columns."""
    async with serving(registered(), registered(LONG), running(B1, name="n" * 90)) as api:
        for cache in (CacheName("orders"), LONG):
            story = Story(api, cache)
            api.clock.instant = datetime(2026, 3, 1, 15, tzinfo=UTC)
            await story.policy()
        await Story(api).moved(CLOSES)
        await Story(api, LONG).moved(CLOSES)
        printed = await api.type("schedule", *flags)

    assert printed.out.splitlines()
    # A name that is longer than the line is not cut.
    told = [line for line in printed.out.splitlines() if "n" * 90 not in line]
    assert all(len(line) <= 80 for line in told)


async def test_json_is_exact() -> None:
    """With --json instants come in UTC and in local time, and the occurrence with its ends."""
    async with serving(registered()) as api:
        await Story(api).policy()
        printed = await api.type("schedule", "orders", "--json", "--count", "1")

    ((start,),) = (one["starts"] for one in json.loads(printed.out)["caches"])
    at, local = datetime.fromisoformat(start["at"]), datetime.fromisoformat(start["local"])
    assert (at, "+01:00") == (local, start["local"][-6:])
    assert ("2026-03-02", "02:00") == (start["occurrence"]["day"], start["occurrence"]["start"])


async def test_an_empty_daemon_says_how_to_begin() -> None:
    """Without caches the schedule says how to add one; an unknown one is exit 4."""
    async with serving() as api:
        empty = await api.type("schedule")
    async with serving(registered()) as api:
        unknown = await api.type("schedule", "order")

    assert (0, True) == (empty.code, "valkeep cache add" in empty.out)
    assert (4, True) == (unknown.code, "orders" in unknown.err)


async def test_a_list_of_all_tells_windows_and_reasons() -> None:
    """`backup list --all` tells each backup's state and window, and why one is not complete."""
    async with serving(registered(), registered(USERS), running(B1, name="long")) as api:
        users = Story(api, USERS)
        await users.policy()
        await users.failed(await users.started(), FOR_GOOD)
        api.clock.instant = datetime(2026, 3, 1, 15, tzinfo=UTC)
        orders = Story(api)
        await orders.policy()
        await orders.moved(OPENS + timedelta(hours=1, minutes=30))
        waiting = await api.type("backup", "list", "--all")
        await orders.moved(CLOSES)
        skipped = await api.type("backup", "list", "--all", "orders")

    lines = waiting.out.splitlines()
    assert ["users/auto-20260302-0200", "failed"] == lines[2].split()[:2]
    assert "    attempt 1 failed: Refused; the failure is permanent" in lines[3]
    own = next(n for n, line in enumerate(lines) if line.startswith("orders/auto-20260302-0200"))
    assert ["waiting", "02:00", "of", "2026-03-02"] == lines[own].split()[1:5]
    assert "    waits: backup long of this cache has to end first" == lines[own + 1]
    assert all(len(line) <= 80 for line in lines)
    assert ["orders/auto-20260302-0200", "skipped"] == skipped.out.splitlines()[2].split()[:2]
    assert "its window closed first" in skipped.out


async def test_a_page_tells_what_a_backup_serves() -> None:
    """`backup show` tells the window with its ends, the deferral, the retry and the skip."""
    async with serving(registered(), running(B1, name="long")) as api:
        story = Story(api)
        await story.policy()
        await story.moved(OPENS + timedelta(hours=1, minutes=30))
        waiting = await api.type("backup", "show", "orders/auto-20260302-0200")
        await story.stored(B1)
        await story.failed(await story.begun())
        retried = await api.type("backup", "show", "orders/auto-20260302-0200")
        await story.moved(CLOSES)
        over = await api.type("backup", "show", "orders/auto-20260302-0200")

    told = " ".join(waiting.out.split())
    assert "serves window 02:00 of 2026-03-02 (2026-03-02 01:00:00Z to 2026-03-02 03:00:" in told
    assert "deferred backup long of this cache has to end first" in told
    assert "no start after 2026-03-02 03:00:00Z" in told
    assert "retry at 2026-03-02 02:31:" in " ".join(retried.out.split())
    assert "given up its window closed before the next attempt" in " ".join(over.out.split())
