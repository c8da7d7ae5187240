"""One snapshot per host at a time: who has which host now, and who waits for it.

In memory only, shared by all snapshots of the daemon: after a restart nothing runs. Knows
that names, addresses and sockets may mean one host; of several daemons it knows nothing.
"""

import ipaddress
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from daemon.valkey.address import Address

THIS = "this host"
Machine = frozenset[str]
"""A host by every address that is known of it, and `THIS` for the one that we run on. Two of
them are one host as soon as they share an address."""


class _Waiting:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.turn = anyio.Event()


class Hosts:
    """Leases of hosts, first come first served; waiting for one host holds up no other."""

    def __init__(self) -> None:
        self._held: list[Machine] = []
        self._queue: list[_Waiting] = []

    @asynccontextmanager
    async def lease(
        self, machine: Machine, waits: Callable[[], None], *, at_once: bool = False
    ) -> AsyncGenerator[bool, None]:
        """Have the host for as long as the context lasts; yields whether it was waited for.

        `waits` is called once if another has it. `at_once` does not wait (R4: the target of a
        restore refuses writes until its safety backup is made), but others wait for it.
        """
        waited = not at_once and not self._free(machine, self._queue)
        if waited:
            waits()
            await self._turn(machine)
        else:
            self._held.append(machine)
        try:
            yield waited
        finally:
            self._held.remove(machine)
            self._grant()

    async def _turn(self, machine: Machine) -> None:
        waiting = _Waiting(machine)
        self._queue.append(waiting)
        come = False
        try:
            await waiting.turn.wait()
            come = True
        finally:
            if not come:
                # Cancelled, perhaps in the very moment that its turn came.
                if waiting in self._queue:
                    self._queue.remove(waiting)
                else:
                    self._held.remove(machine)
                self._grant()

    def _free(self, machine: Machine, ahead: list[_Waiting]) -> bool:
        others = [*self._held, *(one.machine for one in ahead)]
        return all(machine.isdisjoint(other) for other in others)

    def _grant(self) -> None:
        """Let in everyone whose host is free and whom nobody waits before."""
        for waiting in list(self._queue):
            ahead = self._queue[: self._queue.index(waiting)]
            if self._free(waiting.machine, ahead):
                self._queue.remove(waiting)
                self._held.append(waiting.machine)
                waiting.turn.set()


async def machine(address: Address) -> Machine:
    """Which host an address leads to; a name that cannot be looked up stands for itself."""
    if address.socket is not None:
        return frozenset({THIS})
    try:
        found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except OSError:
        return frozenset({address.host})
    names = {str(sockaddr[0]) for _, _, _, _, sockaddr in found}
    ours = any(_ours(family, sockaddr) for family, _, _, _, sockaddr in found)
    return frozenset(names | ({THIS} if ours else set()))


def _ours(family: int, where: tuple[str | int, ...]) -> bool:
    """Whether this host has that address: then it also is what we would call it from.

    Connecting a datagram socket sends nothing.
    """
    address = ipaddress.ip_address(str(where[0]).partition("%")[0])
    if address.is_loopback or address.is_unspecified:
        return True
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(where)
        except OSError:
            return False
        return bool(probe.getsockname()[0] == where[0])
