"""Which copies are to be read back, and when: the newest of each cache often, the others seldom.

Pure. Reading may cost money where the bytes leave a bucket, so one copy of each cache is read in a
period, and every other one that is kept for long once in many. How long a vault's period is, is
told by whoever asks.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct

from events.facts import BackupId, CacheName, VaultName
from projections.catalog import Backup
from projections.copies import Copy
from projections.readings import ReadBack
from projections.retention import taken_at
from projections.state import State

OLDER_TIMES = 12
"""A copy that is not the newest of its cache is read back once in so many periods."""
AGAIN = timedelta(days=1)
"""After a verification that came to nothing the next is so much later, or a period if less."""

Periods = Callable[[VaultName], timedelta | None]
"""How often the newest copy of each cache in a vault is to be read back; None for never."""


class Due(Struct, frozen=True, order=True):
    """A copy that is to be read back from an instant on."""

    at: datetime
    cache: CacheName
    backup_id: BackupId
    vault: VaultName


def due(state: State, cache: CacheName, periods: Periods, now: datetime) -> tuple[Due, ...]:
    """For each vault with copies of a cache, which of them is next, the soonest first.

    Nothing of a vault in which one is being verified: what comes next follows from its end. What
    a clock that was ahead has noted counts as of `now`.
    """
    found: dict[VaultName, _Of] = {}
    for backup in state.catalog.get(cache, Map()).values():
        for copy in backup.copies if backup.phase == "complete" else ():
            if copy.phase == "complete":
                found.setdefault(copy.vault, []).append((backup, copy))
    nexts = (_next(state, of, periods(vault), now) for vault, of in found.items())
    return tuple(sorted(one for one in nexts if one is not None))


_Of = list[tuple[Backup, Copy]]


def _next(state: State, pairs: _Of, period: timedelta | None, now: datetime) -> Due | None:
    if period is None or any(copy.check is not None for _, copy in pairs):
        return None
    newest = max(pairs, key=lambda one: (taken_at(one[0]), one[0].backup_id))
    found = []
    for one in pairs:
        since, wait = _since(state, one, period, is_newest=one is newest)
        found.append(Due(min(since, now) + wait, *_named(one)))
    return min(found)


def _named(one: tuple[Backup, Copy]) -> tuple[CacheName, BackupId, VaultName]:
    backup, copy = one
    return backup.cache, backup.backup_id, copy.vault


def _since(
    state: State, one: tuple[Backup, Copy], period: timedelta, *, is_newest: bool
) -> tuple[datetime, timedelta]:
    """The instant from which its turn is reckoned, and how long after that it comes."""
    backup, copy = one
    made = copy.completed_at or backup.requested_at
    since, wait = max(made, copy.proof.verified_at or made), OLDER_TIMES * period
    if is_newest:
        known = state.readings.get(backup.cache, Map()).get(copy.vault, ReadBack(made))
        since, wait = known.since, period
    tried, again = copy.checked_at, min(AGAIN, period)
    failed = copy.proof.unproven is not None
    if failed and tried is not None and tried + again > since + wait:
        return tried, again
    return since, wait
