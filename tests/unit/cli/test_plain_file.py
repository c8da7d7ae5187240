"""Files that the command line writes: whole under their names, or not there at all."""

import resource
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.answers import ProgressView
from daemon.cli.plain_file import Manner, Wanted, check_path, write
from daemon.client import Client, Query
from daemon.errors import BadRequest, Failed, Rejected

DATA = b"REDIS0011" + b"\0" * 300_000


class Fed(Client):
    """A client that is answered with fixed bytes; `between` happens after the first piece."""

    def __init__(self, between: Callable[[], None] = lambda: None, size_bytes: int = 0) -> None:
        super().__init__("/nowhere")
        self._between = between
        self._size_bytes = size_bytes or len(DATA)

    @contextmanager
    def plain(
        self, route: str, query: Query | None = None
    ) -> Generator[tuple[dict[str, str], Iterator[bytes]], None, None]:
        """See `Client.plain`."""
        assert ("/v1/backups/b/rdb", "s") == (route, (query or {})["shard"])
        head = {"content-length": str(self._size_bytes), "valkeep-sha256": sha256(DATA).hexdigest()}
        yield head, self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        yield DATA[:100_000]
        self._between()
        yield DATA[100_000:]


WANTED = Wanted("b", shard="s")


def test_file_is_whole_and_the_callers_own(tmp_path: Path) -> None:
    """The file has all bytes and mode 0600, and whoever watches hears how far it is."""
    seen: list[ProgressView] = []
    write(Fed(), WANTED, tmp_path / "x.rdb", Manner(told=seen.append))
    assert DATA == (tmp_path / "x.rdb").read_bytes()
    assert 0o600 == (tmp_path / "x.rdb").stat().st_mode & 0o777
    assert [100_000, len(DATA)] == [progress.moved_bytes for progress in seen]


def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves neither a file nor a part of one."""

    def interrupt() -> None:
        assert [] != list(tmp_path.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Fed(interrupt), WANTED, tmp_path / "x.rdb", Manner())
    assert [] == list(tmp_path.iterdir())


def test_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    """A file that somebody else puts there meanwhile is not overwritten."""
    path = tmp_path / "x.rdb"

    def meanwhile() -> None:
        path.write_bytes(b"theirs")

    with pytest.raises(Rejected, match="there already"):
        write(Fed(meanwhile), WANTED, path, Manner())
    assert b"theirs" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_what_a_kill_has_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """A draft that nobody writes any more is removed; one that is written, or another's, stays."""
    stale, others = tmp_path / ".x.rdb.4711.0.part", tmp_path / ".y.rdb.4711.0.part"
    for draft in (stale, others):
        draft.write_bytes(b"cut off")

    def meanwhile() -> None:
        write(Fed(), WANTED, tmp_path / "x.rdb", Manner())

    with pytest.raises(Rejected, match="there already"):
        write(Fed(meanwhile), WANTED, tmp_path / "x.rdb", Manner())

    assert {tmp_path / "x.rdb", others} == set(tmp_path.iterdir())


def test_too_small_a_disk_is_told_before_a_byte(tmp_path: Path) -> None:
    """What cannot fit is not begun."""
    with pytest.raises(Failed, match="of room") as caught:
        write(Fed(pytest.fail, 1 << 60), WANTED, tmp_path / "x.rdb", Manner())
    assert "disk-full" == caught.value.code
    assert [] == list(tmp_path.iterdir())


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A write that the system refuses leaves neither a file nor a part of one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signals = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
    try:
        with pytest.raises(Failed, match="cannot be written") as caught:
            write(Fed(), WANTED, tmp_path / "x.rdb", Manner())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signals)
    assert "disk-full" == caught.value.code
    assert [] == list(tmp_path.iterdir())


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    """What is no file of its own is never written over, with `--replace` neither."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path, tmp_path / "link", tmp_path / "gone" / "x.rdb"):
        with pytest.raises(BadRequest):
            check_path(path, replace=True)
