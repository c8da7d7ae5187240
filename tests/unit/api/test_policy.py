"""Policies over the socket: what is shown, planned and taken, and from whom."""

import os
from datetime import timedelta

import msgspec
import pytest

from daemon.answers import Accepted
from daemon.answers.policy import PolicyDetail, PolicyPlan, PolicySettings
from daemon.api import Access
from daemon.api.policy_words import words
from daemon.client import path_of
from daemon.commands import (
    AddCache,
    PolicyChange,
    RemoveCache,
    Request,
    RequestAutoBackup,
    SetCache,
    SetPolicy,
)
from daemon.errors import BadRequest, Forbidden, NotFound, Rejected
from events.facts import BackupId, Policy, Window
from events.types import CacheSuspended, PolicySet, RestoreRequested
from projections.caches import Cache
from tests.support.api import Served, serving
from tests.support.given import NOON
from tests.support.samples import (
    B1,
    B2,
    B3,
    FILE,
    ORDERS,
    SETTINGS,
    complete,
    registered,
    requested,
    restoring,
    running,
)

pytestmark = pytest.mark.anyio

SHOW = path_of("caches", ORDERS, "policy")
PLAN = path_of("caches", ORDERS, "policy", "plan")
ON = Policy(auto=True, windows=(Window("02:00", 120), Window("14:30", 90)), timezone="Europe/Paris")
SET = PolicySet(cache=ORDERS, policy=ON)
OPERATOR = Access(users={os.geteuid(): "operator"}, groups={})


async def told(api: Served, request: Request, key: str | None = None) -> Accepted:
    """Give a command."""
    return await api.post(Accepted, "/v1/commands", request, key)


async def test_a_policy_is_shown_whole() -> None:
    """Every setting is in the answer, also those that are as they always are."""
    async with serving(registered(), SET) as api:
        detail = await api.get(PolicyDetail, SHOW)

    wanted = PolicySettings(
        auto=True,
        retention_days=7,
        retries=3,
        timezone="Europe/Paris",
        windows=("02:00+2h", "14:30+90m"),
        keep_last=1,
        suspect_drop_percent=50,
    )
    assert wanted == detail.policy.settings
    assert (True, False) == (detail.policy.known, detail.policy.declared)
    start = detail.policy.next_start
    assert start is not None
    assert detail.now <= start.at < detail.now + timedelta(days=1)


async def test_a_cache_nobody_has_set_a_policy_for_shows_the_defaults() -> None:
    """Without a policy the defaults are shown, and that nobody has set them."""
    async with serving(registered()) as api:
        detail = await api.get(PolicyDetail, SHOW)

    assert not detail.policy.known
    assert not detail.policy.settings.auto
    assert detail.policy.next_start is None


async def test_a_declared_policy_names_its_file() -> None:
    """C3: a declared policy is shown with its file; that of a suspended cache is free."""
    declared = (registered(declared=True), PolicySet(cache=ORDERS, policy=ON, declared=True))
    async with serving(*declared) as api:
        live = (await api.get(PolicyDetail, SHOW)).policy
    async with serving(*declared, CacheSuspended(cache=ORDERS, reason="it left")) as api:
        left = (await api.get(PolicyDetail, SHOW)).policy

    assert (True, FILE, None) == (live.declared, live.file, live.suspended)
    assert (False, "it left", None) == (left.declared, left.suspended, left.next_start)
    assert left.words[0].startswith("The cache is suspended (it left)")


async def test_an_unknown_cache_is_answered_with_the_nearest() -> None:
    """A slip in the name is told for each of the ways to name a cache."""
    async with serving(registered()) as api:
        with pytest.raises(NotFound, match="ordrs") as shown:
            await api.get(PolicyDetail, path_of("caches", "ordrs", "policy"))
        with pytest.raises(NotFound) as planned:
            await api.post(PolicyPlan, path_of("caches", "ordrs", "policy", "plan"), PolicyChange())
        with pytest.raises(NotFound) as changed:
            await told(api, SetPolicy("ordrs", PolicyChange(auto=True)))
        with pytest.raises(NotFound) as wanted:
            await told(api, RequestAutoBackup("ordrs"))

    for refusal in (shown, planned, changed, wanted):
        assert "'orders'" in refusal.value.hint


async def test_a_policy_is_set_by_command() -> None:
    """The answer names the cache and the one record; the same again is no record."""
    change = PolicyChange(auto=True, windows=("02:00+2h",))
    async with serving(registered()) as api:
        first = await told(api, SetPolicy(ORDERS, change), "k")
        again = await told(api, SetPolicy(ORDERS, change), "k")
        nothing = await told(api, SetPolicy(ORDERS, change))

    assert ("orders", 1) == (first.cache, len(first.positions))
    assert first == again
    assert () == nothing.positions


