"""Limits of bandwidth, on virtual time: so many bytes take so long, and streams share (V7)."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

import anyio
import pytest

from daemon.board import Board
from daemon.storage.bandwidth import Bandwidth, LimitedVault, Way
from daemon.storage.memory import MemoryVault
from daemon.storage.throttle import Throttle, take
from daemon.storage.vault import ObjectName
from events.facts import CacheName
from tests.simulation.virtual import VirtualClock, pass_time, virtually

A, B = CacheName("a"), CacheName("b")
MB = 1_000_000
FOLDER = "caches/a/20260301T120000Z-0000000a/"
NAME = ObjectName(f"{FOLDER}0000.rdb.zst")


async def sent(bandwidth: Bandwidth, cache: CacheName, limit: str | None, size_bytes: int) -> float:
    """Write so many bytes in pieces of a MB into a vault; when that was done."""
    with Board(VirtualClock()).line("work") as progress:
        vault = LimitedVault(MemoryVault(), Way(bandwidth.of(cache, limit), progress))
        async with vault.create(NAME) as writer:
            for at in range(0, size_bytes, MB):
                await writer.write(b"x" * min(MB, size_bytes - at))
            await writer.commit()
        assert size_bytes == await vault.size(NAME)
    return anyio.current_time()


def together(*jobs: Callable[[], Awaitable[float]]) -> list[float]:
    """When each of these was done that began at once, on virtual time."""

    async def main() -> list[float]:
        ends = [0.0] * len(jobs)

        async def run(number: int) -> None:
            ends[number] = await jobs[number]()

        async with anyio.create_task_group() as tasks:
            for number in range(len(jobs)):
                tasks.start_soon(run, number)
        return ends

    return virtually(main)


@pytest.mark.parametrize(
    ("limit", "size_bytes", "seconds"),
    [("1MB", 10 * MB, 10.0), ("100KB", 3 * MB, 30.0), ("1KB", 50_000, 50.0), ("1GB", 30 * MB, 0.0)],
)
def test_bytes_take_their_time(limit: str, size_bytes: int, seconds: float) -> None:
    """So many bytes at so many per second take as long as that, whatever the rate."""
    for bandwidth, own in ((Bandwidth(limit), None), (Bandwidth(), limit)):
        (end,) = together(lambda b=bandwidth, o=own: sent(b, A, o, size_bytes))  # type: ignore[misc]
        assert end == pytest.approx(seconds, rel=0.02, abs=0.06)


def test_without_a_limit_nothing_waits() -> None:
    """Where there is no limit no time passes."""
    assert [0.0] == together(lambda: sent(Bandwidth("0"), A, None, 100 * MB))


def test_two_share_a_limit_fairly() -> None:
    """Two streams under the daemon's limit get half of it each, and one alone gets it all."""
    bandwidth = Bandwidth("1MB")
    short, long = together(
        lambda: sent(bandwidth, A, None, 5 * MB), lambda: sent(bandwidth, B, None, 10 * MB)
    )
    assert short == pytest.approx(10.0, rel=0.05)
    assert long == pytest.approx(15.0, rel=0.05)


def test_both_limits_hold() -> None:
    """A cache's own limit holds under the daemon's, and what it leaves is for the others."""
    bandwidth = Bandwidth("1MB")
    slow, fast = together(
        lambda: sent(bandwidth, A, "200KB", 2 * MB), lambda: sent(bandwidth, B, None, 8 * MB)
    )
    assert slow == pytest.approx(10.0, rel=0.1)
    assert fast == pytest.approx(10.0, rel=0.1)


def test_a_caches_limit_is_shared_by_all_that_is_done_for_it() -> None:
    """Two streams of one cache share its limit."""
    bandwidth = Bandwidth()
    ends = together(*[lambda: sent(bandwidth, A, "1MB", 3 * MB)] * 2)
    assert ends == pytest.approx([6.0, 6.0], rel=0.05)


def test_a_new_limit_holds_at_once() -> None:
    """The daemon's limit can be changed, or taken away, under a stream that it slows."""
    bandwidth = Bandwidth("10KB")

    async def raised() -> float:
        await pass_time(10.0)
        bandwidth.set("1MB")
        await pass_time(1.0)
        bandwidth.set("")
        return anyio.current_time()

    end, _ = together(lambda: sent(bandwidth, A, None, 50 * MB), raised)
    assert end == pytest.approx(11.0, abs=0.5)


def test_unused_time_is_not_saved_up() -> None:
    """A stream that comes after a long pause gets no burst of what was not used."""

    async def main() -> float:
        throttle = Throttle(MB)
        await take([throttle], 100_000)
        await pass_time(1000.0)
        began = anyio.current_time()
        for _ in range(10):
            await take([throttle], 100_000)
        return anyio.current_time() - began

    assert virtually(main) == pytest.approx(1.0, abs=0.06)


def test_whoever_goes_away_takes_nothing_along() -> None:
    """A stream that is cancelled while it waits for its turn leaves the limit as it was."""

    async def main() -> float:
        throttle = Throttle(1000)
        with anyio.move_on_after(0.01):
            await take([throttle], 100)
        await take([throttle], 100)
        return anyio.current_time()

    assert virtually(main) == pytest.approx(0.2, abs=0.06)


def test_slow_writers_give_signs_of_life() -> None:
    """A writer that waits for its turn is never silent for more than a moment."""

    async def main() -> int:
        with Board(VirtualClock()).line("work") as progress:
            vault = LimitedVault(MemoryVault(), Way(Bandwidth("10KB").of(A, None), progress))
            async with vault.create(NAME) as writer:
                await writer.write(b"x" * 100_000)
                await writer.commit()
            return progress.signs

    assert virtually(main) > 50


def test_all_else_goes_through() -> None:
    """What is no writing of objects is the vault's own, as it is."""

    async def main() -> None:
        with Board(VirtualClock()).line("work") as progress:
            inner = MemoryVault()
            vault = LimitedVault(inner, Way(Bandwidth("1KB").of(A, None), progress))
            assert vault.url == inner.url
            await vault.put(NAME, b"small")
            assert not await vault.put_new(NAME, b"other")
            assert b"small" == await vault.get(NAME, 100)
            assert b"mal" == await vault.read(NAME, offset=1, length=3)
            async with aclosing(vault.list("caches/")) as found:
                assert [NAME] == [info.name async for info in found]
            await vault.clear(FOLDER)
            assert await vault.size(NAME) is None
            await vault.delete(NAME)
            await vault.aclose()
        assert 0.0 == anyio.current_time()

    virtually(main)
