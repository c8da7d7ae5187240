"""The age format: as its own test vectors want it, and as other programs write and read it.

`data/age` holds the vectors of github.com/C2SP/CCTV (0BSD) for everything but passphrases,
armour and post-quantum keys.
"""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from daemon.bech32 import encode
from daemon.errors import Permanent
from daemon.storage.age import (
    AgeError,
    Decryption,
    Encryption,
    Identity,
    IdentityError,
    NoIdentityFits,
    identities,
    public_key,
)
from daemon.storage.sealing import Sealing
from tests.support.keys import (
    BOTH,
    IDENTITY,
    OTHER_IDENTITY,
    RECIPIENT,
    STRANGER,
    CountedTokens,
    opened,
    sealing,
)

DATA = Path(__file__).parents[2] / "data" / "age"
CHUNK = 64 << 10
NOISE = hashlib.shake_256(b"noise").digest(3 * CHUNK + 1)
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 1]
GIVES_LESS = {
    "stream_no_final_full",
    "stream_no_final_two_chunks_full",
    "stream_trailing_garbage_long",
    "stream_trailing_garbage_short",
    "stream_two_final_chunks",
    "stream_two_final_chunks_full",
    "stream_two_final_chunks_second",
}
"""The reference gives a chunk out before it knows that the file ends wrongly; we do not."""


class Vector(Struct, frozen=True):
    """One test vector: what is to be decrypted, with what, and what is to come of it."""

    name: str
    expect: str
    payload: str | None
    keys: Sequence[Identity]
    file: bytes


def vector(path: Path) -> Vector:
    """Read one: a head of ``key: value`` lines, an empty line, the file."""
    head, _, file = path.read_bytes().partition(b"\n\n")
    pairs = [line.split(": ", 1) for line in head.decode().splitlines()]
    told = {name: value for name, value in pairs}  # noqa: C416 - pairs are lists of two
    texts = [value for name, value in pairs if name == "identity"]
    return Vector(
        path.name,
        told["expect"],
        told.get("payload"),
        identities("\n".join(texts)) if texts else (),
        zlib.decompress(file) if told.get("compressed") == "zlib" else file,
    )


VECTORS = [vector(path) for path in sorted(DATA.iterdir())]


def sealed(plain: bytes, *, piece: int = CHUNK, by: Sealing | None = None) -> bytes:
    """Encrypted by our stage, fed in pieces of that size."""
    stage = (by or sealing()).stage()
    fed = [out for at in range(0, len(plain), piece) for out in stage.feed(plain[at : at + piece])]
    return b"".join([*fed, *stage.finish()])


def steps(file: bytes, keys: Sequence[Identity], *, piece: int = CHUNK) -> Iterator[bytes]:
    """Decrypted by our stage."""
    stage = Decryption(keys)
    for at in range(0, len(file), piece):
        yield from stage.feed(file[at : at + piece])
    yield from stage.finish()


def unsealed(file: bytes, *texts: str, piece: int = CHUNK) -> bytes:
    """All of it."""
    return b"".join(steps(file, identities("\n".join(texts or (IDENTITY,))), piece=piece))


def test_the_vectors_are_all_there() -> None:
    """The directory holds every kind of vector, so that none can be lost unseen."""
    assert len(VECTORS) == 68
    assert len({one.expect for one in VECTORS}) == 5


@pytest.mark.parametrize("piece", [1, 1000, 1 << 30])
@pytest.mark.parametrize("one", VECTORS, ids=lambda one: one.name)
def test_vector(one: Vector, piece: int) -> None:
    """Each file of the vectors is opened or refused as it should be, however it is fed."""
    if piece == 1 and len(one.file) > 5_000:
        piece = CHUNK + 17
    given_out = b""
    found = "success"
    try:
        for step in steps(one.file, one.keys, piece=piece):
            given_out += step
    except NoIdentityFits:
        found = "no match"
    except AgeError:
        found = "failure"

    assert found == one.expect.replace("HMAC ", "").replace("header ", "").replace("payload ", "")
    if one.payload is not None and one.name not in GIVES_LESS:
        assert hashlib.sha256(given_out).hexdigest() == one.payload


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1_000, CHUNK, 1 << 20])
def test_what_was_encrypted_comes_back(size: int, piece: int) -> None:
    """Any number of bytes, fed in any pieces, is decrypted again by us and by another program."""
    file = sealed(NOISE[:size], piece=piece)
    assert unsealed(file, piece=piece) == NOISE[:size]
    assert opened(file) == NOISE[:size]


@pytest.mark.parametrize("size", SIZES)
def test_what_another_program_encrypted_is_read(size: int) -> None:
    """Files of rage, which puts stanzas of unknown kinds among the recipients, are decrypted."""
    public = [pyrage.x25519.Recipient.from_str(recipient) for recipient in BOTH]
    assert unsealed(pyrage.encrypt(NOISE[:size], public), OTHER_IDENTITY) == NOISE[:size]


