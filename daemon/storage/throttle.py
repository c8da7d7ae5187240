"""A limit of bandwidth that any number of streams share fairly (V7).

Knows the loop's own clock and nothing of what flows. There is no store of unused time: a stream
that comes after a pause gets no burst worth speaking of, and memory does not grow.
"""

from collections.abc import Sequence

import anyio

SLICE_SECONDS, LONGEST_SECONDS = 0.1, 1.0
"""So much time one turn may cover: streams take turns, and a new rate is heeded as soon."""
LEAST_SLICE_BYTES, MOST_SLICE_BYTES = 256, 1 << 20
LAG_SECONDS = 0.05
"""What the loop was late by is caught up with: so much, and no more."""


class Throttle:
    """So many bytes per second for all who take from it; `rate` None is no limit.

    Turns are given in the order of asking, each over a slice at most: of streams that always
    want more, each gets the same share. A rate that is set anew holds for the next turn.
    """

    def __init__(self, rate: int | None = None) -> None:
        self.rate = rate
        self._free_at = 0.0

    def reserve(self, size_bytes: int, now: float) -> float:
        """Take the next turn, for so many bytes; when they may flow. Who goes away wastes it."""
        if self.rate is None:
            return now
        self._free_at = max(now - LAG_SECONDS, self._free_at) + size_bytes / self.rate
        return self._free_at


def slice_bytes(throttles: Sequence[Throttle], wanted: int) -> int:
    """The bytes of one turn where several limits hold at once.

    Turns are alike for all who share the widest limit, for whoever asked for less in his would
    get less than his own limit allows. None takes longer than a second by the narrowest.
    """
    rates = [throttle.rate for throttle in throttles if throttle.rate is not None]
    if not rates:
        return wanted
    turn = min(int(max(rates) * SLICE_SECONDS), int(min(rates) * LONGEST_SECONDS))
    return min(wanted, max(LEAST_SLICE_BYTES, min(MOST_SLICE_BYTES, turn)))


async def take(throttles: Sequence[Throttle], size_bytes: int) -> None:
    """Wait until so many bytes may flow by all of these limits."""
    now = anyio.current_time()
    at = max((throttle.reserve(size_bytes, now) for throttle in throttles), default=now)
    if at > now:
        await anyio.sleep_until(at)
