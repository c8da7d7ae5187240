"""The seam between a running engine and the pipeline: one snapshot as a stream of RDB bytes.

Both sources look alike from here. Whoever reads must check nothing: a source raises when
its stream ends early, and the pipeline checks CRC-64 and end mark again.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from daemon.ports import Progress
from events.facts import CacheSettings, Probe, SnapshotFacts


class Snapshot(Protocol):
    """One snapshot under way. Read `chunks` to the end, then ask for `facts`."""

    @property
    def expected_bytes(self) -> int | None:
        """The RDB's size where the engine tells it before the first byte."""
        ...

    @property
    def holds_fork(self) -> bool:
        """Whether the engine's child lives until `chunks` has been read."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The RDB from ``REDIS``/``VALKEY`` to its end, framing removed; use under `aclosing`.

        Raises `Transient("source-ended-early" | "source-stalled" | ...)` when the stream does
        not come whole. A reader that is slow slows the engine: bytes are not queued.
        """
        ...

    async def facts(self) -> SnapshotFacts:
        """What is to be recorded; only after `chunks` has ended. Waits for the fork to end."""
        ...


class Caches(Protocol):
    """All that the rest of the daemon asks of running caches for backups."""

    async def probe(self, settings: CacheSettings) -> Probe:
        """Look at a cache (rule C2). Raises `Transient` or `Permanent` with a hint."""
        ...

    def snapshot(
        self, settings: CacheSettings, progress: Progress, *, safety: bool = False
    ) -> AbstractAsyncContextManager[Snapshot]:
        """Begin a snapshot by the node and source that fit; leaving the context ends it all.

        Waits while another snapshot runs on that node's host. Phases go to `progress`; bytes are
        counted by whoever stores them. A safety backup is of the very server that the URL's
        primary is, and does not wait (R4).
        """
        ...
