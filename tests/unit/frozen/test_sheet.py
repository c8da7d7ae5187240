"""The state file's form: nothing of it is believed that was not checked before."""

from io import BytesIO

import pytest

from daemon.frozen import sheet
from daemon.frozen.sheet import Stamp, Unfit
from events.facts import InstallationId, Position
from projections.state import State
from tests.support.given import given
from tests.support.samples import B1, STARTED, complete, registered

CODE = "c" * 64
STATE = given(STARTED, registered(), *complete(B1))
STAMP = Stamp(CODE, STATE.installation, STATE.position, "ab" * 32)


def written(stamp: Stamp = STAMP, state: State = STATE) -> bytes:
    """The whole file."""
    return b"".join(sheet.lines(stamp, state))


def refused(data: bytes, code: str = CODE) -> str:
    """Why this is not used."""
    with pytest.raises(Unfit) as caught:
        sheet.read(BytesIO(data), code)
    return str(caught.value)


def test_what_was_written_is_read() -> None:
    """Stamp and state come back as they were."""
    assert (STAMP, STATE) == sheet.read(BytesIO(written()), CODE)


def test_it_is_cut_off_at_any_byte() -> None:
    """A file that ends anywhere before its end is not used."""
    whole = written()

    assert all(refused(whole[:end]) for end in range(len(whole)))
    assert refused(b"") == "it is cut off"


def test_any_bit_is_flipped() -> None:
    """A file with one wrong bit anywhere is not used; bits of a byte take turns."""
    whole = written()

    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        assert refused(bytes(flipped))


def test_something_follows() -> None:
    """What lies behind the end is not passed over."""
    assert refused(written() + b"x") == "something follows after its end"
    assert refused(written() + written()) == "something follows after its end"


@pytest.mark.parametrize(
    "data", [b"\n", b"{}", b"x" * 10_000, b"SQLite format 3\0" * 99, bytes(500)]
)
def test_foreign_file(data: bytes) -> None:
    """What never was such a file is not used."""
    assert refused(data) == "it is damaged, or no state of ours"


def test_other_code() -> None:
    """A state that other code has folded is not used, and not even looked at."""
    broken = b"".join([*sheet.lines(STAMP, STATE)][:1])

    assert "another version" in refused(written(), code="d" * 64)
    assert "another version" in refused(broken, code="d" * 64)


def test_lines_that_prove_themselves_are_not_believed_either() -> None:
    """Whoever can make the hashes right makes no state that is not of its stamp's position."""
    other = Stamp(CODE, STATE.installation, Position(STATE.position + 1), "ab" * 32)
    stranger = Stamp(CODE, InstallationId("stranger"), STATE.position, "ab" * 32)
    empty = Stamp(CODE, None, Position(0), "ab" * 32)

    assert "not of the position" in refused(written(other))
    assert "not of the position" in refused(written(stranger))
    assert "not of the position" in refused(written(empty, State()))


def test_nesting_without_end() -> None:
    """JSON that is nested so deep that reading it would end the process is refused."""
    deep = STAMP.chain + "[" * 100_000
    lines = [*sheet.lines(Stamp(CODE, None, STATE.position, deep), STATE)]

    assert refused(b"".join(lines))


def test_too_long_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is bounded when it is written and when it is read."""
    whole = written()
    monkeypatch.setattr(sheet, "LINE_BYTES", 200)

    assert refused(whole) == "it is damaged, or no state of ours"
    with pytest.raises(ValueError, match="larger than 200 bytes"):
        written()
