"""Auto backups of a real daemon: set up by the command line, and lived through by date.

Time is moved by starting the daemon with another wall clock; nothing here sleeps.
"""

from datetime import datetime, timedelta
from typing import TypeVar

from anyio import to_thread

from daemon.answers import StartView
from daemon.answers.schedule import Schedule
from events.types import Event
from projections.state import State
from tests.support.api import Printed, typed
from tests.support.daemon import DaemonProcess

E = TypeVar("E", bound=Event)
LEAD = timedelta(seconds=0.7)
"""How long before an instant the daemon is started: it is ready when the instant comes."""
SURE_LEAD = timedelta(seconds=4)
"""The same, where something else has to be done before the instant."""
PROMPT = timedelta(seconds=20)
"""So late after its instant something may happen on a machine that has other work."""


async def typing(daemon: DaemonProcess, *words: str, code: int = 0) -> Printed:
    """A command line, typed; it has to end with this code."""
    printed = await to_thread.run_sync(lambda: typed("--socket", str(daemon.socket), *words))
    assert printed.code == code, f"{words}: {printed} {daemon.output()}"
    return printed


async def next_start(daemon: DaemonProcess, cache: str = "orders") -> StartView:
    """When the daemon says that a cache's next backup starts."""
    said = await daemon.get(Schedule, "schedule", query={"cache": cache})
    (of_cache,) = said.caches
    return of_cache.starts[0]


async def shortly_before(daemon: DaemonProcess, at: datetime, *, doom: str | None = None) -> None:
    """Start the daemon when it is nearly that time."""
    await daemon.travel(at - LEAD, doom=doom)


async def told(daemon: DaemonProcess, kind: type[E]) -> list[tuple[datetime, E]]:
    """All events of a kind so far, and when they came."""
    history = await daemon.history()
    return [(one.envelope.at, one.event) for one in history if isinstance(one.event, kind)]


async def until(daemon: DaemonProcess, kind: type[Event], *, count: int = 1) -> State:
    """Wait until there have been so many events of a kind; the state then."""
    left = count

    def counted(_: State, event: Event) -> bool:
        nonlocal left
        left -= isinstance(event, kind)
        return left == 0

    return await daemon.until(counted)


def prompt(at: datetime, *, due: datetime) -> bool:
    """Whether something happened at its instant, and not before it."""
    return timedelta(0) <= at - due <= PROMPT
