"""The report's data on a socket: the last days as they went, and what stands today."""

from contextlib import aclosing
from datetime import timedelta

import pytest

from daemon.answers.report import CacheReport, MadeView, Report
from daemon.api import report_view
from daemon.api.report import told_since
from daemon.api.report_view import MOST_CACHES
from daemon.cli.report.page import html_of
from daemon.errors import BadRequest, NotFound
from daemon.ledger import Ledger
from events.facts import CacheName
from events.types import BackupDeleted, CacheRemoved, CacheSuspended, DeletionRequested, PolicySet
from tests.simulation.virtual import CountedIds
from tests.support.api import SetClock, log_of, serving
from tests.support.given import NOON
from tests.support.report_stories import NAMES, Fleet, answer
from tests.support.retaining import policy, story
from tests.support.samples import B1, B2, ORDERS, SETTINGS, USERS, abandoned, registered

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
NIGHTLY = PolicySet(cache=ORDERS, policy=policy(windows="02:00+2h"))
SMALL = answer(Fleet(3, 30))


def of(found: Report, name: str = "orders") -> CacheReport:
    """One cache of a report."""
    return next(cache for cache in found.caches if cache.name == name)


def made(found: Report, backup_id: str) -> MadeView:
    """One backup of `orders`."""
    return next(one for one in of(found).backups if one.backup_id == backup_id)


async def test_a_deleted_backup_is_still_told() -> None:
    """What is gone keeps its size and its day, and says since when."""
    gone = (
        DeletionRequested(cache=ORDERS, backup_id=B1, reason="command"),
        BackupDeleted(cache=ORDERS, backup_id=B1),
    )
    async with serving(registered(), NIGHTLY, story(B1, NOON), story(B2, NOON), gone) as api:
        found = await api.get(Report, "/v1/report", {"days": 7})

    assert (False, 50) == (made(found, B1).there, made(found, B1).stored_bytes)
    assert made(found, B1).gone_at is not None
    assert (True, "age", NOON + 7 * DAY) == (
        made(found, B2).there,
        made(found, B2).kept_by,
        made(found, B2).until,
    )
    assert 7 == len(of(found).days)
    assert ("good", 2) == (of(found).days[-1].state, of(found).days[-1].made)


async def test_a_backup_from_before_is_told_as_far_as_it_is_kept() -> None:
    """One that is older than the days asked for counts for what is stored, not for the calendar."""
    async with serving(registered(), NIGHTLY, story(B1, NOON - 5 * DAY, kind="manual")) as api:
        api.clock.instant = NOON + 100 * DAY
        found = await api.get(Report, "/v1/report", {"days": 3})

    assert ("manual", True, None) == (
        made(found, B1).kept_by,
        made(found, B1).there,
        made(found, B1).until,
    )
    assert (1, 50) == (of(found).living, of(found).stored_bytes)
    assert 0 == sum(day.made for day in of(found).days)


async def test_one_cache_is_reported_alone() -> None:
    """Of another cache there is nothing: no row, no trouble, no verdict."""
    async with serving(registered(), registered(USERS), NIGHTLY, abandoned()) as api:
        both = await api.get(Report, "/v1/report")
        found = await api.get(Report, "/v1/report", {"cache": "users"})

    assert ["orders", "users"] == [cache.name for cache in both.caches]
    assert both.troubles
    assert ["users"] == [cache.name for cache in found.caches]
    assert () == found.troubles
    assert not [line for line in found.problems if line.cache == "orders"]


async def test_a_removed_cache_is_told_while_it_has_backups() -> None:
    """M2: what is left of it is on the page, by its name too, with nothing that would start."""
    kept = story(B1, NOON - DAY, kind="manual")
    async with serving(registered(), NIGHTLY, kept, CacheRemoved(cache=ORDERS)) as api:
        both = [await api.get(Report, "/v1/report", query) for query in ({}, {"cache": "orders"})]

    for found in both:
        assert (True, False, 1) == (of(found).removed, of(found).auto, of(found).living)
        assert of(found).next_start is None
        assert "manual backups are still stored" in html_of(found, None)


async def test_a_suspended_cache_says_why() -> None:
    """C3: its reason is told, and its backups stay whatever their age."""
    gone = CacheSuspended(cache=ORDERS, reason="it left the file")
    async with serving(registered(), NIGHTLY, story(B1, NOON), gone) as api:
        found = await api.get(Report, "/v1/report")

    assert ("it left the file", "suspended") == (of(found).suspended, made(found, B1).kept_by)
    assert "it left the file" in html_of(found, None)


