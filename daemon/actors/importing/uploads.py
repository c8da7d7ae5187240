"""Bytes that clients are sending, on their way from the socket to the attempts that want them.

In memory, and for one daemon's life: after a restart there is nobody who sends. A way holds one
chunk, so that a client is as fast as the attempt that reads from it.
"""

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from daemon.errors import Permanent
from events.facts import BackupId

ARRIVAL_SECONDS = 10.0
"""How long an attempt waits for its client: it is told of the import a moment before it sends."""


class Upload:
    """One client's bytes; `taken` when an attempt has come for them."""

    def __init__(self) -> None:
        self.taken = False
        self._send, self._receive = anyio.create_memory_object_stream[bytes](1)
        self._whole = False
        self._left = anyio.Event()
        self._sent_bytes = 0
        self._why = ""

    async def send(self, chunk: bytes) -> bool:
        """Hand over the next bytes; False when nobody wants any more."""
        try:
            await self._send.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return False
        self._sent_bytes += len(chunk)
        return True

    async def end(self) -> None:
        """The client has sent everything; returns when the attempt has all of it, or no more."""
        self._whole = True
        self._send.close()
        await self._left.wait()

    def cut(self, why: str = "") -> None:
        """The client sends no more, whether it has sent everything or not."""
        self._why = self._why or why
        self._send.close()

    async def read(self) -> bytes:
        """The next bytes, none after the last; raises `Permanent` when the client is gone."""
        try:
            return await self._receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            if not self._whole:
                raise self._broken() from None
            self._left.set()
            return b""

    def leave(self) -> None:
        """The attempt reads no more."""
        self._receive.close()
        self._left.set()

    def _broken(self) -> Permanent:
        why = self._why or "The client's connection ended before everything had come."
        told = f"{why} {self._sent_bytes:,} bytes had come."
        return Permanent("upload-cut", told, "Send it again: nothing of it was kept.")


class Uploads:
    """All that are under way."""

    def __init__(self) -> None:
        self._of: dict[BackupId, Upload] = {}
        self._changed = anyio.Event()

    @contextmanager
    def way(self, backup_id: BackupId) -> Generator[Upload, None, None]:
        """A way for the bytes of one import; ends with the client's connection."""
        upload = self._of[backup_id] = Upload()
        self._changed.set()
        self._changed = anyio.Event()
        try:
            yield upload
        finally:
            del self._of[backup_id]
            upload.cut()
            if not upload.taken:
                upload.leave()

    async def take(self, backup_id: BackupId) -> Upload:
        """What the client of an import sends; `Permanent` when there is none."""
        with anyio.move_on_after(ARRIVAL_SECONDS):
            while backup_id not in self._of:
                await self._changed.wait()
        upload = self._of.get(backup_id)
        if upload is None:
            raise Permanent(
                "upload-gone",
                "The client that was to send it is gone.",
                "Send it again, and stay connected until it has arrived.",
            )
        upload.taken = True
        return upload
