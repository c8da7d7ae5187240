"""What happened to alarms and messages, in a sentence. Pure."""

from typing import assert_never

from events.alarms import (
    AlarmCleared,
    AlarmEvent,
    AlarmRaised,
    NotificationFailed,
    NotificationQueued,
    NotificationSent,
    NotificationsSet,
)


def of_alarm(event: AlarmEvent) -> str:
    """What stands, who is told, and what became of the message."""
    match event:
        case NotificationsSet():
            names = ", ".join(channel.name for channel in event.channels) or "none"
            return f"channels for notifications set: {names}"
        case AlarmRaised():
            of = f" of {event.cache}" if event.cache else ""
            return f"{event.level} alarm {event.kind}{of} raised: {event.message}"
        case AlarmCleared():
            return f"alarm {event.alarm} is over"
        case NotificationQueued():
            what = {"test": "a test message", "weekly": "the weekly summary"}.get(
                event.purpose, "a message"
            )
            return f"{what} is to be sent to channel {event.channel}: {event.title}"
        case NotificationSent():
            sent = f"message {event.notification_id} sent to channel {event.channel}"
            return f"{sent} by {event.service}, attempt {event.attempt}"
        case NotificationFailed():
            return _failed(event)
        case _:
            assert_never(event)


def _failed(event: NotificationFailed) -> str:
    what = f"message {event.notification_id} to channel {event.channel}"
    then = f"next try at {event.retry_at:%Y-%m-%d %H:%M:%SZ}" if event.retry_at else "given up"
    return f"{what} not sent, attempt {event.attempt}: {event.failure.message}; {then}"
