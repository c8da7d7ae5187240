"""What a channel has still to be told, and when: grouped, spaced out, and repeated seldom.

Pure, reckoned from the book of alarms. News wait a little for others of their kind; messages
about one cause grow apart while its news keep coming; what comes and goes is held back for a
digest; what stands is repeated once in a long while.
"""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from events.alarms import Manner
from projections.alarms import Alarm, Book, Desk, Mail, Notice, untold, wants
from projections.policy import zone

FLAPS = 3
"""An alarm whose changes were told so often is held back until its repetition would be due."""
FAMILY = frozenset(
    {"failed", "abandoned", "missed", "skipped", "cancelled", "stale", "unscheduled"}
)
"""Kinds that follow one upon another: that one of them is over says nothing while others stand."""
AT_ONCE = timedelta(minutes=1)
"""What comes of something is there when that ends, or a moment later."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LATE = timedelta(days=1)
"""A weekly summary that could not be sent for so long is left out."""
LONG_AGO = timedelta(days=60)
SLACK = timedelta(hours=2)
"""No legitimate wait is longer than a repetition and this: then a clock was ahead."""


class News(Struct, frozen=True):
    """What one channel is to be told now; `repeated` stands, and was told before."""

    alarms: tuple[Alarm, ...] = ()
    notices: tuple[Notice, ...] = ()
    repeated: tuple[Alarm, ...] = ()
    week: datetime | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to say."""
        return bool(self.alarms or self.notices or self.repeated or self.week)


def due(book: Book, desk: Desk, now: datetime) -> News:
    """What is to be told now; nothing while an earlier message is on its way."""
    manner = book.manner
    if manner is None or desk.busy:
        return News()
    week = last_week(manner, desk, now)
    first = _first(book, desk, manner, now)
    if week is None and (first is None or first > now):
        return News()
    repeat = week is not None or _repeat_at(book, desk, manner, now) <= now
    return News(
        alarms=tuple(pending(book, desk)),
        notices=tuple(fresh_notices(book, desk)),
        repeated=tuple(standing(book, desk)) if repeat else (),
        week=week,
    )


def next_due(book: Book, now: datetime) -> datetime | None:
    """The next instant at which some channel has to be told something, by what is known now."""
    if book.manner is None:
        return None
    found = [
        at
        for desk in book.channels.values()
        if not desk.busy
        for at in (_first(book, desk, book.manner, now), _next_week(book.manner, desk, now))
        if at is not None
    ]
    return min(found, default=None)


def pending(book: Book, desk: Desk) -> Iterator[Alarm]:
    """Alarms whose standing a channel does not know, but for ends that mean nothing yet."""
    for _, alarm in sorted(book.alarms.items()):
        if untold(desk, alarm) and not _superseded(book, desk, alarm):
            yield alarm


def standing(book: Book, desk: Desk) -> Iterator[Alarm]:
    """Alarms that a channel knows to stand, and that do."""
    for key, told in sorted(desk.told.items()):
        alarm = book.alarms.get(key)
        if told.standing and alarm is not None and alarm.standing and not untold(desk, alarm):
            yield alarm


def fresh_notices(book: Book, desk: Desk) -> Iterator[Notice]:
    """Notices that a channel was not told."""
    for position, notice in sorted(book.notices.items()):
        if position > desk.upto and wants(desk.rules, notice.kind, notice.cache):
            yield notice


def mail_due(mail: Mail, now: datetime) -> datetime:
    """When the next try at delivery is due."""
    at = mail.not_before or now
    return now if at - now > SLACK else at


def on_the_way(desk: Desk) -> tuple[Mail, ...]:
    """A channel's messages that have no end yet, tests first: somebody waits for those."""
    mails = desk.mail.values()
    return tuple(sorted(mails, key=lambda one: (one.queued.purpose != "test", one.queued_at)))


