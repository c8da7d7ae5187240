"""What is left of the log when its process or its disk fails: never less than was promised."""

import os
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from events.envelope import Record
from events.log import LogCorrupt, LogError, LogInUse
from events.sqlite import open_log, open_stopped
from tests.support.commits import all_of, chain_of, commit, places

pytestmark = pytest.mark.anyio

ME = os.getpid()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log lies, in a folder of its own."""
    (tmp_path / "log").mkdir()
    return tmp_path / "log" / "events.sqlite"


class Writer:
    """Another process that writes the log until it is killed."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.pid = process.pid
        self._output = TextReceiveStream(process.stdout)
        self._text = ""

    async def acknowledged(self, lines: int) -> int:
        """The log's head as told in that line; waits until it has been told."""
        while self._text.count("\n") < lines:
            self._text += await self._output.receive()
        return int(self._text.splitlines()[lines - 1])


@asynccontextmanager
async def writer(path: Path) -> AsyncGenerator[Writer, None]:
    """A process that goes on writing inside the context, and gets SIGKILL at the end of it."""
    command = [sys.executable, "-m", "tests.unit.events.writer", str(path)]
    root = Path(__file__).parents[3]
    with anyio.fail_after(60):
        async with await anyio.open_process(command, cwd=root, stderr=None) as process:
            try:
                yield Writer(process)
            finally:
                process.kill()


async def test_acknowledged_appends_survive_a_kill(path: Path) -> None:
    """Kill -9 at any moment of writing loses nothing that was acknowledged, time and again."""
    for lines in (2, 3, 11, 40):
        async with writer(path) as other:
            acknowledged = await other.acknowledged(lines)
        async with open_log(path, pid=ME) as log:
            records = await all_of(log)
            assert len(records) >= acknowledged > 0
            (answer,) = await log.append(chain_of(1, after=len(records)))
            assert [len(records) + 1] == places(answer)


async def test_second_process_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    """While a process has the log, another is told which one, and the first goes on unharmed."""
    async with writer(path) as other:
        await other.acknowledged(1)
        for opening in (open_log(path, pid=ME), open_stopped(path)):
            with pytest.raises(LogInUse) as caught:
                await opening.__aenter__()
            assert f"process {other.pid}" in caught.value.message
            assert str(path) in caught.value.message
            assert f"ps -fp {other.pid}" in caught.value.hint
        acknowledged = await other.acknowledged(30)
    async with open_log(path, pid=ME) as log:
        assert len(await all_of(log)) >= acknowledged


async def test_wal_of_a_killed_process_is_audited_without_a_change(path: Path) -> None:
    """An audit of a killed log sees all that was acknowledged, and leaves each byte in place."""
    async with writer(path) as other:
        acknowledged = await other.acknowledged(20)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert before[f"{path.name}-wal"]
    async with open_stopped(path) as log:
        assert len(await all_of(log)) >= acknowledged

    assert before == {file.name: file.read_bytes() for file in path.parent.iterdir()}


async def with_wal(path: Path, *, folder: Path) -> list[Record]:
    """Leave in `folder` a log as a power cut would, its records still in the WAL."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(3))
        for number in range(3, 20):
            await log.append(chain_of(1, after=number))
        shutil.copytree(path.parent, folder)
        return await all_of(log)


async def reopened(path: Path, *, wal: bytes) -> list[Record]:
    """What is read from the log with another WAL; the log must take appends as well."""
    folder = path.parent / f"wal-{len(wal)}-{hash(wal)}"
    folder.mkdir()
    copy = folder / path.name
    shutil.copy(path, copy)
    copy.with_name(f"{path.name}-wal").write_bytes(wal)
    async with open_log(copy, pid=ME) as log:
        records = await all_of(log)
        await log.append([commit("after", {"z": 0})])
        assert len(records) + 1 == len(await all_of(log))
    return records


async def test_wal_cut_anywhere_opens_as_a_prefix(path: Path, tmp_path: Path) -> None:
    """A WAL that ends at any byte gives a beginning of the history, and never half a batch."""
    written = await with_wal(path, folder=tmp_path / "cut")
    cut = tmp_path / "cut" / path.name
    wal = cut.with_name(f"{path.name}-wal").read_bytes()
    lengths = []
    for end in [0, 1, 32, len(wal) - 1, len(wal), *range(100, len(wal), len(wal) // 40)]:
        records = await reopened(cut, wal=wal[:end])
        assert written[: len(records)] == records
        assert len(records) not in {1, 2}
        lengths.append(len(records))

    assert (0, 20) == (min(lengths), max(lengths))
    assert len(set(lengths)) > 10


async def test_bit_flipped_in_the_wal_is_never_read_as_truth(path: Path, tmp_path: Path) -> None:
    """A damaged WAL gives a beginning of the history; the head kept elsewhere tells the rest."""
    written = await with_wal(path, folder=tmp_path / "flip")
    flip = tmp_path / "flip" / path.name
    wal = flip.with_name(f"{path.name}-wal").read_bytes()
    lost = 0
    for at in range(5, len(wal), len(wal) // 30):
        records = await reopened(flip, wal=flipped(wal, at))
        assert written[: len(records)] == records
        lost += len(records) < len(written)

    assert lost > 20


def content_of(path: Path) -> bytes:
    """The bytes of a file."""
    return path.read_bytes()


def flipped(data: bytes, at: int) -> bytes:
    """The same bytes with one bit turned over."""
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


async def audited(path: Path, content: bytes) -> list[Record]:
    """What an audit reads from a main file with this content."""
    copy = path.with_name("damaged.sqlite")
    copy.write_bytes(content)
    async with open_stopped(copy) as log:
        return await all_of(log)


async def test_bit_flipped_in_a_record_is_reported_with_its_position(path: Path) -> None:
    """One bit of an event, an envelope or a hash in the main file is named by its position."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(40))
        written = await all_of(log)
    content = content_of(path)
    for record in written[::4]:
        for part in (record.data, record.hash, f'"position":{record.position},'.encode()):
            at = content.index(part) + len(part) // 2
            with pytest.raises(LogCorrupt, match=rf"position {record.position}\b"):
                await audited(path, flipped(content, at))


@pytest.mark.parametrize("text", [b"INTEGER NOT NULL", b"CREATE TABLE record", b"SQLite format"])
async def test_bit_flipped_in_the_tables_is_refused(path: Path, text: bytes) -> None:
    """A main file whose tables cannot be understood is refused in our own words."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(3))
    content = content_of(path)
    for bit in (0, 7):
        with pytest.raises(LogError, match=r"damaged|not a Valkeep log") as caught:
            await audited(path, content.replace(text, bytes([text[0] ^ 1 << bit]) + text[1:]))
        assert caught.value.hint


async def test_bit_flipped_anywhere_is_never_read_as_truth(path: Path) -> None:
    """Wherever a bit of the main file flips, the log is refused or read as it was written."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(40))
        written = await all_of(log)
    content = content_of(path)
    refused = 0
    for at in range(0, len(content), len(content) // 200):
        try:
            assert written == await audited(path, flipped(content, at))
        except LogError:
            refused += 1

    assert refused > 20
