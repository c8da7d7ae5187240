"""Keys that are too large for one command: taken over by element, under a temporary name.

A temporary name is in the key's own slot, so that one `RENAME` puts the whole in its place. What
cannot be taken apart (streams, values of modules) goes whole if the target takes it.
"""

from contextlib import aclosing

import msgspec
from msgspec import Struct, structs

from daemon.ports import Progress
from daemon.valkey.engine import version_numbers
from daemon.valkey.keys.lane import OF_THIS_KEY, Lane, passed
from daemon.valkey.keys.store import Choice, Store
from daemon.valkey.resp import encode
from events.moves import KeysWish

PIECE_BYTES = 1 << 20
MOST_ELEMENTS = 512
MARK = b":valkeep-moving"
_ELEMENTAL = frozenset({b"string", b"list", b"set", b"hash", b"zset"})


class Big(Struct, frozen=True):
    """A key, when it ends (milliseconds, or -1), and how it was chosen."""

    key: bytes
    ends_at: int
    choice: Choice

    @property
    def name(self) -> bytes:
        """What it is called on the target."""
        return self.choice.prefix + self.key


class Done(Struct, frozen=True):
    """What became of it; `why` says in words that it was refused.

    One that was `sent` whole is in the lane's tally, with the others.
    """

    sent: int = 0
    written: int = 0
    there: int = 0
    by_element: int = 0
    why: str = ""


class _Refused(Exception):
    """The target does not take this key; the text says why."""


def temporary_name(name: bytes, *, in_slot: bool) -> bytes | None:
    """Where a key grows until it is whole; None if there is no such name in its slot."""
    opened = name.find(b"{")
    tagged = opened >= 0 and name.find(b"}", opened + 1) > opened + 1
    if tagged or not in_slot:
        return name + MARK
    return b"{" + name + b"}" + MARK if name and b"}" not in name else None


async def apart(store: Store, lane: Lane, big: Big, wish: KeysWish, progress: Progress) -> Done:
    """Write one big key; raises what ends the whole."""
    replace = wish.on_conflict == "replace"
    if not replace and await lane.asked(encode("EXISTS", big.name)) == b":1":
        return Done(there=1)
    temporary = temporary_name(big.name, in_slot=bool(big.choice.lanes))
    if temporary is None:
        return Done(why="it is too large for one command, and its name leaves no room for another")
    try:
        await _answer(lane, encode("UNLINK", temporary))
        if not await _grown(store, lane, big, temporary, progress):
            return await _whole(store, lane, big)
        if big.ends_at >= 0:
            await _answer(lane, encode("PEXPIREAT", temporary, big.ends_at))
        command = "RENAME" if replace else "RENAMENX"
        placed = await _answer(lane, encode(command, temporary, big.name))
    except _Refused as refused:
        await lane.asked(encode("UNLINK", temporary))
        return Done(why=str(refused))
    if placed == b":0":
        await lane.asked(encode("UNLINK", temporary))
        return Done(there=1)
    return Done(written=1, by_element=1)


async def _grown(store: Store, lane: Lane, big: Big, temporary: bytes, progress: Progress) -> bool:
    """Write all elements; False, with nothing written, where there are none to be had."""
    size, elements = await store.weight(big.key)
    longest = big.choice.options.longest
    options = msgspec.msgpack.encode(
        {
            "bytes": min(PIECE_BYTES, max(1, longest // 2)),
            "most": max(1, min(MOST_ELEMENTS, elements * PIECE_BYTES // max(1, size))),
            "longest": longest,
        }
    )
    cursor: bytes | None = b"0"
    while cursor is not None:
        piece = await store.piece((options, big.key, temporary), cursor)
        if piece.kind == b"element":
            raise _Refused("one of its elements is larger than the target's proto-max-bulk-len")
        if piece.kind not in _ELEMENTAL or (piece.kind == b"hash" and _ends_fields(store)):
            return False
        if piece.command:
            await _answer(lane, piece.command)
            progress.advance(len(piece.command))
        cursor = piece.cursor
    return True


def _ends_fields(store: Store) -> bool:
    """Whether fields of a hash may end by themselves there, which elements would lose."""
    since = (9, 0) if store.engine.kind == "valkey" else (7, 4)
    return version_numbers(store.engine.version)[:2] >= since


async def _whole(store: Store, lane: Lane, big: Big) -> Done:
    options = structs.replace(big.choice.options, group=0, ways=1)
    choice = structs.replace(big.choice, options=options, lanes=b"", large=())
    why = "its value is larger than the target's proto-max-bulk-len, and cannot be taken apart"
    sent = 0
    async with aclosing(store.packs(choice, (big.key,))) as packs:
        async for pack, ways in packs:
            await passed(ways, (lane,))
            sent += pack.sent
    await lane.drained()
    return Done(sent=sent, why="" if sent else why)


async def _answer(lane: Lane, command: bytes) -> bytes:
    """The answer to one command; raises `_Refused`, or what ends the whole."""
    line = await lane.asked(command)
    if line.startswith(OF_THIS_KEY):
        raise _Refused(line[1:].decode(errors="replace"))
    if line.startswith(b"-"):
        raise lane.failure(line)
    return line