@pytest.mark.parametrize("days", [0, 367])
async def test_the_days_have_bounds(days: int) -> None:
    """No day at all, or more than a year, is refused."""
    async with serving(registered()) as api:
        with pytest.raises(BadRequest):
            await api.get(Report, "/v1/report", {"days": days})


async def test_a_slip_in_a_name_is_told_the_nearest() -> None:
    """An unknown cache is not found, with the name that was probably meant."""
    async with serving(registered()) as api:
        with pytest.raises(NotFound) as caught:
            await api.get(Report, "/v1/report", {"cache": "order"})

    assert "orders" in caught.value.hint


async def test_only_the_last_days_are_read() -> None:
    """The history begins where the days begin: older records are found by halving, not read."""
    log = await log_of(registered(), story(B1, NOON), story(B2, NOON))
    ledger = Ledger(log, SetClock(), CountedIds(0))
    await ledger.load()
    async with aclosing(log.read()) as records:
        instants = [record.envelope.at async for record in records]

    whole = await told_since(ledger, instants[0], None)
    late = await told_since(ledger, instants[5], None)

    assert {B1, B2} == set(whole.caches[ORDERS].stories)
    assert {B2} == set(late.caches[ORDERS].stories)
    assert not (await told_since(ledger, NOON + DAY, None)).caches


async def test_too_many_caches_leave_the_well_ones_out() -> None:
    """A page has its limit: the caches with the worst verdicts are on it, the others are named."""
    many = [CacheName(f"cache-{number:03}") for number in range(MOST_CACHES + 2)]
    bad = PolicySet(cache=many[-1], policy=policy(timezone="Mars/Olympus", windows="02:00+2h"))
    added = [registered(name) for name in many]
    async with serving(*added, bad) as api:
        found = await api.get(Report, "/v1/report", {"days": 1})

    assert MOST_CACHES == len(found.caches)
    assert many[-1] == found.caches[0].name
    assert tuple(many[MOST_CACHES - 1 : -1]) == found.left_out


def test_too_many_backups_leave_the_oldest_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each cache the newest backups are told one by one; its days and sums are whole."""
    monkeypatch.setattr(report_view, "MOST_BACKUPS", 30)
    few = answer(Fleet(3, 30))

    assert [10, 10, 10] == [len(cache.backups) for cache in few.caches]
    for all_of, some in zip(SMALL.caches, few.caches, strict=True):
        assert all_of.backups[-10:] == some.backups
        assert len(all_of.backups) == some.more + 10
        assert (all_of.days, all_of.stored_bytes) == (some.days, some.stored_bytes)


def test_a_failed_backup_is_one_trouble() -> None:
    """Three failed attempts and the end are one line, with the last failure's words and hint."""
    mine = [t for t in SMALL.troubles if t.cache == "users-eu" and t.code == "connection-refused"]
    given_up = [trouble for trouble in mine if trouble.what == "given-up"]

    assert [2] == [trouble.count for trouble in given_up]
    assert given_up[0].first_at is not None
    assert "Start the server" in given_up[0].hint


def test_what_was_made_up_for_needs_nothing() -> None:
    """A failed attempt at a backup that was completed later says so instead of a hint."""
    attempts = [trouble for trouble in SMALL.troubles if trouble.what == "attempt"]

    assert attempts
    assert {"Nothing: a later attempt succeeded."} == {trouble.hint for trouble in attempts}


def test_the_verdict_is_that_of_check() -> None:
    """The head's level is the worst of its lines, and each cache has its own."""
    assert "critical" == SMALL.level
    assert {"orders": "ok", "sessions": "ok", "users-eu": "critical"} == {
        cache.name: cache.level for cache in SMALL.caches
    }
    assert ["users-eu"] * len(SMALL.problems) == [line.cache for line in SMALL.problems]


def test_restores_are_told_with_their_end() -> None:
    """Of two restores the one that failed says why and what to do."""
    assert [("completed", ""), ("failed", SMALL.restores[1].hint)] == [
        (restore.phase, restore.hint) for restore in SMALL.restores
    ]
    assert SMALL.restores[1].hint


def test_verifications_are_counted() -> None:
    """Proofs and damage of the days are counted cache by cache."""
    assert all(of(SMALL, name).verified.passed for name in NAMES[:3])
    assert (1, 0, 1) == tuple(of(SMALL, name).verified.refuted for name in NAMES[:3])


def test_settings_are_told_as_they_are_now() -> None:
    """The windows, the retention and where a cache's backups lie are today's."""
    assert (("02:00+2h",), 14, "UTC") == (
        of(SMALL).windows,
        of(SMALL).retention_days,
        of(SMALL).timezone,
    )
    assert [SETTINGS.vault] == [vault.name for vault in SMALL.vaults]
