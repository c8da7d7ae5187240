"""How fast a census goes: keys in a slice, and how many slices are only weighed. Pure."""

SLICE_SECONDS = 0.05
"""About so long takes one slice."""
SLICE_KEYS = (10, 50, 2_000)
"""At least, at first, and at most so many keys."""
SLICE_NAME_BYTES = 4 << 20
MOST_LIGHT = 49
"""At most so many slices for each that is looked at."""
LIGHT = 0.4
"""Weighing takes about that part of looking, until it was tried."""
SURE = 0.9
"""Of the time that is left so much is planned with: the host may get slower."""
SLOW = 0.2
"""How much of a newer rate goes into the older one."""


class Pace:
    """The pace of one census; `count` is how many keys to ask for."""

    def __init__(self) -> None:
        self.count = SLICE_KEYS[1]
        self._look: float | None = None
        self._weigh: float | None = None

    def took(self, seconds: float, keys: int, *, name_bytes: int, light: bool) -> None:
        """One slice took so long, for so many keys whose names have so many bytes."""
        least, _, most = SLICE_KEYS
        rate = seconds / max(1, keys)
        if light:
            self._weigh = rate if self._weigh is None else _between(self._weigh, new=rate)
        else:
            self._look = rate if self._look is None else _between(self._look, new=rate)
            by_time = self.count * SLICE_SECONDS / max(seconds, SLICE_SECONDS / 2)
            by_names = SLICE_NAME_BYTES * max(1, keys) / max(1, name_bytes)
            self.count = int(max(least, min(most, by_time, by_names)))

    def light_slices(self, keys: int, seconds: float) -> int:
        """How many slices to weigh after one that was looked at.

        So many that all of these keys are at least weighed in so much time, if that can be.
        """
        if self._look is None or keys * self._look <= seconds:
            return 0
        weigh = self._weigh if self._weigh is not None else LIGHT * self._look
        spare, more = SURE * seconds / max(1, keys) - weigh, self._look - weigh
        if more <= 0:
            return 0
        return MOST_LIGHT if spare <= 0 else min(MOST_LIGHT, round(more / spare) - 1)


def _between(old: float, *, new: float) -> float:
    return old + SLOW * (new - old)
