"""The plan of a restore by replication (R2): what stands in its way, and what it will do.

Pure: three values in, one out. What was looked at (the target, the beginning of the stored
bytes) comes in with them; that every other byte is right is found out on the way (R5).
"""

from collections.abc import Iterator

from msgspec import Struct

from events.facts import (
    Finding,
    RestorePlan,
    ServerFacts,
    SnapshotFacts,
    StoredFacts,
    TargetFacts,
)
from projections.load_mode import LoadMode, choose, peak, room_needed
from projections.rdb_versions import newest_readable, reads, release
from projections.restore_consequences import consequences
from projections.restore_effects import by_hand, clients, durability
from projections.restore_identity import Unlocking, identity
from projections.restore_pace import Pace
from projections.restore_settings import differences
from projections.restore_stored import Glance, stored

BY_KEYS = "--keys '*'"
"""What to say for the method that needs no `REPLICAOF`."""


class Offer(Struct, frozen=True):
    """The backup as its events tell it, whether there is a key to it, and what a look has found.

    `pace` is how long the newest restore or receipt of its cache took.
    """

    snapshot: SnapshotFacts
    stored: StoredFacts
    unlocking: Unlocking = Unlocking()
    glance: Glance = Glance()
    pace: Pace | None = None


class Wishes(Struct, frozen=True):
    """What the caller wants beside the restore itself."""

    safety_backup: bool = True


def restore_plan(offer: Offer, target: TargetFacts, wishes: Wishes) -> RestorePlan:
    """What a restore of this backup into this target would do, blockers first."""
    target_keys = sum(target.server.keys.values())
    used, pace = offer.snapshot.server.used_memory_bytes, offer.pace
    mode = choose(used, target)
    findings = sorted(_findings(offer, target, mode), key=lambda finding: finding.level)
    return RestorePlan(
        findings=tuple(findings),
        load_mode=mode,
        safety_backup=wishes.safety_backup and target_keys > 0,
        target_keys=target_keys,
        clients=clients(target, mode),
        by_hand=by_hand(target, mode),
        method="replication",
        seconds=round(pace.for_bytes(offer.stored.plain_bytes), 3) if pace else None,
        seconds_basis=pace.basis if pace else "",
        peak_bytes=peak(mode, backup_bytes=used, target_bytes=target.server.used_memory_bytes),
        consequences=consequences(target, mode, used),
    )


def _findings(offer: Offer, target: TargetFacts, mode: LoadMode) -> Iterator[Finding]:
    yield from stored(offer.glance, offer.snapshot.rdb_version)
    yield from identity(offer.stored, offer.unlocking)
    yield from _place(target)
    yield from _access(target)
    yield from _versions(offer, target)
    yield from _room(offer, target, mode)
    yield from _databases(offer, target)
    yield from _modules(offer, target)
    yield from differences(source=offer.snapshot.server, target=target.server)
    yield Finding("persistence", "warning", durability(target, mode))


def _place(target: TargetFacts) -> Iterator[Finding]:
    server = target.server
    if server.role == "replica":
        yield Finding(
            "replica",
            "blocker",
            "The target is a replica: its primary's data would come back at once.",
            "Restore into its primary.",
        )
    if server.cluster:
        yield Finding(
            "topology",
            "blocker",
            "The target is a node of a cluster, which refuses to replicate from us.",
            f"Use {BY_KEYS}: by keys it can be restored into.",
        )
    if server.sentinel:
        yield Finding(
            "topology",
            "blocker",
            "Sentinel watches the target: it would fail over while the restore runs.",
            f"Use {BY_KEYS}, or take the target out of Sentinel (SENTINEL REMOVE NAME) meanwhile.",
        )


def _access(target: TargetFacts) -> Iterator[Finding]:
    if target.rights is not None:
        yield Finding(
            "auth",
            "blocker",
            "Our user on the target lacks rights that a restore by replication needs "
            f"({BY_KEYS} needs no REPLICAOF).",
            f"On the target: {target.rights}",
        )
    trial = target.trial
    if trial.outcome == "failed":
        yield Finding(
            "listener",
            "blocker",
            f"The target cannot reach us: {trial.reason}",
            trial.hint or "Set bind, port and advertise in [restore] to what the target can reach.",
        )
    if trial.outcome == "not-tried":
        yield Finding(
            "listener",
            "warning",
            f"Whether the target can reach us was not tried: {trial.reason}",
            trial.hint
            or "If it cannot, the restore fails while writes are refused, and is undone.",
        )


