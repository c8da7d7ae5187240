"""One vault: what it lets us do, and whether it has what the log says, no more and no less."""

from collections.abc import Iterator

import anyio
from msgspec import Struct

from daemon.answers.doctor import Finding, Grade
from daemon.doctor.rounds import Rounds, Sickroom
from daemon.doctor.stock import Difference, View, compare, manifest_of
from daemon.errors import Failed
from daemon.ledger import Ledger
from daemon.storage.inventory import Stock, take_stock
from daemon.storage.vault import ObjectInfo, Vault
from events.facts import InstallationId, VaultFault, VaultName
from projections.catalog import Backup
from projections.vault_checks import level_of, meaning

LISTING_SECONDS = 20.0
MOST_OBJECTS = 200_000
MOST_ASKED = 20
"""Manifests that are asked for by name, because the listing lacks them."""
_SHOWN = 3


class Ward(Struct, frozen=True):
    """Where vaults are examined."""

    rounds: Rounds
    vaults: Sickroom
    ledger: Ledger
    installation: InstallationId

    async def examine(self, name: VaultName) -> tuple[Finding, ...]:
        """Every finding on one vault."""
        faults = await self.rounds.examine(name)
        found = [of_fault(name, fault) for fault in faults]
        if not faults:
            told = "it takes, gives back, lists and deletes what it should"
            found.append(Finding("ok", "vault", told, name, code="vault"))
        if any(fault.deed in ("open", "list") for fault in faults):
            return tuple(found)
        return (*found, *await self._stock(name))

    async def _stock(self, name: VaultName) -> tuple[Finding, ...]:
        before = self.ledger.state
        try:
            vault = await self.vaults.readable(name)
            stock = await take_stock(vault, seconds=LISTING_SECONDS, most=MOST_OBJECTS)
            if not stock.whole:
                return (_unfinished(name, stock),)
            view = View(name, self.installation, before, self.ledger.state)
            difference = compare(stock.objects, view)
            gone = await _asked_for(vault, difference.unlisted)
        except Failed as error:
            return (Finding("problem", "vault", error.message, name, error.hint, error.code),)
        return tuple(of_stock(name, stock, difference, gone))


def of_fault(name: VaultName, fault: VaultFault) -> Finding:
    """A fault as a finding; a deed that is only for tidying up is a warning in `check`.

    Here it is a problem all the same: a permission is missing.
    """
    failure = fault.failure
    mild = level_of(fault) == "warning" and failure.code == "vault-listing-short"
    grade: Grade = "warning" if mild else "problem"
    return Finding(grade, "vault", meaning(fault), name, failure.hint, failure.code)


def of_stock(
    name: VaultName, stock: Stock, difference: Difference, gone: tuple[Backup, ...]
) -> Iterator[Finding]:
    """What the comparison comes to; `gone` are backups that the vault itself denies to have."""
    unknown = difference.unknown
    size = _size(stock.objects)
    if not unknown:
        told = f"{len(stock.objects):,} objects, {size}; the log knows all of them"
        yield Finding("ok", "vault", told, name, code="vault-stock")
    else:
        told = (
            f"{len(unknown):,} of {len(stock.objects):,} objects are unknown to the log, "
            f"{_size(unknown)}: {_some([info.name for info in unknown])}"
        )
        hint = (
            "Valkeep never deletes what it does not know. Backups of a log that was lost come back "
            "by `valkeep recover`; what is nobody's can be deleted by hand."
        )
        yield Finding("warning", "vault", told, name, hint, "vault-unknown-objects")
    yield from _of_unlisted(name, difference.unlisted, gone=gone)


def _of_unlisted(
    name: VaultName, unlisted: tuple[Backup, ...], *, gone: tuple[Backup, ...]
) -> Iterator[Finding]:
    if gone:
        told = f"{len(gone):,} backups have lost their manifest: {_backups(gone)}"
        hint = (
            "Find out who deleted it. Nothing was changed: `valkeep backup verify "
            f"{gone[0].cache}/{gone[0].name}` tells what is left, and the log still lists it."
        )
        yield Finding("problem", "vault", told, name, hint, "manifest-missing")
    rest = tuple(backup for backup in unlisted if backup not in gone)
    if rest:
        told = f"{len(rest):,} backups are not in the listing: {_backups(rest)}"
        hint = (
            "A listing that comes back short proves nothing: `valkeep backup verify "
            f"{rest[0].cache}/{rest[0].name}` asks for the data itself."
        )
        yield Finding("warning", "vault", told, name, hint, "vault-listing-short")


async def _asked_for(vault: Vault, unlisted: tuple[Backup, ...]) -> tuple[Backup, ...]:
    """Those of the first few whose manifest the vault says that it has not."""
    gone: list[Backup] = []
    with anyio.move_on_after(LISTING_SECONDS):
        for backup in unlisted[:MOST_ASKED]:
            if await vault.size(manifest_of(backup)) is None:
                gone.append(backup)  # noqa: PERF401 - what was found in time counts
    return tuple(gone)


def _unfinished(name: VaultName, stock: Stock) -> Finding:
    told = (
        f"its listing did not end within {LISTING_SECONDS:g} s and {MOST_OBJECTS:,} objects: "
        f"{len(stock.objects):,} were seen, and nothing is concluded from them"
    )
    hint = "Only the search for unknown objects is left out: everything else was tried."
    return Finding("warning", "vault", told, name, hint, "vault-listing-long")


def _size(objects: tuple[ObjectInfo, ...]) -> str:
    return f"{sum(info.size_bytes for info in objects):,} bytes"


def _backups(backups: tuple[Backup, ...]) -> str:
    return _some([f"{backup.cache}/{backup.name}" for backup in backups])


def _some(told: list[str]) -> str:
    more = f" and {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else ""
    return f"{', '.join(told[:_SHOWN])}{more}"
