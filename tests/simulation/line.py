"""The line between one incarnation of the daemon and the far side, and the weather over it.

A kill can fall on both sides of every effect: there is time on the way there and on the way
back. Faults are those of the line. It knows neither what is called nor why.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol, TypeVar

import anyio
from msgspec import Struct

from daemon.errors import BadRequest, Permanent, Transient, ValkeepError
from tests.simulation.far import Far, Landing
from tests.simulation.virtual import pass_time

T = TypeVar("T")
LATENCY = 0.010
HANG_SECONDS = 300.0
"""How long a call hangs before its adapter gives it up."""
SIGN_SECONDS = 300.0
"""How often something slow gives a sign of life, if it gives any."""

FaultKind = Literal[
    "before",
    "after",
    "late",
    "permanent",
    "odd",
    "short",
    "flipped",
    "torn",
    "hang",
    "frozen",
    "stuck",
]
"""A call that is frozen never returns; one that is stuck does, some time, and heeds nothing."""


class Sky(Protocol):
    """What the weather is like: which calls go wrong, and how long each takes."""

    @property
    def stubborn(self) -> bool:
        """Whether calls that the daemon gives up land late all the same."""
        ...

    def fault(self, number: int, what: str) -> FaultKind | None:
        """What goes wrong with a call, counted from 1 in each life."""
        ...

    def seconds(self, what: str) -> float:
        """How long the way there takes, and the way back."""
        ...

    def late(self) -> tuple[float, int | None]:
        """After how many seconds a late effect lands; or before which of the calls to come."""
        ...

    def stuck(self) -> float:
        """After how many seconds a call returns that is stuck; it has its effect then."""
        ...


class Weather(Struct, frozen=True):
    """Weather that is foretold: a fault for each of these calls, and for no other.

    A late effect lands `late_by` seconds after its error; or, with `late_calls`, right before
    that many-th call to come, in this life or a later one.
    """

    faults: Mapping[int, FaultKind] = {}
    late_by: float = 0.5
    late_calls: int | None = None
    stubborn: bool = False
    stuck_seconds: float = 2400.0

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        return self.faults.get(number)

    def seconds(self, what: str) -> float:  # noqa: ARG002
        """See `Sky.seconds`."""
        return LATENCY

    def late(self) -> tuple[float, int | None]:
        """See `Sky.late`."""
        return self.late_by, self.late_calls

    def stuck(self) -> float:
        """See `Sky.stuck`."""
        return self.stuck_seconds


CLEAR = Weather()


class Line:
    """The way of one incarnation of the daemon to the far side."""

    def __init__(self, far: Far, weather: Sky, watch: Callable[[str], None]) -> None:
        self.far = far
        self.calls: list[str] = []
        self.hit: list[FaultKind] = []
        self.under_way: Counter[str] = Counter()
        self.late_effects = weather.stubborn
        self._weather = weather
        self._watch = watch

    def fault(self, what: str) -> FaultKind | None:
        """Count a call, have land what was to land before it; what will go wrong with it."""
        for landing in [landing for landing in self.far.late if landing.calls is not None]:
            assert landing.calls is not None
            landing.calls -= 1
            if landing.calls <= 0:
                self._land(landing)
        self.calls.append(what)
        kind = self._weather.fault(len(self.calls), what)
        if kind is not None:
            self.hit.append(kind)
        return kind

    async def call(
        self,
        what: str,
        effect: Callable[[Far], T],
        torn: Callable[[Far], object] | None = None,
        sign: Callable[[], None] = lambda: None,
    ) -> T:
        """The way there, the effect, the way back; each may be cut off.

        `torn` is what remains of the effect when only a part of it gets there. A slow way there
        gives signs of life.
        """
        fault = self.fault(what)
        with self.doing(what):
            await self._way_there(what, effect, fault, sign)
            if fault == "torn" and torn is not None:
                self.do(what, torn)
                raise _error(fault, what)
            result = self.do(what, effect)
            await pass_time(self._weather.seconds(what))
            if fault == "after":
                raise _error(fault, what)
            return result

    async def _way_there(
        self,
        what: str,
        effect: Callable[[Far], object],
        fault: FaultKind | None,
        sign: Callable[[], None],
    ) -> None:
        if fault == "stuck":
            with anyio.CancelScope(shield=True):
                await pass_time(self._weather.stuck())
            return
        try:
            seconds = self._weather.seconds(what)
            while seconds > SIGN_SECONDS:
                await pass_time(SIGN_SECONDS)
                seconds -= SIGN_SECONDS
                sign()
            await pass_time(seconds)
            if fault == "frozen":
                await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            if self._weather.stubborn:
                self.land_later(what, effect)
            raise
        if fault == "hang":
            await pass_time(HANG_SECONDS)
        if fault == "late":
            self.land_later(what, effect)
        if fault in ("before", "late", "permanent", "odd", "hang"):
            raise _error(fault, what)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """While a call is under way it is counted by its kind."""
        kind = what.partition(" ")[0]
        self.under_way[kind] += 1
        try:
            yield
        finally:
            self.under_way[kind] -= 1

    def seconds(self, what: str) -> float:
        """How long something takes in this weather."""
        return self._weather.seconds(what)

    def do(self, what: str, effect: Callable[[Far], T]) -> T:
        """The effect itself, at one instant, under the eyes of the checker."""
        result = effect(self.far)
        self._watch(what)
        return result

    def land_later(self, what: str, effect: Callable[[Far], object]) -> None:
        """The effect is under way, and will come after the news that it has failed."""
        self.late_effects = True
        seconds, calls = self._weather.late()
        at = asyncio.get_running_loop().time() + seconds
        landing = Landing(at, effect, f"{what}, late", calls)
        self.far.late.append(landing)
        self.expect(landing)

    def expect(self, landing: Landing) -> None:
        """Have an effect land that is under way, in this incarnation's time or a later one's."""
        if landing.calls is None:
            loop = asyncio.get_running_loop()
            loop.call_at(max(landing.at, loop.time()), self._land, landing)

    def _land(self, landing: Landing) -> None:
        self.far.late.remove(landing)
        try:
            self.do(landing.what, landing.effect)
        except Transient:
            return


def _error(fault: FaultKind, what: str) -> ValkeepError:
    kinds: dict[str, type[ValkeepError]] = {"permanent": Permanent, "odd": BadRequest}
    return kinds.get(fault, Transient)("simulated", f"{what} went wrong", "try again")
