"""Channels, messages and alarms as answers. Addresses are not known here."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import anyio

from daemon.answers.notifications import (
    AlarmView,
    ChannelView,
    MessageView,
    Notifications,
    SentMessage,
)
from daemon.api.asked import Asked
from daemon.api.queries import WaitQuery, moment_of
from daemon.errors import NotFound
from events.alarms import (
    DEFAULT_KINDS,
    KINDS,
    NOTICES,
    PROBLEMS,
    NotificationId,
    NotificationQueued,
)
from events.types import Event
from projections.alarms import Alarm, Book, Desk, Ended, Mail
from projections.news import on_the_way, week_before

WEEK = timedelta(days=7)
GROUPS = {KINDS: "all", DEFAULT_KINDS: "default", PROBLEMS: "problems", NOTICES: "notices"}


def queued(events: Iterable[Event]) -> tuple[str, ...]:
    """The messages that these events ask for."""
    return tuple(e.notification_id for e in events if isinstance(e, NotificationQueued))


async def notifications(asked: Asked) -> Notifications:
    """All channels, and all that stands, worst first."""
    moment = moment_of(asked)
    book = moment.state.alarms
    standing = [alarm for _, alarm in sorted(book.alarms.items()) if alarm.standing]
    standing.sort(key=lambda alarm: alarm.level != "critical")
    manner = book.manner
    weekly = manner.weekly if manner and book.channels else ""
    return Notifications(
        now=moment.now,
        channels=tuple(_channel(desk) for _, desk in sorted(book.channels.items())),
        alarms=tuple(map(_alarm, standing)),
        repeat_every_seconds=manner.repeat_every if manner else None,
        weekly=weekly or None,
        timezone=manner.timezone if manner else None,
        next_weekly=week_before(manner, moment.now + WEEK) if manner and weekly else None,
    )


async def message(asked: Asked) -> SentMessage:
    """One message by its id; perhaps after its end."""
    ledger, wanted = asked.outside.ledger, NotificationId(asked.parts["id"])
    with anyio.move_on_after(asked.queried(WaitQuery).wait):
        while _waiting(ledger.state.alarms, wanted) is not None:
            await ledger.changed(ledger.state)
    moment = moment_of(asked)
    book = moment.state.alarms
    found = _waiting(book, wanted)
    if found is not None:
        desk, mail = found
        return SentMessage(
            moment.now, wanted, desk.rules.name, "waiting", mail.attempts, failure=mail.failure
        )
    for name, desk in book.channels.items():
        for ended in (desk.tested, desk.sent, desk.failed):
            if ended is not None and ended.notification_id == wanted:
                return _ended(moment.now, name, ended)
    raise NotFound(
        "unknown-notification",
        f"There is no message {wanted!r} that is on its way or was the last one.",
        "`valkeep events` has the history of all messages.",
    )


def _waiting(book: Book, wanted: NotificationId) -> tuple[Desk, Mail] | None:
    for desk in book.channels.values():
        if wanted in desk.mail:
            return desk, desk.mail[wanted]
    return None


def _ended(now: datetime, channel: str, ended: Ended) -> SentMessage:
    return SentMessage(
        now=now,
        notification_id=ended.notification_id,
        channel=channel,
        phase="failed" if ended.failure else "sent",
        attempts=ended.attempts,
        service=ended.service or None,
        failure=ended.failure,
    )


def _channel(desk: Desk) -> ChannelView:
    rules, sent, failed = desk.rules, desk.sent, desk.failed
    return ChannelView(
        name=rules.name,
        on=rules.on,
        caches=rules.caches,
        level=rules.level,
        recovered=rules.recovered,
        weekly=rules.weekly,
        since=desk.since,
        group=GROUPS.get(rules.on),
        service=sent.service if sent else None,
        sent_at=sent.at if sent else None,
        failed_at=failed.at if failed else None,
        failure=failed.failure if failed else None,
        failing_since=desk.failing_since,
        lost=desk.lost,
        outstanding=tuple(map(_message, on_the_way(desk))),
    )


def _message(mail: Mail) -> MessageView:
    return MessageView(
        notification_id=mail.queued.notification_id,
        purpose=mail.queued.purpose,
        title=mail.queued.title,
        queued_at=mail.queued_at,
        attempts=mail.attempts,
        retry_at=mail.not_before,
        failure=mail.failure,
    )


def _alarm(alarm: Alarm) -> AlarmView:
    return AlarmView(
        alarm=alarm.key,
        kind=alarm.kind,
        level=alarm.level,
        message=alarm.message,
        hint=alarm.hint,
        since=alarm.raised_at,
        cache=alarm.cache,
        times=alarm.times,
    )
