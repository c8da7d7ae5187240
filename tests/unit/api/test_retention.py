"""Questions about retention on a socket: why a backup stays or went, and the days to come."""

from datetime import date, timedelta
from typing import Literal

import pytest

from daemon.answers.retention import Forecast, Retained
from daemon.errors import BadRequest, NotFound
from events.facts import BackupKind
from events.types import (
    BackupDeleted,
    BackupSkipped,
    CacheRemoved,
    CacheSuspended,
    DeletionRequested,
    Event,
    PolicySet,
    RetentionExpired,
)
from tests.support.api import Served, serving
from tests.support.given import NOON, an_id
from tests.support.retaining import policy, reading, story
from tests.support.samples import (
    B1,
    B2,
    B3,
    ORDERS,
    USERS,
    abandoned,
    registered,
    requested,
    swept,
)

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
WEEKLY = PolicySet(cache=ORDERS, policy=policy(windows="02:00+2h"))


def made(kind: BackupKind = "auto", days: int = 0, name: str = "one") -> tuple[Event, ...]:
    """The backup `B1` of that kind and age at noon."""
    return story(B1, NOON - days * DAY, kind=kind, name=name)


async def why(api: Served, reference: str = "orders/one") -> Retained:
    """What is answered of a backup."""
    return await api.get(Retained, f"/v1/retention/{reference}")


async def test_a_young_backup_tells_its_last_day() -> None:
    """A2: one kept by its age says until when, by which rule, and what else keeps it."""
    async with serving(registered(), WEEKLY, made(days=2)) as api:
        found = await why(api)

    assert ("age", True, 7, 1) == (found.rule, found.kept, found.retention_days, found.keep_last)
    assert NOON + 5 * DAY == found.until
    assert (
        "It is kept until 2026-03-06 12:00:00Z, 4 days from now: "
        "auto backups of orders are kept for 7 days from their snapshot."
    ) == found.told
    assert "while that is so, it stays after its age is over" in found.notes[0]
    assert "valkeep policy set orders --retention-days N" in found.changes[0]
    assert "valkeep backup delete orders/one" in found.changes[1]


async def test_the_last_day_is_told_in_hours() -> None:
    """A2: what goes within two days says so in hours."""
    async with serving(registered(), WEEKLY, made(days=6), story(B2, NOON)) as api:
        found = await why(api)

    assert "21.0 hours from now" in found.told


async def test_the_newest_tells_what_would_release_it() -> None:
    """A11: one kept by keep_last says since when its age is over, and what it still waits for."""
    three = PolicySet(cache=ORDERS, policy=policy(keep_last=3))
    events = (made(days=20), story(B2, NOON - 10 * DAY))
    async with serving(registered(), three, *events) as api:
        found = await why(api)

    assert ("keep-last", 3) == (found.rule, found.keep_last)
    assert (
        "It stays because it is among the newest 3 scheduled backups (keep_last); "
        "its age was over at 2026-02-16 12:00:00Z."
    ) == found.told
    assert "it goes as soon as 2 newer backups are complete, scheduled ones of orders" in (
        found.changes
    )


async def test_a_file_s_policy_is_changed_in_the_file() -> None:
    """C3: of a declared cache it says which line of which file would change the verdict."""
    declared = PolicySet(cache=ORDERS, policy=policy(), declared=True)
    async with serving(registered(declared=True), declared, made(days=2)) as api:
        found = await why(api)

    assert "retention_days in [caches.orders.policy] of /etc/valkeep" in found.changes[0]


async def test_a_backup_that_is_read_goes_after_that() -> None:
    """A11: what is due and is being read says both."""
    events = (made(days=9), story(B2, NOON), reading(B1))
    async with serving(registered(), registered(USERS), WEEKLY, *events) as api:
        found = await why(api)

    assert ("read", True, True) == (found.rule, found.kept, found.being_read)
    assert "a restore is reading it: it goes after that" in found.told


