"""A rebuilt log takes the place of the old one, whatever is killed in between."""

import os
from pathlib import Path

import pytest

from daemon.app.rebuilt import Rebuilder, Tools, swap_in
from daemon.commands import FinishRecovery
from daemon.ledger import DAEMON
from events.facts import InstallationId, Position
from events.log import LogInUse, LogUnreadable
from events.sqlite import open_log
from tests.simulation.virtual import CountedIds
from tests.support.api import SetClock, log_of
from tests.support.samples import HERE, MAIN, STARTED, registered

pytestmark = pytest.mark.anyio

NEW = InstallationId("installation-2")
PID = os.getpid()


async def rebuilt(path: Path) -> Rebuilder:
    """A log built beside the one at the path: a start, a cache, and the recovery's end."""
    rebuilder = Rebuilder(path, Tools(SetClock(), CountedIds()))
    copy = await log_of(STARTED, registered())
    end = FinishRecovery(MAIN, NEW, backups=0, former=HERE, imported=Position(2))
    await rebuilder.build(copy.read(), [end], DAEMON)
    return rebuilder


async def positions(path: Path) -> int:
    """How many records the log has."""
    async with open_log(path, pid=PID) as log:
        return (await log.head()).position


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with nothing in it."""
    path = tmp_path / "events.db"
    assert 0 == await positions(path)
    return path


async def test_it_is_used_once_it_is_wanted(path: Path) -> None:
    """Until it is put in place a built log changes nothing; then the next start has it."""
    rebuilder = await rebuilt(path)
    swap_in(path)
    assert 0 == await positions(path)

    rebuilder.put_in_place()
    swap_in(path)
    swap_in(path)

    assert rebuilder.wanted.is_set()
    assert 3 == await positions(path)
    assert 0 == await positions(path.with_name("events.db.before-recovery-1"))
    assert not list(path.parent.glob("*.recover*"))


async def test_a_build_that_was_cut_off_begins_anew(path: Path) -> None:
    """What a killed build left is no hindrance to the next one."""
    await rebuilt(path)
    (await rebuilt(path)).put_in_place()
    swap_in(path)

    assert 3 == await positions(path)


async def test_killed_between_any_two_renames(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off at each of its renames, a swap is finished by the next start; no log is lost."""
    path.with_name("events.db-wal").write_bytes(b"")
    (await rebuilt(path)).put_in_place()
    rename, left = Path.rename, 0

    def cut_off(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise InterruptedError
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", cut_off)
        for left in range(2):  # noqa: B007 - the patch counts down what this counts up
            with pytest.raises(LogUnreadable):
                swap_in(path)
    swap_in(path)

    assert 3 == await positions(path)
    assert list(path.parent.glob("events.db.before-recovery-[0-9]"))


async def test_a_log_in_use_is_left_alone(path: Path) -> None:
    """While a daemon has the log nothing is swapped."""
    (await rebuilt(path)).put_in_place()
    async with open_log(path, pid=PID):
        with pytest.raises(LogInUse):
            swap_in(path)
    assert 0 == await positions(path)