async def test_settings_that_are_set_without_auto_are_refused() -> None:
    """A1: the refusal comes over the socket with what to do."""
    async with serving(registered()) as api:
        with pytest.raises(Rejected) as plan:
            await api.post(PolicyPlan, PLAN, PolicyChange(retries=1))
        with pytest.raises(Rejected) as command:
            await told(api, SetPolicy(ORDERS, PolicyChange(retries=1)))

    assert plan.value.message == command.value.message
    assert "--auto" in command.value.hint


async def test_a_number_that_is_none_is_bad_usage() -> None:
    """A value of another kind is refused before anything is decided."""
    async with serving(registered()) as api:
        for body in (b'{"auto":"yes"}', b'{"retries":true}', b'{"retention":3}', b"[]"):
            with pytest.raises(BadRequest):
                await api.post(PolicyPlan, PLAN, msgspec.Raw(body))  # type: ignore[arg-type]


async def test_a_change_of_the_policy_alone_is_not_worth_a_probe() -> None:
    """C2: a cache is looked at when its settings change, not when only its policy does."""
    async with serving(registered()) as api:
        change = PolicyChange(auto=True)
        accepted = await told(api, SetCache(ORDERS, policy=change))
        before = len(api.outcomes.probes)
        await told(api, SetCache(ORDERS, node="primary", policy=PolicyChange(retries=1)))

    assert accepted.probe is None
    assert (0, 1) == (before, len(api.outcomes.probes))
    policy = api.ledger.state.caches[ORDERS].policy
    assert policy is not None
    assert (True, 1) == (policy.auto, policy.retries)


async def test_a_cache_with_a_wrong_policy_is_neither_probed_nor_added() -> None:
    """What will be refused anyway is not worth a look at the cache."""
    async with serving() as api:
        for change in (PolicyChange(auto=True, retries=11), PolicyChange(retries=1)):
            with pytest.raises((BadRequest, Rejected)):
                await told(api, AddCache(ORDERS, SETTINGS.url, policy=change))

    assert [] == api.outcomes.probes
    assert ORDERS not in api.ledger.state.caches


async def test_an_operator_makes_auto_backups_and_sets_no_policy() -> None:
    """A5b: making one now is for operators; what is made and kept is for admins."""
    async with serving(registered(), SET, access=OPERATOR) as api:
        accepted = await told(api, RequestAutoBackup(ORDERS))
        shown = await api.get(PolicyDetail, SHOW)
        with pytest.raises(Forbidden):
            await told(api, SetPolicy(ORDERS, PolicyChange(auto=False)))
        with pytest.raises(Forbidden):
            await api.post(PolicyPlan, PLAN, PolicyChange(auto=False))

    assert accepted.backup_id
    assert shown.policy.settings.auto


async def test_a_shorter_retention_is_planned_before_it_deletes() -> None:
    """A2: the plan names exactly what a shorter retention deletes at once, and deletes nothing."""
    history = (
        registered(),
        SET,
        complete(B1, kind="auto"),
        complete(B2, kind="manual"),
        complete(B3, kind="auto"),
    )
    async with serving(*history) as api:
        api.clock.instant = NOON + timedelta(days=3)
        shorter = await _planned(api, PolicyChange(retention_days=2))
        bare = await _planned(api, PolicyChange(retention_days=2, keep_last=0))
        longer = await _planned(api, PolicyChange(retention_days=30))
        same = await _planned(api, PolicyChange(retention_days=7))
        after = api.ledger.state.caches[ORDERS].policy

    assert [B1] == _going(shorter)
    assert [B1, B3] == _going(bare)
    assert [[], []] == [_going(longer), _going(same)]
    assert (True, False) == (longer.changes, same.changes)
    assert 2 == shorter.policy.settings.retention_days
    assert ON == after


async def test_what_goes_anyway_is_not_put_down_to_the_change() -> None:
    """A2: what the present policy has given up already is not named as the change's doing."""
    history = (registered(), SET, complete(B1, kind="auto"), complete(B3, kind="auto"))
    async with serving(*history) as api:
        api.clock.instant = NOON + timedelta(days=8)
        planned = await _planned(api, PolicyChange(retention_days=2, keep_last=0))

    assert [B3] == _going(planned)


async def test_what_is_being_read_does_not_go_at_once() -> None:
    """A11: a backup that a restore reads is not among those that a change deletes at once."""
    reading: RestoreRequested = restoring(B1)
    history = (registered(), SET, complete(B1, kind="auto"), complete(B3, kind="auto"), reading)
    async with serving(*history) as api:
        api.clock.instant = NOON + timedelta(days=3)
        planned = await _planned(api, PolicyChange(retention_days=2, keep_last=0))

    assert [B3] == _going(planned)


