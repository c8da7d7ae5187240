"""Where there are colours, and where lines are broken: by what the environment and stdout are."""

from collections.abc import Mapping

import pytest

from daemon.cli.desk import Desk, colour_said


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, None),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, None),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm"}, None),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, True),
        ({"CLICOLOR_FORCE": "0"}, None),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_as_the_environment_says(
    environment: Mapping[str, str], *, said: bool | None
) -> None:
    """NO_COLOR wins, CLICOLOR_FORCE has them everywhere, a dumb terminal has none."""
    assert said is colour_said(environment)


def test_a_pipe_gets_whole_lines_without_colours() -> None:
    """What is read by programs is not broken at the width of a terminal, and not coloured."""
    desk = Desk({"COLUMNS": "40"}, None)

    assert ["word " * 20] == desk.flowed("word " * 20)
    assert "OK" == desk.mark("OK", colour="green")
