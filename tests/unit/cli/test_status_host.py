"""What `valkeep status` tells of the daemon's start."""

import pytest
from msgspec.structs import replace

from daemon.answers.standing import StateView
from daemon.cli.status_host import host_lines
from tests.support.screens import HOST, cache, status

WHOLE = StateView(999_000, 1_000, 0.42, checked=999_000, kept=999_000)


def started(state: StateView | None) -> str:
    """The lines about the start, as one."""
    found = replace(status(cache()), host=replace(HOST, state=state))
    told = " ".join(" ".join(line.split()) for line in host_lines(found, width=200))
    return told[told.find("started ") : told.find(" worker ")] if "started " in told else ""


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (None, ""),
        (
            WHOLE,
            (
                "from the state at 999,000 and 1,000 records after it in 0.4 s; "
                "those before it are whole"
            ),
        ),
        (
            replace(WHOLE, records=1, checked=300_000),
            (
                "from the state at 999,000 and 1 record after it in 0.4 s; "
                "300,000 of those before it checked so far"
            ),
        ),
        (StateView(0, 12, 0.0), "from all 12 records of its log in 0.0 s"),
        (
            StateView(0, 12, 0.0, unused="it is cut off", unkept="No space left on device"),
            (
                "from all 12 records of its log in 0.0 s; the state that was kept was not used: "
                "it is cut off; its state CANNOT BE KEPT: No space left on device"
            ),
        ),
    ],
)
def test_status_tells_of_the_start(state: StateView | None, told: str) -> None:
    """It says what the daemon began with, how long that took, and what is known of the rest."""
    assert started(state) == (f"started {told}" if told else "")
