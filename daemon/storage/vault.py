"""The seam to a place that keeps objects: a directory, an S3 bucket, memory.

Every vault passes the contract suite in `tests/contracts`. Object names are relative
(`names` builds them from checked parts); the vault adds its own prefix. Errors: `Transient`
(worth another try) and `Permanent` (rights, configuration) of `daemon.errors`, with the
vault's URL in the message. A call that raised may still have had, or yet have, its effect.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import NewType, Protocol

from msgspec import Struct

ObjectName = NewType("ObjectName", str)


class ObjectInfo(Struct, frozen=True):
    """One stored object."""

    name: ObjectName
    size_bytes: int


class ObjectWriter(Protocol):
    """Writes one object; it appears whole under its name on `commit`, or never."""

    async def write(self, data: bytes) -> None:
        """Append bytes; returns when there is room for more (back-pressure)."""
        ...

    async def commit(self) -> None:
        """Make it durable and visible, and check that the vault has what was sent.

        A directory has fsynced file and folder when it returns; S3 has answered the size and
        the checksums that we computed. Last call on the writer.
        """
        ...


class Vault(Protocol):
    """A flat namespace of whole, immutable-by-convention objects."""

    @property
    def url(self) -> str:
        """For messages; holds no secret."""
        ...

    def create(self, name: ObjectName) -> AbstractAsyncContextManager[ObjectWriter]:
        """Begin an object; leaving the context without `commit` removes what was sent.

        An existing object of that name is replaced at `commit`.
        """
        ...

    async def put(self, name: ObjectName, data: bytes) -> None:
        """Store one small object (under 1 MiB) atomically; may be repeated."""
        ...

    async def put_new(self, name: ObjectName, data: bytes) -> bool:
        """As `put`, but only where there is none; False when there is one already.

        Of several with different bytes at the same time at most one gets True. On an S3 server
        that passes over ``If-None-Match`` it may raise ``vault-contested`` instead, having
        stored nothing; and it is for objects that are wanted once in a vault's life.
        """
        ...

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """A whole small object, or None if there is none; larger than the limit is an error."""
        ...

    async def read(self, name: ObjectName, *, offset: int, length: int) -> bytes:
        """A range of an object, all of it: a missing object or a short answer raises."""
        ...

    async def size(self, name: ObjectName) -> int | None:
        """Bytes of an object, None only if the vault says that there is none."""
        ...

    def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """All whole objects whose name begins so, in name order, every page; use `aclosing`.

        A listing that fails raises; it never just ends early.
        """
        ...

    async def delete(self, name: ObjectName) -> None:
        """Remove an object; none there is success. May be repeated."""
        ...

    async def clear(self, prefix: str) -> None:
        """Remove every object, temporary file and unfinished upload whose name begins so.

        Done when it returns: it has looked again and found nothing. May be repeated. The
        prefix must be a whole folder of one backup, or of canaries, and end with ``/``.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections and handles."""
        ...
