"""The plan of a restore by keys (R2): what stands in its way, and what it will do.

Pure. What was found by loading the backup into a private engine comes in as a value; without it
the plan says what can be said before, so that nothing is loaded for a target that will not do.
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from events.facts import (
    CacheSettings,
    Finding,
    RestorePlan,
    ServerFacts,
    TargetFacts,
    VaultName,
)
from events.moves import KeysMoved, KeysWish
from projections.catalog import Backup
from projections.keys_effects import clients, consequences, persistence
from projections.rdb_versions import newest_readable, reads
from projections.restore_identity import identity
from projections.restore_plan import Offer, Wishes, engine_age
from projections.restore_settings import differences

Kind = Literal["valkey", "redis"]

KEYS_A_SECOND = 150_000
"""Small keys that were written on two cores which other work shared; an idle host does more."""


class Wanted(Struct, frozen=True):
    """Which keys of which backup go where; `vault` is the one to read from, if that is said."""

    backup: Backup
    settings: CacheSettings
    wish: KeysWish
    replace: bool = False
    safety_backup: bool = True
    force: tuple[str, ...] = ()
    vault: VaultName | None = None


class Packer(Struct, frozen=True):
    """The private engine that packs the keys; its version decides what they are packed as."""

    kind: Kind
    version: str

    @property
    def rdb_version(self) -> int:
        """Of the payloads that it makes."""
        return newest_readable(self.kind, self.version)


class Held(Struct, frozen=True):
    """What the private engine holds of a backup, and what of it is wished for.

    `moved` counts the chosen, `databases` the chosen by database, `all_keys` everything. `looked`
    says that the target was asked which of them it has. `dropped` were lost while it loaded,
    because their time was over.
    """

    moved: KeysMoved
    databases: dict[int, int]
    all_keys: int
    looked: bool = True
    dropped: int = 0
    load_seconds: float = 0.0


class Case(Struct, frozen=True):
    """Everything that a plan is made of, beside the target."""

    offer: Offer
    wish: KeysWish
    packer: Packer
    wishes: Wishes = Wishes()
    held: Held | None = None


def keys_plan(case: Case, target: TargetFacts) -> RestorePlan:
    """What a restore of these keys into this target would do, blockers first."""
    target_keys = sum(target.server.keys.values())
    findings = sorted(_findings(case, target), key=lambda finding: finding.level)
    held = case.held
    dropped = held.dropped if held else 0
    return RestorePlan(
        findings=tuple(findings),
        load_mode="disabled",
        safety_backup=case.wishes.safety_backup and target_keys > 0,
        target_keys=target_keys,
        clients=clients(case.wish),
        method="keys",
        seconds=_seconds(held, case.wish) if held else None,
        seconds_basis=_basis(case.wish) if held else "",
        peak_bytes=_peak(case, target) if held else None,
        consequences=consequences(case.offer, case.wish, target, dropped=dropped),
        keys=held.moved if held else None,
    )


def _seconds(held: Held, wish: KeysWish) -> float:
    rate = min(wish.keys_per_second or KEYS_A_SECOND, KEYS_A_SECOND)
    return round(held.load_seconds + held.moved.written / rate, 3)


def _basis(wish: KeysWish) -> str:
    if wish.keys_per_second:
        return f"the load that the plan has made, and {wish.keys_per_second:,} keys a second"
    return f"the load that the plan has made, and {KEYS_A_SECOND:,} small keys a second"


def databases_of(held: dict[int, int], wish: KeysWish, target: ServerFacts) -> dict[int, int]:
    """Which databases are taken, and which they become; those that the target lacks are not."""
    if wish.database is not None and target.cluster:
        return {wish.database: 0}
    there = 1 if target.cluster else target.databases
    return {database: database for database in held if database < there}


def _findings(case: Case, target: TargetFacts) -> Iterator[Finding]:
    yield from identity(case.offer.stored, case.offer.unlocking)
    yield from _place(case, target)
    yield from _versions(case, target)
    yield from differences(source=case.offer.snapshot.server, target=target.server)
    yield Finding("persistence", "warning", persistence(target))
    if case.held is not None:
        yield from _conflicts(case.wish, case.held)
        yield from _databases(case.wish, case.held, target.server)
        yield from _room(case, target.server)
        yield from _modules(case, target.server)


def _place(case: Case, target: TargetFacts) -> Iterator[Finding]:
    server = target.server
    if server.role == "replica" and not server.cluster:
        yield Finding(
            "replica",
            "blocker",
            "The target is a replica: it takes writes from its primary alone.",
            "Restore into its primary.",
        )
    if server.cluster and case.wishes.safety_backup and any(server.keys.values()):
        yield Finding(
            "topology",
            "blocker",
            "The target is a cluster, of which no safety backup can be made yet.",
            "Say --no-safety-backup, if its data may be changed without one.",
        )
    if target.rights is not None:
        yield Finding(
            "auth",
            "blocker",
            "Our user on the target lacks rights that a restore by keys needs.",
            f"On the target: {target.rights}",
        )


def _versions(case: Case, target: TargetFacts) -> Iterator[Finding]:
    source, server, packer = case.offer.snapshot.server, target.server, case.packer
    if not reads(server.engine, server.version, packer.rdb_version):
        yield Finding(
            "rdb-version",
            "blocker",
            f"Our {packer.kind} {packer.version} packs keys as RDB version {packer.rdb_version}; "
            f"the target, {server.engine} {server.version}, reads up to "
            f"{newest_readable(server.engine, server.version)}.",
            "Install an engine of the target's own version beside Valkeep, if the backup is of "
            "one; or restore into a newer target.",
        )
    yield from engine_age(source=source, server=server)


def _conflicts(wish: KeysWish, held: Held) -> Iterator[Finding]:
    existing = held.moved.existing
    if wish.on_conflict == "fail" and existing:
        yield Finding(
            "conflict",
            "blocker",
            f"{existing:,} of the {held.moved.chosen:,} chosen keys are on the target already.",
            "Say --on-conflict skip to leave those as they are, or --on-conflict replace.",
        )
    if not held.moved.chosen:
        yield Finding(
            "no-keys",
            "warning",
            "The backup holds no key that was asked for.",
            "Patterns are globs, as in KEYS: quote them, so that the shell leaves them alone.",
        )


def _databases(wish: KeysWish, held: Held, server: ServerFacts) -> Iterator[Finding]:
    there = 1 if server.cluster else server.databases
    beyond = {one: keys for one, keys in held.databases.items() if keys and one >= there}
    if not beyond or (server.cluster and wish.database is not None):
        return
    listed = ", ".join(str(one) for one in sorted(beyond))
    has = "is a cluster, which has database 0 alone" if server.cluster else f"has {there}"
    yield Finding(
        "databases",
        "blocker",
        f"{sum(beyond.values()):,} of the chosen keys are in databases that the target lacks "
        f"({listed}); it {has}.",
        "Choose one with --db N; forced, those keys are left out.",
        forcible=wish.database is None,
    )


def _room(case: Case, server: ServerFacts) -> Iterator[Finding]:
    share, limit = _share(case), server.maxmemory_bytes
    if limit and server.used_memory_bytes + share > limit:
        yield Finding(
            "memory",
            "blocker",
            f"The target's maxmemory is {limit:,} bytes, of which {server.used_memory_bytes:,} "
            f"are used; the chosen keys took about {share:,}.",
            "Raise maxmemory on the target, or keys will be evicted or writes refused.",
            forcible=True,
        )
    host = server.system_memory_bytes
    if host and not server.cluster and server.used_memory_bytes + share > host:
        yield Finding(
            "memory",
            "blocker",
            f"The target's host has {host:,} bytes of memory; its data and the chosen keys take "
            f"about {server.used_memory_bytes + share:,}.",
            "Restore into a server on a larger host.",
            forcible=True,
        )


def _modules(case: Case, server: ServerFacts) -> Iterator[Finding]:
    loaded = {name.lower() for name in server.modules}
    source = case.offer.snapshot.server.modules
    lacking = [name for name in source if name.lower() not in loaded]
    if lacking:
        yield Finding(
            "modules",
            "warning",
            f"The target lacks modules that the backup's server had: {', '.join(lacking)}. No "
            "value in the backup is theirs: our engine has loaded all of them without.",
        )


def _share(case: Case) -> int:
    """About what the chosen keys took of the source's memory."""
    held, used = case.held, case.offer.snapshot.server.used_memory_bytes
    if held is None or not held.all_keys:
        return 0
    return used * min(held.moved.chosen, held.all_keys) // held.all_keys


def _peak(case: Case, target: TargetFacts) -> int:
    return target.server.used_memory_bytes + _share(case)
