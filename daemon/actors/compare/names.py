"""The names of keys that differ, kept for a while for who asked: data, and so never in the log.

They lie in a file without a name, which is gone with the daemon at the latest. Knows how many
are kept, for how long, and how one is told.
"""

import asyncio
import os
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec

from daemon.commands import DifferingKey
from daemon.errors import NotFound
from daemon.ports import Offload
from daemon.valkey.contrast import Name
from events.differences import ComparisonId

KEPT_SECONDS = 900.0
MOST_KEPT = 4
MOST_BYTES = 1 << 30
CHUNK_BYTES = 256 << 10

_encoder = msgspec.json.Encoder()


class Keeping:
    """The names of one comparison, so many of each kind of difference; all with `most` 0.

    Without a file it counts them, and keeps none.
    """

    def __init__(self, offload: Offload, file: IO[bytes] | None, *, most: int = 0) -> None:
        self._offload = offload
        self._file = file
        self._most = most
        self._seen: Counter[str] = Counter()
        self._waiting: list[bytes] = []
        self._bytes = 0
        self.kept = 0
        self.full = False
        """Whether some that were wanted are not there, because there was no room for them."""

    async def take(self, names: Sequence[Name]) -> None:
        """Some more names, in any order."""
        if self._file is None:
            return
        for name in names:
            self._seen[name.difference] += 1
            if self._most and self._seen[name.difference] > self._most:
                continue
            line = _line(name)
            if self._bytes + len(line) > MOST_BYTES:
                self.full = True
                continue
            self._bytes += len(line)
            self._waiting.append(line)
            self.kept += 1
        if len(self._waiting) > CHUNK_BYTES // 100:
            await self.flush()

    async def flush(self) -> None:
        """Write down what waits."""
        if self._file is not None:
            data, self._waiting = b"".join(self._waiting), []
            await self._offload(_appended, self._file, data)


class NameShelf:
    """The names of the newest comparisons, each for `KEPT_SECONDS` after its end."""

    def __init__(self, directory: Path, offload: Offload) -> None:
        self._directory = directory
        self._offload = offload
        self._files: dict[str, IO[bytes]] = {}

    @asynccontextmanager
    async def keeping(
        self, comparison_id: ComparisonId, most: int | None
    ) -> AsyncGenerator[Keeping, None]:
        """A place for the names of a comparison: so many of each kind, all with 0, none with None.

        They can be asked for when the context has ended well, until there are too many others.
        """
        file = None if most is None else await self._offload(_nameless, self._directory)
        kept = False
        try:
            keeping = Keeping(self._offload, file, most=most or 0)
            yield keeping
            await keeping.flush()
            if file is not None:
                self._keep(comparison_id, file)
            kept = True
        finally:
            if not kept and file is not None:
                file.close()

    def _keep(self, comparison_id: ComparisonId, file: IO[bytes]) -> None:
        while len(self._files) >= MOST_KEPT:
            self._drop(next(iter(self._files)))
        self._files[comparison_id] = file
        # anyio has no timer that outlives the task which sets it.
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, comparison_id)

    async def lines(self, comparison_id: str) -> AsyncGenerator[bytes, None]:
        """The names as lines of NDJSON; raises `NotFound` where none are kept."""
        file = self._files.get(comparison_id)
        if file is None:
            raise NotFound(
                "no-names",
                f"No names are kept of comparison {comparison_id}.",
                f"They are kept for {KEPT_SECONDS / 60:g} minutes, where they were asked for: "
                "`valkeep backup diff … --names`.",
            )
        own = os.dup(file.fileno())
        try:
            at = 0
            while chunk := await self._offload(os.pread, own, CHUNK_BYTES, at):
                at += len(chunk)
                yield chunk
        finally:
            os.close(own)

    def close(self) -> None:
        """Forget all names."""
        for comparison_id in tuple(self._files):
            self._drop(comparison_id)

    def _drop(self, comparison_id: str) -> None:
        file = self._files.pop(comparison_id, None)
        if file is not None:
            file.close()


def _line(name: Name) -> bytes:
    """One name as a line: a key that is no text is told in base64."""
    try:
        text, encoded = name.key.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, b64encode(name.key).decode()
    told = DifferingKey(
        difference=name.difference,
        database=name.database,
        type=name.type,
        key=text,
        key_base64=encoded,
    )
    return _encoder.encode(told) + b"\n"


def _nameless(directory: Path) -> IO[bytes]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return TemporaryFile(dir=directory)


def _appended(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()
