"""The page of `valkeep notify list` and the outcome of a test."""

from datetime import timedelta

import pytest

from daemon.answers.notifications import (
    AlarmView,
    ChannelView,
    MessageView,
    Notifications,
    SentMessage,
)
from daemon.cli.desk import Desk
from daemon.cli.notify_page import SHOWN, listed, outcome
from events.facts import Failure
from tests.support.given import NOON

HOUR = timedelta(hours=1)
REFUSED = Failure("notify-refused", "The server refuses the connection.", "Is it up?")
QUIET = ChannelView("ops", ("vault",), (), "warning", recovered=True, weekly=True, since=NOON)
WORKING = ChannelView(
    "mail",
    ("failed", "vault"),
    ("shop-*",),
    "critical",
    recovered=True,
    weekly=False,
    since=NOON,
    group="default",
    service="E-Mail",
    sent_at=NOON + HOUR,
)
FAILING = ChannelView(
    "chat",
    ("vault",),
    (),
    "warning",
    recovered=True,
    weekly=True,
    since=NOON,
    failed_at=NOON + HOUR,
    failure=REFUSED,
    failing_since=NOON,
    outstanding=(
        MessageView("m-1", "alarms", "CRITICAL: a vault", NOON, 3, NOON + 3 * HOUR, REFUSED),
    ),
)
ALARM = AlarmView("abandoned/orders", "abandoned", "critical", "it broke", "", NOON, "orders", 3)


def page(found: Notifications, *, width: int = 80) -> list[str]:
    """The lines on a screen of that width."""
    return list(listed(Desk({"COLUMNS": str(width)}, None), found))


def test_without_a_channel_it_says_how_to_get_one() -> None:
    """A new user reads what to write where."""
    lines = page(Notifications(NOON))

    assert "No channel is configured" in lines[0]
    assert any("[channels.NAME]" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("width", [80, 160])
def test_each_channel_has_a_line_and_its_trouble_below(width: int) -> None:
    """How delivery goes is seen at a glance; what fails says why, and when it is tried again."""
    found = Notifications(NOON + 2 * HOUR, (FAILING, WORKING, QUIET), (ALARM,))
    lines = page(found, width=width)

    assert lines[1].startswith("chat     failing")
    assert lines[2].startswith("mail     ok")
    assert lines[3].startswith("ops      not tried yet")
    assert "FAILED chat: 60 min ago: The server refuses the connection." in lines
    assert "  on its way to chat: CRITICAL: a vault; attempt 4 in 60 min" in lines
    assert "CRITICAL abandoned orders, for 2 h, 3 times: It broke." in lines
    assert all(len(line) <= width for line in lines[:4])


def test_many_alarms_are_cut() -> None:
    """The first ones are shown, and where the others are."""
    lines = page(Notifications(NOON, (QUIET,), (ALARM,) * (SHOWN + 5)))

    assert any("and 5 more; `valkeep check --quiet` has all" in line for line in lines)


def test_a_test_says_what_became_of_it() -> None:
    """Sent, and by what; or not, and what to do."""
    desk = Desk({}, None)
    sent = SentMessage(NOON, "m-1", "ops", "sent", service="ntfy")
    failed = SentMessage(NOON, "m-1", "ops", "failed", failure=REFUSED)

    assert ["SENT ops: taken by ntfy. Look whether it arrived."] == list(outcome(desk, sent))
    assert ["FAILED ops: The server refuses the connection.", "  hint: Is it up?"] == list(
        outcome(desk, failed)
    )
