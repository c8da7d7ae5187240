"""Policies on the command line: what is printed, asked, and answered to slips."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
from msgspec.structs import replace

from daemon.answers import BackupDetail, BackupView
from daemon.cli import follow
from daemon.cli.policy_flags import FLAGS
from daemon.commands import (
    AdvanceSchedule,
    PolicyChange,
    ReportAttemptFailed,
    ReportSwept,
    StartAttempt,
)
from daemon.errors import Transient
from daemon.ledger import DAEMON
from events.facts import BackupId, CacheName, Policy, Window
from events.types import Event, PolicySet, SnapshotTaken
from projections import catalog
from tests.support.api import Served, serving
from tests.support.given import NOON
from tests.support.samples import (
    B1,
    B2,
    FILE,
    ORDERS,
    OUTSIDE,
    SNAPSHOT,
    complete,
    registered,
    running,
)

pytestmark = pytest.mark.anyio

ON = Policy(auto=True, windows=(Window("02:00", 120),), timezone="Europe/Paris")
SET = PolicySet(cache=ORDERS, policy=ON)


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def policy_of(api: Served, cache: CacheName = ORDERS) -> Policy | None:
    """The policy that the log holds."""
    return api.ledger.state.caches[cache].policy


async def test_a_policy_is_shown_on_a_page() -> None:
    """Settings, the next start on local clocks, and what comes of it, in 80 columns."""
    async with serving(registered(), SET) as api:
        printed = await api.type("policy", "show", "orders")

    lines = printed.out.splitlines()
    assert "orders" == lines[0]
    assert "  windows     02:00+2h" in lines
    assert "  set         by command" in lines
    (start,) = (line for line in lines if line.startswith("  next start  Mon 2026-03-02 02:"))
    assert "CET (+01:00), in " in start
    assert "One backup a day, begun between 02:00 and 04:00 (Europe/Paris)." in printed.out
    assert max(len(line) for line in lines) <= 80
    assert (0, "") == (printed.code, printed.err)


async def test_json_is_the_daemons_answer() -> None:
    """With --json a policy comes whole and exact, and `set` gives the command's answer."""
    async with serving(registered(), SET) as api:
        shown = await api.type("policy", "show", "orders", "--json")
        done = await api.type("policy", "set", "orders", "--retries", "0", "--json")

    assert ["02:00+2h"] == json.loads(shown.out)["policy"]["settings"]["windows"]
    assert {"cache": "orders", "positions": [3]} == json.loads(done.out)
    assert "" == done.err


async def test_a_policy_is_set_and_told_in_words() -> None:
    """After a change it is said in words what comes of it."""
    async with serving(registered()) as api:
        printed = await api.type(
            *("policy", "set", "orders", "--auto", "--window", "14:30+90m", "--window", "02:00+2h"),
            *("--timezone", "Europe/Paris", "--retention-days", "14", "--retries", "0"),
            *("--keep-last", "0"),
        )
        found = policy_of(api)

    windows = (Window("02:00", 120), Window("14:30", 90))
    assert found == Policy(
        auto=True,
        retention_days=14,
        retries=0,
        timezone="Europe/Paris",
        windows=windows,
        keep_last=0,
    )
    assert "The policy of orders is set." == printed.out.splitlines()[0]
    assert "also the last one" in printed.out


async def test_the_flags_are_all_settings_of_a_policy() -> None:
    """Whatever a policy has can be said on the command line."""
    assert {*PolicyChange.__struct_fields__, "no_windows"} == set(FLAGS)


async def test_windows_are_taken_away_by_name() -> None:
    """--no-windows takes all windows away, and it is said that nothing is made by itself then."""
    async with serving(registered(), SET) as api:
        printed = await api.type("policy", "set", "orders", "--no-windows")
        found = policy_of(api)

    assert found is not None
    assert () == found.windows
    assert "none is made by itself" in " ".join(printed.out.split())


