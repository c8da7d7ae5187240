"""GET /v1/schedule: the next starts, what is under way, and what became of the last one."""

from datetime import UTC, datetime, timedelta

import pytest

from daemon.answers import BackupDetail, Backups, Status
from daemon.answers.schedule import CacheSchedule, Schedule
from daemon.client import path_of
from daemon.commands import PolicyChange, RequestBackup
from daemon.errors import BadRequest, NotFound
from daemon.ledger import DAEMON
from events.facts import Occurrence
from events.types import CacheSuspended
from tests.support.api import Served, serving
from tests.support.samples import B1, FOR_GOOD, ORDERS, USERS, registered, running
from tests.support.scheduled import NIGHTLY, Story

pytestmark = pytest.mark.anyio

OPENS = datetime(2026, 3, 2, 1, tzinfo=UTC)
CLOSES = OPENS + timedelta(hours=2)
DAY = timedelta(days=1)


async def shown(api: Served, cache: str = "orders", count: int = 1) -> CacheSchedule:
    """One cache's schedule."""
    found = await api.get(Schedule, "/v1/schedule", {"cache": cache, "count": count})
    (one,) = found.caches
    return one


async def test_the_next_starts_are_told_in_the_policys_zone() -> None:
    """Each start has its instant in UTC and in local time, its zone's letters and its window."""
    async with serving(registered()) as api:
        await Story(api).policy()
        found = await shown(api, count=2)

    first, second = found.starts
    assert OPENS <= first.at < OPENS + timedelta(hours=1)
    assert (first.at, timedelta(hours=1), "CET") == (
        first.local,
        first.local.utcoffset(),
        first.zone,
    )
    assert Occurrence(OPENS.date(), "02:00", OPENS, CLOSES) == first.occurrence
    assert "02:00+2h" == first.window
    assert OPENS + DAY <= second.at < CLOSES + DAY
    assert (True, None, None) == (found.auto, found.idle, found.last)


async def test_a_start_does_not_move() -> None:
    """A5: asked again later, the start is the same instant; served, it is the next day's."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        before = (await shown(api)).starts
        api.clock.instant = OPENS - timedelta(minutes=1)
        again = (await shown(api)).starts
        await story.completed()
        after = (await shown(api)).starts

    assert before == again
    assert OPENS.date() + DAY == after[0].occurrence.day


async def test_summer_time_is_told_by_its_own_letters() -> None:
    """A8: on the day of the change a start is told by the offset that holds at that instant."""
    async with serving(registered()) as api:
        api.clock.instant = datetime(2026, 3, 28, 12, tzinfo=UTC)
        await Story(api).policy(
            PolicyChange(auto=True, timezone="Europe/Paris", windows=("02:30+30m",))
        )
        (start,) = (await shown(api)).starts

    assert datetime(2026, 3, 29, 1, tzinfo=UTC) == start.occurrence.opens_at
    assert ("CEST", 3) == (start.zone, start.local.hour)


async def test_a_complete_backup_is_the_last_result() -> None:
    """What the last window left is told with its name and the instant of its completion."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        backup_id = await story.completed()
        done = story.now
        last = (await shown(api)).last

    assert last is not None
    assert ("complete", done, backup_id) == (last.outcome, last.at, last.backup_id)
    assert "auto-20260302-0200" == last.name


async def test_a_pending_retry_is_told_with_its_instant() -> None:
    """A6: a backup that will be tried again is told with the instant and the end of its window."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.failed(await story.started())
        (pending,) = (await shown(api)).pending
        waits = pending.backup.waits_for or ""

    assert pending.retry is not None
    assert pending.retry.at == pending.backup.retry_at
    assert timedelta(minutes=1) <= pending.retry.at - story.now < timedelta(minutes=2)
    assert (CLOSES, "CET") == (pending.backup.start_before, pending.retry.zone)
    assert waits.startswith("a retry is due at")


async def test_a_permanent_failure_is_the_last_result_with_its_hint() -> None:
    """What was given up is told as failed, with why and what to do."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.failed(await story.started(), FOR_GOOD)
        last = (await shown(api)).last

    assert last is not None
    assert ("failed", "Fix it.") == (last.outcome, last.hint)
    assert "permanent" in last.reason


