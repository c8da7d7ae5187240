"""The worker's lane for verifications: one at a time, in nobody's way, and gone when not wanted."""

from collections.abc import Callable

import anyio

from daemon.commands import DeleteBackup, RemoveCache, ReportStored, StartAttempt
from daemon.ledger import Ledger
from daemon.ports import Progress
from events.facts import CacheName, VerificationId
from events.proofs import VerificationRequested
from events.types import (
    Event,
)
from projections.work import BackupWork, DeletionWork, VerificationWork, Work
from tests.simulation.virtual import pass_time, virtually
from tests.support.given import ANNA, DAEMON
from tests.support.samples import B1, B2, B3, STORED, complete, requested
from tests.unit.test_worker import C1, C2, C3, Deed, at_host, bench


def wanted(cache: CacheName, *, by_policy: bool = False) -> VerificationRequested:
    """A verification of the cache's only backup."""
    backup_id = {C1: B1, C2: B2, C3: B3}[cache]
    return VerificationRequested(
        cache=cache,
        backup_id=backup_id,
        verification_id=VerificationId(f"of-{backup_id}"),
        cause="policy" if by_policy else "command",
    )


def backing_up(seconds: float) -> Callable[[Ledger], Deed]:
    """Actors that make a backup in so many seconds and never come to an end of proving one."""

    def of(ledger: Ledger) -> Deed:
        async def deed(work: Work, progress: Progress) -> None:
            progress.phase("working")
            if isinstance(work, BackupWork):
                await ledger.execute(StartAttempt(work.backup_id), DAEMON)
                await pass_time(seconds)
                await ledger.execute(ReportStored(work.backup_id, STORED), DAEMON)
                return
            await anyio.sleep_forever()

        return deed

    return of


HOSTS: tuple[Event, ...] = tuple(at_host(f"host-{cache}", cache) for cache in (C1, C2, C3))


def test_one_verification_at_a_time_beside_the_backups() -> None:
    """The second waits for the first, and a backup for neither of them."""

    async def main() -> None:
        stored = (*complete(B1, cache=C1), *complete(B2, cache=C2))
        asked = (wanted(C1), wanted(C2), requested(B3, cache=C3))
        async with bench(backing_up(5), *HOSTS, *stored, *asked, backups=1) as b:
            await pass_time(100)
            assert [BackupWork(B3, C3), VerificationWork(B1, C1)] == b.hand.order()

    virtually(main)


def test_the_policys_verifications_wait_for_a_calm_host() -> None:
    """One that the policy wants begins when a place for backups is free again."""

    async def main() -> None:
        asked = (wanted(C1, by_policy=True), requested(B3, cache=C3))
        stored = complete(B1, cache=C1)
        async with bench(backing_up(5), *HOSTS, *stored, *asked, backups=1) as b:
            await pass_time(100)
            assert [0.0, 5.0] == b.hand.times()
            assert VerificationWork(B1, C1, by_policy=True) == b.hand.order()[-1]

    virtually(main)


def test_a_deletion_ends_a_verification_first() -> None:
    """What was only waiting to be verified goes at once; nothing of it is begun any more."""

    async def main() -> None:
        stored = (*complete(B1, cache=C1), *complete(B2, cache=C2))
        asked = (wanted(C1), wanted(C2))
        async with bench(backing_up(5), *HOSTS, *stored, *asked) as b:
            await pass_time(1)
            await b.ledger.execute(DeleteBackup(B2), ANNA)
            await pass_time(1)
            assert DeletionWork(B2, C2) == b.hand.order()[-1]

    virtually(main)


def test_a_removed_cache_stops_the_verification_under_way() -> None:
    """Its auto backup is deleted when whoever read it has ended."""

    async def main() -> None:
        stored = complete(B1, cache=C1, kind="auto")
        async with bench(backing_up(5), *HOSTS, *stored, wanted(C1)) as b:
            await pass_time(1)
            await b.ledger.execute(RemoveCache(C1), ANNA)
            await pass_time(1)
            assert [VerificationWork(B1, C1)] == [work for _, work in b.hand.ended][:1]
            assert DeletionWork(B1, C1) == b.hand.order()[-1]

    virtually(main)
