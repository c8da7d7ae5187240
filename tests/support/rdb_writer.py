"""Small RDBs of old versions, written by hand: what engines wrote that nobody runs any more.

Format: ``src/rdb.c``, ``ziplist.c``, ``zipmap.c``, ``intset.c`` and ``lzf_c.c`` of each release
named in `HISTORY`. Knows no engine; that real ones read it, and find these values, is tested.
"""

import struct
from collections.abc import Mapping, Sequence

import anycrc
from msgspec import Struct

Value = bytes | list[bytes] | frozenset[bytes] | dict[bytes, bytes] | dict[bytes, float]
_CRC = anycrc.Model("CRC64-REDIS")
FAR = 2_147_000_000
"""In 2038, for keys that expire: before version 3 an instant has 31 bits."""
LONG = b"a" * 40


class Golden(Struct, frozen=True):
    """One RDB, what is in it, and when its keys expire, in milliseconds."""

    data: bytes
    holds: Mapping[bytes, Value]
    expires: Mapping[bytes, int]


HISTORY: Mapping[int, str] = {
    1: "Redis 1.2 to 2.0: plain types, expiry in seconds, nothing after the end mark",
    2: "Redis 2.2 and 2.4: and zipmap, ziplists, intset, LZF",
    3: "Redis 2.6 before its release: and expiry in milliseconds",
    4: "Redis 2.6 before its release: and hashes as ziplists instead of zipmaps",
    5: "Redis 2.6: and a CRC-64 after the end mark",
    6: "Redis 2.6 to 3.0; here without a checksum (rdbchecksum no: eight zero bytes)",
    7: "Redis 3.2: and auxiliary fields, sizes of databases, quicklists",
    8: "Redis 4.0: and scores as binary doubles",
    9: "Redis 5.0 to 6.2: and idle times and frequencies of keys",
}


def golden(version: int) -> Golden:
    """The sample of a version from 1 to 9, with every encoding that came with it."""
    writer = _Writer(version)
    writer.plain_types()
    if version >= 2:
        writer.packed_types()
    if version >= 7:
        writer.quicklist()
    if version >= 8:
        writer.binary_scores()
    if version >= 9:
        writer.eviction_hints()
    return writer.ended()


