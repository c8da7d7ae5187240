"""Calling an S3 server: a deadline on every call, and several tries of it.

Knows when to try again and how long to wait; what the calls are is the business of others.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from hashlib import md5
from typing import TYPE_CHECKING, TypeVar

import anyio
from msgspec import Struct

from daemon.errors import Permanent, Transient
from daemon.ports import Offload
from daemon.storage.parts import Hasher
from daemon.storage.s3_errors import RAISED, Call, explain
from daemon.storage.spool import Spool

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")


class Patience(Struct, frozen=True):
    """How long one call may take and how often it is tried; pauses double and are spread.

    A call that moves bytes has more time, by the slowest line that is still worth waiting for.
    """

    attempts: int = 5
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 10.0
    call_seconds: float = 30.0
    slowest_bytes_per_second: int = 64 << 10

    def seconds(self, call: Call) -> float:
        """The deadline of one try."""
        return self.call_seconds + call.moved_bytes / self.slowest_bytes_per_second

    def pause(self, failures: int, spread: float) -> float:
        """Seconds to wait after so many failures; `spread` is random, 0 <= x < 1."""
        full = self.first_pause_seconds * (1 << (failures - 1))
        return min(full, self.longest_pause_seconds) * (0.5 + spread / 2)


class Bucket(Struct, frozen=True):
    """Where in S3 a vault is; the prefix is empty or ends with a slash."""

    name: str
    prefix: str
    url: str


class Tools(Struct, frozen=True):
    """What is handed in: how to connect, threads, random numbers, 0 <= x < 1, and a spool."""

    connect: Callable[[AsyncExitStack], Awaitable["S3Client"]]
    offload: Offload
    jitter: Callable[[], float]
    spool: Spool | None = None


class Server:
    """One bucket on one server, called with patience; connects at the first call."""

    def __init__(self, bucket: Bucket, tools: Tools, patience: Patience) -> None:
        self.bucket = bucket
        self.offload = tools.offload
        self.spool = tools.spool
        self._tools = tools
        self._patience = patience
        self._connection = AsyncExitStack()
        self._connecting = anyio.Lock()
        self._client: S3Client | None = None

    @property
    def client(self) -> "S3Client":
        """For the functions given to `run`, which connects before it calls them."""
        if self._client is None:
            raise RuntimeError("the S3 client is used outside `Server.run`")
        return self._client

    async def run(self, call: Call, function: Callable[[], Awaitable[T]]) -> T:
        """What the function returns, at last; it may be called several times.

        Raises the last try's error as `Transient` or `Permanent`; the latter is never tried
        again. Any try may have had its effect although it failed.
        """
        failures = 0
        while True:
            try:
                return await self.once(call, function)
            except Transient:
                failures += 1
                if failures >= self._patience.attempts:
                    raise
            await anyio.sleep(self._patience.pause(failures, self._tools.jitter()))

    async def once(self, call: Call, function: Callable[[], Awaitable[T]]) -> T:
        """One try, within its deadline."""
        try:
            with anyio.fail_after(self._patience.seconds(call)):
                await self._connected()
                return await function()
        except RAISED as error:
            raise explain(error, call, self.bucket.url) from error

    async def aclose(self) -> None:
        """Give the connections back."""
        self._client = None
        await self._connection.aclose()

    async def _connected(self) -> None:
        async with self._connecting:
            if self._client is None:
                self._client = await self._tools.connect(self._connection)


class Sum(Struct, frozen=True):
    """An MD5 as S3 wants it sent, and as it comes back."""

    base64: str
    hex: str


def checksum(data: bytes | memoryview) -> Sum:
    """The one checksum that every S3 server knows. Against damage on the way, not malice."""
    return sum_of(md5(data, usedforsecurity=False).digest())


def hasher() -> Hasher:
    """The same, of bytes that come in pieces."""
    return md5(usedforsecurity=False)


def sum_of(digest: bytes) -> Sum:
    """A digest as a checksum."""
    return Sum(b64encode(digest).decode(), digest.hex())


def check_etag(etag: str, sent: Sum, *, what: str) -> None:
    """The answered ETag of bytes sent in one piece must be their MD5, where it is one.

    With encryption by KMS it is not (and is no 32 hexadecimal digits of ours to compare);
    there the server has compared ``Content-MD5`` itself.
    """
    if etag.strip('"') != sent.hex:
        raise Transient(
            "vault-corrupted",
            f"{what} has arrived as other bytes than were sent (ETag {etag})",
            "bytes were damaged on the way or in the vault; it will be tried again",
        )


def is_encrypted_by_key(answer: object) -> bool:
    """Whether the answer says that ETags are no MD5 (SSE-KMS, SSE-C)."""
    if not isinstance(answer, dict):
        return False
    kms = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
    return kms or "SSECustomerAlgorithm" in answer


def no_upload(url: str, *, name: str, spooled: bool) -> Permanent:
    """More bytes than 10,000 parts can hold."""
    if spooled:
        return Permanent(
            "object-too-large",
            f"{name} in {url} has outgrown what S3 can hold",
            "no object in S3 is larger than 5 TiB; use a directory vault",
        )
    return Permanent(
        "object-too-large",
        f"{name} in {url} has outgrown 10,000 parts of at most 16 MiB, which is 148 GiB",
        "larger parts need a spool: set max_bytes in [spool]",
    )
