"""Threads for calls that may hang: nobody waits for them for ever, and they are bounded."""

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from daemon.app.real import ForsakenThreads, Threads
from daemon.storage import folders
from daemon.storage.canary import Trial, try_out
from daemon.storage.local import DirectoryVault
from events.facts import InstallationId
from tests.support.poll import until

pytestmark = pytest.mark.anyio


class Mount:
    """A dead mount: whoever reads there hangs until it comes back."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._came, self._coming = os.pipe()

    def hang(self) -> None:
        """What a thread does there."""
        os.write(self._coming, b"!")
        os.read(self._read, 1)

    async def visited(self) -> None:
        """Wait until one more thread hangs."""
        await anyio.wait_readable(self._came)
        os.read(self._came, 1)

    def back(self) -> None:
        """Let all go on, those to come included."""
        os.write(self._write, b"." * 100)


@pytest.fixture
def mount() -> Iterator[Mount]:
    """A dead mount; calls that hang there return when the test is over."""
    mount = Mount()
    yield mount
    mount.back()


async def abandoned(threads: ForsakenThreads, mount: Mount) -> None:
    """Give a call up that hangs."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads, mount.hang)
        await mount.visited()
        tasks.cancel_scope.cancel()


async def test_one_and_no_more(mount: Mount) -> None:
    """While a call hangs the next ones fail at once; other vaults' threads are others."""
    threads = ForsakenThreads()
    with anyio.fail_after(5):
        await abandoned(threads, mount)
        with pytest.raises(TimeoutError, match="made earlier has not returned"):
            await threads(max, 1, 3)
        assert 3 == await threads.apart()(max, 1, 3)


async def test_calls_that_come_back_make_room(mount: Mount) -> None:
    """When a dead mount comes back its threads can be used again."""
    threads = ForsakenThreads()
    await abandoned(threads, mount)
    mount.back()

    async def serves() -> bool:
        try:
            return await threads(max, 1, 3) == 3
        except TimeoutError:
            return False

    await until(serves, "the call that hung has returned")


async def test_errors_come_through() -> None:
    """What a call raises reaches its caller."""
    with pytest.raises(ZeroDivisionError):
        await ForsakenThreads()(divmod, 1, 0)


async def test_two_calls_at_the_same_time(mount: Mount) -> None:
    """A call that somebody still waits for does not count as left behind."""
    threads = ForsakenThreads()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(threads, mount.hang)
            await mount.visited()
            assert 3 == await threads(max, 1, 3)
            mount.back()
        assert 3 == await threads(max, 1, 3)


async def test_a_vault_that_hangs_takes_nobody_elses_threads(mount: Mount) -> None:
    """However many calls hang in one portion of threads, another portion serves its callers."""
    threads = Threads()
    dead, well = threads.apart(), threads.apart()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(dead, mount.hang)
        with anyio.fail_after(5):
            assert 3 == await well(max, 1, 3)
            assert 3 == await threads(max, 1, 3)
        mount.back()


async def test_a_directory_that_hangs_is_told_of(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary into a directory on a dead mount ends in its time, however often it is sent."""
    vault = DirectoryVault(str(tmp_path), ForsakenThreads())
    trial = Trial(InstallationId("20260301T120000Z-00000001"), "x", step_seconds=0.2)

    def hang(_: object) -> None:
        mount.hang()

    monkeypatch.setattr(folders, "size_of", hang)
    with anyio.fail_after(10):
        first, second = [await try_out(vault, trial) for _ in range(2)]

    assert [("open", "vault-hangs")] == [(fault.deed, fault.failure.code) for fault in first]
    assert "did not answer in 0.2 s" in first[0].failure.message
    assert [("open", "vault-hangs")] == [(fault.deed, fault.failure.code) for fault in second]
    assert "made earlier has not returned yet" in second[0].failure.message


async def test_a_directory_that_hangs_while_it_is_written_to(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that hangs is given up, its file stays open under it, and the next canary sweeps."""
    vault = DirectoryVault(str(tmp_path), ForsakenThreads())
    trial = Trial(InstallationId("20260301T120000Z-00000001"), "x", step_seconds=0.2)

    def hang(*_: object) -> None:
        mount.hang()

    monkeypatch.setattr(folders, "append", hang)
    with anyio.fail_after(10):
        (fault,) = await try_out(vault, trial)

    assert ("write", "vault-hangs") == (fault.deed, fault.failure.code)
    monkeypatch.undo()
    mount.back()

    async def well() -> bool:
        return not await try_out(vault, trial)

    await until(well, "the disk is back")
    assert [] == [path async for path in anyio.Path(tmp_path).iterdir()]