def _superseded(book: Book, desk: Desk, alarm: Alarm) -> bool:
    """Whether it has ended only because something as bad of its family came of it."""
    ended = alarm.cleared_at
    if ended is None or alarm.cache is None or alarm.kind not in FAMILY:
        return False
    return any(
        other.standing
        and other.cache == alarm.cache
        and other.kind in FAMILY
        and (other.level == "critical" or alarm.level == "warning")
        and other.raised_at <= ended + AT_ONCE
        for other in book.alarms.values()
        if wants(desk.rules, other.kind, other.cache)
    )


def _first(book: Book, desk: Desk, manner: Manner, now: datetime) -> datetime | None:
    """When the next message is due; None when there is nothing to say ever, as things are."""
    wait = timedelta(seconds=manner.group_wait)
    found = [_news_at(desk, alarm, manner, now) for alarm in pending(book, desk)]
    found += [
        _spaced(desk, one.kind, at=_past(one.at, now=now) + wait, now=now)
        for one in fresh_notices(book, desk)
    ]
    if any(True for _ in standing(book, desk)):
        found.append(_repeat_at(book, desk, manner, now))
    first = min(found, default=None)
    if first is None:
        return None
    return now if first - now > timedelta(seconds=manner.repeat_every) + SLACK else first


def _news_at(desk: Desk, alarm: Alarm, manner: Manner, now: datetime) -> datetime:
    since = max(_past(alarm.changed_at, now=now), _past(desk.since, now=now))
    at = since + timedelta(seconds=manner.group_wait)
    at = _spaced(desk, alarm.cause, at=at, now=now)
    told = desk.told.get(alarm.key)
    if told is None or (alarm.standing and alarm.level == "critical" != told.level):
        return at
    held = _past(told.window_at, now=now) + timedelta(seconds=manner.repeat_every)
    return max(at, held) if told.changes >= FLAPS else at


def _spaced(desk: Desk, cause: str, *, at: datetime, now: datetime) -> datetime:
    spacing = desk.spacing.get(cause)
    return max(at, spacing.free_at) if spacing and spacing.at <= now else at


def _past(at: datetime, *, now: datetime) -> datetime:
    """An instant that was; what a clock that was ahead has recorded is long ago."""
    return at if at <= now else now - LONG_AGO


def _repeat_at(book: Book, desk: Desk, manner: Manner, now: datetime) -> datetime:
    """When what stands is to be said again: a repetition after the oldest word on it."""
    repeat = timedelta(seconds=manner.repeat_every)
    told = [desk.told[alarm.key].at for alarm in standing(book, desk)]
    return min(told, default=now + repeat) + repeat


def last_week(manner: Manner, desk: Desk, now: datetime) -> datetime | None:
    """The weekly instant whose summary a channel should have by now and has not."""
    if not manner.weekly or not desk.rules.weekly:
        return None
    at = week_before(manner, now)
    known = desk.week if desk.week is not None and desk.week <= now + LATE else None
    since = known or (desk.since if desk.since <= now else now - LATE)
    return at if at > since and now - at <= LATE else None


def _next_week(manner: Manner, desk: Desk, now: datetime) -> datetime | None:
    if not manner.weekly or not desk.rules.weekly:
        return None
    return last_week(manner, desk, now) or week_before(manner, now + timedelta(days=7))


def week_before(manner: Manner, now: datetime) -> datetime:
    """The last weekly instant that is not after `now`."""
    day, clock = manner.weekly.split()
    hour, minute = map(int, clock.split(":"))
    clocks = zone(manner.timezone) or ZoneInfo("UTC")
    here = now.astimezone(clocks)
    date = here.date() - timedelta(days=(here.weekday() - DAYS.index(day)) % 7)
    at = datetime.combine(date, time(hour, minute), clocks)
    if at.timestamp() > now.timestamp():
        at = datetime.combine(date - timedelta(days=7), time(hour, minute), clocks)
    return at.astimezone(now.tzinfo)
