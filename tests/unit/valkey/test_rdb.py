"""An RDB's header, end mark and checksum are judged from bytes alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import Transient
from daemon.valkey.rdb import HEADER_LIMIT, RdbGuard, read_header

# Written by real servers: Valkey 8.1.8 and Redis 7.0.15, each holding one key.
VALKEY = bytes.fromhex(
    "524544495330303131fa0a76616c6b65792d76657205382e312e38fa0a72656469732d62697473c0"
    "40fa056374696d65c27e2d036bfa08757365642d6d656dc260910f00fa08616f662d62617365c000"
    "fe00fb010000086772656574696e670568656c6c6fff3464ed5f09920f1d"
)
REDIS = bytes.fromhex(
    "524544495330303130fa0972656469732d76657206372e302e3135fa0a72656469732d62697473c0"
    "40fa056374696d65c27f2d036bfa08757365642d6d656dc2f8540e00fa08616f662d62617365c000"
    "fe00fb010000086772656574696e670568656c6c6ffff3f9db9310030a43"
)


def guard(*chunks: bytes) -> RdbGuard:
    """A guard that has seen these chunks."""
    watching = RdbGuard()
    for chunk in chunks:
        watching.feed(chunk)
    return watching


def code_of(watching: RdbGuard) -> str:
    """The code that `finish` refuses with."""
    with pytest.raises(Transient) as refused:
        watching.finish()
    return refused.value.code


def test_header_tells_version_and_fields() -> None:
    """Numbers come as they are, whatever of the integer forms they were written in."""
    header = read_header(VALKEY)
    assert header is not None
    assert header.version == 11
    assert header.fields["valkey-ver"] == "8.1.8"
    assert header.number("ctime") == 1_795_370_366
    assert header.number("valkey-ver") is None
    assert header.number("missing") is None


def test_valkey_magic_is_known() -> None:
    """The form of Valkey 9, six letters and three digits, is an RDB as well."""
    header = read_header(b"VALKEY080" + VALKEY[9:])
    assert header is not None
    assert header.version == 80


def test_header_may_take_more_bytes() -> None:
    """A beginning that ends inside the header is not judged, at whatever byte it ends."""
    complete = read_header(VALKEY)
    found = [read_header(VALKEY[:length]) for length in range(len(VALKEY))]
    assert found[0] is None
    assert all(header is None or header == complete for header in found)
    assert complete in found


def test_endless_header_is_given_up() -> None:
    """A header that claims a field of gigabytes ends at 64 KiB."""
    endless = b"REDIS0011\xfa\x80\x7f\xff\xff\xff" + bytes(HEADER_LIMIT)
    header = read_header(endless)
    assert header is not None
    assert header.fields == {}


def test_compressed_field_is_passed_over() -> None:
    """A value in LZF form is left out, and the fields after it are read."""
    data = b"REDIS0011\xfa\x01a\xc3\x03\x05\x01x\x02\xfa\x01b\xc0\xff\xfe"
    header = read_header(data)
    assert header is not None
    assert header.fields == {"b": "-1"}


def test_something_else_is_no_rdb() -> None:
    """What begins otherwise is refused, by the header and by the guard."""
    with pytest.raises(Transient, match="does not begin"):
        read_header(b"HTTP/1.1 200 OK")
    assert code_of(guard(b"X" + VALKEY[1:])) == "rdb-type"


@given(st.lists(st.integers(1, 40)))
def test_real_rdbs_pass_in_any_portions(steps: list[int]) -> None:
    """The checksum is the engines' own, and does not depend on how the bytes are cut."""
    for rdb in (VALKEY, REDIS):
        rest, watching = rdb, RdbGuard()
        for step in steps:
            watching.feed(rest[:step])
            rest = rest[step:]
        watching.feed(rest)
        watching.finish()


def test_flipped_bits_are_found_wherever_they_are() -> None:
    """No single changed bit passes, from the first byte to the checksum's last."""
    for at in range(len(VALKEY)):
        broken = bytearray(VALKEY)
        broken[at] ^= 0x10
        assert code_of(guard(bytes(broken))) in {"rdb-type", "rdb-truncated", "rdb-checksum"}


def test_every_truncation_is_found() -> None:
    """An RDB that lacks its last bytes, any number of them, is not whole."""
    for length in range(len(VALKEY)):
        assert code_of(guard(VALKEY[:length])) in {"rdb-truncated", "rdb-checksum"}


def test_zero_checksum_means_none() -> None:
    """Servers with rdbchecksum off write eight zero bytes: those are no error."""
    guard(VALKEY[:-8] + bytes(8)).finish()


def test_more_bytes_than_the_rdb_are_found() -> None:
    """Bytes after the end mark do not pass for an RDB."""
    assert code_of(guard(VALKEY + b"\n")) in {"rdb-truncated", "rdb-checksum"}
