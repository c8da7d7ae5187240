"""All that the rest of the daemon asks of running caches for backups: see `valkey.source`.

Puts one snapshot together: which node, its host's turn, room for the fork, then the source. A
choice holds for one snapshot; the next one is made anew.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import structlog
from msgspec import structs

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Clock, Offload, Progress
from daemon.valkey.bgsave import bgsave
from daemon.valkey.connection import Secrets, Timeouts, login, open_node
from daemon.valkey.fork import doubt, load, refuse_unbearable
from daemon.valkey.history import difference, failed_over
from daemon.valkey.host_memory import room
from daemon.valkey.hosts import THIS, Hosts, machine
from daemon.valkey.info import fields, number
from daemon.valkey.nodes import Chosen, Nodes, Wish
from daemon.valkey.occasion import Occasion
from daemon.valkey.probe import NEEDED, look
from daemon.valkey.refusal import acl_line
from daemon.valkey.replica import replicate
from daemon.valkey.source import Snapshot
from events.facts import CacheSettings, Probe

log = structlog.get_logger()


class ServerCaches:
    """`source.Caches` over real connections."""

    def __init__(
        self,
        secrets: Secrets,
        offload: Offload,
        clock: Clock,
        timeouts: Timeouts | None = None,
        *,
        check_memory: bool = True,
    ) -> None:
        self._secrets = secrets
        self._offload = offload
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._check_memory = check_memory
        self._hosts = Hosts()

    async def probe(self, settings: CacheSettings) -> Probe:
        """Look at a cache (rule C2) and choose as for a snapshot.

        Raises `Transient` or `Permanent` with a hint; also where no node would do.
        """
        async with open_node(login(settings, self._secrets), self._timeouts) as node:
            probe = await look(node, self._offload, settings.source)
        if probe.server.cluster:
            return probe
        chosen = await self._choose(settings, rights=True)
        line = acl_line(chosen.login.asked.user, chosen.missing) if chosen.missing else None
        return structs.replace(probe, choice=chosen.choice, missing_rights=line, node=chosen.node)

    @asynccontextmanager
    async def snapshot(
        self, settings: CacheSettings, progress: Progress, *, safety: bool = False
    ) -> AsyncGenerator[Snapshot, None]:
        """Begin a snapshot by the node and source that fit; leaving the context ends it all.

        Phases go to `progress`; bytes are counted by whoever stores them. A safety backup is of
        the server that is restored into, and waits for nobody (R4). Raises
        `Permanent("topology")` for a cluster's node, `Transient("memory")` when the fork cannot
        be borne, `Transient("failed-over")` when the node's role changes on the way.
        """
        if safety:
            settings = structs.replace(settings, node="primary")
        async with self._turn(settings, progress, at_once=safety) as chosen:
            # While a safety backup is made its server refuses writes: nothing will be copied.
            doubts = None if safety else await self._bearable(chosen)
            occasion = self._occasion(chosen, progress, doubts)
            try:
                async with self._taken(chosen, occasion) as taken:
                    yield taken
            except Transient as error:
                if error.code == "source-ended-early":
                    await self._refuse_changed(occasion, error)
                raise

    @asynccontextmanager
    async def _turn(
        self, settings: CacheSettings, progress: Progress, *, at_once: bool
    ) -> AsyncGenerator[Chosen, None]:
        """The node that is chosen when its host is ours; who has waited chooses again."""
        while True:
            chosen = await self._choose(settings)
            host = await machine(chosen.login.address)
            name = chosen.login.address.host or THIS
            told = partial(progress.phase, f"waiting: another snapshot runs on host {name}")
            async with self._hosts.lease(host, told, at_once=at_once) as waited:
                if waited:
                    progress.phase("connecting")
                    chosen = await self._choose(settings)
                if not waited or not host.isdisjoint(await machine(chosen.login.address)):
                    yield chosen
                    return

    async def _choose(self, settings: CacheSettings, *, rights: bool = False) -> Chosen:
        wish = Wish(settings.node, settings.source, rights)
        who = login(settings, self._secrets)
        chosen = await Nodes(who, wish, self._timeouts, self._offload).choose()
        if chosen.choice.source == "bgsave" and chosen.path is None and not rights:
            raise _no_path(chosen)
        return chosen

    async def _bearable(self, chosen: Chosen) -> str | None:
        """What speaks against the fork and does not forbid it, where memory is not known here."""
        if not self._check_memory:
            return None
        burden = load(chosen.info)
        if not chosen.here:
            return doubt(burden)
        process_id, executable = number(chosen.info, "process_id"), chosen.info.get("executable")
        found = await self._offload(room, process_id, executable or "")
        if found is not None:
            refuse_unbearable(burden, found, chosen.node.address)
        return None

    def _occasion(self, chosen: Chosen, progress: Progress, doubts: str | None) -> Occasion:
        node = chosen.node
        if doubts is not None:
            log.warning("fork doubted", node=node.address, reason=doubts)
            node = structs.replace(node, reason=f"{node.reason}; beware: {doubts}")
        return Occasion(
            login=chosen.login,
            timeouts=self._timeouts,
            clock=self._clock,
            progress=progress,
            server=chosen.server,
            choice=chosen.choice,
            node=node,
            history=chosen.history,
        )

    def _taken(self, chosen: Chosen, occasion: Occasion) -> AbstractAsyncContextManager[Snapshot]:
        if chosen.path is not None and chosen.choice.source == "bgsave":
            return bgsave(chosen.path, occasion, self._offload)
        return replicate(occasion)

    async def _refuse_changed(self, occasion: Occasion, error: Transient) -> None:
        """A node that is promoted cuts off whoever reads from it: say so rather than that."""
        try:
            async with open_node(occasion.login, self._timeouts) as node:
                info = fields(await node.text("INFO"))
        except Failed:
            return
        if changed := difference(occasion.history, info):
            raise failed_over(occasion.node.address, what=changed) from error


def _no_path(chosen: Chosen) -> Permanent:
    asked = chosen.login.asked
    return Permanent(
        "bgsave-file",
        f"{asked.address} does not tell where its RDB file is",
        f'set source = "replication" for this cache, or on the server: '
        f"{acl_line(asked.user, NEEDED['bgsave'])}",
    )
