"""Holding back together: what one server's callers owe it when it is overloaded (fault 31).

Knows pauses, not errors. Each failure waits longer and for a random while; all callers of one
server share a slow rhythm of repeated calls, so that twenty caches make no storm, and the
silence that the server asked for with ``Retry-After``.
"""

import anyio
from msgspec import Struct

_BURST = 10
LONGEST_SILENCE_SECONDS = 60.0


class Patience(Struct, frozen=True):
    """How long one call may take and how often it is tried; pauses double and are spread.

    A call that moves bytes has more time, by the slowest line that is still worth waiting for.
    A `lasting` one, whose failure would throw a whole attempt away, is repeated for at least
    `busy_seconds` while the server is overloaded or out of reach.
    """

    attempts: int = 5
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 10.0
    call_seconds: float = 30.0
    slowest_bytes_per_second: int = 64 << 10
    busy_seconds: float = 0.0
    retries_per_second: float = 2.0

    def seconds(self, moved_bytes: int) -> float:
        """The deadline of one try."""
        return self.call_seconds + moved_bytes / self.slowest_bytes_per_second

    def pause(self, failures: int, spread: float) -> float:
        """Seconds to wait after so many failures; `spread` is random, 0 <= x < 1."""
        full = self.first_pause_seconds * (1 << min(failures - 1, 16))
        return min(full, self.longest_pause_seconds) * (0.5 + spread / 2)


class Brake:
    """What all calls to one server have in common."""

    def __init__(self, retries_per_second: float) -> None:
        self._interval = 1 / retries_per_second
        self._theoretical_at = 0.0
        self._silent_until = 0.0

    @property
    def silence(self) -> float:
        """Seconds for which the server has asked to be left alone, from now on."""
        return max(0.0, self._silent_until - anyio.current_time())

    def hush(self, seconds: float) -> None:
        """The server has asked for that; no call begins before, and a mad number is cut."""
        until = anyio.current_time() + min(seconds, LONGEST_SILENCE_SECONDS)
        self._silent_until = max(self._silent_until, until)

    def wait_for_turn(self) -> float:
        """Take a turn in the rhythm of repeated calls: seconds until it comes.

        The generic cell rate algorithm: a burst goes at once, then one for each interval.
        """
        now = anyio.current_time()
        self._theoretical_at = max(self._theoretical_at, now) + self._interval
        return max(0.0, self._theoretical_at - _BURST * self._interval - now)