@pytest.mark.debian("age")
@pytest.mark.anyio
@pytest.mark.parametrize("size", SIZES)
async def test_the_age_program_reads_ours_and_we_read_its(size: int, tmp_path: Path) -> None:
    """`age -d` opens what we encrypt, and what `age` encrypts is opened by us."""
    key = tmp_path / "key"
    key.write_text(IDENTITY)
    theirs = await anyio.run_process(["age", "-d", "-i", str(key)], input=sealed(NOISE[:size]))
    assert theirs.stdout == NOISE[:size]

    told = [word for recipient in BOTH for word in ("-r", recipient)]
    made = await anyio.run_process(["age", *told], input=NOISE[:size])
    for identity in (IDENTITY, OTHER_IDENTITY):
        assert unsealed(made.stdout, identity) == NOISE[:size]


def test_each_recipient_opens_it_alone() -> None:
    """Of several recipients any one's identity is enough, and nobody else's will do."""
    file = sealed(NOISE, by=sealing(*BOTH))
    for identity in (IDENTITY, OTHER_IDENTITY):
        assert unsealed(file, identity) == opened(file, identity) == NOISE
    assert unsealed(file, STRANGER, OTHER_IDENTITY) == NOISE
    with pytest.raises(NoIdentityFits):
        unsealed(file, STRANGER)


def test_two_files_have_nothing_in_common() -> None:
    """The same bytes encrypted twice by one daemon share no run of 16 bytes."""
    tokens = CountedTokens()
    one, two = (sealed(NOISE, by=Sealing((RECIPIENT,), tokens)) for _ in range(2))
    runs = {one[at : at + 16] for at in range(200, len(one) - 16)}
    assert not any(two[at : at + 16] in runs for at in range(200, len(two) - 16))


@given(st.integers(0, len(NOISE) - 1), st.integers(0, 7))
def test_no_flipped_bit_gets_through(at: int, bit: int) -> None:
    """One flipped bit anywhere is an error, and what came before it is a beginning of the truth."""
    file = bytearray(sealed(NOISE))
    file[at * (len(file) - 1) // (len(NOISE) - 1)] ^= 1 << bit
    given_out = b""
    with pytest.raises(AgeError):  # noqa: PT012 - what came before the error is wanted
        for step in steps(bytes(file), identities(IDENTITY)):
            given_out += step
    assert NOISE.startswith(given_out)
    assert len(given_out) < len(NOISE)


@pytest.mark.parametrize("left", [0, 1, 100, 167, 168, 200, 168 + CHUNK + 16, 168 + 2 * CHUNK, -1])
def test_no_file_that_was_cut_off_is_whole(left: int) -> None:
    """A file that ends too early, also between two chunks, is an error."""
    with pytest.raises(AgeError):
        unsealed(sealed(NOISE)[:left])


def test_a_header_without_an_end_is_given_up() -> None:
    """A header may not grow for ever: after a mebibyte it is refused."""
    stage = Decryption(identities(IDENTITY))
    list(stage.feed(b"age-encryption.org/v1\n-> X25519 "))
    with pytest.raises(AgeError, match="too long"):
        list(stage.feed(b"A" * (20 * CHUNK)))


LOW_ORDER = [bytes(32), b"\1" + bytes(31)]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_recipient_without_a_secret_half_is_refused(point: bytes) -> None:
    """To a point of low order everybody could decrypt: nothing is encrypted to one."""
    with pytest.raises(AgeError):
        Encryption([point], CountedTokens())
    with pytest.raises(Permanent) as refused:
        sealing(encode("age", point)).stage()
    assert refused.value.code == "recipient"


def test_an_identity_knows_its_recipient_and_shows_nothing() -> None:
    """The public half is what `age-keygen -y` prints; the secret half is in no repr."""
    (identity,) = identities(f"# created: today\n\n{IDENTITY}\n")
    assert identity.recipient == RECIPIENT
    assert identity.public == public_key(RECIPIENT)
    assert IDENTITY[16:] not in f"{identity!r} {identity!s} {identity.key!r}".upper()


NO_IDENTITIES = {
    "nothing": ("# a comment\n", "holds no identity"),
    "a slip": (IDENTITY[:-1] + "Q", "line 1"),
    "a recipient": (RECIPIENT, "public half"),
    "a plugin": ("AGE-PLUGIN-YUBIKEY-1QQQQ", "plugin"),
    "post-quantum": ("AGE-SECRET-KEY-PQ-1QQQQ", "post-quantum"),
    "an SSH key": ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", "SSH"),
    "a passphrase": ("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", "passphrase"),
    "a second line": (f"{IDENTITY}\nhunter2-canary", "line 2"),
}


@pytest.mark.parametrize("case", NO_IDENTITIES)
def test_what_is_no_identity_is_refused_without_being_shown(case: str) -> None:
    """A text that is no identity is told by its line and its kind, never by its content."""
    text, told = NO_IDENTITIES[case]
    with pytest.raises(IdentityError, match=told) as refused:
        identities(text)
    assert not any(len(word) > 12 and word in str(refused.value) for word in text.split())