async def test_what_expires_says_so() -> None:
    """A2: one whose days are over goes, with the figures."""
    async with serving(registered(), WEEKLY, made(days=9), story(B2, NOON)) as api:
        found = await why(api)

    assert ("expired", False) == (found.rule, found.kept)
    assert found.told.startswith("It goes: its age was over at 2026-02-27 12:00:00Z;")


async def test_a_manual_backup_stays_with_and_without_its_cache() -> None:
    """M2: a manual backup stays until somebody deletes it, also when its cache is removed."""
    async with serving(registered(), made("manual", 900), CacheRemoved(cache=ORDERS)) as api:
        found = await why(api)

    assert ("manual", True, None) == (found.rule, found.kept, found.until)
    assert ("The cache orders was removed; its manual backups stay.",) == found.notes


async def test_a_safety_backup_has_seven_days() -> None:
    """A11: a safety backup says that the policy's days are less than its seven."""
    short = PolicySet(cache=ORDERS, policy=policy(retention_days=2))
    async with serving(registered(), short, made("safety")) as api:
        found = await why(api)

    assert ("age", 7) == (found.rule, found.retention_days)
    assert "safety backups of orders are kept for 7 days" in found.told
    assert "(the policy's days, at least 7)" in found.told


async def test_a_suspended_cache_says_what_brings_retention_back() -> None:
    """C3: of a suspended cache nothing goes, and the answer says why and what would change it."""
    gone = CacheSuspended(cache=ORDERS, reason="it left the file")
    async with serving(registered(), WEEKLY, made(days=90), gone) as api:
        found = await why(api)

    assert ("suspended", True) == (found.rule, found.kept)
    assert "Suspended because it left the file." in found.notes
    assert "valkeep cache set orders --url" in found.changes[0]


async def test_auto_off_is_told() -> None:
    """A1: with auto off the days still count, and the command to change them turns it on."""
    off = PolicySet(cache=ORDERS, policy=policy(auto=False))
    async with serving(registered(), off, made(days=2)) as api:
        found = await why(api)

    assert "Auto backups of orders are off; the retention of what exists goes on." in found.notes
    assert "valkeep policy set orders --auto --retention-days N" in found.changes[0]


async def test_what_was_never_whole_has_nothing_to_keep() -> None:
    """A11: failed and skipped ones were never backups, and do not count as kept."""
    skipped = (
        requested(B2, name="late", kind="auto"),
        BackupSkipped(cache=ORDERS, backup_id=B2, reason="its window closed first"),
    )
    async with serving(registered(), abandoned(name="one"), skipped) as api:
        failed, late = await why(api), await why(api, "orders/late")
    async with serving(registered(), abandoned(name="one"), swept()) as api:
        clean = await why(api)

    assert ("failed", False) == (failed.rule, failed.kept)
    assert "what its attempts left in the vault is being swept" in failed.told
    assert "nothing of it is left in the vault" in clean.told
    assert ("skipped", "Why: its window closed first.") == (late.rule, late.notes[0])
    assert "never counts among the newest" in late.notes[1]


async def test_what_is_being_made_tells_how_long_it_will_be_kept() -> None:
    """A2: of a backup under way the answer says what retention will do with it."""
    asked = (requested(B1, name="one", kind="auto"), requested(B2, name="two"))
    async with serving(registered(), WEEKLY, *asked) as api:
        auto, manual = await why(api), await why(api, "orders/two")

    assert "Once complete it is kept for 7 days from its snapshot." in auto.told
    assert "Once complete it is kept until somebody deletes it." in manual.told


async def test_a_deletion_says_whose_wish_it_is() -> None:
    """What is being deleted says whether a person, retention, or its cache's removal wants it."""
    wishes: dict[Literal["command", "retention", "cache-removed"], str] = {
        "command": "somebody deleted it",
        "retention": "its retention is over",
        "cache-removed": "its cache was removed",
    }
    for reason, told in wishes.items():
        end = DeletionRequested(cache=ORDERS, backup_id=B1, reason=reason)
        async with serving(registered(), made(), end) as api:
            found = await why(api, B1)
        assert f"It is being deleted: {told}." == found.told
        assert not found.kept


