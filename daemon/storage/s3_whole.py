"""Whether the object that S3 made of its parts is the one that was sent.

Knows how much each answer is worth: the size always counts; then a checksum over all parts,
where the server tells one that follows S3's formula; else the bytes themselves are read back.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from daemon.storage.s3_calls import Server
from daemon.storage.s3_objects import head, read_range
from daemon.storage.s3_sums import Sum
from daemon.storage.vault import ObjectName
from daemon.storage.vault_errors import lost_upload, unlike

_STEP_BYTES = 8 << 20
_OF_PARTS = re.compile(r"\S+-[0-9]+")


class Piece(Struct, frozen=True):
    """One part as it was sent."""

    sum: Sum
    size_bytes: int


async def check_whole(
    server: Server,
    name: ObjectName,
    pieces: Sequence[Piece],
    answer: Mapping[str, object] | None,
) -> None:
    """Raise unless the object is there and whole.

    `answer` is what the completion was answered with, None if that was lost: then, or where the
    server tells another checksum of parts, every byte is read back. Where it tells none (its
    ETag is of another kind, or the object is encrypted by KMS), each part was confirmed on its
    own, and the first and the last one are read back: nothing but their being put together is
    in doubt.
    """
    where = server.bucket.url
    found = await head(server, name)
    if found is None:
        raise lost_upload(f"the upload of {name} to {where} is gone, and no object there")
    size_bytes = sum(piece.size_bytes for piece in pieces)
    if found["ContentLength"] != size_bytes:
        how = f"{found['ContentLength']} bytes, not {size_bytes}"
        raise unlike(where, name, how=how)
    server.placing.check(name, found, url=where)
    told = [server.summing.told(one) for one in (answer, found) if one is not None]
    of_parts = [text for text in told if text and _OF_PARTS.fullmatch(text)]
    if of_parts[-1:] == [server.summing.whole([piece.sum for piece in pieces])]:
        return
    at_borders = answer is not None and not of_parts
    await _read_back(server, name, pieces, only_ends=at_borders)


async def _read_back(
    server: Server, name: ObjectName, pieces: Sequence[Piece], *, only_ends: bool
) -> None:
    """Compare the object with the parts' checksums, part by part."""
    offset = 0
    for number, piece in enumerate(pieces, 1):
        if not only_ends or number in (1, len(pieces)):
            found = await _sum_of(server, name, offset=offset, length=piece.size_bytes)
            if found != piece.sum:
                raise unlike(server.bucket.url, name, how=f"other bytes in part {number}")
        offset += piece.size_bytes


async def _sum_of(server: Server, name: ObjectName, *, offset: int, length: int) -> Sum:
    """The checksum of a range as it lies there; a part may be larger than memory."""
    running = server.summing.running()
    for begin in range(offset, offset + length, _STEP_BYTES):
        size_bytes = min(_STEP_BYTES, offset + length - begin)
        data = await read_range(server, name, offset=begin, length=size_bytes)
        await server.offload(running.update, data)
    return running.sum()
