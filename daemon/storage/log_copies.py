"""Copies of the log as objects in a vault: packed, sealed to its recipients, and read back.

Knows lines of NDJSON, not what they say. A copy is one small object that is stored whole or
not at all.
"""

from collections.abc import Sequence
from contextlib import aclosing

from daemon.errors import Permanent
from daemon.ports import Offload
from daemon.storage import names
from daemon.storage.pipeline import feed, finish
from daemon.storage.sealing import Identities, Sealing
from daemon.storage.segments import Segment, Span
from daemon.storage.stages import Compression, Stage
from daemon.storage.unpacking import UnpackError, Unpacking
from daemon.storage.vault import Vault
from daemon.storage.vault_errors import missing

LEVEL = 6
"""Of zstd: a few hundred kilobytes a day."""
LINES_BYTES = 4 << 20
"""So much NDJSON goes into one segment: packed it is small enough for `Vault.put`."""
_LARGEST_BYTES = 4 << 20
_LARGEST_PLAIN_BYTES = 64 << 20


async def list_segments(vault: Vault) -> tuple[Segment, ...]:
    """All copies of the log that lie in a vault, by name."""
    found = []
    async with aclosing(vault.list(names.LOG)) as objects:
        async for info in objects:
            span = names.log_span_of(info.name)
            if span is not None:
                first, last, encrypted = span
                found.append(Segment(info.name, Span(first, last), info.size_bytes, encrypted))
    return tuple(found)


async def write_segment(
    vault: Vault, span: Span, lines: Sequence[bytes], offload: Offload, sealing: Sealing | None
) -> Segment:
    """Store the lines of a span; durable when it returns, and may be repeated."""
    stages: list[Stage] = [Compression(LEVEL)]
    if sealing is not None:
        stages.append(sealing.stage())
    packed = await offload(_packed, stages, b"".join(lines))
    name = names.log_object(first=span.first, last=span.last, encrypted=sealing is not None)
    await vault.put(name, packed)
    return Segment(name, span, len(packed), encrypted=sealing is not None)


async def read_segment(
    vault: Vault, segment: Segment, offload: Offload, identities: Identities | None
) -> list[bytes]:
    """The lines of a segment, each with its line feed; nothing in them has been checked.

    Raises ``segment-damaged`` or ``identity``, both `Permanent`, and what the vault raises.
    """
    if segment.encrypted and identities is None:
        raise Permanent(
            "identity",
            f"{segment.name} in {vault.url} is encrypted, and there is no identity to read it with",
            "name a file with the identity of one of the vault's recipients as identity_file",
        )
    data = await vault.get(segment.name, _LARGEST_BYTES)
    if data is None:
        raise missing(vault.url, segment.name)
    keys = identities.keys if segment.encrypted and identities is not None else None
    try:
        return await offload(_lines, Unpacking(keys), data)
    except UnpackError as error:
        raise Permanent(
            "segment-damaged",
            f"{segment.name} in {vault.url} cannot be read: {error}",
            "other copies of the log are not concerned",
        ) from error


async def set_aside(vault: Vault, segments: Sequence[Segment], mark: str) -> None:
    """Keep copies of a log that was given up where nobody takes them for ours; may be repeated."""
    for segment in segments:
        data = await vault.get(segment.name, _LARGEST_BYTES)
        if data is not None:
            await vault.put(names.log_object_aside(segment.name, mark), data)
            await vault.delete(segment.name)


def _packed(stages: Sequence[Stage], data: bytes) -> bytes:
    return b"".join((*feed(stages, [data]), *finish(stages)))


def _lines(unpacking: Unpacking, data: bytes) -> list[bytes]:
    plain = bytearray()
    for steps in (unpacking.feed(data), unpacking.finish()):
        for step in steps:
            plain += step
            if len(plain) > _LARGEST_PLAIN_BYTES:
                raise UnpackError("it unpacks to more than any copy of the log has")
    return bytes(plain).splitlines(keepends=True)
