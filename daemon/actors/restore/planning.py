"""Visiting a restore's target: facts, the trial of the way back to us, and the plan.

The same visit serves `restore --plan`, which ends there, and the restore itself, which goes
on from it. Nothing here changes the target.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct

from daemon.errors import Failed, Permanent
from daemon.ports import Ids
from daemon.storage.one_error import one_error
from daemon.storage.sealing import Identities, Keys
from daemon.valkey.connection import Node, Secrets, Timeouts, login
from daemon.valkey.listener import Door, Listener, Names, listening
from daemon.valkey.primary import Access
from daemon.valkey.probe import server
from daemon.valkey.target import Target, open_target
from daemon.valkey.target_facts import Entry, entry, route, target_facts, try_listener
from events.facts import (
    CacheSettings,
    RestorePlan,
    SnapshotFacts,
    StoredFacts,
    TargetFacts,
    TrialFacts,
)
from projections.caches import Cache
from projections.catalog import Backup
from projections.restore_identity import Unlocking
from projections.restore_plan import Offer, Wishes, restore_plan

PASSWORD_CHARACTERS = 48


class Listening(Struct, frozen=True):
    """``[restore]`` of the configuration: where to listen, and what to say that we are called."""

    bind: str
    advertise: str
    port: int
    accept_from: Literal["target", "any"]


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
        keys: Keys,
    ) -> None:
        self._secrets = secrets
        self._timeouts = timeouts
        self._listening = listening
        self._ids = ids
        self._keys = keys

    async def plan(self, backup: Backup, target: Cache) -> RestorePlan:
        """What a restore would do now; touches nothing. Raises `Transient` or `Permanent`."""
        lock = await unlocked(backup, self._keys)
        async with self.visit(target.settings) as visit:
            return planned(backup, visit.facts, Wishes(), lock.facts)

    @asynccontextmanager
    async def visit(self, settings: CacheSettings) -> AsyncGenerator[Visit, None]:
        """A target with our listener open for it, as long as the context lasts."""
        names = Names(self._ids.token(40), f"VALKEEP-{self._ids.token(16)}")
        with one_error():
            async with open_target(login(settings, self._secrets), self._timeouts) as target:
                door = await self._door(target.node)
                way = await self._way(target.node)
                async with listening(door, way.entry.access, names) as listener:
                    facts = await _look(target.node, listener, names, way)
                    yield Visit(target, listener, names, way.entry, facts)

    async def _door(self, node: Node) -> Door:
        between = await route(node)
        wanted = self._listening
        return Door(
            bind=wanted.bind,
            port=wanted.port,
            advertise=wanted.advertise or between.ours,
            allowed=between.theirs if wanted.accept_from == "target" else None,
        )

    async def _way(self, node: Node) -> "_Way":
        """What the target will say to us; where it does not tell, why (the plan has a finding)."""
        password = self._ids.token(PASSWORD_CHARACTERS)
        try:
            return _Way(await entry(node, password), None)
        except Failed as error:
            if error.code not in {"cache-rights", "command-unknown"}:
                raise
            return _Way(Entry(Access(password), one_time=True), error.message)


class _Way(Struct, frozen=True):
    """How the target comes in to us; `withheld` says why it does not tell its password."""

    entry: Entry
    withheld: str | None


async def _look(node: Node, listener: Listener, names: Names, way: _Way) -> TargetFacts:
    """Everything about the target, the trial of its way to our listener included."""
    if way.withheld is not None:
        return await target_facts(node, TrialFacts("not-tried", way.withheld))
    facts = await server(node)
    trial = await try_listener(node, listener, way.entry.access, names, facts)
    return await target_facts(node, trial)


def planned(
    backup: Backup, facts: TargetFacts, wishes: Wishes, unlocking: Unlocking
) -> RestorePlan:
    """The plan for one complete backup."""
    snapshot, stored = known(backup)
    return restore_plan(Offer(snapshot, stored, unlocking), facts, wishes)


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
    return backup.snapshot, backup.stored
