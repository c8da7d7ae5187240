"""Waiting over the end of a daemon: for how long, and what is said when none comes back."""

from collections.abc import Callable, Iterator

import pytest
from msgspec import Struct

from daemon.cli.desk import Desk
from daemon.cli.rejoin import Gone, Rejoin
from daemon.cli.sign import Standing
from daemon.client import STRANGER
from daemon.errors import Away, Forbidden, NotFound, Unreachable, ValkeepError

STOPPING = Away("stopping", "The daemon is stopping.", "")
STARTING = Away("starting", "The daemon is starting.", "")
NOBODY = Unreachable("unreachable", "No daemon can be reached.", "")
CLOSED = Forbidden(STRANGER, "The daemon does not know you.", "")


class Screen(Struct):
    """Keeps what is shown."""

    labels: list[str] = []
    step: float = 1.0

    def show(self, standing: Standing) -> None:
        """See `Sign`."""
        self.labels.append(standing.label)

    def clear(self) -> None:
        """Nothing is on it."""


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Let so much pass."""
        self.now += seconds


def waiting(time: Time, screen: Screen | None = None) -> Rejoin:
    """A wait on that clock."""
    return Rejoin(Desk({}, None, lambda: time.now, time.sleep), screen or Screen())


def saying(*answers: str | ValkeepError) -> Callable[[float], str]:
    """A daemon that gives these answers one after the other, and the last one for ever."""
    told: Iterator[str | ValkeepError] = iter(answers)

    def asked(_hold: float) -> str:
        answer = next(told, answers[-1])
        if isinstance(answer, ValkeepError):
            raise answer
        return answer

    return asked


def test_the_next_daemon_is_asked_where_the_last_one_stopped() -> None:
    """A stop, a gap without any socket and a start are waited out, and told on the screen."""
    time, screen = Time(), Screen()
    rejoin = waiting(time, screen)

    found = rejoin.ask(saying(STOPPING, NOBODY, STARTING, "done"), 5, None)

    assert found == "done"
    assert not rejoin.away
    assert screen.labels[0] == "the daemon is away: waiting until it is back"
    assert screen.labels[-1] == "the daemon is starting"


@pytest.mark.parametrize(("left", "waited"), [(None, 60.0), (7.0, 7.0), (300.0, 300.0)])
def test_who_never_comes_back_is_given_up(left: float | None, waited: float) -> None:
    """Without a time-out a minute, with one all that is left of it; then it is told."""
    time = Time()
    with pytest.raises(Gone) as gone:
        waiting(time).ask(saying(STOPPING, NOBODY), 5, left)

    assert time.now == waited
    assert f"the daemon was stopped, and for {waited:.0f} s no other" in gone.value.message
    assert NOBODY.message in gone.value.message


def test_one_that_starts_is_alive() -> None:
    """A daemon that reads a long log is waited for beyond the minute, but not beyond a time-out."""
    long = saying(STOPPING, *[STARTING] * 500, "done")

    assert waiting(Time()).ask(long, 5, None) == "done"
    with pytest.raises(Gone):
        waiting(Time()).ask(saying(STARTING), 5, 100.0)


def test_a_dying_daemon_is_no_refusal() -> None:
    """One that closes the line unread has died, if it has answered before; else it refuses."""
    rejoin = waiting(Time())
    with pytest.raises(Forbidden):
        rejoin.ask(saying(CLOSED), 5, None)

    rejoin.ask(saying("running"), 5, None)

    assert rejoin.ask(saying(CLOSED, CLOSED, "done"), 5, None) == "done"


def test_what_a_daemon_refuses_is_raised() -> None:
    """What the next daemon does not know is told as it says it."""
    unknown = NotFound("backup", "There is no such backup.", "")
    with pytest.raises(NotFound):
        waiting(Time()).ask(saying(STOPPING, unknown), 5, None)
