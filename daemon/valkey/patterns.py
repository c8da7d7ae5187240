"""Globs as ``KEYS`` and ``SCAN MATCH`` understand them, over bytes. Pure.

From ``stringmatchlen`` in each engine's ``src/util.c``: ``*``, ``?``, ``[a-z]``, ``[^a]`` and a
backslash before what is meant as it stands; nothing here is invalid, at worst it fits nothing.
"""

import re
from collections.abc import Sequence


def matcher(patterns: Sequence[bytes]) -> re.Pattern[bytes]:
    """What fits (by `fullmatch`) exactly the keys that any of these globs fits."""
    return re.compile(b"|".join(b"(?:%b)" % _regex(one) for one in patterns), re.DOTALL)


def _regex(pattern: bytes) -> bytes:
    found = bytearray()
    at = 0
    while at < len(pattern):
        sign = pattern[at : at + 1]
        if sign == b"*":
            if not found.endswith(b".*"):
                found += b".*"
        elif sign == b"?":
            found += b"."
        elif sign == b"[":
            part, at = _class(pattern, at + 1)
            found += part
        else:
            if sign == b"\\" and at + 1 < len(pattern):
                at += 1
            found += re.escape(pattern[at : at + 1])
        at += 1
    return bytes(found)


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """A class's expression, and where its last sign is; one that is not closed ends with all."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    among: set[int] = set()
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            at += 1
            among.add(pattern[at])
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            among.update(range(low, high + 1))
            at += 2
        else:
            among.add(pattern[at])
        at += 1
    chosen = sorted(set(range(256)) - among if negated else among)
    signs = b"".join(rb"\x%02x" % sign for sign in chosen)
    return (b"[%b]" % signs if chosen else rb"(?!)"), at
