"""A story about alarms: conditions come and go, time passes, and channels get messages.

Folds events and decides by the real rules, at the instants that those rules ask for; the other
side takes every message at once, unless it is told not to. It knows no ledger and no loop.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from daemon.commands import (
    AdvanceAlarms,
    Command,
    Found,
    ReportAlarms,
    ReportNotified,
    ReportNotNotified,
    SetNotifications,
)
from daemon.decide import Context, decide
from events.alarms import (
    AlarmKey,
    AlarmLevel,
    Channel,
    ChannelName,
    Manner,
    NotificationQueued,
)
from events.facts import CacheName, Failure
from events.types import Event
from projections.news import mail_due, next_due, on_the_way
from projections.state import State, fold
from tests.support.given import NOON, At, an_id, envelopes

OPS = ChannelName("ops")
MANNER = Manner(host="backup01", group_wait=60, repeat_every=86_400, weekly="")
REFUSED = Failure("notify-refused", "The server refuses the connection.", "Is it up?")


class Arrived(Struct, frozen=True):
    """A message that the other side took."""

    at: datetime
    message: NotificationQueued

    @property
    def minute(self) -> float:
        """Since the story began."""
        return (self.at - NOON).total_seconds() / 60


def found(
    cache: str = "orders",
    *,
    kind: str = "abandoned",
    level: AlarmLevel = "critical",
    code: str = "vault-unreachable",
    channel: str | None = None,
) -> Found:
    """A condition that stands."""
    return Found(
        alarm=AlarmKey(f"{kind}/{cache or channel}"),
        kind=kind,
        level=level,
        message=f"nightly of {cache} was given up: the vault does not answer.",
        hint=f"Make one now: `valkeep backup create {cache} --auto`.",
        code=code,
        cache=CacheName(cache) if cache else None,
        channel=ChannelName(channel) if channel else None,
    )


class Story:
    """One installation's alarms, from noon on."""

    def __init__(
        self, *channels: Channel, manner: Manner = MANNER, before: Iterable[Event | At] = ()
    ) -> None:
        self.now = NOON
        self.state = fold(envelopes(before, State()))
        self.arrived: list[Arrived] = []
        self.takes: Callable[[ChannelName], bool] = lambda _: True
        self._ids = 0
        self.tell(SetNotifications(manner, channels or (Channel(OPS),)))

    def tell(self, command: Command) -> tuple[Event, ...]:
        """Have a command decided now."""
        self._ids += 1
        events = decide(self.state, command, Context(self.now, an_id(self._ids))).events
        self.happen(*events)
        return events

    def happen(self, *events: Event) -> None:
        """Records of now."""
        self.state = fold(envelopes([At(self.now, e) for e in events], self.state), self.state)

    def raised(self, *conditions: Found) -> None:
        """These stand from now on."""
        self.tell(ReportAlarms(found=conditions or (found(),)))

    def cleared(self, *conditions: Found) -> None:
        """These do not any more."""
        self.tell(ReportAlarms(gone=tuple(one.alarm for one in conditions or (found(),))))

    def wait(self, span: timedelta) -> None:
        """Let time pass; what is due is decided and delivered when it is due."""
        until = self.now + span
        while True:
            self._deliver()
            at = self._next()
            if at is None or at > until:
                break
            self.now = max(self.now, at)
            if next_due(self.state.alarms, self.now) is not None:
                self.tell(AdvanceAlarms())
        self.now = until

    def _next(self) -> datetime | None:
        mails = [mail for desk in self.state.alarms.channels.values() for mail in on_the_way(desk)]
        found = [mail_due(mail, self.now) for mail in mails]
        due = next_due(self.state.alarms, self.now)
        return min([*found, *([due] if due else [])], default=None)

    def _deliver(self) -> None:
        for name, desk in self.state.alarms.channels.items():
            for mail in on_the_way(desk):
                if mail_due(mail, self.now) > self.now:
                    continue
                which = (mail.queued.notification_id, name)
                if self.takes(name):
                    self.arrived.append(Arrived(self.now, mail.queued))
                    self.tell(ReportNotified(*which, "JSON"))
                else:
                    self.tell(ReportNotNotified(*which, REFUSED))

    def titles(self, channel: str = OPS) -> list[str]:
        """What a channel has got, in order."""
        return [one.message.title for one in self.arrived if one.message.channel == channel]
