"""Deciding on alarms: what is new, which message is due, and what follows a delivery.

The message is decided whole, with what it tells, so that a crash neither loses nor changes it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import assert_never

from daemon.commands import (
    AdvanceAlarms,
    AlarmCommand,
    Found,
    ReportAlarms,
    ReportNotified,
    ReportNotNotified,
    SetNotifications,
    TestNotifications,
)
from daemon.decide.decision import Context, Decision, superseded
from daemon.errors import NotFound, Rejected
from daemon.near import meant
from events.alarms import (
    AlarmCleared,
    AlarmRaised,
    ChannelName,
    NotificationFailed,
    NotificationId,
    NotificationQueued,
    NotificationSent,
    NotificationsSet,
)
from events.types import Event
from projections.alarm_words import Message, Words, worded
from projections.alarms import Book, Mail
from projections.news import News, due
from projections.state import State
from projections.weekly import weekly

FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(minutes=30)
GIVE_UP = timedelta(hours=24)
"""A message that nobody took for so long is given up, and that is told."""


def decide(state: State, command: AlarmCommand, context: Context) -> Decision:
    """The events that follow; reports on what is no longer wanted are refused."""
    match command:
        case SetNotifications():
            return _set(state.alarms, command)
        case ReportAlarms():
            return Decision(tuple(_changes(state.alarms, command)))
        case AdvanceAlarms():
            return Decision(tuple(_messages(state, command, context)))
        case ReportNotified() | ReportNotNotified():
            return _delivered(state.alarms, command, context.now)
        case TestNotifications():
            return Decision(tuple(_tests(state.alarms, command, context)))
        case _:
            assert_never(command)


def _set(book: Book, command: SetNotifications) -> Decision:
    known = tuple(desk.rules for _, desk in sorted(book.channels.items()))
    if command.channels == known and (command.manner == book.manner or not known):
        return Decision(())
    return Decision((NotificationsSet(command.manner, command.channels),))


def _changes(book: Book, command: ReportAlarms) -> Iterator[Event]:
    """Only what is new: an alarm is raised again when it is worse, or has another cause."""
    if not book.channels:
        return
    for found in command.found:
        known = book.alarms.get(found.alarm)
        same = known is not None and (known.level, known.code) == (found.level, found.code)
        if known is None or not known.standing or not same:
            yield _raised(found)
    for key in command.gone:
        known = book.alarms.get(key)
        if known is not None and known.standing:
            yield AlarmCleared(key)


def _raised(found: Found) -> AlarmRaised:
    return AlarmRaised(
        alarm=found.alarm,
        kind=found.kind,
        level=found.level,
        message=found.message,
        hint=found.hint,
        code=found.code,
        cache=found.cache,
        channel=found.channel,
    )


def _messages(state: State, command: AdvanceAlarms, context: Context) -> Iterator[Event]:
    words = {key: Words(*said) for key, said in command.words.items()}
    for name, desk in sorted(state.alarms.channels.items()):
        news = due(state.alarms, desk, context.now)
        if not news:
            continue
        message = worded(state.alarms, desk, news, now=context.now, words=words)
        if news.week is not None:
            message = weekly(state, desk, context.now, message)
        yield _queued(state, name, news, message, context)


def _queued(
    state: State, name: ChannelName, news: News, message: Message, context: Context
) -> NotificationQueued:
    return NotificationQueued(
        notification_id=NotificationId(context.of(name).new_id),
        channel=name,
        purpose="weekly" if news.week else "alarms",
        level=message.level,
        title=message.title,
        text=message.text,
        tells=message.tells,
        upto=max(state.alarms.notices, default=state.alarms.channels[name].upto),
        week=news.week,
    )


def _delivered(book: Book, report: ReportNotified | ReportNotNotified, now: datetime) -> Decision:
    desk = book.channels.get(report.channel)
    mail = desk.mail.get(report.notification_id) if desk else None
    if mail is None:
        raise superseded(f"message {report.notification_id} to {report.channel}")
    attempt = mail.attempts + 1
    if isinstance(report, ReportNotified):
        sent = NotificationSent(report.notification_id, report.channel, report.service, attempt)
        return Decision((sent,))
    retry_at = _retry_at(mail, attempt, now)
    failed = NotificationFailed(
        report.notification_id, report.channel, attempt, report.failure, retry_at
    )
    return Decision((failed,))


def _retry_at(mail: Mail, attempt: int, now: datetime) -> datetime | None:
    """Growing delays, spread by the message's id; None when it is given up. A test has one try."""
    if mail.queued.purpose == "test":
        return None
    delay = min(FIRST_RETRY * 2 ** min(attempt - 1, 10), LONGEST_RETRY)
    mark = sha256(f"{mail.queued.notification_id} {attempt}".encode()).digest()[0]
    at = now + delay * (1 + mark / 1024)
    return at if at - mail.queued_at <= GIVE_UP else None


def _tests(book: Book, command: TestNotifications, context: Context) -> Iterator[Event]:
    for name in _tested(book, command.channel):
        yield NotificationQueued(
            notification_id=NotificationId(context.of(name).new_id),
            channel=name,
            purpose="test",
            level="info",
            title=f"Test from Valkeep{_host(book)}",
            text=f"This is a test of channel {name}. If you can read it, alarms will arrive here."
            "\nNothing is to be done.",
        )


def _host(book: Book) -> str:
    return f" [{book.manner.host}]" if book.manner and book.manner.host else ""


def _tested(book: Book, channel: str | None) -> tuple[ChannelName, ...]:
    if not book.channels:
        raise Rejected(
            "no-channel",
            "No channel for notifications is configured.",
            "Add [channels.NAME] with url_file to the configuration and reload the daemon; "
            "docs/alarms.md has examples.",
        )
    if channel is None:
        return tuple(sorted(book.channels))
    if ChannelName(channel) not in book.channels:
        there = ", ".join(sorted(book.channels))
        told = f"There is no channel {channel!r}."
        hint = f"{meant(channel, book.channels)} Configured: {there}.".lstrip()
        raise NotFound("unknown-channel", told, hint)
    return (ChannelName(channel),)
