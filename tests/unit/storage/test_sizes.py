"""The arithmetic of blocks and parts: one rule each that holds up to what S3 can hold."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.storage import stages
from daemon.storage.manifest import Block
from daemon.storage.parts import (
    IN_MEMORY_BYTES,
    LARGEST_IN_MEMORY,
    LARGEST_PART_BYTES,
    MOST_PARTS,
    SMALLEST_PART_BYTES,
    part_bytes,
    under_way_bytes,
)

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def test_10_000_parts_are_enough_for_5_tib() -> None:
    """With a spool an object of S3's largest size fits its largest number of parts."""
    sizes = [part_bytes(number) for number in range(1, MOST_PARTS + 1)]
    assert sum(sizes) >= 5 * TIB
    assert sizes == sorted(sizes)
    assert min(sizes) >= 5 * MIB
    assert max(sizes) == LARGEST_PART_BYTES <= 5 * GIB


def test_an_upload_of_5_tib_is_bounded_in_memory_and_on_disk() -> None:
    """Whatever part fills, 32 MiB are in memory and 3 GiB in files at most, and two are sent."""
    for number in range(1, MOST_PARTS + 1):
        filling, under_way = part_bytes(number), under_way_bytes(number)
        limit = IN_MEMORY_BYTES if filling <= LARGEST_IN_MEMORY else 3 * GIB
        assert filling + under_way <= limit
        assert under_way >= filling
    assert [part_bytes(number) > LARGEST_IN_MEMORY for number in (2_000, 2_001)] == [False, True]


def test_without_a_spool_148_gib_fit() -> None:
    """Parts that are kept in memory never outgrow 16 MiB, and hold what the error says."""
    sizes = [part_bytes(n, largest=LARGEST_IN_MEMORY) for n in range(1, MOST_PARTS + 1)]
    assert max(sizes) == LARGEST_IN_MEMORY
    assert sum(sizes) // GIB == 148
    assert all(2 * size <= IN_MEMORY_BYTES for size in sizes)


def test_small_objects_have_equal_parts() -> None:
    """Up to 7 GiB all parts but the last are of one size, as some S3 servers demand."""
    assert {part_bytes(number) for number in range(1, 1_001)} == {SMALLEST_PART_BYTES}


def test_65_536_blocks_hold_every_object() -> None:
    """Blocks are 8 MiB, doubled with the position so that 65,536 make 5 TiB."""
    sizes = [stages.block_bytes(index) for index in range(65_536)]
    assert sizes[0] == 8 * MIB
    assert sum(sizes) >= 5 * TIB
    assert {later / earlier for earlier, later in pairwise(sizes)} == {1, 2}
    assert sizes.index(16 * MIB) * 8 * MIB > 85 * GIB


@given(pieces=st.lists(st.binary(max_size=40), max_size=30), size=st.integers(1, 17))
def test_blocks_do_not_depend_on_the_pieces(pieces: list[bytes], size: int) -> None:
    """However the bytes come, the blocks are the same, in order, and the whole."""
    whole = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "BLOCK_BYTES", size)
        blocks = stages.Blocks()
        for piece in pieces:
            blocks.feed(piece)
        blocks.finish()
    expected = [whole[begin : begin + size] for begin in range(0, len(whole), size)]
    assert list(blocks.blocks) == [
        Block(len(block), hashlib.sha256(block).hexdigest()) for block in expected
    ]


@pytest.mark.parametrize("level", [0, 20, -5])
def test_a_level_whose_window_readers_refuse_is_refused(level: int) -> None:
    """Nothing is written that would not be read back."""
    with pytest.raises(ValueError, match="level"):
        stages.Compression(level)
