"""What a vault knows of a log that was lost: its backups by their manifests, its copy of the log.

Reads, and decides nothing that happens by itself: a survey is what a person is shown. Manifests
and copies are read as if a stranger had written them, for that may be so.
"""

import hashlib
from collections.abc import Callable

import anyio
from msgspec import Struct, field

from daemon.actors.history.chain import Chain, read_chain
from daemon.actors.history.comparison import Difference, difference, identities
from daemon.actors.history.seams import Outside
from daemon.commands import FoundBackup
from daemon.errors import Failed
from daemon.ledger import Ledger
from daemon.ports import Tell, untold
from daemon.storage import names
from daemon.storage.catalog import MANIFEST_LIMIT_BYTES, decode
from daemon.storage.manifest import Manifest
from daemon.storage.ownership import owner
from daemon.storage.tips import listed
from daemon.storage.vault import Vault
from events.facts import BackupId, CacheName, InstallationId, StoredFacts, VaultName
from projections.state import State

AT_ONCE = 8
"""Manifests that are read at a time."""


class VaultSurvey(Struct, frozen=True):
    """One vault. `unknown` are the backups that our log does not have.

    `there` counts all of them; `trouble` is why the vault cannot be read, or manifests in it.
    """

    vault: VaultName
    owner: InstallationId | None = None
    ours: bool = False
    there: int = 0
    unknown: tuple[FoundBackup, ...] = ()
    chain: Chain = field(default_factory=Chain)
    difference: Difference | None = None
    trouble: tuple[str, ...] = ()
    unreachable: bool = False


class Plan(Struct, frozen=True):
    """What a recovery would do: each vault's survey, and whose copy becomes our log, if any's.

    `why_not` says why the history itself cannot be brought back, in words.
    """

    surveys: tuple[VaultSurvey, ...]
    history: VaultName | None = None
    why_not: str = ""

    def of(self, vault: VaultName) -> VaultSurvey:
        """One vault's survey."""
        return next(survey for survey in self.surveys if survey.vault == vault)


def is_new(state: State) -> bool:
    """Whether our log knows of no backup yet: only then another log may take its place."""
    stored = any(b.stored for of_cache in state.catalog.values() for b in of_cache.values())
    return not stored and state.recovery.recovered_at is None and not state.restores


async def survey(
    ledger: Ledger, outside: Outside, name: VaultName, tell: Tell = untold
) -> VaultSurvey:
    """Look at one vault; what cannot be read is told in it."""
    try:
        return await _survey(ledger, outside, name, tell)
    except Failed as error:
        return VaultSurvey(name, trouble=(error.message,), unreachable=True)


async def _survey(ledger: Ledger, outside: Outside, name: VaultName, tell: Tell) -> VaultSurvey:
    tell(f"vault {name}: listing")
    vault = await outside.vaults.readable(name)
    found = await owner(vault)
    ours = found is not None and found.installation == outside.installation
    there = await listed(vault)
    catalog = ledger.state.catalog
    known = {backup_id for of_cache in catalog.values() for backup_id in of_cache}
    unknown = [one for one in there if one[0] not in known]

    def said(doing: str, done: int = 0, total: int | None = None) -> None:
        tell(f"vault {name}: {doing}", done, total)

    def read(done: int) -> None:
        said("reading manifests", done, len(unknown))

    backups, unread = await _manifests(vault, unknown, read)
    return VaultSurvey(
        name,
        found.installation if found else None,
        ours=ours,
        there=len(there),
        unknown=tuple(sorted(backups, key=lambda one: (one.created_at, one.backup_id))),
        chain=await read_chain(vault, outside.offload, await identities(outside, name), said),
        difference=await difference(ledger, outside, name) if ours else None,
        trouble=tuple(unread),
    )


async def _manifests(
    vault: Vault, wanted: list[tuple[BackupId, CacheName, int]], told: Callable[[int], None]
) -> tuple[list[FoundBackup], list[str]]:
    backups: list[FoundBackup] = []
    unread: list[str] = []
    room = anyio.CapacityLimiter(AT_ONCE)

    begun = 0

    async def read(backup_id: BackupId, cache: CacheName, attempt: int) -> None:
        nonlocal begun
        name = names.manifest_object(cache, backup_id, attempt)
        async with room:
            told(begun)
            begun += 1
            try:
                data = await vault.get(name, MANIFEST_LIMIT_BYTES)
                manifest = decode(data or b"")
            except Failed as error:
                if not error.permanent:
                    raise
                unread.append(f"{name}: {error.message}")
                return
        if (manifest.cache, manifest.backup_id, manifest.attempt) != (cache, backup_id, attempt):
            unread.append(f"{name} belongs to another backup")
            return
        backups.append(_found(manifest, data or b""))

    async with anyio.create_task_group() as tasks:
        for one in wanted:
            tasks.start_soon(read, *one)
    return backups, unread


def _found(manifest: Manifest, data: bytes) -> FoundBackup:
    shards = manifest.shards
    return FoundBackup(
        cache=manifest.cache,
        backup_id=manifest.backup_id,
        kind=manifest.kind,
        name=manifest.name,
        created_at=manifest.created_at,
        snapshot=manifest.snapshot,
        stored=StoredFacts(
            plain_bytes=sum(shard.plain_bytes for shard in shards),
            stored_bytes=sum(shard.stored_bytes for shard in shards),
            sha256=shards[0].sha256 if shards else "",
            manifest_sha256=hashlib.sha256(data).hexdigest(),
            blocks=sum(len(shard.blocks) for shard in shards),
            unread="it was recovered from its manifest, which does not tell",
            recipients=shards[0].recipients if shards else (),
        ),
        attempt=manifest.attempt,
    )
