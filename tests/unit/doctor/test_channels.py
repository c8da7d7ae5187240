"""What the doctor says of channels."""

from datetime import timedelta

from daemon.commands import TestNotifications
from daemon.doctor.channels import judge
from events.alarms import ChannelName
from tests.support.alarms import OPS, Story


def grades(story: Story) -> list[str]:
    """The grades of all channels."""
    return [finding.grade for finding in judge(story.state, story.now)]


def test_a_channel_that_was_never_tried_is_a_warning() -> None:
    """A channel is well when something arrived, ill when the last try failed."""
    story = Story()
    assert ["warning"] == grades(story)

    story.takes = lambda name: name != ChannelName(OPS)
    story.tell(TestNotifications())
    story.wait(timedelta(minutes=1))
    (ill,) = judge(story.state, story.now)
    assert ("problem", "notify-refused", "ops") == (ill.grade, ill.code, ill.name)
    assert "valkeep notify test ops" in ill.hint

    story.takes = lambda _: True
    story.tell(TestNotifications(OPS))
    story.wait(timedelta(minutes=1))
    assert ["ok"] == grades(story)
