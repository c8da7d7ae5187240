"""Whether the log can be trusted with deletions: vaults that know more than it, and since when.

Pure. A log that was cut or set back to an older copy takes living backups for leftovers; until
somebody has decided (`valkeep recover`), nothing that it says is to go may go (L3).
"""

from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import Position, VaultName
from events.recoveries import LogRecovered, LogWentBack

REST = timedelta(days=1)
"""So long after a recovery retention deletes nothing: somebody has to look first."""


class Ahead(Struct, frozen=True):
    """A vault that remembers position `known` of a log that ours is not, seen at `seen_at`."""

    vault: VaultName
    known: Position
    here: Position
    witness: str
    forked: bool
    seen_at: datetime


class Recovery(Struct, frozen=True):
    """The vaults that are ahead of the log, and when it was recovered last."""

    ahead: Map[VaultName, Ahead] = Map()
    recovered_at: datetime | None = None


def evolve(recovery: Recovery, envelope: Envelope, event: LogWentBack | LogRecovered) -> Recovery:
    """The same after one more event."""
    match event:
        case LogWentBack():
            ahead = Ahead(
                event.vault, event.known, event.here, event.witness, event.forked, envelope.at
            )
            return replace(recovery, ahead=recovery.ahead.set(event.vault, ahead))
        case LogRecovered():
            left = recovery.ahead
            if event.vault in left:
                left = left.delete(event.vault)
            return replace(recovery, ahead=left, recovered_at=envelope.at)


def went_back(recovery: Recovery) -> Ahead | None:
    """The first vault that is ahead of the log; None when none is."""
    return min(recovery.ahead.values(), key=lambda one: one.vault, default=None)


def retention_rests(recovery: Recovery, now: datetime) -> timedelta:
    """How long retention has to wait: a while at least as long as a vault is ahead."""
    if recovery.ahead:
        return timedelta(minutes=1)
    if recovery.recovered_at is None or not timedelta(0) <= now - recovery.recovered_at < REST:
        return timedelta(0)
    return recovery.recovered_at + REST - now


def may_be_swept(recovery: Recovery, attempt_started_at: datetime | None) -> bool:
    """Whether an attempt's leftovers may go: only of one that was begun after the log went back.

    One that the log takes for cut off may have been completed in the part that it lost.
    """
    seen = min((one.seen_at for one in recovery.ahead.values()), default=None)
    return seen is None or (attempt_started_at is not None and attempt_started_at > seen)


def told(ahead: Ahead) -> str:
    """What is wrong, in words."""
    if ahead.forked:
        return (
            f"the log has another event at position {ahead.known} than vault {ahead.vault} "
            f"remembers ({ahead.witness})"
        )
    return (
        f"the log went back: vault {ahead.vault} remembers position {ahead.known} "
        f"({ahead.witness}), and the log had {ahead.here}"
    )
