"""Alarms and what became of telling them: channels, conditions, messages, deliveries.

A condition is something that does not stand as it should; it is raised and cleared. A message is
decided whole before it is sent, and its end is recorded: sent, or failed with the instant of the
next try. Nothing here holds an address: those are secrets and stay outside the log.
"""

from datetime import datetime
from typing import Literal, NewType

from msgspec import Struct

from events.fact import Fact
from events.facts import CacheName, Failure, Position

ChannelName = NewType("ChannelName", str)
NotificationId = NewType("NotificationId", str)
AlarmKey = NewType("AlarmKey", str)
"""What a condition is about: its rule, and its cache or part."""

AlarmLevel = Literal["warning", "critical"]
MessageLevel = Literal["ok", "info", "warning", "critical"]
Purpose = Literal["alarms", "weekly", "test"]

PROBLEMS = (
    "failed",
    "abandoned",
    "missed",
    "skipped",
    "cancelled",
    "stale",
    "damaged",
    "suspect",
    "unproven",
    "uncopied",
    "copy-damaged",
    "suspended",
    "unscheduled",
    "stuck",
    "restore",
    "hook",
    "vault",
    "disk",
    "log",
    "clock",
    "notify",
    "heartbeat",
    "other",
)
"""Kinds of conditions: they stand until they are mended."""
NOTICES = ("restore-started", "restore-completed", "deleted", "removed")
"""Kinds of things that happen once."""
KINDS = (*PROBLEMS, *NOTICES)
DEFAULT_KINDS = (*PROBLEMS, "restore-started", "restore-completed")


class Channel(Fact, frozen=True, omit_defaults=False):
    """Which news a channel gets: of these kinds, of caches that fit, from this level on.

    Of what belongs to no cache every channel is told. `recovered` and `weekly` say whether it is
    told what has been mended, and the weekly summary. Stored whole, so that defaults may change.
    `name` is the channel's. `on` are the kinds of news that it gets, `caches` names or patterns
    (none: all), `level` the least that it is told of.
    """

    name: ChannelName
    on: tuple[str, ...] = DEFAULT_KINDS
    caches: tuple[str, ...] = ()
    level: AlarmLevel = "warning"
    recovered: bool = True
    weekly: bool = True


class Manner(Fact, frozen=True, omit_defaults=False):
    """How all channels are told; times in seconds, `weekly` as ``mon 09:00`` or empty.

    `host` is what messages call this installation, `timezone` the clocks that they show.
    `group_wait` is how long the first news waits for others, `repeat_every` after how long what
    still stands is said again.
    """

    host: str = ""
    group_wait: int = 60
    repeat_every: int = 86_400
    weekly: str = "mon 09:00"
    timezone: str = "UTC"


class AlarmRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """The base of everything that happens to alarms: one look tells these events from others."""


class NotificationsSet(AlarmRecord, frozen=True, tag="notifications-set/1"):
    """These are the channels from now on; a new one is told what stands, and nothing older."""

    manner: Manner
    channels: tuple[Channel, ...] = ()


class AlarmRaised(AlarmRecord, frozen=True, tag="alarm-raised/1"):
    """Something does not stand as it should, or is worse, or other, than it was said to be.

    `kind` is one of the kinds that a channel chooses by, `level` how bad it is, `code` the rule or
    the failure, `message` and `hint` are for a person. `channel` is set where the alarm is that one
    does not take messages.
    """

    alarm: AlarmKey
    kind: str
    level: AlarmLevel
    message: str
    hint: str
    code: str
    cache: CacheName | None = None
    channel: ChannelName | None = None


class AlarmCleared(AlarmRecord, frozen=True, tag="alarm-cleared/1"):
    """A condition is no more."""

    alarm: AlarmKey


class Telling(Fact, frozen=True):
    """What a message tells of one alarm: that it stands or not, and how often it was raised.

    `times` is how often it was raised, `standing` whether it still stands.
    """

    alarm: AlarmKey
    times: int
    standing: bool


class NotificationQueued(AlarmRecord, frozen=True, tag="notification-queued/1"):
    """A message for one channel, whole: from now on it is delivered, or given up in the log.

    `tells` are the alarms in it, `upto` the last record whose notice was looked at; `week` is the
    instant that a weekly summary was for.
    `notification_id` is its id, `channel` where it goes, `purpose` why it is sent, `level` the
    worst in it; `title` and `text` are what is delivered.
    """

    notification_id: NotificationId
    channel: ChannelName
    purpose: Purpose
    level: MessageLevel
    title: str
    text: str
    tells: tuple[Telling, ...] = ()
    upto: Position = Position(0)
    week: datetime | None = None


class _Delivery(AlarmRecord, frozen=True):
    """What all of these events have.

    `notification_id` is the message's, `channel` where it goes.
    """

    notification_id: NotificationId
    channel: ChannelName


class NotificationSent(_Delivery, frozen=True, tag="notification-sent/1"):
    """The other side took the message; `service` is what kind of place that is.

    `attempt` is the try that it took, from 1.
    """

    service: str
    attempt: int


class NotificationFailed(_Delivery, frozen=True, tag="notification-failed/1"):
    """A try at delivery failed; the next is not before `retry_at`, or it is given up.

    `attempt` is the try that failed, from 1.
    """

    attempt: int
    failure: Failure
    retry_at: datetime | None = None


AlarmEvent = (
    NotificationsSet
    | AlarmRaised
    | AlarmCleared
    | NotificationQueued
    | NotificationSent
    | NotificationFailed
)
