"""All that the rest of the daemon asks of running caches for backups: see `valkey.source`.

Takes the node that the cache's URL names, and says in the facts which role it had. Choosing
among several nodes (`node = "prefer-replica"`) is not done yet: nothing here follows a
primary to its replicas, so a URL of a primary gives a snapshot of that primary.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.errors import Permanent
from daemon.ports import Clock, Offload, Progress
from daemon.valkey.address import Address
from daemon.valkey.bgsave import bgsave
from daemon.valkey.connection import Secrets, Timeouts, login, open_node
from daemon.valkey.info import fields, refuse_unlinked
from daemon.valkey.occasion import Occasion
from daemon.valkey.probe import NEEDED, look, pick, server
from daemon.valkey.refusal import Asked, acl_line
from daemon.valkey.replica import replicate
from daemon.valkey.source import Snapshot
from events.facts import CacheSettings, Probe


class ServerCaches:
    """`source.Caches` over real connections."""

    def __init__(
        self, secrets: Secrets, offload: Offload, clock: Clock, timeouts: Timeouts | None = None
    ) -> None:
        self._secrets = secrets
        self._offload = offload
        self._clock = clock
        self._timeouts = timeouts or Timeouts()

    async def probe(self, settings: CacheSettings) -> Probe:
        """Look at a cache (rule C2). Raises `Transient` or `Permanent` with a hint."""
        async with open_node(login(settings, self._secrets), self._timeouts) as node:
            return await look(node, self._offload, settings.source)

    @asynccontextmanager
    async def snapshot(
        self, settings: CacheSettings, progress: Progress
    ) -> AsyncGenerator[Snapshot, None]:
        """Begin a snapshot by the source that fits; leaving the context ends the connection.

        Phases go to `progress`; bytes are counted by whoever stores them. Raises
        `Permanent("topology")` for a cluster's node.
        """
        occasion, path = await self._prepare(settings, progress)
        if path is not None and occasion.choice.source == "bgsave":
            async with bgsave(path, occasion, self._offload) as saved:
                yield saved
        else:
            async with replicate(occasion) as streamed:
                yield streamed

    async def _prepare(
        self, settings: CacheSettings, progress: Progress
    ) -> tuple[Occasion, Path | None]:
        who = login(settings, self._secrets)
        async with open_node(who, self._timeouts) as node:
            refuse_unlinked(fields(await node.text("INFO", "replication")), str(who.address))
            facts = await server(node)
            if facts.cluster:
                raise _cluster(who.address)
            choice, path = await pick(node, self._offload, facts, settings.source)
        if choice.source == "bgsave" and path is None:
            raise _no_path(who.asked)
        return Occasion(who, self._timeouts, self._clock, progress, facts, choice), path


def _cluster(address: Address) -> Permanent:
    return Permanent(
        "topology",
        f"{address} is a node of a cluster, and backups of clusters are not there yet",
        "one node's data would be a part that looks like a whole",
    )


def _no_path(asked: Asked) -> Permanent:
    return Permanent(
        "bgsave-file",
        f"{asked.address} does not tell where its RDB file is",
        f'set source = "replication" for this cache, or on the server: '
        f"{acl_line(asked.user, NEEDED['bgsave'])}",
    )
