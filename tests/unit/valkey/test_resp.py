"""Commands and lines of the replication handshake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.valkey.resp import LINE_LIMIT, Lines, NotResp, encode


def test_command_is_an_array_of_bulk_strings() -> None:
    """Lengths count bytes, so that any password goes through as it is."""
    assert encode("AUTH", "jürgen", b"\r\n", 7) == (
        b"*4\r\n$4\r\nAUTH\r\n$7\r\nj\xc3\xbcrgen\r\n$2\r\n\r\n\r\n$1\r\n7\r\n"
    )


@given(st.lists(st.binary().filter(lambda line: b"\n" not in line)), st.integers(1, 7))
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], step: int) -> None:
    """Lines are the same whatever portions they arrive in."""
    stream = b"".join(line + b"\r\n" for line in lines) + b"rest"
    reader = Lines()
    found = []
    for at in range(0, len(stream), step):
        reader.feed(stream[at : at + step])
        while (line := reader.next()) is not None:
            found.append(line)
    assert lines == found
    assert reader.rest() == b"rest"
    assert reader.rest() == b""


def test_bare_newline_is_an_empty_line() -> None:
    """Keep-alives are seen as lines with nothing in them."""
    reader = Lines()
    reader.feed(b"\n\n+OK\r\n")
    assert [reader.next() for _ in range(4)] == [b"", b"", b"+OK", None]


def test_endless_line_is_refused() -> None:
    """A line that never ends is given up instead of being kept in memory."""
    reader = Lines()
    reader.feed(b"x" * (LINE_LIMIT + 1))
    with pytest.raises(NotResp):
        reader.next()
