"""Reading one stored object back as plain bytes, none of which is unchecked (R5, V6).

Every block is compared with its hash before it is decrypted or decoded, and the last 64 KiB
are withheld until everything is known to be right: whoever passes the bytes on can stop in
time. It trusts the manifest for what should be there, and the vault for nothing.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskGroup
from msgspec import Struct

from daemon.errors import Failed, Permanent
from daemon.ports import Offload
from daemon.storage.manifest import ShardObject
from daemon.storage.one_error import one_error
from daemon.storage.sealing import Identities
from daemon.storage.stages import Digest, Tap
from daemon.storage.unpacking import NoIdentity, UnpackError, Unpacking
from daemon.storage.vault import ObjectName, Vault
from daemon.storage.vault_errors import missing

WITHHELD_BYTES = 64 << 10
"""An engine that has not had the last of these cannot take the load for complete (R5)."""
_AHEAD = 2
_USE_ANOTHER = (
    "this backup cannot be restored whole, and a target keeps its old data: "
    "verify the others (`valkeep backup verify BACKUP`) and use one of them"
)


class Reading(Struct, frozen=True):
    """How to read: `guards` look at the plain bytes as they did when these were stored.

    `identities` are wanted for what is stored encrypted.
    """

    offload: Offload
    guards: tuple[Tap, ...] = ()
    identities: Identities | None = None


@asynccontextmanager
async def read_plain(
    vault: Vault, shard: ShardObject, reading: Reading
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The plain bytes of a shard in chunks of at most 1 MiB, read ahead while they are used.

    The chunks raise `Permanent` (``block-damaged``, ``object-missing``, ``object-size``,
    ``manifest-mismatch``, ``identity``) or what the vault raises, and then the last 64 KiB have
    not been given. A context, because reading ahead needs tasks that end with it; it closes the
    chunks.
    """
    _check_codecs(shard)
    stored = _Stored(vault, shard, reading.offload)
    await stored.check_size()
    send, receive = anyio.create_memory_object_stream[_Parcel](_AHEAD)
    with one_error():
        async with receive, anyio.create_task_group() as tasks:
            tasks.start_soon(_fetch, stored, tasks, send)
            async with aclosing(_plain(stored, reading, receive)) as chunks:
                yield chunks
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def read_stored(
    vault: Vault, shard: ShardObject, offload: Offload
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The stored bytes of a shard as they are, block by block, each compared with its hash.

    Nothing is decrypted or decoded, so no identity is wanted. The blocks raise as those of
    `read_plain` do.
    """
    stored = _Stored(vault, shard, offload)
    await stored.check_size()
    send, receive = anyio.create_memory_object_stream[_Parcel](_AHEAD)
    with one_error():
        async with receive, anyio.create_task_group() as tasks:
            tasks.start_soon(_fetch, stored, tasks, send)
            async with aclosing(_blocks(receive)) as blocks:
                yield blocks
            tasks.cancel_scope.cancel()


async def check_opens(vault: Vault, shard: ShardObject, reading: Reading) -> None:
    """Whether the reading's identities open the object: decrypts its first block, gives nothing.

    Raises as the chunks of `read_plain` do. Nothing is read of what is not encrypted.
    """
    _check_codecs(shard)
    if "age" in shard.codecs:
        await read_first(vault, shard, reading)


async def read_first(vault: Vault, shard: ShardObject, reading: Reading) -> bytes:
    """The first plain bytes, at most 1 MiB: the object's size and the block they are in are right.

    Raises as the chunks of `read_plain` do. The guards are not asked.
    """
    _check_codecs(shard)
    stored = _Stored(vault, shard, reading.offload)
    await stored.check_size()
    unpacking = _unpacking(stored, reading)
    offset = 0
    for index, block in enumerate(shard.blocks):
        steps = unpacking.feed(await stored.block(index, offset=offset))
        if plain := await _step(stored, reading.offload, steps, ()):
            return plain
        offset += block.size_bytes
    # What is encrypted in one piece is given at its end.
    return await _step(stored, reading.offload, unpacking.finish(), ())


async def check_first(vault: Vault, shard: ShardObject, offload: Offload) -> None:
    """That the object's size and its first block are right, for what cannot be decrypted here."""
    stored = _Stored(vault, shard, offload)
    await stored.check_size()
    if shard.blocks:
        await stored.block(0, offset=0)


def _check_codecs(shard: ShardObject) -> None:
    if shard.codecs not in {("zstd",), ("zstd", "age")}:
        raise Permanent(
            "codec-unknown",
            f"{shard.object} is stored as {'+'.join(shard.codecs)}, which cannot be read here",
            "use the version of Valkeep that wrote it, or a newer one",
        )


class _Stored:
    """One object, and the words for what is wrong with it."""

    def __init__(self, vault: Vault, shard: ShardObject, offload: Offload) -> None:
        self.shard = shard
        self._vault = vault
        self._offload = offload

    async def check_size(self) -> None:
        """An object that is longer or shorter than the manifest says is not read at all."""
        size_bytes = await self._vault.size(ObjectName(self.shard.object))
        if size_bytes is None:
            raise missing(self._vault.url, ObjectName(self.shard.object))
        if size_bytes != self.shard.stored_bytes:
            raise self.wrong(
                "object-size",
                how=f"has {size_bytes} bytes, its manifest says {self.shard.stored_bytes}",
            )

    async def block(self, index: int, *, offset: int) -> bytes:
        """One block that matches its hash. Read again once: the damage may be on the way."""
        block = self.shard.blocks[index]
        for _ in range(2):
            data = await self._read(index, offset=offset, size_bytes=block.size_bytes)
            if await self._offload(_sha256, data) == block.sha256:
                return data
        raise self.damaged(index, "does not match its SHA-256")

    async def _read(self, index: int, *, offset: int, size_bytes: int) -> bytes:
        try:
            return await self._vault.read(
                ObjectName(self.shard.object), offset=offset, length=size_bytes
            )
        except Permanent as error:
            if error.code == "object-short":
                raise self.damaged(index, "is cut off") from error
            raise

    def damaged(self, index: int, how: str) -> Permanent:
        """A block that must not be used."""
        return self.wrong(
            "block-damaged", how=f"is damaged: block {index + 1} of {len(self.shard.blocks)} {how}"
        )

    def wrong(self, code: str, *, how: str) -> Permanent:
        """The object as a whole must not be used."""
        return Permanent(code, f"{self.shard.object} in {self._vault.url} {how}", _USE_ANOTHER)

    def sealed(self, why: str) -> Permanent:
        """The object is encrypted, and not to us."""
        told = ", ".join(self.shard.recipients) or "unknown recipients"
        return Permanent(
            "identity",
            f"{self.shard.object} in {self._vault.url} cannot be decrypted: {why}",
            f"it is encrypted to {told}: put the identity of one of them into identity_file",
        )


class _Parcel:
    """A block that has been sent for: the block, or why there is none."""

    def __init__(self) -> None:
        self._arrived = anyio.Event()
        self._data = b""
        self._failure: Failed | None = None

    async def fetch(self, stored: _Stored, *, index: int, offset: int) -> None:
        """Runs in a task of its own; failures are kept for whoever wants the block."""
        try:
            self._data = await stored.block(index, offset=offset)
        except Failed as error:
            self._failure = error
        self._arrived.set()

    async def data(self) -> bytes:
        """Waits for the block; raises what its fetching raised."""
        await self._arrived.wait()
        if self._failure:
            raise self._failure
        return self._data


async def _fetch(stored: _Stored, tasks: TaskGroup, send: ObjectSendStream[_Parcel]) -> None:
    """Send for blocks in order, as many at once as there is room in the queue."""
    offset = 0
    async with send:
        for index, block in enumerate(stored.shard.blocks):
            parcel = _Parcel()
            await send.send(parcel)
            tasks.start_soon(partial(parcel.fetch, stored, index=index, offset=offset))
            offset += block.size_bytes


async def _blocks(parcels: ObjectReceiveStream[_Parcel]) -> AsyncGenerator[bytes, None]:
    async for parcel in parcels:
        yield await parcel.data()


async def _plain(
    stored: _Stored, reading: Reading, parcels: ObjectReceiveStream[_Parcel]
) -> AsyncGenerator[bytes, None]:
    """Unpack step after step; the tail is given when all of it is known to be right."""
    digest = Digest()
    free_bytes = stored.shard.plain_bytes - WITHHELD_BYTES
    given_bytes, tail = 0, b""
    async with aclosing(_unpacked(stored, reading, parcels, digest)) as steps:
        async for plain in steps:
            if digest.size_bytes > stored.shard.plain_bytes:
                raise stored.wrong(
                    "manifest-mismatch", how="unpacks to more than its manifest says"
                )
            free = max(0, free_bytes - given_bytes)
            given_bytes += len(plain)
            tail += plain[free:]
            if free:
                yield plain[:free]
    await _check_whole(stored, reading, digest)
    if tail:
        yield tail


async def _unpacked(
    stored: _Stored, reading: Reading, parcels: ObjectReceiveStream[_Parcel], digest: Digest
) -> AsyncGenerator[bytes, None]:
    """All plain bytes, in steps of at most 1 MiB; raises if the object does not end well."""
    unpacking = _unpacking(stored, reading)
    taps = (digest, *reading.guards)
    async for parcel in parcels:
        steps = unpacking.feed(await parcel.data())
        while plain := await _step(stored, reading.offload, steps, taps):
            yield plain
    steps = unpacking.finish()
    while plain := await _step(stored, reading.offload, steps, taps):
        yield plain


def _unpacking(stored: _Stored, reading: Reading) -> Unpacking:
    if "age" not in stored.shard.codecs:
        return Unpacking()
    if reading.identities is None:
        raise stored.sealed("it is encrypted, and there is no identity to read it with")
    return Unpacking(reading.identities.keys)


async def _step(
    stored: _Stored, offload: Offload, steps: Iterator[bytes], taps: Sequence[Tap]
) -> bytes:
    try:
        return await offload(_next_plain, steps, taps)
    except NoIdentity as error:
        raise stored.sealed(str(error)) from error
    except UnpackError as error:
        raise stored.wrong("manifest-mismatch", how=f"cannot be unpacked: {error}") from error


async def _check_whole(stored: _Stored, reading: Reading, digest: Digest) -> None:
    """Length, SHA-256, and the guards: CRC-64 and end mark."""
    shard = stored.shard
    try:
        for guard in reading.guards:
            await reading.offload(guard.finish)
    except Failed as error:
        raise stored.wrong(
            error.code, how=f"unpacks to bytes that are not whole: {error}"
        ) from error
    if digest.size_bytes != shard.plain_bytes:
        raise stored.wrong(
            "manifest-mismatch",
            how=f"unpacks to {digest.size_bytes} bytes, its manifest says {shard.plain_bytes}",
        )
    if digest.sha256 != shard.sha256:
        raise stored.wrong("manifest-mismatch", how="unpacks to other bytes than its manifest says")


def _next_plain(steps: Iterator[bytes], taps: Sequence[Tap]) -> bytes:
    plain = next(steps, b"")
    for tap in taps:
        tap.feed(plain)
    return plain


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
