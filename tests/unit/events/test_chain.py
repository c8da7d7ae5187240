"""The chain's formula and the envelope's bytes, which no later version may change."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from msgspec import structs

from events.chain import EMPTY, GENESIS, Stored, envelope_bytes, follow, opened, sealed
from events.envelope import Envelope, IdempotencyKey, Record, Who
from events.facts import CommitId, Position, Stream
from events.log import LogCorrupt, UnknownEvent

FULL = Envelope(
    position=Position(1),
    stream=Stream("cache/orders"),
    at=datetime(2026, 3, 1, 2, 15, 30, 250_000, tzinfo=UTC),
    who=Who(kind="user", uid=1000, user="anna", pid=42),
    commit_id=CommitId("20260301T021530Z-0000c001"),
    key=IdempotencyKey(uid=1000, key="nightly", body_sha256="ab" * 32),
    cause=Position(7),
)
SHORT = Envelope(
    position=Position(2),
    stream=Stream("installation"),
    at=datetime(2026, 3, 1, 2, 15, 31, tzinfo=UTC),
    who=Who(kind="daemon"),
    commit_id=CommitId("20260301T021531Z-0000c002"),
)
# What was written once is hashed for ever: these two may not change.
FULL_BYTES = (
    b'{"position":1,"stream":"cache/orders","at":"2026-03-01T02:15:30.250000Z",'
    b'"who":{"kind":"user","uid":1000,"user":"anna","pid":42},'
    b'"commit_id":"20260301T021530Z-0000c001",'
    b'"key":{"uid":1000,"key":"nightly","body_sha256":"' + b"ab" * 32 + b'"},"cause":7}'
)
SHORT_BYTES = (
    b'{"position":2,"stream":"installation","at":"2026-03-01T02:15:31Z",'
    b'"who":{"kind":"daemon"},"commit_id":"20260301T021531Z-0000c002"}'
)


@pytest.mark.parametrize(("envelope", "stored"), [(FULL, FULL_BYTES), (SHORT, SHORT_BYTES)])
def test_envelope_has_its_bytes_for_ever(envelope: Envelope, stored: bytes) -> None:
    """An envelope's bytes are these, and are read as the same envelope."""
    assert stored == envelope_bytes(envelope)
    assert envelope == opened(Stored(envelope.position, stored, b"", b"")).envelope


def two_records() -> tuple[Record, Record]:
    """A chain of two."""
    one = sealed(EMPTY, FULL, b'{"type":"x/1"}')
    return one, sealed(follow(EMPTY, one), SHORT, b"{}")


def test_hash_is_the_documented_formula() -> None:
    """A stranger with SHA-256 computes the same hashes from the stored bytes."""
    one, two = two_records()

    first = sha256(bytes(32) + len(FULL_BYTES).to_bytes(8, "big") + FULL_BYTES + one.data)
    assert first.digest() == one.hash
    length = len(SHORT_BYTES).to_bytes(8, "big")
    assert sha256(one.hash + length + SHORT_BYTES + b"{}").digest() == two.hash
    assert one.hash.hex() == "25c0a050bb649599f047f491e91538fe49f9f1cedbf8c77eb42c1c7be905da58"
    assert two.hash.hex() == "f295e392ccbc4133a747a94b1fe901f87d319db27477fcdf03d153ce29aba4dc"


def test_border_between_envelope_and_data_is_hashed() -> None:
    """Bytes moved from the event into its envelope do not give the same hash."""
    one, _ = two_records()
    longer = structs.replace(FULL, commit_id=CommitId(FULL.commit_id + "x"))
    assert one.hash != sealed(EMPTY, longer, one.data[1:]).hash


@pytest.mark.parametrize(
    "changes",
    [
        {"data": b"{ }"},
        {"hash": bytes(32)},
        {"envelope": structs.replace(SHORT, at=FULL.at)},
        {"envelope": structs.replace(SHORT, who=Who(kind="scheduler"))},
        {"envelope": structs.replace(SHORT, stream=Stream("cache/orders"))},
        {"envelope": structs.replace(SHORT, commit_id=CommitId("other"))},
        {"envelope": structs.replace(SHORT, cause=Position(1))},
    ],
)
def test_no_part_of_a_record_can_change(changes: dict[str, object]) -> None:
    """A record of which anything differs does not follow, and its position is named."""
    one, two = two_records()
    tip = follow(EMPTY, one)
    assert follow(tip, two).hash == two.hash
    with pytest.raises(LogCorrupt, match="position 2 does not follow"):
        follow(tip, structs.replace(two, **changes))


def test_no_record_can_be_left_out() -> None:
    """A gap in the positions is named by the position that is missing."""
    _, two = two_records()
    with pytest.raises(LogCorrupt, match=r"position 1 is missing .* 2\)"):
        follow(EMPTY, two)


def test_envelope_that_lies_about_its_place_is_damage() -> None:
    """An envelope that is stored at another position than it says is refused."""
    with pytest.raises(LogCorrupt, match="position 3 says that it is at position 2"):
        opened(Stored(Position(3), SHORT_BYTES, b"", GENESIS))


def test_envelope_with_a_new_field_is_from_a_newer_version() -> None:
    """An envelope that has what this version does not know is refused, never half read."""
    with pytest.raises(UnknownEvent, match=r"position 2.*moon"):
        opened(Stored(Position(2), SHORT_BYTES[:-1] + b',"moon":1}', b"", GENESIS))
