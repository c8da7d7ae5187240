"""`valkeep notify`: the channels that are told of alarms, and whether messages arrive."""

import click

from daemon.answers import Accepted
from daemon.answers.notifications import Notifications, SentMessage
from daemon.cli.desk import Desk, json_option
from daemon.cli.notify_page import listed, outcome
from daemon.cli.patience import wait_options
from daemon.cli.tree import Tree
from daemon.cli.words import plural
from daemon.client import path_of
from daemon.commands import TestNotifications
from daemon.errors import Failed

PATIENCE_SECONDS = 90.0
"""A try at delivery has a bound of its own, well below this."""
STEP_SECONDS = 10.0


@click.group(cls=Tree)
def notify() -> None:
    """See who is told of alarms, and try it out.

    Channels are set in the configuration, in [notify] and [channels.NAME].
    """


@notify.command("list")
@json_option
@click.pass_obj
def list_(desk: Desk) -> None:
    """List the channels, how delivery goes, and the alarms that stand.

    Addresses are secrets, and the daemon never tells them.
    """
    found, raw = desk.ask(Notifications, "/v1/notifications")
    desk.show(raw, listed(desk, found))


@notify.command()
@click.argument("channel", required=False)
@wait_options(default=True)
@json_option
@click.pass_obj
def test(desk: Desk, *, channel: str | None, wait: bool, timeout: float | None) -> None:
    """Send a test message through CHANNEL, or through all of them.

    Each is told with what came of it: sent, or why not and what to do. The exit code is 1 when
    one was not sent. A test is tried once.
    """
    patience_seconds = PATIENCE_SECONDS if timeout is None else timeout
    asked, raw = desk.tell(Accepted, "/v1/commands", TestNotifications(channel))
    many = plural(len(asked.notification_ids), "test message")
    if not wait:
        desk.show(raw, [f"{many} on the way. See: valkeep notify list"])
        return
    if desk.interactive:
        desk.note(f"Sending {many} …")
    found: list[bytes] = []
    failed: list[str] = []
    for notification_id in asked.notification_ids:
        message, said = _ended(desk, notification_id, patience_seconds)
        found.append(said)
        if message.phase != "sent":
            failed.append(message.channel)
        if not desk.as_json:
            desk.show(said, outcome(desk, message))
    if desk.as_json:
        desk.show(b"[" + b",".join(found) + b"]", ())
    if failed:
        raise click.exceptions.Exit(1)


def _ended(desk: Desk, notification_id: str, seconds: float) -> tuple[SentMessage, bytes]:
    """How a message has ended; the daemon holds each question back until it is known."""
    path, left = path_of("notifications", notification_id), seconds
    while True:
        step = min(STEP_SECONDS, left)
        message, raw = desk.ask(SentMessage, path, wait=step)
        left -= step
        if message.phase != "waiting":
            return message, raw
        if left <= 0:
            raise Failed(
                "wait-timeout",
                f"The message to channel {message.channel} has not ended within {seconds:.0f} s.",
                "It goes on in the daemon: `valkeep notify list` shows it.",
            )
