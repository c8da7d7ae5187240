"""How fast work gets on, and how long it will still take. Pure.

Knows what was seen of it, by anybody's clock: a window of the last while, so that a quick start
or a pause is forgotten. It never looks at a clock, and knows nothing of screens.
"""

from msgspec import Struct
from msgspec.structs import replace

from daemon.answers.progress import ProgressView

LEAST_SECONDS = 15.0
MOST_SECONDS = 60.0
"""The window grows with the phase: long work is told more calmly."""
TRUSTED_SECONDS = 1.0
"""What was seen for so long counts more than the average since the beginning."""
STEADY = 0.15
"""A time left that is off by no more than this part simply counts down."""
PULL = 0.4
"""How far, else, it goes towards the new estimate at each look."""
YOUNG_SECONDS = 2.0
"""Of a phase that began just now nobody can tell how long it takes."""


class Seen(Struct, frozen=True):
    """So many bytes of the phase were done, so many seconds after its beginning."""

    seconds: float
    moved_bytes: int


class Rate(Struct, frozen=True):
    """What is known of the pace of one phase; give it each look with `after`."""

    phase: str = ""
    seen: tuple[Seen, ...] = ()
    left_seconds: float | None = None
    moved_at: float = 0.0

    def after(self, progress: ProgressView) -> "Rate":
        """The same after one more look; a new phase, or one that began again, starts anew."""
        now = Seen(progress.phase_seconds, progress.moved_bytes)
        last = self.seen[-1] if self.seen else Seen(0.0, 0)
        if progress.phase != self.phase or now.seconds < last.seconds:
            fresh = Rate(progress.phase, (now,), moved_at=now.seconds)
            return replace(fresh, left_seconds=fresh.estimate(progress))
        if now.moved_bytes < last.moved_bytes:
            now = Seen(now.seconds, last.moved_bytes)
        moved_at = now.seconds if now.moved_bytes > last.moved_bytes else self.moved_at
        seen = _windowed((*self.seen, now), now.seconds)
        later = Rate(self.phase, seen, moved_at=moved_at)
        passed = now.seconds - last.seconds
        estimate = later.estimate(progress)
        return replace(
            later, left_seconds=_calm(self.left_seconds, estimate=estimate, passed=passed)
        )

    @property
    def bytes_per_second(self) -> float | None:
        """The pace of the last while; None as long as nothing can be said."""
        if not self.seen:
            return None
        first, last = self.seen[0], self.seen[-1]
        span = last.seconds - first.seconds
        if span >= TRUSTED_SECONDS:
            return (last.moved_bytes - first.moved_bytes) / span
        return last.moved_bytes / last.seconds if last.seconds > 0 else None

    @property
    def quiet_seconds(self) -> float:
        """How long nothing has moved."""
        return self.seen[-1].seconds - self.moved_at if self.seen else 0.0

    def estimate(self, progress: ProgressView) -> float | None:
        """Seconds to the end of the phase at this pace; None where that cannot be told."""
        pace, total = self.bytes_per_second, progress.total_bytes
        if not pace or not total or not 0 < progress.moved_bytes < total:
            return None
        if progress.phase_seconds < YOUNG_SECONDS:
            return None
        return (total - progress.moved_bytes) / pace


def _windowed(seen: tuple[Seen, ...], now: float) -> tuple[Seen, ...]:
    """The looks of the last while, and one before them, from which its beginning is counted."""
    window = min(MOST_SECONDS, max(LEAST_SECONDS, now / 4))
    first = max((n for n, one in enumerate(seen) if one.seconds <= now - window), default=0)
    return seen[first:]


def _calm(before: float | None, *, estimate: float | None, passed: float) -> float | None:
    """A time left that counts down, and follows a changed pace without jumping."""
    if before is None or estimate is None:
        return estimate
    expected = max(0.0, before - passed)
    if abs(estimate - expected) <= STEADY * max(expected, estimate) + 0.5:
        return expected
    return expected + PULL * (estimate - expected)
