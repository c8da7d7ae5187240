"""Leases of hosts: one at a time, in turn, and nobody waits for a host that is not his."""

import socket
from functools import partial

import anyio
import pytest

from daemon.valkey.address import parse
from daemon.valkey.hosts import THIS, Hosts, Machine, machine
from tests.simulation.virtual import pass_time, virtually

A, B = frozenset({"10.0.0.1"}), frozenset({"10.0.0.2"})
BOTH = A | B


class Street:
    """Who had a host when; everybody comes one after the other, and stays for ten seconds."""

    def __init__(self) -> None:
        self.hosts = Hosts()
        self.came: list[tuple[str, float]] = []
        self.waited: list[str] = []

    async def visit(self, name: str, host: Machine, at_once: bool = False) -> None:  # noqa: FBT001, FBT002
        """Have the host for ten seconds."""
        waits = partial(self.waited.append, name)
        async with self.hosts.lease(host, waits, at_once=at_once) as waited:
            assert waited == (name in self.waited)
            self.came.append((name, anyio.current_time()))
            await pass_time(10)


def test_one_at_a_time_in_the_order_they_came() -> None:
    """A host's visitors wait for each other, and another host's visitor for nobody."""

    async def main() -> None:
        street = Street()
        async with anyio.create_task_group() as tasks:
            for name, host in (("a1", A), ("a2", A), ("b1", B), ("a3", A)):
                tasks.start_soon(street.visit, name, host)
                await pass_time(0.1)
        assert [name for name, _ in street.came] == ["a1", "b1", "a2", "a3"]
        assert street.waited == ["a2", "a3"]
        assert anyio.current_time() == pytest.approx(30)

    virtually(main)


def test_a_host_of_two_addresses_is_one() -> None:
    """Who has both waits for each and keeps each waiting; nobody overtakes him."""

    async def main() -> None:
        street = Street()
        async with anyio.create_task_group() as tasks:
            for name, host in (("a1", A), ("both", BOTH), ("b1", B)):
                tasks.start_soon(street.visit, name, host)
                await pass_time(0.1)
        assert street.came == [("a1", 0.0), ("both", 10.0), ("b1", 20.0)]

    virtually(main)


def test_what_cannot_wait_comes_in_and_keeps_others_out() -> None:
    """A safety backup takes the host beside who has it; both must have left before the next."""

    async def main() -> None:
        street = Street()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(street.visit, "first", A)
            await pass_time(3)
            tasks.start_soon(street.visit, "safety", A, True)  # noqa: FBT003
            tasks.start_soon(street.visit, "last", A)
        assert street.came == [("first", 0.0), ("safety", 3.0), ("last", 13.0)]

    virtually(main)


@pytest.mark.parametrize("when", [5.0, 10.0])
def test_who_gives_up_waiting_leaves_nothing_behind(when: float) -> None:
    """Cancelled while waiting, or in the moment of the turn: the next one comes in time."""

    async def main() -> None:
        street = Street()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(street.visit, "first", A)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:

                    async def give_up() -> None:
                        await pass_time(when)
                        scope.cancel()

                    inner.start_soon(give_up)
                    inner.start_soon(street.visit, "second", A)
            tasks.start_soon(street.visit, "third", A)
        assert street.came[-1] == ("third", 10.0)

    virtually(main)


@pytest.mark.anyio
async def test_names_of_this_host_are_one_host() -> None:
    """Loopback addresses, the name for them, sockets and this host's own address are this host."""
    for url in ("valkey://127.0.0.1", "valkey://127.9.9.9:7", "valkey://[::1]", "unix:///run/v"):
        assert THIS in await machine(parse(url))
    assert THIS in await machine(parse("valkey://localhost"))
    assert THIS in await machine(parse(f"valkey://{await anyio.to_thread.run_sync(_own)}"))


@pytest.mark.anyio
async def test_other_hosts_are_others() -> None:
    """An address of nobody here is itself; a name that nobody knows stands for itself."""
    assert await machine(parse("valkey://192.0.2.1")) == {"192.0.2.1"}
    assert await machine(parse("valkey://no-such-host.invalid")) == {"no-such-host.invalid"}


def _own() -> str:
    """An address of this host as its own name is looked up, else loopback."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"
