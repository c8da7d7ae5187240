"""Sources of imports: found by what a person wrote, and read as they were when they were opened."""

from pathlib import Path

import pytest

from daemon.errors import Failed, Permanent
from daemon.storage.arrival import Source
from daemon.storage.settings import VaultSettings
from daemon.storage.sources import Reach, open_source
from tests.support.offload import THREADS

pytestmark = pytest.mark.anyio


def reach(**entries: VaultSettings) -> Reach:
    """Sources beside these entries."""
    return Reach(THREADS, lambda: 0.5, lambda: entries)


async def read(source: str, using: Reach) -> bytes:
    """All of a source."""
    data = b""
    async with open_source(source, using) as found:
        while piece := await found.read():
            data += piece
    return data


async def to_the_end(source: Source) -> None:
    """Read whatever is left."""
    while await source.read():
        pass


async def code_of(source: str, using: Reach) -> str:
    """The code that opening a source is refused with."""
    with pytest.raises(Failed) as refused:
        await read(source, using)
    assert refused.value.hint
    return refused.value.code


async def test_file_is_read_by_its_url(tmp_path: Path) -> None:
    """A file's URL may hold escapes, as every URL may."""
    file = tmp_path / "a b.rdb"
    file.write_bytes(b"REDIS" * 2_000_000)
    assert file.read_bytes() == await read(file.as_uri(), reach())


async def test_entry_is_a_place_with_a_name(tmp_path: Path) -> None:
    """What lies below an entry is named by it; nothing outside it is, and no entry is guessed."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.rdb").write_bytes(b"REDIS0009")
    entries = reach(house=VaultSettings(f"file://{tmp_path}/"))
    assert b"REDIS0009" == await read("house/deep/x.rdb", entries)
    assert "source" == await code_of("house/../x.rdb", entries)
    assert "source" == await code_of("home/x.rdb", entries)
    assert "source-missing" == await code_of("house/y.rdb", entries)


@pytest.mark.parametrize("source", ["http://host/x", "file://host/x", "s3://b/k", "s3://bucket/"])
async def test_place_that_is_none_is_refused(source: str) -> None:
    """Other schemes, other hosts, buckets that cannot be and keys of folders are refused."""
    assert "source" == await code_of(source, reach())


@pytest.mark.parametrize("how", ["longer", "shorter", "other"])
async def test_file_that_changes_is_noticed(tmp_path: Path, how: str) -> None:
    """A file that somebody writes to while it is read is not taken for a whole one."""
    file = tmp_path / "x.rdb"
    file.write_bytes(b"a" * (9 << 20))
    async with open_source(file.as_uri(), reach()) as found:
        await found.read()
        size = {"longer": 10 << 20, "shorter": 5 << 20, "other": 9 << 20}[how]
        file.write_bytes(b"b" * size)
        with pytest.raises(Permanent) as refused:
            await to_the_end(found)
    assert "source-changed" == refused.value.code


async def test_file_that_is_replaced_is_read_to_its_end(tmp_path: Path) -> None:
    """A new file under the name, as an engine's save puts one there, does no harm."""
    file, other = tmp_path / "x.rdb", tmp_path / "temp.rdb"
    file.write_bytes(b"a" * (9 << 20))
    other.write_bytes(b"b")
    async with open_source(file.as_uri(), reach()) as found:
        data = await found.read()
        other.rename(file)
        while piece := await found.read():
            data += piece
    assert b"a" * (9 << 20) == data
