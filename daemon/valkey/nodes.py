"""Choosing the node of a cache that a snapshot is taken from (DESIGN 5, "Which node").

Takes the best replica by `valkey.topology` that a survey finds and that a closer look does not
speak against, else the primary, and puts the reason in words. Nothing is remembered from one
choice to the next.
"""

from pathlib import Path

import anyio
from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Offload
from daemon.valkey.connection import Login, Timeouts, open_node
from daemon.valkey.figures import amount
from daemon.valkey.history import History, difference, failed_over, history
from daemon.valkey.info import fields
from daemon.valkey.probe import missing, pick, same_host, server, unreadable
from daemon.valkey.refusal import acl_line
from daemon.valkey.survey import Seen, Survey
from daemon.valkey.topology import Info, applied, behind, rank, unfit, written
from events.facts import NodeChoice, NodeFacts, ServerFacts, SourceChoice, SourceKind

POLL_SECONDS = 0.02


class Wish(Struct, frozen=True):
    """What the cache's settings ask for; `rights` are looked at for the primary, too."""

    node: NodeChoice
    source: SourceKind
    rights: bool = False


class Chosen(Struct, frozen=True):
    """A node and what it said a moment ago; `here` says that it runs on this host."""

    login: Login
    node: NodeFacts
    info: Info
    server: ServerFacts
    choice: SourceChoice
    path: Path | None
    here: bool
    missing: tuple[str, ...]

    @property
    def history(self) -> History:
        """Who it was."""
        return history(self.info)


class Nodes:
    """One choice among the nodes of one cache."""

    def __init__(self, login: Login, wish: Wish, timeouts: Timeouts, offload: Offload) -> None:
        self._survey = Survey(login, timeouts)
        self._wish = wish
        self._timeouts = timeouts
        self._offload = offload

    async def choose(self) -> Chosen:
        """The node to take.

        Raises what a node raises that cannot be asked where no other will do, and
        `Permanent("topology")` for a cluster's, `Transient("no-replica" | "no-primary" |
        "replica-unlinked")` with the reasons where none fits.
        """
        home = await self._survey.home()
        _refuse_cluster(home)
        primary = await self._survey.primary(home)
        if self._wish.node == "primary":
            if primary is None:
                raise self._none("no-primary", home, what="the primary")
            return await self._settle(primary, "the cache's settings ask for the primary")
        chosen = await self._replica(home, primary)
        if chosen is not None:
            return chosen
        if self._wish.node == "replica":
            raise self._none("no-replica", home, what="a replica that fits")
        return await self._otherwise(home, primary)

    async def _replica(self, home: Seen, primary: Seen | None) -> Chosen | None:
        """The best replica that will do."""
        top = None if primary is None else primary.info
        fit: list[Seen] = []
        for seen in await self._survey.replicas(home, primary):
            reason = unfit(seen.info, top, seen.listed)
            if reason is None:
                fit.append(seen)
            else:
                self._survey.against.append(f"{seen.place} {reason}")
        for seen in sorted(fit, key=lambda one: (*rank(one.info, top), one.place)):
            chosen = await self._tried(seen, primary)
            if chosen is not None:
                return chosen
        return None

    async def _tried(self, seen: Seen, primary: Seen | None) -> Chosen | None:
        """This replica, unless a closer look speaks against it."""
        lag = None if primary is None else behind(seen.info, primary=primary.info)
        try:
            chosen = await self._settle(seen, _praise(seen, primary, lag), lag)
        except Failed as error:
            self._survey.against.append(error.message)
            return None
        reason = _against(chosen) or await self._file_against(chosen)
        if reason is None and primary is not None and lag:
            reason = await self._lags(seen, written(primary.info))
        if reason is not None:
            self._survey.against.append(f"{seen.place} {reason}")
            return None
        return chosen

    async def _lags(self, seen: Seen, offset: int) -> str | None:
        """Wait until a replica has what its primary had written when that was asked.

        Whoever has just written and then asks for a backup expects to find it there.
        """
        with anyio.move_on_after(self._timeouts.look):
            async with open_node(seen.login, self._timeouts) as node:
                while applied(fields(await node.text("INFO"))) < offset:  # noqa: ASYNC110 - a server
                    await anyio.sleep(POLL_SECONDS)
                return None
        return f"has not caught up with its primary within {self._timeouts.look:g} s"

    async def _file_against(self, chosen: Chosen) -> str | None:
        """Whether ``source = "bgsave"`` is in the way: its file must be one that we can read."""
        if self._wish.source != "bgsave":
            return None
        if chosen.path is None or not chosen.here:
            return "has its file on another host, and the settings ask for bgsave"
        problem = await self._offload(unreadable, chosen.path)
        return problem and f"is no source for bgsave: {problem}"

    async def _otherwise(self, home: Seen, primary: Seen | None) -> Chosen:
        """No replica will do: the primary; or where that cannot be asked, a replica in step."""
        told = "; ".join(self._survey.against)
        if primary is not None:
            told = f"no replica fits: {told}" if told else "it has no replicas"
            return await self._settle(primary, told)
        if unfit(home.info, None, None) is None:
            return await self._settle(home, f"no other node can be had: {told}")
        raise self._none("replica-unlinked", home, what="a node that is in step")

    async def _settle(self, seen: Seen, reason: str, lag: int | None = None) -> Chosen:
        """Everything that a snapshot of this node needs to know of it beforehand."""
        async with open_node(seen.login, self._timeouts) as node:
            info = fields(await node.text("INFO"))
            if changed := difference(history(seen.info), info):
                raise failed_over(seen.place, what=changed)
            facts = await server(node, info)
            choice, path = await pick(node, self._offload, facts, self._wish.source)
            closer = self._wish.rights or facts.role == "replica"
            lacking = await missing(node, choice.source, facts) if closer else ()
            here = await same_host(node)
        told = NodeFacts(seen.place, facts.role, reason, lag)
        return Chosen(seen.login, told, info, facts, choice, path, here, tuple(lacking))

    def _none(self, code: str, home: Seen, *, what: str) -> Transient:
        told = "; ".join(self._survey.against) or f"{home.place} has none"
        return Transient(
            code,
            f"this snapshot wants {what}, and there is none: {told}",
            "see INFO replication of the nodes; `node` in the cache's settings says which to take",
        )


def _praise(seen: Seen, primary: Seen | None, lag: int | None) -> str:
    if primary is None or lag is None:
        return "a replica in step; its primary cannot be asked from here"
    words = f"a replica in step, {amount(lag)} behind the primary {primary.place}"
    never = seen.info.get("slave_priority") == "0"
    return f"{words}, and never to be promoted" if never else words


def _against(chosen: Chosen) -> str | None:
    """What only a closer look at a replica shows."""
    if chosen.missing:
        line = acl_line(chosen.login.asked.user, chosen.missing)
        return f"does not let us; there it takes {line}"
    settings = chosen.server.settings
    if chosen.server.maxmemory_bytes and settings.get("replica-ignore-maxmemory") == "no":
        return "evicts keys of its own (replica-ignore-maxmemory no)"
    return None


def _refuse_cluster(home: Seen) -> None:
    if home.info.get("cluster_enabled") == "1":
        raise Permanent(
            "topology",
            f"{home.login.address} is a node of a cluster, and backups of clusters are not there "
            "yet",
            "one node's data would be a part that looks like a whole",
        )
