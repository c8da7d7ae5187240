"""When a state is kept and what is done about what goes wrong, on virtual time and on a disk."""

import sqlite3
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from daemon.frozen import FileDrawer, Freezer, Often, freezer
from daemon.ledger import Ledger
from events.log import EventLog, LogCorrupt
from events.memory import InMemoryLog
from events.sqlite import open_log
from tests.simulation.far import Far
from tests.simulation.freezing import FarDrawer
from tests.simulation.ports import inline
from tests.simulation.virtual import CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import ANNA
from tests.support.logs import SlowLog
from tests.support.offload import at_once
from tests.support.samples import add_cache

OFTEN = Often(records=3, at_end=2, rest_seconds=60.0)


class Upgraded:
    """The hash of the code on disk, which an upgrade changes."""

    def __init__(self, code: str | None = "of today") -> None:
        self.code = code

    def __call__(self) -> str | None:
        """The hash."""
        return self.code


class FullDisk(FarDrawer):
    """A drawer on a disk that is full for a while."""

    def __init__(self, far: Far) -> None:
        super().__init__(far)
        self.full = True
        self.tried = 0

    def put(self, lines: Iterable[bytes]) -> None:
        """See `Drawer.put`."""
        self.tried += 1
        if self.full:
            raise OSError(28, "No space left on device", "/secret/path")
        super().put(lines)


@asynccontextmanager
async def at_work(made: Freezer, ledger: Ledger) -> AsyncGenerator[None, None]:
    """The ledger and what keeps its states, at work."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        tasks.start_soon(made.run)
        yield
        tasks.cancel_scope.cancel()


async def begun(
    far: Far, log: EventLog, code: Upgraded | None = None, drawer: FarDrawer | None = None
) -> tuple[Freezer, Ledger]:
    """A ledger that has been loaded, and what keeps its states."""
    ledger = Ledger(log, VirtualClock(), CountedIds(0))
    made = Freezer(ledger, drawer or FarDrawer(far), inline, code or Upgraded(), OFTEN)
    await made.load()
    return made, ledger


async def add(ledger: Ledger, *names: str) -> None:
    """Caches that are added one after the other: a record each."""
    for name in names:
        await ledger.execute(add_cache(name), ANNA)


def test_state_is_kept_after_so_many_records() -> None:
    """A state is kept when enough has happened, but no two of them soon after each other."""

    async def main() -> None:
        made, ledger = await begun(Far(), InMemoryLog())
        async with at_work(made, ledger):
            await add(ledger, "a", "b")
            await pass_time(1.0)
            assert made.kept == 0
            await add(ledger, "c")
            await pass_time(1.0)
            assert made.kept == 3
            await add(ledger, "d", "e", "f")
            await pass_time(50.0)
            assert made.kept == 3
            await pass_time(10.0)
            assert made.kept == 6

    virtually(main)


def test_last_state_is_kept_at_the_end() -> None:
    """At the end of the daemon fewer records are enough, and one alone is not worth it."""

    async def main() -> None:
        made, ledger = await begun(Far(), InMemoryLog())
        async with at_work(made, ledger):
            await add(ledger, "a")
            await made.flush()
            assert made.kept == 0
            await add(ledger, "b")
            await made.flush()
            assert made.kept == 2

    virtually(main)


def test_state_is_that_of_its_hash() -> None:
    """While a batch is stored and not yet folded, the state of the one or the other is kept."""

    async def main() -> None:
        far, log = Far(), SlowLog(InMemoryLog())
        made, ledger = await begun(far, log)
        async with at_work(made, ledger), anyio.create_task_group() as tasks:
            await add(ledger, "a", "b")
            tasks.start_soon(add, ledger, "c")
            await pass_time(0.7)
            assert ((await log.head()).position, ledger.state.position) == (3, 2)
            await made.flush()
            assert made.kept == 3
        again, loaded = await begun(far, log)
        assert again.begun is not None
        assert (again.begun.position, again.begun.unused) == (3, "")
        assert loaded.state == ledger.state

    virtually(main)


def test_full_disk_is_told_once() -> None:
    """What cannot be kept is told once, hinders nobody, and is kept when there is room again."""

    async def main() -> None:
        far = Far()
        drawer = FullDisk(far)
        made, ledger = await begun(far, InMemoryLog(), drawer=drawer)
        async with at_work(made, ledger):
            await add(ledger, "a", "b", "c")
            await pass_time(200.0)
            assert (made.kept, made.trouble) == (0, "No space left on device")
            drawer.full = False
            await pass_time(60.0)
            assert (made.kept, made.trouble) == (3, "")
        assert drawer.tried > 3

    with capture_logs() as told:
        virtually(main)
    assert ["state folded", "state not kept", "state kept"] == [line["event"] for line in told]


def test_upgrade_under_a_running_daemon() -> None:
    """The old code keeps nothing under the new code's name: the new one would believe it."""

    async def main() -> None:
        far, code, log = Far(), Upgraded(), InMemoryLog()
        made, ledger = await begun(far, log, code)
        async with at_work(made, ledger):
            code.code = "of tomorrow"
            await add(ledger, "a", "b", "c")
            await pass_time(100.0)
            await made.flush()
        assert (far.frozen, made.kept) == (None, 0)
        assert "was upgraded since this daemon started: restart it" in made.trouble

    virtually(main)


def test_other_code_folds_anew() -> None:
    """A state that other code has kept is not used, nor is any by code that is not known."""

    async def main() -> None:
        far, log = Far(), InMemoryLog()
        made, ledger = await begun(far, log)
        async with at_work(made, ledger):
            await add(ledger, "a", "b", "c")
            await pass_time(1.0)
        newer, _ = await begun(far, log, Upgraded("of tomorrow"))
        unknown, _ = await begun(far, log, Upgraded(None))
        assert newer.begun is not None
        assert unknown.begun is not None
        assert (newer.begun.position, unknown.begun.position) == (0, 0)
        assert "another version of Valkeep" in newer.begun.unused
        assert "cannot be read" in unknown.begun.unused

    virtually(main)


@pytest.mark.anyio
async def test_damage_before_the_state_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that is flipped in a record before the state ends the daemon, and the next start.

    The start itself does not read it, and what follows it is as it was.
    """
    monkeypatch.setattr(freezer, "SETTLE_SECONDS", 0.0)
    path, drawer = tmp_path / "events.db", FileDrawer(tmp_path / "state.snapshot")

    def made(ledger: Ledger) -> Freezer:
        return Freezer(ledger, drawer, at_once, lambda: "code", OFTEN)

    async with open_log(path, pid=1) as log:
        ledger = Ledger(log, VirtualClock(), CountedIds(0))
        first = made(ledger)
        await first.load()
        async with at_work(first, ledger):
            await add(ledger, "a", "b", "c", "d")
            await first.flush()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER record_never_changes")
        db.execute("UPDATE record SET data = CAST(data || ' ' AS BLOB) WHERE position = 1")
        db.commit()

    async with open_log(path, pid=1) as log:
        second = made(Ledger(log, VirtualClock(), CountedIds(1)))
        start = await second.load()
        assert start.position > 2
        with pytest.raises(LogCorrupt, match="position 1 does not follow"):
            await second.look_behind()
        with pytest.raises(LogCorrupt, match="position 1 does not follow"):
            await made(Ledger(log, VirtualClock(), CountedIds(2))).load()
    assert not (tmp_path / "state.snapshot").exists()
