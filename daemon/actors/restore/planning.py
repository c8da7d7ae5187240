"""Visiting a restore's target: facts, the trial of the way back to us, and the plan.

The same visit serves `restore --plan`, which ends there, and the restore itself, which goes
on from it. Nothing here changes the target.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct, structs

from daemon.actors.restore.elsewhere import from_vault
from daemon.actors.restore.glance import Shelf, glance
from daemon.errors import Failed, Permanent
from daemon.ports import Ids
from daemon.storage.one_error import one_error
from daemon.storage.sealing import Identities, Keys
from daemon.valkey.connection import Node, Secrets, Timeouts, login
from daemon.valkey.listener import Door, Listener, Names, listening
from daemon.valkey.primary import Access
from daemon.valkey.probe import server
from daemon.valkey.target import Target, open_target
from daemon.valkey.target_facts import (
    Entry,
    entry,
    migrates_in_tls,
    route,
    target_facts,
    try_listener,
)
from daemon.valkey.tls import Tls, server_context
from events.facts import (
    CacheSettings,
    RestorePlan,
    SnapshotFacts,
    StoredFacts,
    TargetFacts,
    TrialFacts,
    VaultName,
)
from projections.caches import Cache
from projections.catalog import Backup
from projections.imports import settled_memory
from projections.restore_identity import Unlocking
from projections.restore_pace import pace
from projections.restore_plan import Offer, Wishes, restore_plan

PASSWORD_CHARACTERS = 48
_NO_CERTIFICATE = (
    "it replicates in TLS (tls-replication yes), and we have no certificate to show it"
)
_GIVE_ONE = (
    "Set tls_cert_file and tls_key_file in [restore], signed by an authority that is in the "
    "target's tls-ca-cert-file; docs/tls.md shows how."
)


class Listening(Struct, frozen=True):
    """``[restore]`` of the configuration: where to listen, and what to say that we are called."""

    bind: str
    advertise: str
    port: int
    accept_from: Literal["target", "any"]
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_ca_file: str | None = None

    @property
    def tls(self) -> Tls | None:
        """How we speak TLS, if it is said."""
        if self.tls_cert_file is None:
            return None
        return Tls(self.tls_ca_file, self.tls_cert_file, self.tls_key_file)


class Visit(Struct, frozen=True):
    """A target that has been looked at, with the listener it was told of still open."""

    target: Target
    listener: Listener
    names: Names
    entry: Entry
    facts: TargetFacts


class Planning:
    """Visits targets and plans restores into them; also the API's planner."""

    def __init__(
        self,
        secrets: Secrets,
        timeouts: Timeouts,
        listening: Listening,
        ids: Ids,
        shelf: Shelf,
    ) -> None:
        self._secrets = secrets
        self._timeouts = timeouts
        self._listening = listening
        self._ids = ids
        self._shelf = shelf

    async def plan(
        self, backup: Backup, target: Cache, vault: VaultName | None = None
    ) -> RestorePlan:
        """What a restore would do now; touches nothing. Raises `Transient` or `Permanent`."""
        offer = await self.offer(backup, vault)
        async with self.visit(target.settings) as visit:
            return restore_plan(offer, visit.facts, Wishes())

    async def offer(self, backup: Backup, vault: VaultName | None = None) -> Offer:
        """What a plan must know of one complete backup, as it lies in that vault or in its own."""
        snapshot, stored = known(backup)
        lock = await unlocked(from_vault(backup, vault), self._shelf.keys)
        return Offer(
            snapshot,
            stored,
            unlocking=lock.facts,
            glance=await glance(self._shelf, backup, vault, lock.identities),
            pace=pace(self._shelf.ledger.state, backup.cache),
        )

    @asynccontextmanager
    async def visit(self, settings: CacheSettings) -> AsyncGenerator[Visit, None]:
        """A target with our listener open for it, as long as the context lasts."""
        names = Names(self._ids.token(40), f"VALKEEP-{self._ids.token(16)}")
        with one_error():
            async with open_target(login(settings, self._secrets), self._timeouts) as target:
                way = self._fit(await self._way(target.node))
                door = await self._door(target.node, way)
                async with listening(door, way.entry.access, names) as listener:
                    facts = await _look(target.node, listener, names, way)
                    yield Visit(target, listener, names, way.entry, facts)

    async def _door(self, node: Node, way: "_Way") -> Door:
        between = await route(node)
        wanted = self._listening
        return Door(
            bind=wanted.bind,
            port=wanted.port,
            advertise=wanted.advertise or between.ours,
            allowed=between.theirs if wanted.accept_from == "target" else None,
            tls=wanted.tls if way.entry.tls and way.closed is None else None,
        )

    def _fit(self, way: "_Way") -> "_Way":
        """The way, closed where the target will speak TLS and we could not answer it."""
        if way.closed is not None or not way.entry.tls:
            return way
        if self._listening.tls is None:
            return _Way(way.entry, TrialFacts("failed", _NO_CERTIFICATE, _GIVE_ONE))
        try:
            server_context(self._listening.tls)
        except Failed as error:
            return _Way(way.entry, TrialFacts("failed", error.message, error.hint))
        return way

    async def _way(self, node: Node) -> "_Way":
        """What the target will say to us; where it does not tell, why (the plan has a finding)."""
        password = self._ids.token(PASSWORD_CHARACTERS)
        try:
            return _Way(await entry(node, password), None)
        except Failed as error:
            if error.code not in {"cache-rights", "command-unknown"}:
                raise
            withheld = TrialFacts("not-tried", error.message)
            return _Way(Entry(Access(password), one_time=True), withheld)


class _Way(Struct, frozen=True):
    """How the target comes in to us; `closed` says why it cannot be tried how it does."""

    entry: Entry
    closed: TrialFacts | None


async def _look(node: Node, listener: Listener, names: Names, way: _Way) -> TargetFacts:
    """Everything about the target, the trial of its way to our listener included."""
    if way.closed is not None:
        return await target_facts(node, way.closed)
    facts = await server(node)
    trial = await try_listener(node, listener, way.entry.access, names, facts)
    later = listener.tls and trial.outcome == "not-tried" and facts.role == "primary"
    tls_trial = later and not await migrates_in_tls(node)
    return structs.replace(await target_facts(node, trial), tls_trial=tls_trial)


class Unlocked(Struct, frozen=True):
    """The identities for an encrypted backup, if there are any, and what the plan says of it."""

    facts: Unlocking = Unlocking()
    identities: Identities | None = None


async def unlocked(backup: Backup, keys: Keys) -> Unlocked:
    """Read the identities that a backup needs, if it needs any; raises nothing."""
    _, stored = known(backup)
    if not stored.recipients:
        return Unlocked()
    try:
        found = await keys.identities(backup.vault)
    except Permanent as error:
        return Unlocked(Unlocking(trouble=error.as_failure()))
    facts = Unlocking(file=found.file, opens=found.recipients, exposed=found.exposed)
    return Unlocked(facts, found)


def known(backup: Backup) -> tuple[SnapshotFacts, StoredFacts]:
    """The facts of a complete backup; anything else is a bug of the caller."""
    if backup.snapshot is None or backup.stored is None:
        raise TypeError(f"backup {backup.backup_id} is not complete")
    return settled_memory(backup.snapshot, backup.proof.receipt), backup.stored
