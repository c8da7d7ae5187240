"""The book of alarms: what stands, what each channel was told of it, what is on its way.

A fold and nothing else: no clock, no addresses. What is to be told, and when, is reckoned from
this book in `news`; what a message says, in `alarm_words`. Without channels nothing is kept.
"""

from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.alarms import (
    AlarmCleared,
    AlarmEvent,
    AlarmKey,
    AlarmLevel,
    AlarmRaised,
    Channel,
    ChannelName,
    Manner,
    NotificationFailed,
    NotificationId,
    NotificationQueued,
    NotificationSent,
    NotificationsSet,
)
from events.envelope import Envelope
from events.facts import START, CacheName, Failure, Position

SPACING = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Between messages about one and the same cause: so they grow apart while news keep coming."""


class Alarm(Struct, frozen=True):
    """One condition. `times` counts how often it was raised since it was first kept here."""

    key: AlarmKey
    kind: str
    level: AlarmLevel
    message: str
    hint: str
    code: str
    cache: CacheName | None
    channel: ChannelName | None
    first_at: datetime
    raised_at: datetime
    changed_at: datetime
    cleared_at: datetime | None = None
    times: int = 1

    @property
    def standing(self) -> bool:
        """Whether it is so now."""
        return self.cleared_at is None

    @property
    def cause(self) -> str:
        """What alarms with one cause have in common: they share a message."""
        return f"{self.kind} {self.code}"


class Notice(Struct, frozen=True):
    """Something that happened once, and was worth a message to some channel."""

    position: Position
    kind: str
    at: datetime
    cache: CacheName | None
    message: str


class Told(Struct, frozen=True):
    """What a channel knows of an alarm; `changes` were told since `window_at`."""

    times: int
    standing: bool
    level: AlarmLevel
    at: datetime
    window_at: datetime
    changes: int = 1


class Spacing(Struct, frozen=True):
    """When a channel was last told of a cause, and how far apart messages of it have grown."""

    at: datetime
    step: int = 0

    @property
    def free_at(self) -> datetime:
        """No message because of this cause before then."""
        return self.at + SPACING[self.step]


class Mail(Struct, frozen=True):
    """A message that was decided, and has neither been sent nor given up."""

    queued: NotificationQueued
    queued_at: datetime
    attempts: int = 0
    not_before: datetime | None = None
    failure: Failure | None = None


class Ended(Struct, frozen=True):
    """How the last of something ended."""

    notification_id: NotificationId
    at: datetime
    attempts: int
    service: str = ""
    failure: Failure | None = None


class Desk(Struct, frozen=True):
    """One channel: its rules, what it was told, what is on its way, and how that went.

    `lost` counts the messages that were given up since the last one arrived, `failing_since` is
    when the first try failed since then.
    """

    rules: Channel
    since: datetime
    told: Map[AlarmKey, Told] = Map()
    spacing: Map[str, Spacing] = Map()
    upto: Position = START
    week: datetime | None = None
    mail: Map[NotificationId, Mail] = Map()
    sent: Ended | None = None
    failed: Ended | None = None
    tested: Ended | None = None
    failing_since: datetime | None = None
    lost: int = 0

    @property
    def busy(self) -> bool:
        """Whether a message that is no test is on its way: the next waits, and tells the newest."""
        return any(mail.queued.purpose != "test" for mail in self.mail.values())


class Book(Struct, frozen=True):
    """Everything about alarms; `manner` is None until notifications were set once."""

    manner: Manner | None = None
    channels: Map[ChannelName, Desk] = Map()
    alarms: Map[AlarmKey, Alarm] = Map()
    notices: Map[Position, Notice] = Map()


def wants(rules: Channel, kind: str, cache: CacheName | None) -> bool:
    """Whether a channel is told of this kind of news about this cache, or of none."""
    return kind in rules.on and (cache is None or covers(rules, cache))


def covers(rules: Channel, cache: CacheName) -> bool:
    """Whether a cache is one of those that a channel is for."""
    return not rules.caches or any(fnmatchcase(cache, pattern) for pattern in rules.caches)


def concerns(rules: Channel, alarm: Alarm) -> bool:
    """Whether a channel is told of an alarm; never of its own troubles: it cannot hear them."""
    if alarm.channel == rules.name or (alarm.level == "warning" and rules.level == "critical"):
        return False
    return wants(rules, alarm.kind, alarm.cache)


def evolve(book: Book, envelope: Envelope, event: AlarmEvent) -> Book:
    """The book after one more record about alarms."""
    match event:
        case NotificationsSet():
            return _set(book, envelope, event)
        case AlarmRaised():
            raised = _raised(book, event, envelope.at)
            return replace(book, alarms=book.alarms.set(event.alarm, raised))
        case AlarmCleared():
            known = book.alarms.get(event.alarm)
            if known is None:
                return book
            cleared = replace(known, cleared_at=envelope.at, changed_at=envelope.at)
            return replace(book, alarms=book.alarms.set(event.alarm, cleared))
        case NotificationQueued() | NotificationSent() | NotificationFailed():
            desk = book.channels.get(event.channel)
            if desk is None:
                return book
            changed = _delivery(book, desk, event, envelope.at)
            book = replace(book, channels=book.channels.set(event.channel, changed))
            return _tidied(book, envelope.at) if isinstance(event, NotificationQueued) else book


def noticed(book: Book, notice: Notice) -> Book:
    """The book with a notice, if some channel is told of its kind."""
    if any(wants(desk.rules, notice.kind, notice.cache) for desk in book.channels.values()):
        return replace(book, notices=book.notices.set(notice.position, notice))
    return book


def _set(book: Book, envelope: Envelope, event: NotificationsSet) -> Book:
    channels = {}
    for rules in event.channels:
        known = book.channels.get(rules.name)
        new = Desk(rules, since=envelope.at, upto=envelope.position)
        channels[rules.name] = replace(known, rules=rules) if known else new
    if not channels:
        return Book(manner=event.manner)
    return replace(book, manner=event.manner, channels=Map(channels))


def _raised(book: Book, event: AlarmRaised, at: datetime) -> Alarm:
    known = book.alarms.get(event.alarm)
    again = known is not None and not known.standing
    graver = known is not None and event.level == "critical" != known.level
    return Alarm(
        key=event.alarm,
        kind=event.kind,
        level=event.level,
        message=event.message,
        hint=event.hint,
        code=event.code,
        cache=event.cache,
        channel=event.channel,
        first_at=known.first_at if known else at,
        raised_at=known.raised_at if known and not again else at,
        changed_at=at if known is None or again or graver else known.changed_at,
        times=(known.times if known else 0) + (1 if known is None or again else 0),
    )


def _delivery(
    book: Book,
    desk: Desk,
    event: NotificationQueued | NotificationSent | NotificationFailed,
    at: datetime,
) -> Desk:
    if isinstance(event, NotificationQueued):
        return _queued(book, desk, event, at)
    mail = desk.mail.get(event.notification_id)
    if mail is None:
        return desk
    is_test = mail.queued.purpose == "test"
    if isinstance(event, NotificationSent):
        ended = Ended(event.notification_id, at, event.attempt, event.service)
        left = desk.mail.delete(event.notification_id)
        # The other side takes messages again: what waits for its next try need not.
        left = Map({name: replace(one, not_before=None) for name, one in left.items()})
        tested = ended if is_test else desk.tested
        return replace(desk, mail=left, sent=ended, tested=tested, failing_since=None, lost=0)
    ended = Ended(event.notification_id, at, event.attempt, failure=event.failure)
    desk = replace(desk, failed=ended)
    if event.retry_at is None:
        desk = replace(desk, mail=desk.mail.delete(event.notification_id))
        return replace(desk, tested=ended) if is_test else replace(desk, lost=desk.lost + 1)
    waits = replace(mail, attempts=event.attempt, not_before=event.retry_at, failure=event.failure)
    changed = desk.mail.set(event.notification_id, waits)
    return replace(desk, mail=changed, failing_since=desk.failing_since or at)


def _queued(book: Book, desk: Desk, event: NotificationQueued, at: datetime) -> Desk:
    mail = desk.mail.set(event.notification_id, Mail(event, at))
    if event.purpose == "test":
        return replace(desk, mail=mail)
    told, spacing = desk.told, desk.spacing
    repeat = timedelta(seconds=book.manner.repeat_every if book.manner else 0)
    for telling in event.tells:
        alarm = book.alarms.get(telling.alarm)
        if alarm is None:
            continue
        before = told.get(alarm.key)
        changed = before is None or (before.times, before.standing) != (
            telling.times,
            telling.standing,
        )
        now = Told(telling.times, telling.standing, alarm.level, at, at)
        told = told.set(alarm.key, _told(before, now, repeat=repeat, changed=changed))
        if changed:
            spacing = spacing.set(alarm.cause, _spaced(spacing.get(alarm.cause), at))
    upto = Position(max(desk.upto, event.upto))
    for notice in book.notices.values():
        if desk.upto < notice.position <= upto and wants(desk.rules, notice.kind, notice.cache):
            spacing = spacing.set(notice.kind, _spaced(spacing.get(notice.kind), at))
    return replace(
        desk, mail=mail, told=told, spacing=spacing, upto=upto, week=event.week or desk.week
    )


def _told(before: Told | None, now: Told, *, repeat: timedelta, changed: bool) -> Told:
    """What a channel knows now; changes are counted until it has been so long as a repetition."""
    if before is None or now.at - before.window_at >= repeat:
        return now
    return replace(now, window_at=before.window_at, changes=before.changes + changed)


def _spaced(before: Spacing | None, at: datetime) -> Spacing:
    """One step further apart; from the beginning after a while without any news of it."""
    if before is None or at - before.at > 2 * SPACING[before.step]:
        return Spacing(at)
    return Spacing(at, min(before.step + 1, len(SPACING) - 1))


def _tidied(book: Book, at: datetime) -> Book:
    """Without what every channel has heard the end of, once it has been quiet for long."""
    desks = tuple(book.channels.values())
    first = min((desk.upto for desk in desks), default=START)
    notices = Map({at_: one for at_, one in book.notices.items() if at_ > first})
    repeat = timedelta(seconds=book.manner.repeat_every if book.manner else 0)
    gone = [
        alarm.key
        for alarm in book.alarms.values()
        if alarm.cleared_at is not None
        and at - alarm.cleared_at > repeat
        and not any(untold(desk, alarm) for desk in desks)
    ]
    if not gone:
        return replace(book, notices=notices)
    alarms = book.alarms
    channels = book.channels
    for key in gone:
        alarms = alarms.delete(key)
    for name, desk in channels.items():
        told = Map({key: told for key, told in desk.told.items() if key in alarms})
        book_spacing = Map({c: s for c, s in desk.spacing.items() if at - s.at <= repeat})
        channels = channels.set(name, replace(desk, told=told, spacing=book_spacing))
    return replace(book, alarms=alarms, channels=channels, notices=notices)


def untold(desk: Desk, alarm: Alarm) -> bool:
    """Whether a channel does not know yet how an alarm stands, or that it came and went."""
    told = desk.told.get(alarm.key)
    if not concerns(desk.rules, alarm) and not (told and told.standing):
        return False
    if alarm.standing:
        return (
            told is None
            or not told.standing
            or told.times != alarm.times
            or (alarm.level == "critical" != told.level)
        )
    if told is None:
        return alarm.raised_at >= desk.since
    return told.times != alarm.times or (told.standing and desk.rules.recovered)
