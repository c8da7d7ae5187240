"""Whether messages about alarms arrive, as far as the log knows. Pure.

A channel that was never tried is a warning: nobody should find out at night that it was wrong.
"""

from collections.abc import Iterator
from datetime import datetime

from daemon.answers.doctor import Finding
from projections.alarms import Desk
from projections.local import span
from projections.state import State


def judge(state: State, now: datetime) -> Iterator[Finding]:
    """A finding for each channel."""
    for name, desk in sorted(state.alarms.channels.items()):
        yield _judged(name, desk, now)


def _judged(name: str, desk: Desk, now: datetime) -> Finding:
    sent, failed = desk.sent, desk.failed
    if failed is not None and failed.failure is not None and (not sent or failed.at > sent.at):
        ago = span(now - failed.at)
        told = f"the last try, {ago} ago, failed: {failed.failure.message}"
        hint = f"{failed.failure.hint.rstrip('.')}. Try it: `valkeep notify test {name}`."
        return Finding("problem", "channel", told, name, hint, failed.failure.code)
    if sent is None:
        hint = f"Try it: `valkeep notify test {name}`, and look whether it arrives."
        return Finding("warning", "channel", "nothing was sent yet", name, hint, "not-tried")
    told = f"the last message was taken {span(now - sent.at)} ago by {sent.service}"
    return Finding("ok", "channel", told, name, code="channel")