async def test_the_same_policy_again_is_said_to_be_so_already() -> None:
    """A change that changes nothing says so."""
    async with serving(registered(), SET) as api:
        printed = await api.type("policy", "set", "orders", "--auto", "--retries", "3")

    assert "The policy of orders was that already." == printed.out.splitlines()[0]


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (("orders",), 2, "Nothing to set"),
        (("orders", "--retries", "x"), 2, "--retries: 'x' is no whole number"),
        (("orders", "--windows", "02:00+2h"), 2, "--window"),
        (("orders", "--window", "02:00+2h", "--no-windows"), 2, "exclude each other"),
        (("orders", "--auto", "--window", "2:00-4:00"), 2, "Did you mean '02:00+2h'?"),
        (("orders", "--auto", "--timezone", "paris"), 2, "Did you mean 'Europe/Paris'?"),
        (("orders", "--auto", "--retention-days", "900"), 2, "1 to 730"),
        (("orders", "--auto", "--retries", "-1"), 2, "0 to 10"),
        (("orders", "--no-auto", "--retries", "1"), 3, "Leave out retries"),
        (("ordrs", "--auto"), 4, "Did you mean 'orders'?"),
    ],
)
async def test_slips_are_answered_with_what_is_right(
    typed: tuple[str, ...], code: int, told: str
) -> None:
    """A2, A3, A4: each slip has its exit code, an error on stderr and what to do."""
    async with serving(registered(), SET) as api:
        printed = await api.type("policy", "set", *typed)
        found = policy_of(api)

    assert (code, "") == (printed.code, printed.out)
    assert told in printed.err
    assert ON == found


async def test_settings_without_auto_are_refused() -> None:
    """A1: while auto is off the settings are refused with the command that turns it on."""
    async with serving(registered()) as api:
        policy = await api.type("policy", "set", "orders", "--retention-days", "3")
        cache = await api.type("cache", "set", "orders", "--window", "02:00+2h")
        add = await api.type("cache", "add", "new", "--url", "valkey://h", "--retries", "1")

    assert [3, 3, 3] == [policy.code, cache.code, add.code]
    assert "valkeep policy set orders --auto" in policy.err
    assert "valkeep policy set orders --auto" in cache.err
    assert "`--auto`" in add.err


async def test_a_declared_cache_is_changed_in_its_file() -> None:
    """C3: a command against a declared policy is refused, names the file, and exits with 3."""
    async with serving(registered(declared=True)) as api:
        shown = await api.type("policy", "show", "orders")
        policy = await api.type("policy", "set", "orders", "--auto")
        cache = await api.type("cache", "set", "orders", "--auto", "--node", "primary")

    assert f"in {FILE}, and only there" in shown.out
    for printed in (policy, cache):
        assert 3 == printed.code
        assert FILE in printed.err
    assert "[caches.orders.policy]" in policy.err


async def test_what_a_shorter_retention_deletes_is_named_and_asked_for() -> None:
    """A2: nothing is deleted by a change of policy before somebody has said yes to its names."""
    shorter = ("policy", "set", "orders", "--retention-days", "2", "--keep-last", "0")
    async with _with_old_backups() as api:
        piped = await api.type(*shorter)
        declined = await api.type(*shorter, keyboard="n\n")
        before = policy_of(api)
        agreed = await api.type(*shorter, keyboard="y\n")
        found = policy_of(api)

    assert (2, 3, 0) == (piped.code, declined.code, agreed.code)
    for printed in (piped, declined, agreed):
        assert "will be deleted: orders/old-1 (auto, taken 2026-03-01 12:00:00Z" in printed.err
        assert "will be deleted: orders/old-2" in printed.err
    assert "Say --yes." in piped.err
    assert "2 backups of orders at once (100 B)" in declined.err
    assert ON == before
    assert found is not None
    assert (2, 0) == (found.retention_days, found.keep_last)


@pytest.mark.parametrize("noun", ["policy", "cache"])
async def test_scripts_say_yes(noun: str) -> None:
    """A2: with --yes a shorter retention is taken without a question; it is named all the same."""
    async with _with_old_backups() as api:
        printed = await api.type(noun, "set", "orders", "--retention-days", "2", "--yes")
        found = policy_of(api)

    assert (0, 2) == (printed.code, found.retention_days if found else None)
    assert "will be deleted: orders/old-1" in printed.err
    assert "old-2" not in printed.err


