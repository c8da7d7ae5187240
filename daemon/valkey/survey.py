"""Finding the nodes of a cache from any one of them: the primary above, all replicas below.

Knows that an address which a node tells may lead nowhere, or to another server: each node is
asked who it is, in a short time, and counts once however many addresses lead to it. What was
passed over, and why, is in `against`.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress

import anyio
from msgspec import Struct, structs

from daemon.errors import Failed
from daemon.valkey.address import Address
from daemon.valkey.connection import Login, Timeouts, open_node, timed_out
from daemon.valkey.info import fields
from daemon.valkey.refusal import printable
from daemon.valkey.topology import Info, Listed, followers, follows, is_primary, seen_from

MOST_NODES = 24
MOST_HOPS = 8
"""Replicas of replicas: nobody has that many in a row but by mistake."""


class Seen(Struct, frozen=True):
    """A node that answered, and how the node that it follows lists it."""

    login: Login
    info: Info
    listed: Listed | None = None

    @property
    def place(self) -> str:
        """Its address for reasons."""
        return self.login.address.place

    @property
    def run_id(self) -> str:
        """What tells nodes apart, whatever their addresses."""
        return self.info.get("run_id") or self.place


class _Lead(Struct, frozen=True):
    """Where a node may be found."""

    login: Login
    listed: Listed | None = None


class Survey:
    """One look around, from the node that a login leads to."""

    def __init__(self, login: Login, timeouts: Timeouts) -> None:
        self._login = login
        self._timeouts = timeouts
        self.against: list[str] = []

    async def home(self) -> Seen:
        """The node that the login leads to; raises what it raises, in its own time.

        A name may have the addresses of several nodes, and each connection could lead to another
        one: then it is the first that answers, by its address from here on.
        """
        ways = await _ways(self._login)
        for login in ways[:-1]:
            with suppress(Failed):
                return await self._named(login)
        return await self._named(ways[-1])

    async def _named(self, login: Login) -> Seen:
        async with open_node(login, self._timeouts) as node:
            return Seen(login, fields(await node.text("INFO")))

    async def primary(self, home: Seen) -> Seen | None:
        """The node at the top, as far as its replicas tell the truth about it."""
        seen = home
        for _ in range(MOST_HOPS):
            above = follows(seen.info)
            if above is None:
                return seen
            try:
                higher = await self._look(self._at(*above, told_by=seen))
            except Failed as error:
                self.against.append(error.message)
                return None
            linked = seen.info.get("master_link_status") == "up"
            if linked and higher.info.get("master_replid") != seen.info.get("master_replid"):
                self.against.append(f"{higher.place} is not the node that {seen.place} follows")
                return None
            seen = higher
        self.against.append(f"{home.place} follows more than {MOST_HOPS} nodes in a row")
        return None

    async def replicas(self, home: Seen, primary: Seen | None) -> list[Seen]:
        """Every replica that can be found and asked, replicas of replicas too, each once.

        They are asked after the primary was, so that their offsets can be compared with its.
        """
        found = {} if primary is None else {primary.run_id: primary}
        asked = {seen.place for seen in found.values()}
        leads = self._below([primary or home])
        if not is_primary(home.info):
            leads.insert(0, _Lead(home.login))
        while leads:
            fresh: dict[str, _Lead] = {}
            for lead in leads:
                place = lead.login.address.place
                if place not in asked and len(asked) + len(fresh) < MOST_NODES:
                    fresh.setdefault(place, lead)
            asked |= fresh.keys()
            leads = self._below(_added(found, await self._ask(list(fresh.values()))))
        return [seen for seen in found.values() if seen is not primary]

    def _below(self, nodes: Iterable[Seen]) -> list[_Lead]:
        return [
            _Lead(self._at(listed.host, listed.port, told_by=seen), listed)
            for seen in nodes
            for listed in followers(seen.info)
        ]

    async def _ask(self, leads: list[_Lead]) -> list[Seen]:
        """Those that answer, in order; all are asked at once."""
        answers: dict[int, Seen] = {}

        async def ask(number: int, lead: _Lead) -> None:
            try:
                seen = await self._look(lead.login)
            except Failed as error:
                self.against.append(error.message)
            else:
                answers[number] = structs.replace(seen, listed=lead.listed)

        async with anyio.create_task_group() as tasks:
            for number, lead in enumerate(leads):
                tasks.start_soon(ask, number, lead)
        return [answers[number] for number in sorted(answers)]

    async def _look(self, login: Login) -> Seen:
        """Ask a node that need not be there; raises within the time for it."""
        with anyio.move_on_after(self._timeouts.look):
            async with open_node(login, self._timeouts) as node:
                return Seen(login, fields(await node.text("INFO")))
        raise timed_out(login.address, doing="INFO")

    def _at(self, host: str, port: int, *, told_by: Seen) -> Login:
        """The same login elsewhere: user, password and TLS are the cache's."""
        home = self._login.address
        address = Address(
            host=seen_from(printable(host), told_by=told_by.login.address.host),
            port=port,
            user=home.user,
            tls=home.tls,
        )
        return structs.replace(self._login, address=address)


async def _ways(login: Login) -> list[Login]:
    """The login at each address of its host's name, or as it is if there is only one.

    A certificate still is for the name.
    """
    address, tls = login.address, login.tls
    if address.socket is not None or address.host == "localhost":
        return [login]
    try:
        found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return [login]
    hosts = list(dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))
    if len(hosts) < 2:
        return [login]
    if tls is not None:
        tls = structs.replace(tls, server_name=tls.server_name or address.host)
    return [Login(structs.replace(address, host=host), login.credentials, tls) for host in hosts]


def _added(found: dict[str, Seen], answers: list[Seen]) -> list[Seen]:
    """Those among the answers that were not found yet, which they are now.

    Of one that was found by another address, only how it is listed is kept.
    """
    new = []
    for seen in answers:
        before = found.get(seen.run_id)
        if before is None:
            found[seen.run_id] = seen
            new.append(seen)
        elif before.listed is None and not is_primary(before.info):
            found[seen.run_id] = structs.replace(before, listed=seen.listed)
    return new
