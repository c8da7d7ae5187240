"""Decoding one zstd frame with a bound on what any step makes.

32 KB of zstd can hold a gigabyte of zeros, and the library has no limit on the output of a
call. But a frame is a row of blocks of at most 128 KiB of plain bytes each, and every block
says how many stored bytes it has (RFC 8878, 3.1.1): cut at those borders, the output of a
call is known beforehand. It knows nothing of vaults or hashes.
"""

from collections.abc import Iterator
from enum import Enum, auto

import zstandard

MAX_WINDOW_BYTES = 8 << 20
"""As much as the highest level that is ever written needs; more is a foreign or hostile frame."""
_BLOCK_PLAIN_BYTES = 128 << 10
_BLOCKS_AT_ONCE = 8
_MAGIC = b"\x28\xb5\x2f\xfd"
_SMALLEST_HEADER = 5
_BLOCK_HEADER = 3
_CHECKSUM = 4


class FrameError(Exception):
    """The bytes are not one whole zstd frame; the text says why."""


class _Next(Enum):
    HEADER = auto()
    BLOCK = auto()
    CHECKSUM = auto()
    NOTHING = auto()


class FrameDecoder:
    """One frame, fed in pieces of any size; each step of the output has at most 1 MiB."""

    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
        self._held = b""
        self._next = _Next.HEADER
        self._has_checksum = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes, in steps; the iterator must be used up before the next call.

        Raises `FrameError` at the first doubt, also when something follows the frame.
        """
        stored = memoryview(self._held + data if self._held else data)
        begin = 0
        while (end := self._cut(stored, begin)) > begin:
            try:
                plain = self._decoder.decompress(stored[begin:end])
            except zstandard.ZstdError as error:
                raise FrameError(str(error)) from error
            begin = end
            if plain:
                yield plain
        self._held = bytes(stored[begin:])

    def finish(self) -> None:
        """`FrameError` unless the frame has ended."""
        if self._next is not _Next.NOTHING:
            raise FrameError("the zstd frame does not end")

    def _cut(self, stored: memoryview, begin: int) -> int:
        """Where the next step ends: behind as many whole units as are there, at most eight."""
        for _ in range(_BLOCKS_AT_ONCE):
            size, then = self._unit(stored[begin:])
            if not size or begin + size > len(stored):
                break
            begin += size
            self._next = then
        return begin

    def _unit(self, stored: memoryview) -> tuple[int, _Next]:
        """Bytes of the next unit of the frame, 0 while that cannot be told, and what follows."""
        match self._next:
            case _Next.HEADER:
                return self._header(stored), _Next.BLOCK
            case _Next.BLOCK:
                return self._block(stored)
            case _Next.CHECKSUM:
                return _CHECKSUM, _Next.NOTHING
            case _Next.NOTHING:
                if stored:
                    raise FrameError("something follows the zstd frame")
                return 0, _Next.NOTHING

    def _header(self, stored: memoryview) -> int:
        """RFC 8878, 3.1.1.1: magic, descriptor, and the fields that the descriptor names."""
        if len(stored) < _SMALLEST_HEADER:
            return 0
        descriptor = stored[4]
        if stored[:4] != _MAGIC or descriptor & 0b1011:
            raise FrameError("not a zstd frame of ours")  # magic, reserved bit, dictionary
        single_segment = descriptor >> 5 & 1
        content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
        self._has_checksum = bool(descriptor & 0b100)
        return _SMALLEST_HEADER + (not single_segment) + content_size

    def _block(self, stored: memoryview) -> tuple[int, _Next]:
        """RFC 8878, 3.1.1.2: last, type (raw, run, compressed), size, in 3 bytes."""
        if len(stored) < _BLOCK_HEADER:
            return 0, _Next.BLOCK
        header = int.from_bytes(stored[:_BLOCK_HEADER], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == 3 or size > _BLOCK_PLAIN_BYTES:
            raise FrameError("a zstd block that cannot be")
        after = _Next.CHECKSUM if self._has_checksum else _Next.NOTHING
        return _BLOCK_HEADER + (1 if kind == 1 else size), after if last else _Next.BLOCK