async def test_a_change_of_settings_and_policy_asks_before_either() -> None:
    """A2: when the answer is no, the settings of the cache have not changed either."""
    change = ("cache", "set", "orders", "--node", "primary", "--retention-days", "1")
    async with _with_old_backups() as api:
        printed = await api.type(*change, keyboard="n\n")
        cache = api.ledger.state.caches[ORDERS]

    assert 3 == printed.code
    assert ("prefer-replica", ON) == (cache.settings.node, cache.policy)


async def test_a_longer_retention_asks_nothing() -> None:
    """A2: a longer retention keeps more, so there is nothing to ask."""
    async with _with_old_backups() as api:
        printed = await api.type("policy", "set", "orders", "--retention-days", "30")

    assert (0, "") == (printed.code, printed.err)


def _old(backup_id: BackupId, *, name: str) -> tuple[Event, ...]:
    *begun, end = complete(backup_id, name=name, kind="auto")
    return (*begun, SnapshotTaken(cache=ORDERS, backup_id=backup_id, snapshot=SNAPSHOT), end)


@asynccontextmanager
async def _with_old_backups() -> AsyncGenerator[Served, None]:
    """A cache with a policy and two auto backups that are three days old."""
    old = (_old(B1, name="old-1"), _old(B2, name="old-2"))
    async with serving(registered(), SET, *old) as api:
        api.clock.instant = NOON + timedelta(days=3)
        yield api


async def test_a_cache_is_added_with_a_policy() -> None:
    """One command puts a cache under backup, and says when it is backed up."""
    async with serving() as api:
        printed = await api.type(
            *("cache", "add", "orders", "--url", "valkey://h", "--auto"),
            *("--window", "02:00+2h", "--timezone", "Europe/Paris"),
        )
        found = policy_of(api)

    assert ON == found
    assert "Cache orders is added." == printed.out.splitlines()[0]
    assert "One backup a day, begun between 02:00 and 04:00 (Europe/Paris)." in printed.out


async def test_a_policy_alone_needs_no_look_at_the_cache() -> None:
    """C2: `cache set` with only a policy works while the cache is down."""
    async with serving(registered(), SET) as api:
        api.outcomes.found = Transient("down", "It is down.", "Start it.")
        alone = await api.type("cache", "set", "orders", "--retries", "5")
        both = await api.type("cache", "set", "orders", "--retries", "6", "--node", "primary")
        unseen = await api.type(
            "cache", "set", "orders", "--retries", "7", "--node", "primary", "--no-probe"
        )

    assert [0, 1, 0] == [alone.code, both.code, unseen.code]
    assert "The policy of orders is set." == alone.out.splitlines()[0]
    assert "It was not looked at." in unseen.out


async def test_the_page_of_a_cache_tells_its_policy() -> None:
    """`cache show` has the policy in one line, and where to read more."""
    async with serving(registered(), SET) as api:
        on = await api.type("cache", "show", "orders")
        await api.type("policy", "set", "orders", "--no-auto")
        off = await api.type("cache", "show", "orders")

    assert "auto backups in 02:00+2h (Europe/Paris), kept for 7 days" in on.out
    assert "auto backups are off" in off.out


@pytest.mark.parametrize(
    "command",
    [
        ("policy", "set"),
        ("policy", "show"),
        ("backup", "create"),
        ("cache", "add"),
        ("cache", "set"),
    ],
)
async def test_help_has_an_example(command: tuple[str, str]) -> None:
    """The help of each command that knows policies shows how it is typed."""
    async with serving() as api:
        printed = await api.type(*command, "--help")

    assert f"  valkeep {' '.join(command)} orders" in printed.out
    assert max(len(line) for line in printed.out.splitlines()) <= 80


async def test_an_auto_backup_is_made_by_hand() -> None:
    """A5b: `--auto` asks for one by the policy and says what it will be called."""
    async with serving(registered(), SET) as api:
        printed = await api.type("backup", "create", "orders", "--auto")
        (backup,) = catalog.unfinished(api.ledger.state.catalog, ORDERS)

    assert "auto" == backup.kind
    assert f"Backup orders/{backup.name} is asked for" in printed.out


