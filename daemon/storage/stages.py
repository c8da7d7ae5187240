"""What happens to the bytes on their way into a vault, one stage each; no I/O, no event loop.

A stage is fed bytes and gives bytes; the pipeline decides in which thread. Encryption, a
spool and bandwidth limits become further stages. Hashes and zstd release the interpreter's
lock, so stages in different threads do run at the same time.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import zstandard

from daemon.storage.manifest import Block

BLOCK_BYTES = 8 << 20
BLOCKS_OF_A_SIZE = 10_922
LARGEST_LEVEL = 19  # above it windows outgrow 8 MiB, and readers refuse them


class Stage(Protocol):
    """One step. `feed` and `finish` are called from one thread at a time, in order."""

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take bytes; what goes on to the next stage, in pieces of any size."""
        ...

    def finish(self) -> Sequence[bytes]:
        """The end has come: what was held back. Raises if the whole is not right."""
        ...


class Tap(Protocol):
    """Something that looks at every plain byte and may refuse the whole at its end."""

    def feed(self, chunk: bytes, /) -> object:
        """The next bytes, in order."""
        ...

    def finish(self) -> object:
        """All bytes have been fed; raises if they are not right."""
        ...


class Tapped:
    """Lets the bytes through, and shows them to a tap first."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The same bytes."""
        self._tap.feed(data)
        return (data,)

    def finish(self) -> Sequence[bytes]:
        """Nothing held back; raises what the tap raises."""
        self._tap.finish()
        return ()


class Digest:
    """A tap that counts and hashes; `finish` refuses nothing."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def feed(self, chunk: bytes, /) -> None:
        """Count and hash."""
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def finish(self) -> None:
        """Nothing to refuse."""

    @property
    def sha256(self) -> str:
        """Of all bytes so far, hexadecimal."""
        return self._hash.hexdigest()


class Compression:
    """zstd, one frame with its checksum, in the thread that feeds it; `zstd -d` reads it (V1)."""

    def __init__(self, level: int) -> None:
        if not 1 <= level <= LARGEST_LEVEL:
            raise ValueError(f"zstd level {level} is not within 1 to {LARGEST_LEVEL}")
        self._frame = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()

    def feed(self, data: bytes) -> Sequence[bytes]:
        """What zstd has ready, often nothing."""
        packed = self._frame.compress(data)
        return (packed,) if packed else ()

    def finish(self) -> Sequence[bytes]:
        """The rest of the frame."""
        return (self._frame.flush(),)


def block_bytes(index: int) -> int:
    """The size of the block with this index, from 0, in an object of unknown length.

    8 MiB, doubled after every 10,922 blocks: all of an object up to 85 GiB is in blocks of
    8 MiB, and 65,536 blocks hold 5.2 TiB, more than S3 lets an object have. (The size cannot
    be chosen beforehand, because nobody knows how long a compressed object becomes.)
    """
    return BLOCK_BYTES << (index // BLOCKS_OF_A_SIZE)


class Blocks:
    """A tap on stored bytes that cuts them into blocks and hashes each (V6)."""

    def __init__(self) -> None:
        self._done: list[Block] = []
        self._hash = hashlib.sha256()
        self._filled_bytes = 0

    def feed(self, chunk: bytes, /) -> None:
        """Hash, ending a block where it is full."""
        view = memoryview(chunk)
        while view:
            room = block_bytes(len(self._done)) - self._filled_bytes
            piece, view = view[:room], view[room:]
            self._hash.update(piece)
            self._filled_bytes += len(piece)
            if len(piece) == room:
                self._end_block()

    def finish(self) -> None:
        """The last block is as long as it is."""
        if self._filled_bytes:
            self._end_block()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All ended blocks, in order."""
        return tuple(self._done)

    def _end_block(self) -> None:
        self._done.append(Block(self._filled_bytes, self._hash.hexdigest()))
        self._hash = hashlib.sha256()
        self._filled_bytes = 0
