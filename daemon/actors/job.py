"""One piece of work while it runs: whether it gets on, and when it is given up.

Knows seconds of the loop's own clock. A job that gives no sign of life is told to end; one that
has been told and does not end, because it waits for a call that cannot be interrupted, is left
to itself. What that means for a backup is decided elsewhere.
"""

from collections.abc import Iterator
from typing import Literal

import anyio
from msgspec import Struct, field

from daemon.actors.seams import STALLED, STUCK
from daemon.board import Entry
from daemon.errors import Transient
from events.facts import Failure
from projections.work import Work

GRACE_SECONDS = 60.0
"""How long a job that was told to end may take for it: it gives up uploads, and closes files."""

Due = Literal["stalled", "stuck"]


class Job(Struct, eq=False):
    """A piece of work under way; `failure` is set when it is we who end it."""

    work: Work
    seen_at: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    entry: Entry | None = None
    signs: int = 0
    told_at: float | None = None
    failure: Failure | None = None
    left: bool = False

    def end(self, now: float, failure: Failure | None = None) -> None:
        """Tell it to end, once."""
        if self.told_at is None:
            self.told_at, self.failure = now, failure
            self.scope.cancel()

    def due(self, now: float, *, stall_seconds: float) -> Due | None:
        """What has to be done about it now, if anything."""
        if self.left:
            return None
        if self.told_at is not None:
            return "stuck" if now - self.told_at >= GRACE_SECONDS else None
        signs = self.entry.signs if self.entry is not None else 0
        if signs != self.signs:
            self.signs, self.seen_at = signs, now
        return "stalled" if now - self.seen_at >= stall_seconds else None

    def instants(self, stall_seconds: float) -> Iterator[float]:
        """When to look at it again at the latest."""
        if self.told_at is None:
            yield self.seen_at + stall_seconds
        elif not self.left:
            yield self.told_at + GRACE_SECONDS

    @property
    def doing(self) -> str:
        """The phase that it is in."""
        return self.entry.doing if self.entry is not None else "starting"


def stalled(job: Job, seconds: float) -> Failure:
    """The failure of a job that gave no sign of life, and has ended when it was told to."""
    return Transient(
        STALLED,
        f"Nothing moved for {seconds:,.0f} s while it was {job.doing!r}, so it was ended.",
        "Does the vault or the cache hang? The log of the daemon says what came before.",
    ).as_failure()


def stuck(job: Job) -> Failure:
    """The failure of a job that has not even ended."""
    return Transient(
        STUCK,
        f"A call has not returned while it was {job.doing!r}, and cannot be interrupted.",
        "A disk or a network file system hangs, it seems: `dmesg` and `mount` tell more. What "
        "was left is swept when the call returns, or when the daemon is started again.",
    ).as_failure()
