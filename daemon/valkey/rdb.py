"""What can be known of an RDB from its bytes alone: its header, its end mark, its CRC-64.

Pure. It reads no keys: that is the checker's business, which is an engine. Format: ``REDIS``
and four digits (``VALKEY`` and three), ``0xFA`` fields of name and value, …, ``0xFF`` and the
CRC-64 of all before it, little-endian; eight zero bytes there mean "no checksum". Before
version 5 (Redis 2.6) nothing follows the ``0xFF``.
"""

import anycrc
from msgspec import Struct

from daemon.errors import Transient

HEADER_LIMIT = 64 << 10
TAIL_BYTES = 8
CHECKSUM_SINCE = 5
"""The first RDB version that ends with a checksum."""
_AUX = 0xFA
_END = 0xFF
_MAGICS = ((b"REDIS", 4), (b"VALKEY", 3))
_MAGIC_BYTES = 9
_INTEGERS = {0xC0: 1, 0xC1: 2, 0xC2: 4}
_COMPRESSED = 0xC3
# Polynomial 0xad93d23594c935a9, reflected: the one of crc64.c in every engine.
_CRC = anycrc.Model("CRC64-REDIS")


class Header(Struct, frozen=True):
    """The beginning of an RDB; `fields` are its auxiliary fields, as text."""

    version: int
    fields: dict[str, str]

    def number(self, name: str) -> int | None:
        """A field that is a number, such as ``ctime`` (Unix seconds) or ``used-mem`` (bytes)."""
        value = self.fields.get(name, "")
        return int(value) if value.removeprefix("-").isdecimal() else None


class _Incomplete(Exception):
    """The bytes end inside the header."""


def read_header(data: bytes) -> Header | None:
    """The header in the first bytes of an RDB; None if it takes more of them than these.

    64 KiB are always enough: what cannot be read by then is taken as the header's end.
    Raises `Transient("rdb-type")` when it is not an RDB at all.
    """
    if len(data) < _MAGIC_BYTES:
        return None
    version = _version(data[:_MAGIC_BYTES])
    fields: dict[str, str] = {}
    at = _MAGIC_BYTES
    try:
        while _byte(data, at) == _AUX:
            name, at = _string(data, at + 1)
            value, at = _string(data, at)
            if name is not None and value is not None:
                fields[name] = value
    except _Incomplete:
        if len(data) < HEADER_LIMIT:
            return None
    return Header(version, fields)


class RdbGuard:
    """Watches an RDB pass by: every byte through `feed`, then `finish`.

    `feed` is cheap (10 GB/s, but it holds the interpreter's lock) and is meant for large chunks.
    """

    def __init__(self) -> None:
        self._crc = 0
        self._seen_bytes = 0
        self._head = b""
        self._held = b""

    def feed(self, chunk: bytes) -> None:
        """The next bytes, in any portions."""
        self._seen_bytes += len(chunk)
        if len(self._head) < _MAGIC_BYTES:
            self._head += chunk[: _MAGIC_BYTES - len(self._head)]
        # Nine bytes are held back: the end mark and the checksum, which is not part of itself.
        if len(chunk) <= TAIL_BYTES + 1:
            self._held += chunk
            chunk = self._held[: -TAIL_BYTES - 1]
            self._held = self._held[-TAIL_BYTES - 1 :]
            self._crc = _CRC.calc(chunk, self._crc)
            return
        self._crc = _CRC.calc(self._held, self._crc)
        self._crc = _CRC.calc(memoryview(chunk)[: -TAIL_BYTES - 1], self._crc)
        self._held = chunk[-TAIL_BYTES - 1 :]

    def finish(self) -> None:
        """All bytes have come. Raises `Transient`: "rdb-type", "rdb-truncated", "rdb-checksum"."""
        if self._seen_bytes < _MAGIC_BYTES + 1:
            raise _truncated(self._seen_bytes)
        if _version(self._head) < CHECKSUM_SINCE:
            if self._held[-1] != _END:
                raise _truncated(self._seen_bytes)
            return
        if self._seen_bytes < _MAGIC_BYTES + TAIL_BYTES + 1 or self._held[0] != _END:
            raise _truncated(self._seen_bytes)
        stored = int.from_bytes(self._held[1:], "little")
        found: int = _CRC.calc(self._held[:1], self._crc)
        if stored not in {0, found}:
            raise Transient(
                "rdb-checksum",
                f"the RDB's checksum is {stored:016x}, but its {self._seen_bytes} bytes "
                f"give {found:016x}",
                "bytes were changed on their way: suspect the network, a proxy, or memory",
            )


def _version(magic: bytes) -> int:
    for word, digits in _MAGICS:
        number = magic[len(word) :][:digits]
        if magic.startswith(word) and number.isdigit():
            return int(number)
    raise Transient(
        "rdb-type",
        "what came does not begin as an RDB does",
        "is a proxy between, or did another program write the file?",
    )


def _truncated(seen_bytes: int) -> Transient:
    return Transient(
        "rdb-truncated",
        f"the RDB has no end mark after {seen_bytes} bytes",
        "the save or the transfer was cut off: the server's log may say why",
    )


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise _Incomplete
    return data[at]


def _slice(data: bytes, at: int, *, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise _Incomplete
    return data[at : at + length], at + length


def _string(data: bytes, at: int) -> tuple[str | None, int]:
    """A string and where it ends; None for a compressed one, which is passed over."""
    first = _byte(data, at)
    if first in _INTEGERS:
        raw, end = _slice(data, at + 1, length=_INTEGERS[first])
        return str(int.from_bytes(raw, "little", signed=True)), end
    if first == _COMPRESSED:
        compressed, at = _length(data, at + 1)
        _, at = _length(data, at)
        return None, _slice(data, at, length=compressed)[1]
    length, at = _length(data, at)
    raw, end = _slice(data, at, length=length)
    return raw.decode(errors="replace"), end


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length in one of its four forms, by the first byte's upper two bits."""
    first = _byte(data, at)
    match first >> 6:
        case 0:
            return first, at + 1
        case 1:
            return (first & 0x3F) << 8 | _byte(data, at + 1), at + 2
        case _:
            raw, end = _slice(data, at + 1, length=8 if first == 0x81 else 4)
            return int.from_bytes(raw, "big"), end
