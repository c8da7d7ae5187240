"""Channels and alarms on the screen."""

from collections.abc import Iterator

from daemon.answers.notifications import AlarmView, ChannelView, Notifications, SentMessage
from daemon.cli.desk import Desk
from daemon.cli.table import Column, table
from daemon.cli.words import age, duration, instant, plural, sentence

COLUMNS = (
    Column("CHANNEL"),
    Column("STATE"),
    Column("LAST SENT"),
    Column("BY", rank=2),
    Column("TOLD OF", rank=3),
    Column("CACHES", rank=4),
)
SHOWN = 10
"""So many alarms are listed; the others are counted."""
_NO_CHANNEL = (
    "No channel is configured: nobody is told of alarms.",
    "  hint: Add [channels.NAME] with url_file to the configuration, and reload the",
    "        daemon. docs/alarms.md has examples: mail, ntfy, Slack, PagerDuty ...",
)


def listed(desk: Desk, found: Notifications) -> Iterator[str]:
    """The channels, what is wrong with them, and what stands."""
    if not found.channels:
        yield from _NO_CHANNEL
        return
    yield from table(COLUMNS, [_row(channel, found) for channel in found.channels], desk.width)
    for channel in found.channels:
        yield from _trouble(desk, channel, found)
    yield ""
    yield from _alarms(desk, found)
    if found.next_weekly is not None:
        yield f"The next weekly summary goes out at {instant(found.next_weekly)}."


def _row(channel: ChannelView, found: Notifications) -> list[str]:
    return [
        channel.name,
        _state(channel),
        age(found.now, channel.sent_at) if channel.sent_at else "never",
        channel.service or "-",
        _kinds(channel),
        ", ".join(channel.caches) or "all",
    ]


def _state(channel: ChannelView) -> str:
    if channel.lost:
        return f"{plural(channel.lost, 'message')} lost"
    if channel.failing_since is not None:
        return "failing"
    if channel.outstanding:
        return "sending"
    if channel.failed_at is not None and channel.failed_at > (channel.sent_at or channel.since):
        return "test failed"
    return "ok" if channel.sent_at else "not tried yet"


def _kinds(channel: ChannelView) -> str:
    kinds = channel.group or ", ".join(channel.on)
    return f"{kinds}, critical only" if channel.level == "critical" else kinds


def _trouble(desk: Desk, channel: ChannelView, found: Notifications) -> Iterator[str]:
    """Why a channel takes nothing, and when it is tried again."""
    last_sent, failure = channel.sent_at, channel.failure
    if failure is not None and (last_sent is None or (channel.failed_at or last_sent) > last_sent):
        mark = desk.mark("FAILED", colour="red")
        when = age(found.now, channel.failed_at)
        yield from desk.flowed(
            f"{mark} {channel.name}: {when}: {_flat(failure.message)}", rest="  "
        )
        yield from desk.flowed(f"  hint: {_flat(failure.hint)}", rest="    ")
    for message in channel.outstanding:
        again = ""
        if message.retry_at is not None:
            wait = duration((message.retry_at - found.now).total_seconds())
            again = f"; attempt {message.attempts + 1} in {wait}"
        yield f"  on its way to {channel.name}: {message.title}{again}"


def _alarms(desk: Desk, found: Notifications) -> Iterator[str]:
    if not found.alarms:
        yield "No alarm stands."
        return
    yield f"{plural(len(found.alarms), 'alarm')} standing:"
    for alarm in found.alarms[:SHOWN]:
        yield from desk.flowed(_alarm(desk, alarm, found), rest="  ")
    if len(found.alarms) > SHOWN:
        yield f"  and {len(found.alarms) - SHOWN:,} more; `valkeep check --quiet` has all"


def _alarm(desk: Desk, alarm: AlarmView, found: Notifications) -> str:
    colour = "red" if alarm.level == "critical" else "yellow"
    mark = desk.mark(alarm.level.upper(), colour=colour)
    of = f" {alarm.cache}" if alarm.cache else ""
    often = f", {alarm.times} times" if alarm.times > 1 else ""
    since = duration((found.now - alarm.since).total_seconds())
    return f"{mark} {alarm.kind}{of}, for {since}{often}: {_flat(alarm.message)}"


def outcome(desk: Desk, message: SentMessage) -> Iterator[str]:
    """What became of one test."""
    if message.phase == "sent":
        mark = desk.mark("SENT", colour="green")
        yield f"{mark} {message.channel}: taken by {message.service}. Look whether it arrived."
        return
    failure = message.failure
    mark = desk.mark("FAILED", colour="red")
    told = _flat(failure.message if failure else "")
    yield from desk.flowed(f"{mark} {message.channel}: {told}", rest="  ")
    if failure is not None and failure.hint:
        yield from desk.flowed(f"  hint: {_flat(failure.hint)}", rest="    ")


def _flat(text: str) -> str:
    return sentence(" ".join(text.split()))