def _versions(offer: Offer, target: TargetFacts) -> Iterator[Finding]:
    source, server = offer.snapshot.server, target.server
    rdb = offer.snapshot.rdb_version
    if not reads(server.engine, server.version, rdb):
        newest = newest_readable(server.engine, server.version)
        yield Finding(
            "rdb-version",
            "blocker",
            f"The backup's RDB version is {rdb} (from {source.engine} {source.version}); "
            f"the target, {server.engine} {server.version}, reads up to {newest}"
            f"{' but not 12 to 79' if newest >= 80 else ''}.",
            "Restore into an engine that can read it.",
        )
    yield from engine_age(source=source, server=server)


def engine_age(*, source: ServerFacts, server: ServerFacts) -> Iterator[Finding]:
    """Whether the target's engine is older or newer than the backup's; by any method."""
    older = release(server.version) < release(source.version)
    if older or release(server.version) > release(source.version):
        yield Finding(
            "engine-version",
            "blocker" if older else "warning",
            f"The target runs {server.engine} {server.version}, "
            f"{'older' if older else 'newer'} than the backup's {source.engine} {source.version}.",
            "Older engines may not know what newer ones store." if older else "",
            forcible=older,
        )


def _room(offer: Offer, target: TargetFacts, mode: LoadMode) -> Iterator[Finding]:
    used, server = offer.snapshot.server.used_memory_bytes, target.server
    if 0 < server.maxmemory_bytes < used:
        yield Finding(
            "memory",
            "blocker",
            f"The target's maxmemory is {server.maxmemory_bytes:,} bytes; "
            f"the backup's data took {used:,}.",
            "Raise maxmemory on the target, or keys will be evicted or writes refused.",
            forcible=True,
        )
    needed = room_needed(mode, backup_bytes=used, target_bytes=server.used_memory_bytes)
    if 0 < server.system_memory_bytes < needed:
        yield Finding(
            "memory",
            "blocker",
            f"Loading ({mode}) takes {needed:,} bytes of memory; "
            f"the target's host has {server.system_memory_bytes:,}.",
            "Restore into a server on a larger host.",
            forcible=True,
        )


def _databases(offer: Offer, target: TargetFacts) -> Iterator[Finding]:
    totals, databases = offer.stored.totals, target.server.databases
    if totals is not None and totals.highest_database >= databases:
        yield Finding(
            "databases",
            "blocker",
            f"The backup holds keys in database {totals.highest_database}; "
            f"the target has {databases}, 0 to {databases - 1}, and would exit.",
            f"Set databases to {totals.highest_database + 1} or more on the target, or use --keys "
            "with --db for those that fit.",
        )
    # Nobody read the RDB: the source's own limit is what is certain.
    if totals is None and databases < offer.snapshot.server.databases:
        yield Finding(
            "databases",
            "blocker",
            f"The target has {databases} databases, the backup's server had "
            f"{offer.snapshot.server.databases}, and which of them hold keys is not known: "
            f"{offer.stored.unread or 'the RDB was not read'}.",
            f"Set databases to {offer.snapshot.server.databases} or more on the target, or use "
            "--keys with --db for those that fit.",
        )


def _modules(offer: Offer, target: TargetFacts) -> Iterator[Finding]:
    loaded = {name.lower() for name in target.server.modules}
    lacking = [name for name in offer.snapshot.server.modules if name.lower() not in loaded]
    if not lacking:
        return
    if "MODULE LIST" in target.server.unknown:
        yield Finding(
            "modules",
            "warning",
            f"The backup's server had modules ({', '.join(lacking)}), and the target does not "
            "tell which it has: without them it exits while loading.",
            "Grant MODULE LIST to our user on the target.",
        )
        return
    yield Finding(
        "modules",
        "blocker",
        f"The target lacks modules that the backup's server had: {', '.join(lacking)}. "
        "It would exit on their data.",
        "Load them on the target, or use --keys for the keys that need none of them.",
    )
