"""What is said about alarms: by the configuration, by who watches, by who delivers, by people."""

from collections.abc import Mapping

from msgspec import Struct, field

from events.alarms import (
    AlarmKey,
    AlarmLevel,
    Channel,
    ChannelName,
    Manner,
    NotificationId,
)
from events.facts import CacheName, Failure


class Found(Struct, frozen=True):
    """A condition that stands now, in today's words; `channel` is set where it is one's own."""

    alarm: AlarmKey
    kind: str
    level: AlarmLevel
    message: str
    hint: str
    code: str
    cache: CacheName | None = None
    channel: ChannelName | None = None


class SetNotifications(Struct, frozen=True):
    """These are the channels of the configuration."""

    manner: Manner
    channels: tuple[Channel, ...] = ()


class ReportAlarms(Struct, frozen=True):
    """What was found to stand, and what no longer does, by whoever looked."""

    found: tuple[Found, ...] = ()
    gone: tuple[AlarmKey, ...] = ()


class AdvanceAlarms(Struct, frozen=True):
    """Decide the messages that are due; `words` are how what stands is worded now."""

    words: Mapping[AlarmKey, tuple[str, str]] = field(default_factory=dict)


class ReportNotified(Struct, frozen=True):
    """A message was taken by the other side."""

    notification_id: NotificationId
    channel: ChannelName
    service: str


class ReportNotNotified(Struct, frozen=True):
    """A try at delivery failed."""

    notification_id: NotificationId
    channel: ChannelName
    failure: Failure


class TestNotifications(Struct, frozen=True, forbid_unknown_fields=True, tag="test-notifications"):
    """Send a test message through a channel, or through all of them."""

    __test__ = False  # pytest would take it for a test

    channel: str | None = None


AlarmReport = ReportNotified | ReportNotNotified
AlarmCommand = SetNotifications | ReportAlarms | AdvanceAlarms | AlarmReport | TestNotifications
