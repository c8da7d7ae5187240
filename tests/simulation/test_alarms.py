"""Alarms in worlds where channels fail and hang, and the daemon is killed at any step.

Each alarm reaches each channel at least once, or is given up in the log; nothing is said sent
that was not; and no channel holds up a backup.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from msgspec import structs

from daemon.actors.alarms.courier import Courier
from daemon.commands import AlarmReport, ReportNotified, RequestBackup
from daemon.decide import alarms as deciding
from events import codec
from events.alarms import (
    AlarmRaised,
    NotificationFailed,
    NotificationId,
    NotificationQueued,
    NotificationSent,
)
from events.types import BackupCompleted, BackupRequested, Event
from projections import alarm_words
from projections.alarm_words import Message
from projections.alarms import Mail, untold
from tests.simulation.fleet import Fleet
from tests.simulation.posting import CHANNELS, DEAD, FarPost
from tests.simulation.setting import swarm
from tests.simulation.stories import ask
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Plan, World
from tests.support.samples import add_cache

PATIENCE = 40
STORMY = 30
STEPS = range(2, 825, 22)
Patch = pytest.MonkeyPatch


async def story(life: Life) -> None:
    """A cache has no backup, which is an alarm; then it gets one."""
    await ask(life, add_cache("orders"))
    await until(life, lambda: not behind(life))
    await ask(life, RequestBackup("orders", "one"))
    await life.settled()
    await until(life, lambda: not behind(life))


async def until(life: Life, met: Callable[[], bool]) -> None:
    """Let time pass until it is so; what never comes is left to the checks."""
    await pass_time(15.0)
    for _ in range(PATIENCE):
        if met():
            return
        await pass_time(60.0)


def behind(life: Life) -> list[str]:
    """Channels, but for the dead one, that do not know how all stands."""
    book = life.ledger.state.alarms
    return [
        name
        for name, desk in book.channels.items()
        if name != DEAD
        and (desk.mail or any(untold(desk, alarm) for alarm in book.alarms.values()))
    ]


def history(world: World) -> list[tuple[float, Event]]:
    """All events, and when they came."""
    return [(r.envelope.at.timestamp(), codec.decode(r.data)) for r in world.far.records]


def faults(world: World, post: FarPost, kills: int) -> Iterator[str]:
    """What is not as it must be when all has come to its end."""
    events = history(world)
    arrived = Counter(outgoing.message_id for _, outgoing in post.delivered)
    queued = {e.notification_id: (at, e) for at, e in events if isinstance(e, NotificationQueued)}
    raised = [e.alarm for _, e in events if isinstance(e, AlarmRaised)]
    for channel in CHANNELS:
        mine = [e for _, e in queued.values() if e.channel == channel.name]
        told = {telling.alarm for e in mine for telling in e.tells}
        mail = world.view.state.alarms.channels[channel.name].mail
        for alarm in set(raised) - told - {f"notify/{channel.name}"}:
            if channel.name == DEAD and mail:
                continue  # One message is on its way, and the next tells all that has come since.
            yield f"{channel.name} was never told of {alarm}"
        for message in mine:
            if any(alarm.partition("/")[2] not in message.text for alarm in _caches(message)):
                yield f"{message.notification_id} does not say what it tells"
    for at, event in events:
        yield from _of_delivery(event, at, queued, arrived)
    for message_id, times in arrived.items():
        if times > 2 + kills:
            yield f"{message_id} arrived {times} times"


def _caches(message: NotificationQueued) -> list[str]:
    return [telling.alarm for telling in message.tells if "/" in telling.alarm]


def _of_delivery(
    event: Event,
    at: float,
    queued: dict[NotificationId, tuple[float, NotificationQueued]],
    arrived: Counter[str],
) -> Iterator[str]:
    if isinstance(event, NotificationSent) and not arrived[event.notification_id]:
        yield f"{event.notification_id} is said to be sent, and never arrived"
    if isinstance(event, NotificationFailed) and event.retry_at is None:
        since = at - queued[event.notification_id][0]
        if since < timedelta(hours=23).total_seconds():
            yield f"{event.notification_id} was given up after {since:.0f} s"


def lived(kill_at: int | None) -> list[str]:
    """What is wrong in a world whose daemon is killed at a step, if at any."""
    world, post = World(), FarPost()
    ended = world.live(story, Plan(kill_at=kill_at, post=post))
    assert ended == ("killed" if kill_at else "done")
    if kill_at:
        assert world.live(story, Plan(post=post)) == "done"
    return list(faults(world, post, 1 if kill_at else 0))


def test_alarms_survive_a_kill_at_any_step() -> None:
    """Whenever the daemon is killed, each channel that lives is told each alarm and its end."""
    for step in STEPS:
        assert [] == lived(step), step


def test_no_channel_holds_up_a_backup() -> None:
    """A backup takes as long with channels that hang and fail as it takes without any."""
    took = []
    for post in (None, FarPost()):
        world = World()
        world.live(story, Plan(post=post))
        events = history(world)
        asked = next(at for at, event in events if isinstance(event, BackupRequested))
        done = next(at for at, event in events if isinstance(event, BackupCompleted))
        took.append(done - asked)

    assert took[0] == took[1]


class Told(Fleet):
    """A fleet whose troubles are told to channels."""

    post: FarPost

    def _plan(self) -> Plan:
        return structs.replace(super()._plan(), post=self.post)


def test_alarms_of_a_storm_all_come_to_an_end() -> None:
    """After days of faults, kills and set clocks each channel that lives knows how all stands."""
    fleet = Told(swarm(STORMY, days=1.0, caches=3))
    fleet.post = FarPost()
    fleet.run()

    assert [] == list(faults(fleet.world, fleet.post, fleet.seen["killed"]))
    book = fleet.world.view.state.alarms
    assert len(book.alarms) > 3
    for name, desk in book.channels.items():
        assert name == DEAD or not any(untold(desk, alarm) for alarm in book.alarms.values())


def said_before_it_is_sent(patch: Patch) -> None:
    """A delivery is recorded, and then never made."""

    async def lying(self: Courier, mail: Mail, reports: list[AlarmReport]) -> None:
        reports.append(ReportNotified(mail.queued.notification_id, mail.queued.channel, "far"))

    patch.setattr(Courier, "_try", lying)


def given_up_at_once(patch: Patch) -> None:
    """Whatever fails is not tried again."""
    patch.setattr(deciding, "_retry_at", lambda *_: None)


def told_without_words(patch: Patch) -> None:
    """A message marks alarms as told that it does not name."""

    def short(*args: object, **named: object) -> Message:
        message = alarm_words.worded(*args, **named)  # type: ignore[arg-type]
        return Message(message.level, message.title, "See the log.", message.tells)

    patch.setattr(deciding, "worded", short)


def nobody_watches(patch: Patch) -> None:
    """Alarms are raised, and no message is ever decided."""
    patch.setattr(deciding, "due", lambda *_: None)


@pytest.mark.parametrize(
    "mutation", [said_before_it_is_sent, given_up_at_once, told_without_words, nobody_watches]
)
def test_the_checks_bite(mutation: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """A program that is broken on purpose is noticed."""
    mutation(monkeypatch)

    assert lived(None)
