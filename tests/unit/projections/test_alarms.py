"""What is told of alarms, and when: grouped, repeated seldom, never lost (stories and figures)."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as some

from events.alarms import (
    KINDS,
    Channel,
    ChannelName,
    Manner,
    NotificationFailed,
    NotificationsSet,
)
from events.facts import InstallationId
from events.types import DaemonStarted, DeletionRequested, Event
from projections import alarm_checks
from projections.alarm_words import PHRASES
from projections.alarms import untold
from projections.news import week_before
from tests.support.alarms import MANNER, OPS, Story, found
from tests.support.given import NOON
from tests.support.samples import B1, ORDERS, complete, registered

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OTHER = ChannelName("other")


def test_an_alarm_is_one_message_that_says_what_to_do() -> None:
    """A condition is told once its kind was waited for: where, since when, why and what to do."""
    story = Story()
    story.raised()
    story.wait(HOUR)

    (arrived,) = story.arrived
    assert 1.0 == arrived.minute
    assert "CRITICAL [backup01]: orders: a backup was given up" == arrived.message.title
    assert arrived.message.text.splitlines() == [
        "CRITICAL: orders: a backup was given up, since 2026-03-01 12:00 UTC",
        "  nightly of orders was given up: the vault does not answer.",
        "  What to do: Make one now: `valkeep backup create orders --auto`.",
        "",
        "Valkeep on backup01, 2026-03-01 12:01 UTC. `valkeep status` shows what is so now.",
    ]


def test_the_end_is_told_with_how_long_it_lasted() -> None:
    """A recovered message names the time between."""
    story = Story()
    story.raised()
    story.wait(40 * MINUTE)
    story.cleared()
    story.wait(HOUR)

    assert ["CRITICAL [backup01]: orders: a backup was given up"] == story.titles()[:1]
    assert "RECOVERED [backup01]: orders: a backup was given up" == story.titles()[1]
    assert "after 40 min, at 2026-03-01 12:40 UTC" in story.arrived[1].message.text
    assert 2 == len(story.arrived)


def test_one_cause_is_one_message() -> None:
    """Three hundred caches that fail because of one vault are one message with a few names."""
    story = Story()
    for number in range(300):
        story.raised(found(f"cache-{number:03}"))
        story.wait(MINUTE / 400)
    story.wait(HOUR)

    (arrived,) = story.arrived
    assert "CRITICAL [backup01]: 300 caches: a backup was given up" == arrived.message.title
    named = "300 caches (cache-000, cache-001, cache-002, cache-003, cache-004 and 295 more)"
    assert named in arrived.message.text
    assert len(arrived.message.text) < 700
    assert 300 == len(arrived.message.tells)


def test_one_cause_that_spreads_is_a_few_messages() -> None:
    """Caches that fail one after the other for four hours are told of ever more seldom."""
    story = Story()
    for number in range(240):
        story.raised(found(f"cache-{number:03}"))
        story.wait(MINUTE)
    story.wait(2 * HOUR)

    assert len(story.arrived) <= 8
    told = {telling.alarm for arrived in story.arrived for telling in arrived.message.tells}
    assert 240 == len(told)


def test_another_cause_does_not_wait_for_the_first() -> None:
    """What has a cause of its own is told at once, however much is told of others."""
    story = Story()
    for number in range(60):
        story.raised(found(f"cache-{number:03}"))
        story.wait(MINUTE)
    before = len(story.arrived)
    story.raised(found("users", kind="damaged", code="rdb-broken"))
    story.wait(MINUTE)

    assert before + 1 == len(story.arrived)
    assert "CRITICAL: users: a backup is damaged" in story.arrived[-1].message.text


def test_what_comes_and_goes_is_not_fifty_messages() -> None:
    """A cache that fails and recovers every four minutes is a handful of messages in a day."""
    story = Story()
    for _ in range(200):
        story.raised()
        story.wait(2 * MINUTE)
        story.cleared()
        story.wait(2 * MINUTE)
    story.wait(2 * DAY)

    assert len(story.arrived) <= 5
    assert any("comes and goes: raised" in one.message.text for one in story.arrived)
    assert "RECOVERED" in story.titles()[-1]


def test_what_came_and_went_within_the_wait_is_told_once() -> None:
    """A condition that was over before its message is told all the same, as over."""
    story = Story()
    story.raised()
    story.wait(10 * timedelta(seconds=1))
    story.cleared()
    story.wait(3 * DAY)

    assert ["CAME AND WENT [backup01]: orders: a backup was given up"] == story.titles()


def test_what_stands_is_repeated_once_a_day() -> None:
    """A condition that nobody mends is said again each day, with all others that stand."""
    story = Story()
    story.raised()
    story.wait(30 * MINUTE)
    story.raised(found("users", kind="damaged", code="rdb-broken"))
    story.wait(3 * DAY + HOUR)

    assert 2 + 3 == len(story.arrived)
    assert "STILL CRITICAL [backup01]: orders: a backup was given up (+1 more)" in story.titles()


def test_an_alarm_that_grows_worse_is_told_again() -> None:
    """A warning that becomes critical is news, also when its kind was told of often."""
    story = Story()
    story.raised(found(level="warning"))
    story.wait(HOUR)
    story.raised(found(level="critical"))
    story.wait(HOUR)

    assert ["WARNING", "CRITICAL"] == [title.split(" ")[0] for title in story.titles()]


def test_an_end_that_is_none_is_not_told() -> None:
    """That no attempt fails any more is no recovery when the backup was given up."""
    story = Story()
    failed = found(kind="failed", level="warning")
    story.raised(failed)
    story.wait(10 * MINUTE)
    story.raised(found())
    story.cleared(failed)
    story.wait(6 * HOUR)

    assert not any("RECOVERED" in one.message.text for one in story.arrived)
    story.cleared()
    story.wait(6 * HOUR)
    assert "RECOVERED" in story.titles()[-1]
    assert 2 == len(story.arrived[-1].message.tells)


def test_a_lesser_trouble_does_not_hide_an_end() -> None:
    """That a critical alarm is over is told, though a warning about the same cache stands."""
    story = Story()
    story.raised(found(), found(kind="missed", level="warning", code="missed"))
    story.wait(HOUR)
    story.cleared(found())
    story.wait(HOUR)

    assert "RECOVERED [backup01]: orders: a backup was given up" == story.titles()[-1]


def test_channels_are_told_what_they_are_for() -> None:
    """Kinds, caches and levels choose; what belongs to no cache is for every channel."""
    story = Story(
        Channel(ChannelName("critical"), level="critical", recovered=False),
        Channel(ChannelName("shop"), caches=("shop-*",)),
        Channel(ChannelName("vaults"), on=("vault",)),
    )
    story.raised(found("shop-a", kind="skipped", level="warning"), found("orders"))
    story.raised(found("", kind="vault", channel="main"))
    story.wait(HOUR)
    story.cleared(found("orders"), found("shop-a", kind="skipped"))
    story.wait(6 * HOUR)

    told = {
        name: {t.alarm for a in story.arrived if a.message.channel == name for t in a.message.tells}
        for name in ("critical", "shop", "vaults")
    }
    assert {
        "critical": {"abandoned/orders", "vault/main"},
        "shop": {"skipped/shop-a", "vault/main"},
        "vaults": {"vault/main"},
    } == told
    assert not any("RECOVERED" in title for title in story.titles("critical"))
    assert any("RECOVERED" in title for title in story.titles("shop"))


def test_an_old_log_does_not_send_old_news() -> None:
    """A first channel on a log with a history is told what stands, and nothing of before."""
    story = Story(before=[registered(), *complete(B1)])
    story.wait(HOUR)
    assert [] == story.arrived

    story.raised()
    story.wait(HOUR)
    story.happen(NotificationsSet(MANNER, (Channel(OPS), Channel(OTHER))))
    story.wait(HOUR)

    assert 1 == len(story.titles(OPS))
    assert story.titles(OPS) == story.titles(OTHER)


def test_without_channels_nothing_is_recorded() -> None:
    """An installation that tells nobody keeps no book, however much is wrong."""
    story = Story(Channel(OPS))
    story.happen(NotificationsSet(MANNER))
    story.raised()

    assert not story.state.alarms.alarms


def test_a_channel_that_takes_nothing_is_given_up_and_told_of() -> None:
    """A message that was tried for a day is given up; `check` says so, and other channels do."""
    story = Story(Channel(OPS), Channel(OTHER))
    story.takes = lambda name: name != OPS
    story.raised()
    story.wait(20 * MINUTE)

    (line,) = alarm_checks.judge(story.state, story.now)
    assert ("warning", "notify", "ops") == (line.level, line.rule, line.part)

    story.wait(DAY)
    (line,) = alarm_checks.judge(story.state, story.now)
    assert "critical" == line.level
    assert "1 given up" in line.message

    story.raised(found("", kind="notify", channel=OPS))
    story.wait(HOUR)
    assert "a channel does not take messages" in story.titles(OTHER)[-1]

    story.takes = lambda _: True
    story.wait(2 * DAY)
    assert "STILL CRITICAL [backup01]: orders: a backup was given up" in story.titles(OPS)
    assert not any("channel" in title for title in story.titles(OPS))
    assert [] == list(alarm_checks.judge(story.state, story.now))


def test_a_channel_that_fails_has_one_message_on_its_way() -> None:
    """News wait while a channel takes nothing, and then come in one message."""
    story = Story()
    story.takes = lambda _: False
    for number in range(20):
        story.raised(found(f"cache-{number:02}", code=f"cause-{number}"))
        story.wait(10 * MINUTE)
    assert 1 == len(story.state.alarms.channels[OPS].mail)

    story.takes = lambda _: True
    story.wait(3 * HOUR)
    assert 2 == len(story.arrived)
    told = {telling.alarm for arrived in story.arrived for telling in arrived.message.tells}
    assert 20 == len(told)


class _Unheard(Story):
    """A story that nobody listens to; it remembers when that was tried."""

    def __init__(self) -> None:
        self.tries: list[datetime] = []
        super().__init__()
        self.takes = lambda _: False

    def happen(self, *events: Event) -> None:
        """Records of now."""
        self.tries += [self.now for event in events if isinstance(event, NotificationFailed)]
        super().happen(*events)


def test_tries_grow_apart() -> None:
    """A message is tried again after a growing while, at most half an hour and a quarter."""
    story = _Unheard()
    story.raised()
    story.wait(2 * DAY)
    tries = story.tries

    day = [at for at in tries if at - tries[0] < DAY]
    gaps = [later - earlier for earlier, later in pairwise(day)]
    assert gaps[0] < timedelta(seconds=20)
    assert max(gaps) < 40 * MINUTE
    assert len(day) < 70


@pytest.mark.parametrize(
    ("away_hours", "titles"),
    [(0, 1), (23, 1), (30, 0)],
)
def test_the_week_is_told_once_and_late_within_a_day(away_hours: int, titles: int) -> None:
    """The weekly summary comes at its time, or late when we were away, but not days late."""
    manner = Manner(host="backup01", weekly="mon 09:00", timezone="Europe/Paris")
    story = Story(manner=manner)
    monday = datetime(2026, 3, 2, 8, tzinfo=NOON.tzinfo)
    story.now = monday + timedelta(hours=away_hours)
    story.wait(2 * DAY)

    assert titles == len(story.titles())
    assert all(title == "Valkeep [backup01]: this week: all is well" for title in story.titles())
    story.wait(5 * DAY)
    assert titles + 1 == len(story.titles())


def test_the_week_tells_what_is_not_well() -> None:
    """A summary with alarms says so, and what they are."""
    manner = Manner(weekly="mon 09:00")
    story = Story(manner=manner)
    story.raised()
    story.wait(DAY)

    last = story.arrived[-1].message
    assert "Valkeep: this week, and not all is well" == last.title
    assert "STILL CRITICAL: orders" in last.text
    assert "Backups made: 0" in last.text


def test_weeks_follow_the_clocks_of_their_zone() -> None:
    """The weekly instant is the same on local clocks before and after they are set."""
    manner = Manner(weekly="mon 09:00", timezone="Europe/Paris")
    before = week_before(manner, datetime(2026, 3, 24, tzinfo=NOON.tzinfo))
    after = week_before(manner, datetime(2026, 3, 31, tzinfo=NOON.tzinfo))

    assert (8, 7) == (before.hour, after.hour)
    assert 7 * DAY - HOUR == after - before


def test_news_of_a_clock_that_was_ahead_are_not_waited_for() -> None:
    """An alarm that was raised by a clock three hours ahead is told when the clock is right."""
    story = Story()
    story.now = NOON + 3 * HOUR
    story.raised()
    story.now = NOON
    story.wait(2 * MINUTE)

    assert 1 == len(story.titles())


def test_a_clock_that_was_ahead_silences_nobody() -> None:
    """What was told by a clock that showed next year is told again by the right one."""
    story = Story()
    story.now = NOON + 365 * DAY
    story.raised()
    story.wait(HOUR)
    story.now = NOON + HOUR
    story.raised(found("users", kind="damaged", code="rdb-broken"))
    story.wait(2 * HOUR)

    assert "users: a backup is damaged" in story.titles()[-1]
    assert len(story.arrived) < 6


def test_a_restart_changes_nothing() -> None:
    """The book is the log's alone: what was told stays told after the daemon's end."""
    story = Story()
    story.raised()
    story.wait(HOUR)
    story.happen(DaemonStarted(InstallationId("here"), "1"))
    story.raised()
    story.wait(HOUR)

    assert 1 == len(story.arrived)


STEPS = some.lists(
    some.tuples(
        some.sampled_from(["raise", "clear", "warn"]),
        some.sampled_from(["a", "b", "c"]),
        some.sampled_from([0.1, 0.7, 3.0, 20.0, 300.0]),
        some.booleans(),
    ),
    max_size=30,
)


@for_all(STEPS)
def test_nothing_is_lost_and_nothing_is_said_twice(
    steps: list[tuple[str, str, float, bool]],
) -> None:
    """Whatever comes and goes, a channel knows in the end how all stands, each told once."""
    story = Story(Channel(OPS, on=KINDS))
    for what, cache, minutes, takes in steps:
        story.takes = (lambda _: True) if takes else (lambda _: False)
        condition = found(cache, level="warning" if what == "warn" else "critical")
        (story.cleared if what == "clear" else story.raised)(condition)
        story.wait(minutes * MINUTE)
    ever = set(story.state.alarms.alarms)
    story.takes = lambda _: True
    story.wait(3 * DAY)

    book = story.state.alarms
    desk = book.channels[OPS]
    assert not desk.mail
    assert not any(untold(desk, alarm) for alarm in book.alarms.values())
    told = [
        (telling.alarm, telling.times, telling.standing)
        for arrived in story.arrived
        for telling in arrived.message.tells
    ]
    assert ever <= {alarm for alarm, _, _ in told}
    ends = [one for one in told if not one[2]]
    assert len(ends) == len(set(ends))
    assert len(story.arrived) <= 2 * len(steps) + 4


def test_notices_are_told_to_who_wants_them() -> None:
    """A deleted backup is told to a channel for notices, and not to one for problems."""
    story = Story(
        Channel(OPS, on=("deleted",)), Channel(OTHER), before=[registered(), *complete(B1)]
    )
    story.happen(DeletionRequested(ORDERS, B1, "command"))
    story.wait(HOUR)

    assert ["Valkeep [backup01]: orders: a backup was deleted"] == story.titles(OPS)
    assert [] == story.titles(OTHER)
    assert "was deleted by anna" in story.arrived[0].message.text


def test_every_kind_has_its_words() -> None:
    """No message shows a kind by its bare name, and no rule leads to a kind that there is not."""
    assert set(KINDS) == set(PHRASES)
    assert set(alarm_checks.KIND_OF.values()) <= set(KINDS)
