"""Decoding zstd with a bound on every step, against what zstd itself makes of it."""

import hashlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from daemon.storage.frame import FrameDecoder, FrameError
from daemon.storage.pipeline import feed, finish
from daemon.storage.stages import Compression, Stage

MIB = 1 << 20
NOISE = hashlib.shake_256(b"noise").digest(3 * MIB)
SAMPLES = {
    "empty": b"",
    "one": b"x",
    "zeros": bytes(20 * MIB),
    "noise": NOISE,
    "mixed": b"".join(NOISE[n : n + 700] + b"key" * 500 for n in range(0, 2 * MIB, 700)),
}


def packed(plain: bytes, level: int = 1) -> bytes:
    """As the pipeline packs it."""
    stages: list[Stage] = [Compression(level)]
    return b"".join([*feed(stages, [plain]), *finish(stages)])


def unpacked(stored: bytes, step: int) -> list[bytes]:
    """The decoder's steps, fed in pieces of a size."""
    decoder = FrameDecoder()
    steps: list[bytes] = []
    for begin in range(0, len(stored), step):
        steps += decoder.feed(stored[begin : begin + step])
    decoder.finish()
    return steps


@pytest.mark.parametrize("step", [1 << 30, 65_537, 4_099])
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("level", [1, 19])
def test_what_was_packed_is_unpacked_in_bounded_steps(sample: str, level: int, step: int) -> None:
    """Any bytes come back at any level, and no step makes more than 1 MiB."""
    plain = SAMPLES[sample][: 4 * MIB if level == 19 else None]
    steps = unpacked(packed(plain, level), step)
    assert b"".join(steps) == plain
    assert max(map(len, steps), default=0) <= MIB


@given(st.binary(max_size=300), st.integers(1, 9))
def test_the_size_of_the_pieces_does_not_matter(plain: bytes, step: int) -> None:
    """Fed byte by byte or whole, the result is the same."""
    assert b"".join(unpacked(packed(plain), step)) == plain


@pytest.mark.parametrize("known_size", [True, False])
def test_frames_of_other_tools_are_read(known_size: bool) -> None:  # noqa: FBT001
    """A frame with its size in the header, in one segment, without checksum, is a frame too."""
    packer = zstandard.ZstdCompressor(level=3, write_content_size=known_size)
    assert b"".join(unpacked(packer.compress(NOISE[:5_000]), 977)) == NOISE[:5_000]


@pytest.mark.parametrize("cut", [0, 3, 7, 40, -5, -4, -1])
def test_a_frame_that_ends_early_does_not_pass(cut: int) -> None:
    """Missing bytes are noticed wherever they are missing."""
    stored = packed(b"abc" * 50_000 + NOISE[:9_000])
    with pytest.raises(FrameError):
        unpacked(stored[:cut], 1 << 20)


@pytest.mark.parametrize("tail", [b"\0", packed(b"x"), packed(b""), b"garbage"])
def test_nothing_may_follow_a_frame(tail: bytes) -> None:
    """A second frame or garbage is refused, even if it would unpack."""
    with pytest.raises(FrameError, match="follows"):
        unpacked(packed(b"x" * 1_000) + tail, 7)


@pytest.mark.parametrize("at", [0, 4, 10, 500, -1])
def test_a_changed_byte_is_noticed(at: int) -> None:
    """Zstd's own checksum and form are looked at too."""
    stored = bytearray(packed(NOISE[:1_000]))
    stored[at] ^= 0xFF
    with pytest.raises(FrameError):
        unpacked(bytes(stored), 1 << 20)


def test_a_window_that_is_too_large_is_refused() -> None:
    """A frame cannot make the reader take more memory than ours ever need."""
    huge = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=huge).compressobj()
    with pytest.raises(FrameError):
        unpacked(packer.compress(NOISE) + packer.flush(), 1 << 30)


def test_a_bomb_goes_off_in_small_steps() -> None:
    """A gigabyte in 32 KB is given a megabyte at a time, and can be stopped after the first."""
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join(packer.compress(bytes(64 * MIB)) for _ in range(16)) + packer.flush()
    assert len(bomb) < 64 << 10
    steps = FrameDecoder().feed(bomb)
    assert len(next(steps)) <= MIB
