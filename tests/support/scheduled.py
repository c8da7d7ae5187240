"""A served API whose schedule goes on when a test says so: no scheduler, no worker, no waiting.

The ledger decides as it always does; this only sets the clock and reports what actors would.
"""

from datetime import datetime

from msgspec.structs import replace

from daemon.commands import (
    AdvanceSchedule,
    PolicyChange,
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    ReportSwept,
    SetPolicy,
    StartAttempt,
)
from daemon.ledger import DAEMON
from events.facts import BackupId, CacheName, Failure
from projections.schedule import starts
from tests.support.api import Served
from tests.support.samples import ORDERS, OUTSIDE, SNAPSHOT, STORED

NIGHTLY = PolicyChange(auto=True, timezone="Europe/Paris", windows=("02:00+2h",))


class Story:
    """What happens to the schedule of one cache, step by step."""

    def __init__(self, api: Served, cache: CacheName = ORDERS) -> None:
        self.api = api
        self.cache = cache

    @property
    def now(self) -> datetime:
        """What the daemon's clock shows."""
        return self.api.clock.instant

    async def policy(self, policy: PolicyChange = NIGHTLY) -> None:
        """The cache gets a policy now."""
        await self.api.ledger.execute(SetPolicy(self.cache, policy), DAEMON)

    async def moved(self, to: datetime) -> None:
        """The clock shows this, and the scheduler has looked at it."""
        self.api.clock.instant = to
        await self.api.ledger.execute(AdvanceSchedule(self.cache), DAEMON)

    async def started(self) -> BackupId:
        """The next start has come and its attempt has begun."""
        start = next(starts(self.api.ledger.state, self.cache, self.now))
        await self.moved(start.at)
        return await self.begun()

    async def begun(self) -> BackupId:
        """An attempt at the backup that waits has begun."""
        (waiting,) = (
            backup.backup_id
            for backup in self.api.ledger.state.catalog[self.cache].values()
            if backup.phase == "waiting"
        )
        await self.api.ledger.execute(StartAttempt(waiting), DAEMON)
        return waiting

    async def completed(self) -> BackupId:
        """The next start has come and its backup is complete."""
        backup_id = await self.started()
        await self.stored(backup_id)
        return backup_id

    async def stored(self, backup_id: BackupId) -> None:
        """A backup that was begun is complete, with its snapshot taken now."""
        taken = replace(SNAPSHOT, taken_at=self.now)
        await self.api.ledger.execute(ReportSnapshot(backup_id, taken), DAEMON)
        await self.api.ledger.execute(ReportStored(backup_id, STORED), DAEMON)

    async def failed(self, backup_id: BackupId, failure: Failure = OUTSIDE) -> None:
        """An attempt has failed, and what it left is swept."""
        await self.api.ledger.execute(ReportAttemptFailed(backup_id, failure), DAEMON)
        await self.api.ledger.execute(ReportSwept(backup_id), DAEMON)
