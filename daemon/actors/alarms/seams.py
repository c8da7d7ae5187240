"""What alarms ask of the outside; the composition root fills it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from events.alarms import ChannelName
from events.facts import VaultName
from projections.checks import Line
from projections.log_checks import CopyStanding


class Outgoing(Struct, frozen=True):
    """A message as it goes out; `level` says how grave it is."""

    message_id: str
    level: str
    title: str
    text: str


class Messenger(Protocol):
    """Takes messages to the addresses of channels."""

    async def send(self, channel: ChannelName, outgoing: Outgoing) -> str:
        """Deliver it, within a bound of its own; what kind of service took it.

        Raises `Transient` or `Permanent`, whose words hold no secret. A try that failed, or was
        cancelled, may have delivered all the same.
        """
        ...


class Pulse(Protocol):
    """Reaches the address that expects our heartbeats."""

    async def beat(self, *, well: bool) -> None:
        """Say that all is well, or that it is not; raises `Transient` or `Permanent`."""
        ...


async def nothing_measured() -> tuple[Line, ...]:
    """No verdict on what is not in the log."""
    return ()


class Surroundings(Struct, frozen=True):
    """Where messages go, and what a verdict needs beside the log.

    Vaults, copies of the log, and what was `measured`: disks, vaults that do not answer.
    """

    messenger: Messenger
    vaults: Mapping[VaultName, str]
    copies: Callable[[], tuple[CopyStanding, ...]] = tuple
    measured: Callable[[], Awaitable[tuple[Line, ...]]] = nothing_measured