async def test_what_is_gone_is_told_from_the_history() -> None:
    """Of a deleted backup the log still tells when and why, by its id or its name."""
    reason = "its snapshot is 7 days old, and it is kept for 7 days"
    events = (
        *made(name="one"),
        RetentionExpired(
            cache=ORDERS, backup_id=B1, taken_at=NOON, retention_days=7, reason=reason
        ),
        DeletionRequested(cache=ORDERS, backup_id=B1, reason="retention"),
        BackupDeleted(cache=ORDERS, backup_id=B1),
    )
    async with serving(registered(), events) as api:
        by_name, by_id = await why(api), await why(api, B1)

    assert by_name == by_id
    assert ("deleted", False, NOON) == (by_name.rule, by_name.kept, by_name.taken_at)
    assert f"its retention was over: {reason}" in by_name.told


async def test_of_a_name_the_living_backup_is_meant() -> None:
    """A name that was used again means the backup that lives, not the one that is gone."""
    gone = (
        DeletionRequested(cache=ORDERS, backup_id=B1, reason="command"),
        BackupDeleted(cache=ORDERS, backup_id=B1),
    )
    again = story(B2, NOON, kind="manual", name="one")
    async with serving(registered(), made("manual"), gone, again) as api:
        living, old = await why(api), await why(api, B1)

    assert (B2, "manual") == (living.backup_id, living.rule)
    assert (B1, "deleted") == (old.backup_id, old.rule)


async def test_an_unknown_backup_is_not_found() -> None:
    """A name that no backup has or had is refused with a near miss."""
    async with serving(registered(), made()) as api:
        for reference in ("orders/onne", "onne", an_id(0xABC)):
            with pytest.raises(NotFound):
                await why(api, reference)


async def test_a_forecast_adds_up() -> None:
    """A2: each day's figures are those of the backups that exist at its end."""
    events = (made(days=6), story(B2, NOON, kind="manual"), story(B3, NOON - 5 * DAY))
    async with serving(registered(), WEEKLY, *events) as api:
        found = await api.get(Forecast, "/v1/caches/orders/forecast", {"days": 5})

    assert 5 == len(found.days)
    for day in found.days:
        there = [
            backup
            for backup in found.backups
            if backup.from_day <= day.day and (backup.gone_day is None or day.day < backup.gone_day)
        ]
        autos = [backup.taken_at for backup in there if backup.kind == "auto"]
        assert len(there) == day.backups
        assert min(autos) == day.oldest_auto_at
        assert 50 * len(there) == day.stored_bytes
        assert sum(b.assumed and b.from_day == day.day for b in found.backups) == day.made
        assert sum(b.gone_day == day.day for b in found.backups) == day.gone
    assert date(2026, 3, 2) == next(b.gone_day for b in found.backups if b.backup_id == B1)


async def test_a_forecast_without_any_backup_assumes_no_size() -> None:
    """Where no backup is there to go by, the stored size is not guessed."""
    async with serving(registered(), WEEKLY) as api:
        found = await api.get(Forecast, "/v1/caches/orders/forecast", {"days": 2})

    assert (None, 0, None) == (
        found.assumed_bytes,
        found.days[0].stored_bytes,
        found.days[1].stored_bytes,
    )


async def test_a_forecast_has_its_bounds() -> None:
    """Days from 1 to 730, of a cache that there is."""
    async with serving(registered(), WEEKLY) as api:
        for days in (0, 731, -1):
            with pytest.raises(BadRequest):
                await api.get(Forecast, "/v1/caches/orders/forecast", {"days": days})
        with pytest.raises(NotFound, match="oders"):
            await api.get(Forecast, "/v1/caches/oders/forecast")
        most = await api.get(Forecast, "/v1/caches/orders/forecast", {"days": 730})

    assert 730 == len(most.days)
