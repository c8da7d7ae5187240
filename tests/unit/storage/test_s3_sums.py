"""Checksums of S3: published values, the formula for parts, and what an answer is worth."""

import pytest

from daemon.errors import Permanent, Transient
from daemon.storage.s3_sums import Kind, Sum, Summing

# The check values of RFC 3720 (CRC-32C), RFC 1321 (MD5) and FIPS 180-2 (SHA-256).
KNOWN: list[tuple[Kind, bytes, str]] = [
    ("crc32c", b"123456789", "e3069283"),
    ("md5", b"abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("sha256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
]
# Amazon's documented example of an ETag for two parts, as other stores repeat it.
PARTS = ("bce6bf66aeb76c7040fdd5f4eccb78e6", "8165449fc15bbf43d3b674595cbcc406")
WHOLE = "f77dc0eecdebcd774a2a22cb393ad2ff-2"


@pytest.mark.parametrize(("kind", "data", "expected"), KNOWN)
def test_checksums_are_the_published_ones(kind: Kind, data: bytes, expected: str) -> None:
    """Each checksum has its standard's value, of bytes and of views of them."""
    assert Summing(kind).of(data).digest.hex() == expected
    assert Summing(kind).of(memoryview(data)) == Summing(kind).of(data)


@pytest.mark.parametrize("kind", ["md5", "crc32c", "sha256"])
@pytest.mark.parametrize("at", [0, 1, 500, 999, 1000])
def test_a_checksum_in_the_making_is_the_same(kind: Kind, at: int) -> None:
    """However a piece is cut, its checksum is that of the whole piece."""
    data = bytes(range(250)) * 4
    running = Summing(kind).running()
    running.update(data[:at])
    running.update(memoryview(data)[at:])
    assert running.sum() == Summing(kind).of(data)


def test_the_checksum_of_parts_is_amazon_s() -> None:
    """The checksum of the parts' checksums, a hyphen, and how many."""
    summing = Summing("md5")
    sums = [Sum("md5", bytes.fromhex(part)) for part in PARTS]
    assert summing.whole(sums) == WHOLE


@pytest.mark.parametrize("kind", ["md5", "crc32c", "sha256"])
def test_an_answer_with_the_checksum_passes(kind: Kind) -> None:
    """What the server tells must be the checksum of what was sent, and nothing else."""
    summing = Summing(kind)
    sent = summing.of(b"data")
    name = "ETag" if kind == "md5" else f"Checksum{summing.algorithm}"
    summing.check({name: sent.told}, sent, what="part 1")
    with pytest.raises(Transient) as wrong:
        summing.check({name: summing.of(b"other").told}, sent, what="part 1")
    assert wrong.value.code == "vault-corrupted"
    assert "part 1" in wrong.value.message


def test_an_etag_under_kms_says_nothing() -> None:
    """With a key of a key service an ETag is no MD5; a flexible checksum stays what it is."""
    answer = {"ETag": '"0"', "ServerSideEncryption": "aws:kms"}
    md5, crc = Summing("md5"), Summing("crc32c")
    md5.check(answer, md5.of(b"x"), what="part 1")
    assert md5.told(answer) is None
    with pytest.raises(Permanent):
        crc.check(answer, crc.of(b"x"), what="part 1")
