"""The form of a state file: lines, each of which proves all that came before it.

``<SHA-256 of the file up to here, this line's text included> <name> <JSON>``: first of what the
state is, then its parts, then the end. So nothing is interpreted before it was checked, one
reading is enough, and a file that was cut off anywhere is known. Knows no folder, and no log.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO

import msgspec
from msgspec import Struct

from events.facts import START, InstallationId, Position
from projections.frozen import frozen, thawed
from projections.state import State

HEAD = "valkeep-state/1"
"""The first line's name, and the version of this form."""
END = "end"
HEAD_BYTES = 4096
LINE_BYTES = 1 << 28
"""A longer line is neither written nor read."""
_DIGEST = 64


class Unfit(Exception):
    """A state file that is not to be used, or not to be written; the reason is a sentence."""


class Stamp(Struct, frozen=True, forbid_unknown_fields=True):
    """What a state is of: the `code` that folded it, and a place in one history.

    `chain` is the hash of the log's record at `position`, so of everything up to it.
    """

    code: str
    installation: InstallationId | None
    position: Position
    chain: str


def lines(stamp: Stamp, state: State) -> Iterator[bytes]:
    """The whole file; raises `ValueError` for a state that is too large for it."""
    digest = sha256()
    for name, data in _texts(stamp, state):
        text = f"{name} ".encode() + data + b"\n"
        if len(text) > LINE_BYTES:
            raise ValueError(f"a piece of {name} is larger than {LINE_BYTES:,} bytes")
        digest.update(text)
        yield f"{digest.hexdigest()} ".encode() + text


def _texts(stamp: Stamp, state: State) -> Iterator[tuple[str, bytes]]:
    yield HEAD, msgspec.json.encode(stamp)
    yield from frozen(state)
    yield END, b"{}"


def read(file: BinaryIO, code: str) -> tuple[Stamp, State]:
    """What such a file holds; raises `Unfit` for one that is damaged, or of another code."""
    texts = _checked(file)
    name, data = next(texts, (END, b""))
    if name != HEAD:
        raise Unfit(f"it is no state of this form: {name[:40]!r}")
    try:
        stamp = msgspec.json.decode(data, type=Stamp)
        if stamp.code != code:
            raise Unfit("another version of Valkeep, of Python or of a library has written it")
        state = thawed(texts)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unfit(f"it cannot be read: {error}") from None
    named = (stamp.position, stamp.installation)
    if stamp.position <= START or (state.position, state.installation) != named:
        raise Unfit("its state is not of the position that its first line names")
    return stamp, state


def _checked(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name and JSON of each line, the first one's name whatever it is; the end ends it."""
    digest, limit = sha256(), HEAD_BYTES
    while line := file.readline(limit):
        text = line[_DIGEST + 1 :]
        digest.update(text)
        if line[: _DIGEST + 1] != f"{digest.hexdigest()} ".encode() or line[-1:] != b"\n":
            raise Unfit("it is damaged, or no state of ours")
        name, _, data = text.rstrip(b"\n").partition(b" ")
        if name == END.encode():
            if file.read(1):
                raise Unfit("something follows after its end")
            return
        yield name.decode("ascii", "replace"), data
        limit = LINE_BYTES + _DIGEST + 1
    raise Unfit("it is cut off")
