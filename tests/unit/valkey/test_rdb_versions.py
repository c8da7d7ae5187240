"""RDBs of every version up to 9: whole or cut off, by their bytes alone."""

from pathlib import Path

import pytest

from daemon.errors import Transient
from daemon.valkey.rdb import RdbGuard, read_header
from tests.support.rdb_writer import HISTORY, golden

DATA = Path(__file__).parents[2] / "data" / "rdb"


def judged(data: bytes) -> str:
    """The code that a guard refuses these bytes with, or nothing."""
    guard = RdbGuard()
    try:
        for at in range(0, len(data), 7):
            guard.feed(data[at : at + 7])
        guard.finish()
    except Transient as error:
        return error.code
    return ""


@pytest.mark.parametrize("version", HISTORY)
def test_golden_file_is_what_the_writer_writes(version: int) -> None:
    """A sample has not changed since it was written."""
    assert golden(version).data == (DATA / f"v{version}.rdb").read_bytes()


@pytest.mark.parametrize("version", HISTORY)
def test_old_version_is_known_to_be_whole(version: int) -> None:
    """An RDB is whole with a checksum, with eight zero bytes, and before version 5 with neither."""
    data = golden(version).data
    header = read_header(data)
    assert header is not None
    assert (version, "") == (header.version, judged(data))


@pytest.mark.parametrize("version", HISTORY)
def test_old_version_that_is_cut_off_is_noticed(version: int) -> None:
    """An RDB that got one byte more is not whole, nor one that lost some.

    Before version 5 a piece may end as the whole does: there only an engine's checker can tell.
    """
    data = golden(version).data
    refused = ("rdb-truncated", "rdb-checksum")
    assert judged(data + b"\0") in refused
    assert "rdb-truncated" == judged(data[:9])
    assert judged(data[:30]) in refused
    if version >= 5:
        assert judged(data[:-1]) in refused
