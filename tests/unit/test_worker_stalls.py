"""Work that gets nowhere: ended, given up, and its place taken by others (faults 30 and 43)."""

import asyncio
from collections.abc import Callable

import anyio
from structlog.testing import capture_logs

from daemon.actors.holding import bounded_elsewhere, held
from daemon.actors.job import GRACE_SECONDS
from daemon.commands import CancelBackup, RequestBackup, StartAttempt
from daemon.errors import Unavailable
from daemon.ledger import Ledger
from daemon.ports import Progress
from projections.work import BackupWork, SweepWork, UndoWork, Work
from tests.simulation.loop import VirtualLoop
from tests.simulation.virtual import pass_time, virtually
from tests.support.given import ANNA, DAEMON
from tests.support.samples import B1, B2, ORDERS, R1, USERS, registered, requested, under_way
from tests.unit.test_worker import C1, C2, Deed, at_host, bench

LIMIT = 900.0
"""The worker's own default."""


def hanging(seconds: float, *, shielded: bool, signs: float = 0.0) -> Callable[[Ledger], Deed]:
    """Backups that hang so long, deaf to being told to end if they are shielded."""

    def of(ledger: Ledger) -> Deed:
        async def deed(work: Work, progress: Progress) -> None:
            if not isinstance(work, BackupWork):
                return
            await ledger.execute(StartAttempt(work.backup_id), DAEMON)  # once: then it is refused
            progress.phase("storing")
            end = anyio.current_time() + seconds
            with anyio.CancelScope(shield=shielded):
                while signs and anyio.current_time() < end:
                    await pass_time(signs)
                    progress.advance(0)
                await anyio.sleep_until(end)

        return deed

    return of


def test_silent_work_is_told_to_end() -> None:
    """Work without a sign of life is ended after the limit, and its actor says what that means."""

    async def main() -> None:
        story = (registered(), requested())
        async with bench(hanging(9e9, shielded=False), *story) as b:
            await pass_time(LIMIT - 1)
            assert [] == b.hand.ended
            await pass_time(62)
            ((work, failure),) = b.hand.crashes
            assert (BackupWork(B1, ORDERS), "stalled") == (work, failure.code)
            assert "'storing'" in failure.message
            assert not failure.permanent

    with capture_logs():
        virtually(main)


def test_signs_of_life_are_heeded() -> None:
    """Work that gives a sign now and then may last as long as it likes."""

    async def main() -> None:
        async with bench(
            hanging(30_000, shielded=False, signs=LIMIT - 70), registered(), requested()
        ) as b:
            await pass_time(29_000)
            assert [] == b.hand.crashes
            assert [] == b.hand.ended

    virtually(main)


def test_bounded_waits_give_signs() -> None:
    """A wait with a bound of its own gives signs for as long as it lasts, and no longer."""

    async def main() -> None:
        class Ear:
            signs = 0

            def phase(self, name: str, total_bytes: int | None = None) -> None:
                """Not heard here."""

            def advance(self, moved_bytes: int) -> None:
                """Count it."""
                self.signs += 1 if moved_bytes == 0 else 0

        ear = Ear()
        async with bounded_elsewhere(ear):
            await pass_time(3601)
        heard = ear.signs
        assert heard > 3600 / LIMIT
        await pass_time(3600)
        assert heard == ear.signs

    virtually(main)


def test_deaf_work_gives_up_its_place() -> None:
    """Work that does not even end is left to itself: others get its place and its host."""

    async def main() -> None:
        story = (
            at_host("one", C1),
            at_host("one", C2),
            requested(B1, cache=C1),
            requested(B2, cache=C2),
        )
        async with bench(hanging(5000, shielded=True), *story, backups=1) as b:
            await pass_time(LIMIT + GRACE_SECONDS + 5)
            assert BackupWork(B2, C2) in b.hand.order()
            assert ["stuck"] == [failure.code for _, failure in b.hand.crashes]
            assert b.worker.board.standing(B1) is None
            assert b.worker.board.standing(B2) is not None
            await pass_time(5000)
            assert (5000.0, BackupWork(B1, C1)) in b.hand.ended

    with capture_logs():
        virtually(main)


def test_sweep_waits_for_deaf_work() -> None:
    """What a cancelled attempt left is swept when the attempt has ended, however late."""

    async def main() -> None:
        async with bench(hanging(5000, shielded=True), registered(), requested()) as b:
            await pass_time(1)
            await b.ledger.execute(CancelBackup(B1), ANNA)
            await b.ledger.execute(RequestBackup(ORDERS, "next"), ANNA)
            await pass_time(GRACE_SECONDS + 1)
            assert [BackupWork, BackupWork] == [type(work) for work in b.hand.order()]
            await pass_time(4900)
            assert SweepWork(B1, ORDERS) not in b.hand.order()
            await pass_time(100)
            assert SweepWork(B1, ORDERS) in b.hand.order()

    with capture_logs():
        virtually(main)


def test_deaf_restore_is_undone_all_the_same() -> None:
    """A restore that was given up does not hold up its undoing (R7)."""

    async def main() -> None:
        story = (registered(), registered(USERS), *under_way(B1, to=USERS))

        def of(ledger: Ledger) -> Deed:
            async def deed(work: Work, progress: Progress) -> None:
                if anyio.current_time() > 1:
                    return
                with anyio.CancelScope(shield=True):
                    await pass_time(9000)

            return deed

        async with bench(of, *story) as b:
            await pass_time(LIMIT + GRACE_SECONDS + 5)
            ((work, failure),) = b.hand.crashes
            assert failure.code == "stuck"
            assert not b.worker._busy(UndoWork(R1, USERS))
            assert R1 == getattr(work, "restore_id", None)

    with capture_logs():
        virtually(main)


def test_paused_machine_is_nobodys_stall() -> None:
    """After the whole process stood still its work gets its time anew (fault 6)."""

    async def main() -> None:
        async with bench(hanging(9e9, shielded=False, signs=600.0), registered(), requested()) as b:
            await pass_time(650)
            _pause(20 * 3600.0)
            await pass_time(100)
            assert [] == b.hand.crashes
            assert [] == b.hand.ended

    virtually(main)


def _pause(seconds: float) -> None:
    """The process stands still, and the world goes on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now += seconds


def test_waiting_for_the_log_is_nobodys_stall() -> None:
    """While the log cannot be written whoever waits for it gets its time anew (fault 9)."""

    async def main() -> None:
        async with bench(hanging(9e9, shielded=False), registered(), requested()) as b:
            await pass_time(1)
            b.ledger._trouble = Unavailable("log-unwritable", "The disk is full.", "Make room.")
            await pass_time(3 * LIMIT)
            assert [] == b.hand.ended
            b.ledger._trouble = None
            await pass_time(LIMIT + 61)
            assert ["stalled"] == [failure.code for _, failure in b.hand.crashes]

    with capture_logs():
        virtually(main)


def test_what_is_held_is_let_go_at_once() -> None:
    """A context that is held ends when its holder is told to end, though the holder cannot."""

    async def main() -> list[float]:
        told: list[float] = []

        class Connection:
            async def __aenter__(self) -> str:
                return "open"

            async def __aexit__(self, *_: object) -> None:
                told.append(anyio.current_time())

        with anyio.move_on_after(5.0):
            async with held(Connection()) as state:
                assert state == "open"
                with anyio.CancelScope(shield=True):
                    await pass_time(100.0)
        told.append(anyio.current_time())
        return told

    assert [5.0, 100.0] == virtually(main)
