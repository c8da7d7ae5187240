"""The engine's checker tells totals, "cannot read" and "broken" apart, and stays in its limits."""

import signal
import struct
from pathlib import Path

import anyio
import pytest
from anycrc import CRC

from daemon.valkey.checker import Broken, Limits, Unread, Verdict, rdb_checker
from daemon.valkey.engine import Engine, find_engines
from events.facts import RdbTotals
from tests.support.servers import DATABASES, command, fill, start_node

pytestmark = pytest.mark.anyio

SMALL = Limits(memory_bytes=256 << 20, cpu_seconds=20, stall_seconds=15.0)


@pytest.fixture(scope="module")
async def engine() -> Engine:
    """The wheel's engine, wherever the tests run."""
    (found,) = await find_engines("")
    return found


@pytest.fixture(scope="module")
async def dump(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A dump of every kind of value, in several databases."""
    directory: Path = tmp_path_factory.mktemp("dump")
    async with start_node(engine, directory) as node:
        client = node.client()
        await fill(client)
        await command(client, "SAVE")
        await client.aclose()
    return (directory / "dump.rdb").read_bytes()


async def verdict(engine: Engine, data: bytes, *, step: int = 1 << 18) -> Verdict:
    """What the checker says of these bytes, fed in pieces; it must say it in good time."""
    with anyio.fail_after(20):
        async with rdb_checker(engine, SMALL) as checker:
            for start in range(0, len(data), step):
                await checker.feed(data[start : start + step])
            return await checker.verdict()


def resealed(data: bytes) -> bytes:
    """The bytes with a right CRC-64 at their end."""
    crc = CRC(width=64, poly=0xAD93D23594C935A9, init=0, refin=True, refout=True, xorout=0).calc(
        data[:-8]
    )
    return data[:-8] + struct.pack("<Q", crc)


@pytest.mark.parametrize("step", [997, 1 << 20])
async def test_totals_are_what_the_file_holds(engine: Engine, dump: bytes, step: int) -> None:
    """A good dump gives its keys, its expiries and its highest database."""
    found = await verdict(engine, dump, step=step)

    per_database = 300 + 9
    assert found == RdbTotals(
        keys=per_database * len(DATABASES),
        expires=60 * len(DATABASES),
        highest_database=max(DATABASES),
        by=engine.label,
    )


@pytest.mark.debian("redis-server")
async def test_a_newer_format_is_unread_not_broken(dump: bytes) -> None:
    """An engine that is too old for the format lowers the proof and blames nobody."""
    old = [found for found in await find_engines("/usr/bin") if found.kind == "redis"]

    found = await verdict(old[0], dump)
    assert isinstance(found, Unread)
    assert "Can't handle RDB format version 11" in found.reason


@pytest.mark.parametrize("magic", [b"VALKEY080", b"REDIS0099"])
async def test_a_format_of_tomorrow_is_unread(engine: Engine, dump: bytes, magic: bytes) -> None:
    """Headers that this engine does not know yet are its fault, not the file's."""
    assert isinstance(await verdict(engine, resealed(magic + dump[9:])), Unread)


async def test_a_type_of_tomorrow_is_unread(engine: Engine) -> None:
    """A value type this engine has not heard of, under a right checksum, is unread."""
    data = b"REDIS0011\xfe\x00\x60\x01k\x01v\xff" + bytes(8)

    found = await verdict(engine, resealed(data))
    assert isinstance(found, Unread)
    assert "Invalid object type: 96" in found.reason


@pytest.mark.parametrize("length", [20, 5_000, -8, -1])
async def test_a_cut_file_is_broken(engine: Engine, dump: bytes, length: int) -> None:
    """Bytes that end early are damage, wherever they end."""
    assert isinstance(await verdict(engine, dump[:length]), Broken)


async def test_a_flipped_bit_is_broken(engine: Engine, dump: bytes) -> None:
    """One wrong bit in the middle of a value is found by the checksum."""
    middle = dump.index(b"value 17 ")
    flipped = dump[:middle] + bytes([dump[middle] ^ 1]) + dump[middle + 1 :]

    found = await verdict(engine, flipped)
    assert isinstance(found, Broken)
    assert "CRC" in found.reason


async def test_what_is_no_dump_is_broken(engine: Engine) -> None:
    """Bytes of another kind are refused, also when there are far more than the pipe holds."""
    assert isinstance(await verdict(engine, b"hello world\n" * 500_000), Broken)


async def test_a_checker_that_dies_never_blocks_its_feeder(engine: Engine, dump: bytes) -> None:
    """Whoever feeds a checker that was killed gets on, and is told "cannot read"."""
    with anyio.fail_after(20):
        async with rdb_checker(engine, SMALL) as checker:
            await checker.feed(dump[:2_000])
            assert checker._process is not None
            checker._process.kill()
            await checker.feed(bytes(8 << 20))
            assert isinstance(await checker.verdict(), Unread)


async def test_a_checker_that_stalls_is_ended(engine: Engine) -> None:
    """A checker that reads no more is given up after the limit, and is gone afterwards."""
    async with rdb_checker(engine, Limits(stall_seconds=0.2)) as checker:
        assert checker._process is not None
        checker._process.send_signal(signal.SIGSTOP)
        await checker.feed(bytes(8 << 20))
        found = await checker.verdict()
    assert isinstance(found, Unread)
    assert "stopped reading" in found.reason
    assert checker._process.returncode == -9


async def test_one_value_beyond_the_memory_limit_is_unread(engine: Engine) -> None:
    """A value larger than the checker may hold is not called damage."""
    size = 300 << 20
    head = b"REDIS0011\xfe\x00\x00\x01k\x80" + struct.pack(">I", size)
    with anyio.fail_after(30):
        async with rdb_checker(engine, SMALL) as checker:
            await checker.feed(head)
            for _ in range(size >> 20):
                await checker.feed(bytes(1 << 20))
            found = await checker.verdict()
    assert isinstance(found, Unread)
    assert "memory" in found.reason


async def test_leaving_ends_the_checker(engine: Engine) -> None:
    """A check that is given up leaves no process behind."""
    async with rdb_checker(engine, SMALL) as checker:
        await checker.feed(b"REDIS0011")
    assert checker._process is not None
    assert checker._process.returncode is not None


async def test_an_engine_that_is_gone_is_unread(dump: bytes) -> None:
    """Without a program to run, the answer is "cannot read", and feeding does not fail."""
    gone = Engine("/nonexistent/valkey-server", None, "valkey", "8.1.8", "system")

    assert isinstance(await verdict(gone, dump), Unread)
