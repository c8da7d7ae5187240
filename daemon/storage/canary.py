"""The canary: a small object of our own that dies so that no backup has to.

Does to a vault, once, everything that backups, sweeps and retention will do to it, and tells
what it did not let us do. It leaves nothing: whatever an earlier one left, killed in the
middle, lies in the same folder and goes with it. One at a time for each vault, please.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

import anyio
from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from daemon.storage import names
from daemon.storage.ownership import may_write
from daemon.storage.vault import ObjectName, Vault
from daemon.storage.vault_errors import HANGS
from events.facts import InstallationId, VaultDeed, VaultFault

STEP_SECONDS = 15.0
"""One deed may take so long: room for a vault's own tries, whose last error says more."""
LARGE_BYTES = (8 << 20) + 1
"""More than one part of a multipart upload, so that an S3 vault begins one."""
_PIECE = bytes(1 << 20)


class Trial(Struct, frozen=True):
    """Who tries, under which fresh name, and whether the log knows of backups in the vault."""

    installation: InstallationId
    fresh: str
    used: Callable[[], bool] = lambda: False
    step_seconds: float = STEP_SECONDS

    @property
    def folder(self) -> str:
        """Everything that this installation's canaries store lies below it."""
        return names.canary_folder(self.installation)

    @property
    def name(self) -> ObjectName:
        """The canary."""
        return ObjectName(self.folder + self.fresh)

    @property
    def data(self) -> bytes:
        """What it is made of, other than what any canary before it was."""
        return f"Valkeep {self.installation} tried this vault: {self.fresh}.\n".encode()


async def try_out(vault: Vault, trial: Trial) -> tuple[VaultFault, ...]:
    """Put, read, list, begin and give up an upload, delete; what went wrong, nothing raised.

    A vault of somebody else is not written to, and one that hangs is left alone at once.
    """
    flight = _Flight(vault, trial)
    with suppress(_HangsError):  # Told already; whatever came next would hang as well.
        await flight.fly()
    return tuple(flight.faults)


class _HangsError(Exception):
    """The vault did not answer in time."""


class _Flight:
    """One canary's life, and what was found in it."""

    def __init__(self, vault: Vault, trial: Trial) -> None:
        self.faults: list[VaultFault] = []
        self._vault = vault
        self._trial = trial

    async def fly(self) -> None:
        """All deeds, in an order in which each finds what it needs."""
        if not await self._does("open", self._open):
            if self.faults[0].failure.code == "vault-rights":
                # Whoever may not list is refused by S3 also to read what is not there.
                await self._does("list", self._look)
            return
        written = await self._does("write", self._write)
        kept = written and await self._does("read", self._read)
        await self._does("list", self._list if kept else self._look)
        if written:
            await self._does("upload", self._upload)
            await self._does("delete", self._delete)
        await self._does("sweep", self._sweep)

    async def _does(self, deed: VaultDeed, do: Callable[[], Awaitable[None]]) -> bool:
        """Whether it went well; if not, why is noted, once for each reason."""
        try:
            with anyio.fail_after(self._trial.step_seconds):
                await do()
        except Failed as error:
            self._note(deed, error)
            return False
        except TimeoutError:
            self._note(deed, self._hangs(deed))
            raise _HangsError from None
        return True

    def _note(self, deed: VaultDeed, error: Failed) -> None:
        """What makes one deed impossible makes a later one so: one cause is told once."""
        told = [(fault.failure.code, fault.failure.hint) for fault in self.faults]
        cannot_delete = any(fault.deed == "delete" for fault in self.faults)
        consequence = cannot_delete and error.code == "vault-not-clear"
        if not consequence and (error.code, error.hint) not in told:
            self.faults.append(VaultFault(deed, error.as_failure()))

    async def _open(self) -> None:
        trial = self._trial
        await may_write(self._vault, trial.installation, used=trial.used)

    async def _write(self) -> None:
        await self._vault.put(self._trial.name, self._trial.data)

    async def _read(self) -> None:
        name, data = self._trial.name, self._trial.data
        found = await self._vault.get(name, 1 << 20)
        if found != data:
            given = "nothing" if found is None else "other bytes"
            raise Permanent(
                "vault-forgets",
                f"{self._vault.url} took {name} and gives {given} back",
                "find out what answers there: it accepts what it does not keep",
            )

    async def _list(self) -> None:
        async with aclosing(self._listing()) as found:
            if self._trial.name not in [name async for name in found]:
                raise Permanent(
                    "vault-listing-short",
                    f"the listing of {self._vault.url} lacks {self._trial.name}, stored just now",
                    "a listing that comes late or short finds no leftovers: ask who runs the vault",
                )

    async def _look(self) -> None:
        async with aclosing(self._listing()) as found:
            async for _ in found:
                return

    async def _listing(self) -> AsyncGenerator[ObjectName, None]:
        async with aclosing(self._vault.list(self._trial.folder)) as infos:
            async for info in infos:
                yield info.name

    async def _upload(self) -> None:
        async with self._vault.create(ObjectName(f"{self._trial.name}.large")) as writer:
            left = LARGE_BYTES
            while left > 0:
                await writer.write(_PIECE[:left])
                left -= len(_PIECE)

    async def _delete(self) -> None:
        await self._vault.delete(self._trial.name)
        if await self._vault.size(self._trial.name) is not None:
            raise Permanent(
                "vault-keeps",
                f"{self._vault.url} took the deletion of {self._trial.name} and still has it",
                "an object lock, a WORM setting or an answer from a cache: ask who runs the vault; "
                "if that is meant, give the bucket a lifecycle rule that ends after the lock",
            )

    async def _sweep(self) -> None:
        await self._vault.clear(self._trial.folder)

    def _hangs(self, deed: VaultDeed) -> Transient:
        return Transient(
            "vault-hangs",
            f"{self._vault.url} did not answer in {self._trial.step_seconds:g} s ({deed})",
            HANGS,
        )