async def test_what_waits_would_end_with_auto() -> None:
    """A1: turning auto off is planned with the backup that would not be made any more."""
    async with serving(registered(), SET, requested(B1, kind="auto", name="auto-1")) as api:
        planned = await _planned(api, PolicyChange(auto=False))

    assert ["auto-1"] == [view.name for view in planned.ending]


async def test_a_window_that_was_settled_is_not_taken_for_a_backup_that_was_asked_for() -> None:
    """A7: what a change of the policy settles first does not show up as the change's backup."""
    async with serving(registered(), SET, running(B1, kind="auto")) as api:
        api.clock.instant = NOON + timedelta(days=1, hours=12)
        accepted = await told(api, SetPolicy(ORDERS, PolicyChange(retries=9)))
        skipped = [
            slot
            for slot in api.ledger.state.slots[ORDERS]
            if slot.outcome == "skipped" and slot.backup_id != B1
        ]

    assert skipped
    assert accepted.backup_id is None


async def test_a_cache_added_again_begins_without_a_policy() -> None:
    """A10: the policy goes with the cache."""
    async with serving(registered(), SET) as api:
        await told(api, RemoveCache(ORDERS))
        await told(api, AddCache(ORDERS, SETTINGS.url))
        detail = await api.get(PolicyDetail, SHOW)

    assert not detail.policy.known


async def _planned(api: Served, change: PolicyChange) -> PolicyPlan:
    return await api.post(PolicyPlan, PLAN, change)


def _going(planned: PolicyPlan) -> list[BackupId]:
    return [BackupId(view.backup_id) for view in planned.going]


CACHE = Cache(ORDERS, SETTINGS, declared=False, added_at=NOON, scheduled_since=NOON)
DECLARED = Cache(ORDERS, SETTINGS, declared=True, added_at=NOON, scheduled_since=NOON, file=FILE)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(), "Auto backups are off: none is made."),
        (Policy(), "`valkeep policy set orders --auto --window 02:00+2h` turns them on."),
        (Policy(windows=ON.windows), "(02:00+2h, 14:30+90m) are kept for later"),
        (Policy(windows=ON.windows), "`valkeep policy set orders --auto` turns them on."),
        (Policy(auto=True), "there is no window, so none is made by itself"),
        (Policy(auto=True), "valkeep backup create orders --auto"),
        (ON, "2 backups a day, begun between 02:00 and 04:00 and between 14:30 and 16:00"),
        (ON, "(Europe/Paris)"),
        (ON, "in the first half of its window"),
        (ON, "tried again up to 3 times"),
        (ON, "7 days after its snapshot, but never the newest one (keep_last 1)"),
        (Policy(auto=True, windows=(Window("23:00", 120),)), "23:00 and 01:00 the next day"),
        (Policy(auto=True, windows=(Window("23:00", 60),)), "23:00 and 00:00 (UTC)"),
        (Policy(auto=True, windows=(Window("00:00", 1440),)), "00:00 and 00:00 the next day"),
        (Policy(auto=True, windows=ON.windows, retries=0), "is not tried again"),
        (Policy(auto=True, windows=ON.windows, retries=1), "tried again once"),
        (Policy(auto=True, keep_last=0), "also the last one there is"),
        (Policy(auto=True, keep_last=3), "but never the newest 3 (keep_last 3)"),
        (Policy(auto=True, retention_days=1), "1 day after its snapshot"),
        (Policy(auto=True, retention_days=1), "before a restore, are kept for 7 days"),
        (Policy(auto=True, retention_days=30), "before a restore, are kept for 30 days"),
        (Policy(auto=True, windows=ON.windows, timezone="Mars/X"), "does not have Mars/X any more"),
    ],
)
def test_a_policy_is_told_in_words(policy: Policy, said: str) -> None:
    """What comes of a policy is said in sentences: when, how often, how long, and what not."""
    assert said in " ".join(words(CACHE, policy))


def test_a_declared_policy_is_told_where_to_change_it() -> None:
    """C3: for a declared cache the words name the file, not a command that would be refused."""
    for policy in (Policy(), Policy(auto=True)):
        said = " ".join(words(DECLARED, policy))
        assert f"[caches.orders.policy] of {FILE}" in said
        assert "policy set" not in said


def test_many_windows_are_listed_and_not_told() -> None:
    """A policy with a window for each hour is still one sentence."""
    windows = tuple(Window(f"{hour:02}:00", 60) for hour in range(24))

    said = words(CACHE, Policy(auto=True, windows=windows))

    assert "24 backups a day, begun in these windows: 00:00+1h, 01:00+1h" in said[0]
