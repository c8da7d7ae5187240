"""What the keeping and recovering of the log's copies needs of the outside."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from msgspec import Struct

from daemon.actors.seams import ReadableVaults
from daemon.commands import Command
from daemon.ports import Clock, Ids, Offload
from daemon.storage.sealing import Keys
from events.envelope import Record, Who
from events.facts import InstallationId, VaultName


class NamedVaults(ReadableVaults, Protocol):
    """The configured vaults, and their names."""

    @property
    def names(self) -> tuple[VaultName, ...]:
        """All of them, in order."""
        ...


class Rebuilding(Protocol):
    """Makes a log from a copy beside the one in use; only the composition root knows its file."""

    async def build(
        self, records: AsyncGenerator[Record, None], commands: Sequence[Command], who: Who
    ) -> None:
        """Write a log of these records and then of what the commands lead to; may be repeated.

        Nothing of it is used before `put_in_place`.
        """
        ...

    def put_in_place(self) -> None:
        """Have the daemon go on with the built log: at once, or at its next start."""
        ...


class Outside(Struct, frozen=True):
    """Vaults, keys, and the ports."""

    vaults: NamedVaults
    keys: Keys
    clock: Clock
    ids: Ids
    offload: Offload
    installation: InstallationId