async def test_a_skipped_window_is_the_last_result() -> None:
    """A7: what did not come to its turn is told as skipped, about when its window closed."""
    async with serving(registered(), running(B1, name="long")) as api:
        story = Story(api)
        await story.policy()
        await story.moved(OPENS + timedelta(hours=1))
        (pending,) = (await shown(api)).pending
        await story.moved(CLOSES + timedelta(hours=1))
        found = await shown(api)

    assert pending.backup.waits_for == pending.backup.deferred
    assert "backup long of this cache has to end first" == pending.backup.deferred
    assert found.last is not None
    assert ("skipped", CLOSES) == (found.last.outcome, found.last.at)
    assert "backup long" in found.last.reason
    assert () == found.pending


async def test_a_missed_window_is_the_last_result() -> None:
    """A9: an occurrence that nobody served is told as missed, at the end of its window."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.moved(CLOSES + DAY / 2)
        last = (await shown(api)).last

    assert last is not None
    assert ("missed", CLOSES, None) == (last.outcome, last.at, last.backup_id)


async def test_why_nothing_starts_is_told() -> None:
    """A1, C3: off, without a window, suspended and a wrong clock are told instead of starts."""
    gone = CacheSuspended(cache=USERS, reason="it left the file")
    async with serving(registered(), registered(USERS), gone) as api:
        off = await shown(api)
        await Story(api).policy(PolicyChange(auto=True))
        empty = await shown(api)
        suspended = await shown(api, "users")
        await Story(api).policy()
        api.clock.instant = datetime(1970, 1, 1, tzinfo=UTC)
        wrong = await shown(api)

    told = [one.idle for one in (off, empty, suspended, wrong)]
    assert ["auto backups are off", "no windows", "suspended", "the clock is wrong"] == told
    assert not any(one.starts for one in (off, empty, suspended, wrong))


async def test_all_caches_are_told_by_name() -> None:
    """Without a cache all are told, with one start each unless more are asked for."""
    async with serving(registered(USERS), registered()) as api:
        await Story(api).policy()
        found = await api.get(Schedule, "/v1/schedule")

    assert [(ORDERS, 1), (USERS, 0)] == [(one.cache, len(one.starts)) for one in found.caches]


async def test_a_wrong_question_is_refused() -> None:
    """An unknown cache is answered with the nearest, and a count out of range is refused."""
    async with serving(registered()) as api:
        with pytest.raises(NotFound) as unknown:
            await shown(api, "order")
        with pytest.raises(BadRequest):
            await shown(api, count=0)

    assert "orders" in unknown.value.hint


async def test_a_backup_tells_what_it_serves() -> None:
    """A backup's own answers hold its occurrence, its deadline and why it was deferred."""
    async with serving(registered(), running(B1, name="long")) as api:
        story = Story(api)
        await story.policy()
        await story.moved(OPENS + timedelta(hours=1))
        (waiting,) = (
            view
            for view in (await api.get(Backups, "/v1/backups", {"all": True})).backups
            if view.kind == "auto"
        )
        detail = await api.get(BackupDetail, path_of("backups", waiting.backup_id))
        await story.moved(CLOSES)
        gone = await api.get(BackupDetail, path_of("backups", waiting.backup_id))

    assert detail.backup == waiting
    assert waiting.occurrence is not None
    assert ("02:00", CLOSES) == (waiting.occurrence.start, waiting.start_before)
    assert "backup long" in (waiting.deferred or "")
    assert ("skipped", True) == (
        gone.backup.phase,
        "window closed" in (gone.backup.abandoned or ""),
    )


async def test_a_backup_tells_what_place_it_waits_for() -> None:
    """What only lacks a place says so, and names what runs on its host."""
    async with serving(registered(), registered(USERS), running(B1, name="long")) as api:
        await api.ledger.execute(RequestBackup("users", "now"), DAEMON)
        status = await api.get(Status, "/v1/status")

    (waiting,) = (view for view in status.backups if view.phase == "waiting")
    assert waiting.waits_for is not None
    assert "one backup a host at a time: orders/long" in waiting.waits_for


async def test_a_status_tells_the_next_start_and_the_newest_scheduled_backup() -> None:
    """A12: a cache's line has its next start, and the newest scheduled backup beside the newest."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy(NIGHTLY)
        scheduled = await story.completed()
        status = await api.get(Status, "/v1/status")

    (view,) = status.caches
    assert view.next_start is not None
    assert view.scheduled is not None
    assert (scheduled, OPENS.date() + DAY) == (
        view.scheduled.backup_id,
        view.next_start.occurrence.day,
    )
    assert () == status.problems
