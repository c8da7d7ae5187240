"""Glob patterns, as ``KEYS`` has them, said in Lua's language of patterns. Pure.

Bytes in, bytes out: a key's name need not be text. Wherever a pattern is odd, what comes out does
what the engine's own matcher would do.
"""

_MAGIC = frozenset(b"^$()%.[]*+-?")
_ANY = b"."
"""Any byte at all, zero too."""


def lua_pattern(glob: bytes) -> bytes:
    """The Lua pattern that finds exactly the names which this glob fits."""
    out = [b"^"]
    at = 0
    while at < len(glob):
        char = glob[at : at + 1]
        at += 1
        if char == b"*":
            if out[-1] != _ANY + b"*":
                out.append(_ANY + b"*")
        elif char == b"?":
            out.append(_ANY)
        elif char == b"[":
            one, at = _set(glob, at)
            out.append(one)
        elif char == b"\\" and at < len(glob):
            out.append(_plain(glob[at]))
            at += 1
        else:
            out.append(_plain(char[0]))
    return b"".join(out) + b"$"


def _set(glob: bytes, at: int) -> tuple[bytes, int]:
    """What ``[…]`` stands for, as a set of bytes, and where the rest begins."""
    negated = glob[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < len(glob) and glob[at : at + 1] != b"]":
        if glob[at : at + 1] == b"\\" and at + 1 < len(glob):
            members.add(glob[at + 1])
            at += 2
        elif glob[at + 1 : at + 2] == b"-" and at + 2 < len(glob):
            low, high = sorted((glob[at], glob[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(glob[at])
            at += 1
    chosen = set(range(256)) - members if negated else members
    # One that is never closed, or is empty, is taken by the engine as it stands so far.
    if not chosen:
        return b"[^%z\1-\255]", at + 1
    return b"[" + b"".join(_plain(one) for one in sorted(chosen)) + b"]", at + 1


def _plain(byte: int) -> bytes:
    if byte == 0:
        return b"%z"
    return b"%" + bytes([byte]) if byte in _MAGIC else bytes([byte])