async def test_what_is_in_the_way_of_an_auto_backup_is_told() -> None:
    """A7: one that cannot start yet says what it waits for."""
    async with serving(registered(), SET, running(B1, name="big")) as api:
        printed = await api.type("backup", "create", "orders", "--auto")

    assert "It has to wait: backup big of this cache has to end first." in printed.out


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (("orders",), 2, "NAME; or say --auto"),
        (("orders", "nightly", "--auto"), 2, "exclude each other"),
        (("ordrs", "--auto"), 4, "Did you mean 'orders'?"),
        (("orders", "--auto"), 3, "valkeep policy set orders --auto"),
    ],
)
async def test_slips_in_asking_for_a_backup(typed: tuple[str, ...], code: int, told: str) -> None:
    """A5b: a name and --auto exclude each other, one is needed, and auto has to be on."""
    async with serving(registered()) as api:
        printed = await api.type("backup", "create", *typed)

    assert (code, "") == (printed.code, printed.out)
    assert told in " ".join(printed.err.split())


async def _begun(api: Served) -> BackupId:
    """Play the daemon's part: begin the auto backup that has been asked for, and fail."""
    state = api.ledger.state
    while not (found := [b for b, _ in state.open_backups.items() if b != B1]):
        state = await api.ledger.changed(state)
    await api.ledger.execute(StartAttempt(found[0]), DAEMON)
    await api.ledger.execute(ReportAttemptFailed(found[0], OUTSIDE), DAEMON)
    return found[0]


async def _its_window_closes(api: Served) -> None:
    """Play the daemon's part: let the time for the auto backup pass."""
    state = api.ledger.state
    while not [b for b, _ in state.open_backups.items() if b != B1]:
        state = await api.ledger.changed(state)
    api.clock.instant += timedelta(hours=2)
    await api.ledger.execute(AdvanceSchedule(ORDERS), DAEMON)


async def test_waiting_tells_why_there_is_no_further_try() -> None:
    """A6: who waits for an auto backup hears the last failure and why there is no further try."""
    last = PolicySet(cache=ORDERS, policy=replace(ON, retries=0))
    async with serving(registered(), last) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(_begun, api)
        printed = await api.type("backup", "create", "orders", "--auto", "--wait")

    assert 1 == printed.code
    assert "failed: Nobody listens. It was given up after 1 attempt: no attempt" in printed.err
    assert "hint: Start it." in printed.err


async def test_waiting_goes_on_between_attempts() -> None:
    """A6: a failed attempt is not the end for who waits, the end of its window is."""

    async def play(api: Served) -> None:
        backup_id = await _begun(api)
        await api.ledger.execute(ReportSwept(backup_id), DAEMON)
        await _its_window_closes(api)

    async with serving(registered(), SET) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(play, api)
        printed = await api.type("backup", "create", "orders", "--auto", "--wait")

    assert 1 == printed.code
    assert "was given up after 1 attempt: " in printed.err
    assert 1 == printed.err.partition("error: ")[2].count("Nobody listens.")


async def test_waiting_tells_that_it_was_skipped() -> None:
    """A7: who waits for an auto backup that never began hears why."""
    history = (registered(), SET, running(B1, name="big"))
    async with serving(*history) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(_its_window_closes, api)
        printed = await api.type("backup", "create", "orders", "--auto", "--wait")

    assert 1 == printed.code
    assert "was skipped: " in printed.err
    assert "backup big of this cache has to end first." in printed.err


def test_the_line_of_a_waiting_backup_tells_its_last_failure() -> None:
    """A6: what is shown while a retry is waited for is the failure and the instant."""
    view = BackupView(
        backup_id=B1,
        cache=ORDERS,
        name="auto-1",
        kind="auto",
        phase="waiting",
        vault="main",
        requested_at=NOON,
        requested_by="scheduler",
        attempts=2,
        waits_for="a retry is due at 2026-03-01 12:02:00Z",
        failure=OUTSIDE,
    )

    standing = follow.of_backup(BackupDetail(now=NOON, backup=view))

    assert not standing.ended
    assert (
        "attempt 2 failed: Nobody listens. (waiting: a retry is due at 2026-03-01 12:02:00Z)"
        == follow.told(standing)
    )
