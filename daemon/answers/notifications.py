"""What the daemon answers about channels, messages and alarms; addresses are no part of it."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from daemon.answers import Answer
from events.facts import Failure


class MessageView(Struct, frozen=True, omit_defaults=True):
    """A message on its way: how often it was tried, why that failed, and when the next try is."""

    notification_id: str
    purpose: Literal["alarms", "weekly", "test"]
    title: str
    queued_at: datetime
    attempts: int = 0
    retry_at: datetime | None = None
    failure: Failure | None = None


class ChannelView(Struct, frozen=True, omit_defaults=True):
    """One channel: what it is told, and how delivery goes.

    `group` is the one word for what it is told of, where there is one. `lost` messages were given
    up since the last one arrived.
    """

    name: str
    on: tuple[str, ...]
    caches: tuple[str, ...]
    level: Literal["warning", "critical"]
    recovered: bool
    weekly: bool
    since: datetime
    group: str | None = None
    service: str | None = None
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    failure: Failure | None = None
    failing_since: datetime | None = None
    lost: int = 0
    outstanding: tuple[MessageView, ...] = ()


class AlarmView(Struct, frozen=True, omit_defaults=True):
    """A condition that stands; `times` is how often it was raised."""

    alarm: str
    kind: str
    level: Literal["warning", "critical"]
    message: str
    hint: str
    since: datetime
    cache: str | None = None
    times: int = 1


class Notifications(Answer, frozen=True):
    """All channels, and all that stands; the rest is how they are told."""

    now: datetime
    channels: tuple[ChannelView, ...] = ()
    alarms: tuple[AlarmView, ...] = ()
    repeat_every_seconds: int | None = None
    weekly: str | None = None
    timezone: str | None = None
    next_weekly: datetime | None = None


class SentMessage(Answer, frozen=True):
    """How one message fares."""

    now: datetime
    notification_id: str
    channel: str
    phase: Literal["waiting", "sent", "failed"]
    attempts: int = 0
    service: str | None = None
    failure: Failure | None = None
