"""Visiting the target of a restore by keys: facts, the loaded backup, counts, and the plan.

The same visit serves `restore --plan`, which ends there, and the restore itself, which goes on
from it. Nothing here changes the target.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from msgspec import Struct, structs

from daemon.actors.restore.elsewhere import from_vault
from daemon.actors.restore.loading import Filled, Workshop, engine_for, filled, source_of
from daemon.actors.restore.planning import known, unlocked
from daemon.ports import Clock, Progress
from daemon.storage.one_error import one_error
from daemon.storage.sealing import Keys
from daemon.valkey.connection import Node, Secrets, Timeouts, login, open_node
from daemon.valkey.keys.mover import Counts, Mover, Plan, Way
from daemon.valkey.keys.rights import lacking
from daemon.valkey.keys.slots import cluster
from daemon.valkey.keys.store import open_store, shows_expired
from daemon.valkey.probe import server
from events.facts import RestorePlan, ServerFacts, TargetFacts, TrialFacts
from events.moves import KeysMoved, KeysWish
from projections.keys_plan import Case, Held, Packer, Wanted, databases_of, keys_plan
from projections.rdb_versions import release
from projections.restore_plan import Offer, Wishes

LONGEST_BYTES = 512 << 20
"""``proto-max-bulk-len`` where it is not told."""
MARGIN_BYTES = 64
SETS_ENDS_SINCE = (6, 2)


class KeysWork(Struct, frozen=True):
    """What a restore by keys needs beside the ledger."""

    secrets: Secrets
    timeouts: Timeouts
    clock: Clock
    keys: Keys
    workshop: Workshop


class KeysVisit(Struct, frozen=True):
    """A target that was looked at; without a `mover` the plan has a blocker."""

    plan: RestorePlan
    way: Way
    node: Node
    facts: TargetFacts
    mover: Mover | None = None
    plain_bytes: int = 0


class Quiet:
    """The progress of a plan, which nobody follows."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Nothing."""

    def advance(self, moved_bytes: int) -> None:
        """Nothing."""


class KeysVisits:
    """Visits targets and plans restores by keys into them; also the API's planner of those."""

    def __init__(self, outside: KeysWork) -> None:
        self.outside = outside

    async def plan(self, wanted: Wanted) -> RestorePlan:
        """What a restore of these keys would do now; touches nothing."""
        async with self.visit(wanted, Quiet()) as visit:
            return visit.plan

    @asynccontextmanager
    async def visit(self, wanted: Wanted, progress: Progress) -> AsyncGenerator[KeysVisit, None]:
        """The target, with the backup loaded beside it where nothing speaks against that."""
        outside, backup = self.outside, from_vault(wanted.backup, wanted.vault)
        progress.phase("planning")
        lock = await unlocked(backup, outside.keys)
        snapshot, stored = known(backup)
        there = login(wanted.settings, outside.secrets)
        with one_error():
            async with AsyncExitStack() as stack:
                node = await stack.enter_async_context(open_node(there, outside.timeouts))
                facts, way = await self._looked(node)
                engine = engine_for(outside.workshop, backup, facts.server)
                case = Case(
                    offer=Offer(snapshot, stored, lock.facts),
                    wish=wanted.wish,
                    packer=Packer(engine.kind, engine.version),
                    wishes=Wishes(safety_backup=wanted.safety_backup),
                )
                first = keys_plan(case, facts)
                if _blocked(first, wanted.force):
                    yield KeysVisit(first, way, node, facts)
                    return
                source = await source_of(outside.workshop, backup, lock.identities)
                full = await stack.enter_async_context(
                    filled(outside.workshop, engine, source, progress)
                )
                store = await stack.enter_async_context(
                    open_store(engine, full.socket, outside.timeouts, expired=shows_expired(engine))
                )
                everything = {db: keys for db, (keys, _) in (await store.databases()).items()}
                mover = Mover(store, way, self._plan(wanted, everything, facts.server), progress)
                held = await _held(mover, wanted, facts, full)
                held = structs.replace(held, all_keys=sum(everything.values()))
                plan = keys_plan(structs.replace(case, held=held), facts)
                yield KeysVisit(plan, way, node, facts, mover, source.shard.plain_bytes)

    async def _looked(self, node: Node) -> tuple[TargetFacts, Way]:
        found = await server(node)
        rights = await lacking(node, found)
        longest = int(found.settings.get("proto-max-bulk-len", LONGEST_BYTES)) - MARGIN_BYTES
        way = Way(
            node.login,
            self.outside.timeouts,
            longest=longest,
            sets_ends=release(found.version) >= SETS_ENDS_SINCE,
        )
        if found.cluster and rights is None:
            way = structs.replace(way, cluster=await cluster(node))
            found = await self._together(way, found)
        trial = TrialFacts("not-needed", "a restore by keys needs no way back to us")
        return TargetFacts(found, trial, rights), way

    async def _together(self, way: Way, found: ServerFacts) -> ServerFacts:
        """A cluster's primaries as one: their keys and their memory together."""
        keys = used = limit = 0
        for where in way.logins:
            async with open_node(where, self.outside.timeouts) as node:
                one = await server(node)
            keys += sum(one.keys.values())
            used += one.used_memory_bytes
            limit += one.maxmemory_bytes
        return structs.replace(found, keys={0: keys}, used_memory_bytes=used, maxmemory_bytes=limit)

    def _plan(self, wanted: Wanted, held: dict[int, int], target: ServerFacts) -> Plan:
        snapshot, _ = known(wanted.backup)
        age = max(timedelta(), self.outside.clock.now() - snapshot.taken_at)
        going = databases_of(held, wanted.wish, target)
        databases: dict[int, int | None] = {
            db: going.get(db) for db in held if wanted.wish.database in (None, db)
        }
        shift = int(age / timedelta(milliseconds=1)) if wanted.wish.ttl == "shift" else 0
        return Plan(wanted.wish, databases, shift)


async def _held(mover: Mover, wanted: Wanted, facts: TargetFacts, full: Filled) -> Held:
    """The counts; the target is asked for each key only where that can change anything."""
    told = wanted.wish.on_conflict == "replace" and wanted.replace
    look = sum(facts.server.keys.values()) > 0 and not told
    counts = await mover.count(look=look)
    return Held(
        moved=_planned(counts, wanted.wish),
        databases=counts.per_database,
        all_keys=0,
        looked=look,
        dropped=0 if shows_expired(full.engine) else full.loaded.expired,
        load_seconds=full.loaded.seconds,
    )


def _planned(counts: Counts, wish: KeysWish) -> KeysMoved:
    skipped = counts.there if wish.on_conflict == "skip" else 0
    return KeysMoved(
        chosen=counts.chosen,
        existing=counts.there,
        written=counts.chosen - counts.expired - skipped,
        skipped=skipped,
        expired=counts.expired,
    )


def _blocked(plan: RestorePlan, force: tuple[str, ...]) -> bool:
    return any(
        one.level == "blocker" and not (one.forcible and one.code in force) for one in plan.findings
    )