class _Writer:
    def __init__(self, version: int) -> None:
        self._version = version
        self._out = bytearray(b"REDIS%04d" % version)
        self._holds: dict[bytes, Value] = {}
        self._expires: dict[bytes, int] = {}
        if version >= 7:
            fields = {"redis-ver": "3.2.13", "redis-bits": "64", "ctime": "1700000000"}
            for name, value in {**fields, "used-mem": "1000000"}.items():
                self._out += b"\xfa" + _string(name.encode()) + _string(value.encode())
        self._out += b"\xfe\x00"
        if version >= 7:
            self._out += b"\xfb" + _length(16) + _length(3)

    def _key(self, kind: int, key: bytes, *, body: bytes, value: Value) -> None:
        self._out += bytes([kind]) + _string(key) + body
        self._holds[key] = value

    def plain_types(self) -> None:
        """What every version has."""
        self._key(0, b"string", body=_string(b"hello"), value=b"hello")
        self._key(0, b"number", body=b"\xc1" + struct.pack("<h", -1234), value=b"-1234")
        self._out += b"\xfd" + struct.pack("<I", FAR)
        self._expires[b"seconds"] = FAR * 1000
        self._key(0, b"seconds", body=_string(b"later"), value=b"later")
        items = [b"one", b"two", b"three"]
        self._key(1, b"list", body=_strings(items), value=items)
        self._key(2, b"set", body=_strings(items), value=frozenset(items))
        scores = {b"one": 1.5, b"two": 2.0}
        body = b"".join(_string(m) + _score(s) for m, s in scores.items())
        self._key(3, b"zset", body=_length(2) + body, value=scores)
        pairs = {b"field": b"value", b"other": b"thing"}
        flat = [part for pair in pairs.items() for part in pair]
        self._key(4, b"hash", body=_length(2) + b"".join(map(_string, flat)), value=pairs)

    def packed_types(self) -> None:
        """Small collections as one string each, and strings that are compressed."""
        if self._version >= 3:
            at = FAR * 1000 + 7
            self._out += b"\xfc" + struct.pack("<Q", at)
            self._expires[b"milliseconds"] = at
            self._key(0, b"milliseconds", body=_string(b"later"), value=b"later")
        packed = b"\x00a\xe0" + bytes([len(LONG) - 10]) + b"\x00"  # an "a", and it again
        lzf = b"\xc3" + _length(len(packed)) + _length(len(LONG)) + packed
        self._key(0, b"lzf", body=lzf, value=LONG)
        numbers = [5, 70, 700]
        body = struct.pack(f"<II{len(numbers)}h", 2, len(numbers), *numbers)
        self._key(11, b"intset", body=_string(body), value=frozenset(b"%d" % n for n in numbers))
        items = [b"x", b"yy", b"12345"]
        self._key(10, b"ziplist", body=_string(_ziplist(items)), value=items)
        scored = [b"m1", b"1", b"m2", b"2.5"]
        self._key(12, b"zzl", body=_string(_ziplist(scored)), value={b"m1": 1.0, b"m2": 2.5})
        pairs = {b"f1": b"v1", b"f2": b"v22"}
        if self._version >= 4:
            flat = [part for pair in pairs.items() for part in pair]
            self._key(13, b"packed", body=_string(_ziplist(flat)), value=pairs)
        else:
            self._key(9, b"packed", body=_string(_zipmap(pairs)), value=pairs)

    def quicklist(self) -> None:
        """A list of ziplists."""
        nodes = [[b"a", b"b"], [b"c"]]
        body = _length(2) + b"".join(_string(_ziplist(node)) for node in nodes)
        self._key(14, b"quicklist", body=body, value=[b"a", b"b", b"c"])

    def binary_scores(self) -> None:
        """A sorted set with its scores as doubles."""
        scores = {b"pi": 3.25, b"minus": -1.0}
        body = b"".join(_string(m) + struct.pack("<d", s) for m, s in scores.items())
        self._key(5, b"zset2", body=_length(2) + body, value=scores)

    def eviction_hints(self) -> None:
        """Keys that carry how long they were idle, or how often they were used."""
        self._out += b"\xf8" + _length(300)
        self._key(0, b"idle", body=_string(b"sleepy"), value=b"sleepy")
        self._out += b"\xf9\x05"
        self._key(0, b"often", body=_string(b"busy"), value=b"busy")

    def ended(self) -> Golden:
        """The whole of it."""
        self._out += b"\xff"
        if self._version >= 5:
            zero = self._version == 6
            sum_ = 0 if zero else _CRC.calc(bytes(self._out))
            self._out += struct.pack("<Q", sum_)
        return Golden(bytes(self._out), self._holds, self._expires)


def _length(number: int) -> bytes:
    if number < 64:
        return bytes([number])
    if number < 16_384:
        return struct.pack(">H", 0x4000 | number)
    return b"\x80" + struct.pack(">I", number)


def _string(data: bytes) -> bytes:
    return _length(len(data)) + data


def _strings(items: Sequence[bytes]) -> bytes:
    return _length(len(items)) + b"".join(map(_string, items))


def _score(score: float) -> bytes:
    text = b"%g" % score
    return bytes([len(text)]) + text


def _ziplist(items: Sequence[bytes]) -> bytes:
    """Numbers of two bytes as numbers, the rest as short strings."""
    entries, tail, before = b"", 10, 0
    for item in items:
        tail = 10 + len(entries)
        number = item.isdigit() and 255 < int(item) < 32_768
        body = b"\xc0" + struct.pack("<h", int(item)) if number else bytes([len(item)]) + item
        entry = bytes([before]) + body
        entries, before = entries + entry, len(entry)
    return struct.pack("<IIH", 11 + len(entries), tail, len(items)) + entries + b"\xff"


def _zipmap(pairs: Mapping[bytes, bytes]) -> bytes:
    body = b"".join(
        bytes([len(field)]) + field + bytes([len(value), 0]) + value
        for field, value in pairs.items()
    )
    return bytes([len(pairs)]) + body + b"\xff"
