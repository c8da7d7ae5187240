"""Storing and reading back in one line each, for the tests of storage."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio.lowlevel

from daemon.storage import names
from daemon.storage.manifest import Block, Codec, ShardObject
from daemon.storage.pipeline import Packing, store
from daemon.storage.reader import Reading, read_plain
from daemon.storage.sealing import Identities, Sealing
from daemon.storage.stages import Tap
from daemon.storage.vault import Vault
from events.facts import ONLY_SHARD, BackupId, CacheName
from tests.support.offload import THREADS

CACHE, ID = CacheName("orders"), BackupId("20250101T000000Z-00000001")
OBJECT = names.shard_object(CACHE, ID, ONLY_SHARD)


async def chunks(data: bytes, size: int = 300_000) -> AsyncGenerator[bytes, None]:
    """A source that gives the data in chunks."""
    for begin in range(0, len(data), size):
        await anyio.lowlevel.checkpoint()
        yield data[begin : begin + size]


async def stored(
    vault: Vault, data: bytes, *guards: Tap, sealing: Sealing | None = None
) -> ShardObject:
    """The data through the pipeline, under the usual name."""
    async with aclosing(chunks(data)) as source:
        return await store(source, vault, OBJECT, Packing(THREADS, guards, sealing=sealing))


async def unpacked(
    vault: Vault,
    shard: ShardObject,
    *guards: Tap,
    into: list[bytes] | None = None,
    identities: Identities | None = None,
) -> bytes:
    """All plain bytes; `into` has those that came when it fails in the middle."""
    got: list[bytes] = [] if into is None else into
    async with read_plain(vault, shard, Reading(THREADS, guards, identities)) as plain:
        async for chunk in plain:
            got.append(chunk)  # noqa: PERF401 - what came before a failure is wanted
    return b"".join(got)


def shard_of(
    parts: Sequence[bytes], plain: bytes, *, codecs: tuple[Codec, ...] = ("zstd",)
) -> ShardObject:
    """What a manifest would say of these stored blocks and these plain bytes."""
    return ShardObject(
        shard=ONLY_SHARD,
        object=OBJECT,
        plain_bytes=len(plain),
        sha256=hashlib.sha256(plain).hexdigest(),
        stored_bytes=sum(map(len, parts)),
        codecs=codecs,
        blocks=tuple(Block(len(part), hashlib.sha256(part).hexdigest()) for part in parts),
    )
