"""Samples of every fact and event that the core's tests need: a cache, its backups, a restore.

Values only, with the fewest arguments that tell a story; what a test does not name does not
matter to it.
"""

from datetime import timedelta

from daemon.commands import AddCache, RecordCache, SetCache
from events.facts import (
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    CacheSettings,
    Failure,
    Finding,
    InstallationId,
    Probe,
    RestoreId,
    RestorePlan,
    RestoreResult,
    ServerFacts,
    SnapshotFacts,
    SourceChoice,
    StoredFacts,
    VaultName,
)
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    BackupRequested,
    CacheRegistered,
    DaemonStarted,
    Event,
    LeftoversSwept,
    RestorePlanned,
    RestoreRequested,
    RestoreStarted,
)
from tests.support.given import NOON, an_id

ORDERS = CacheName("orders")
USERS = CacheName("users")
MAIN = VaultName("main")
SECOND = VaultName("second")
FILE = "/etc/valkeep/valkeep.toml"
HERE = InstallationId("installation-1")
B1, B2, B3 = an_id(0xB1), an_id(0xB2), an_id(0xB3)
R1 = RestoreId(an_id(0xF1))
SETTINGS = CacheSettings(url="valkey://127.0.0.1:6379", vault=MAIN)
OTHER_SETTINGS = CacheSettings(url="valkey://127.0.0.1:6380", vault=MAIN)
SERVER = ServerFacts(
    engine="valkey",
    version="8.1.8",
    run_id="r" * 40,
    role="primary",
    replication_id="a" * 40,
    replication_offset=14,
    replicas=0,
    used_memory_bytes=1_000_000,
    maxmemory_bytes=0,
    system_memory_bytes=8_000_000_000,
    databases=16,
    keys={0: 3},
    aof=False,
    cluster=False,
)
PROBE = Probe(server=SERVER, choice=SourceChoice("replication", "its file cannot be read"))
SNAPSHOT = SnapshotFacts(
    server=SERVER, source="replication", reason="sample", rdb_version=80, taken_at=NOON
)
STORED = StoredFacts(
    plain_bytes=100, stored_bytes=50, sha256="0" * 64, manifest_sha256="1" * 64, blocks=1
)
OUTSIDE = Failure(code="connection-refused", message="Nobody listens.", hint="Start it.")
FOR_GOOD = Failure(code="wrong-password", message="Refused.", hint="Fix it.", permanent=True)
RESULT = RestoreResult(
    keys={0: 3}, evicted_keys=0, durability="On disk.", served_seconds=1.0, total_seconds=2.0
)
STARTED = DaemonStarted(installation=HERE, version="0.1.0")


def registered(cache: CacheName = ORDERS, *, declared: bool = False) -> CacheRegistered:
    """A cache was added."""
    file = FILE if declared else None
    return CacheRegistered(cache=cache, settings=SETTINGS, declared=declared, file=file)


def add_cache(name: str) -> RecordCache:
    """The command that adds a cache, as it comes to the ledger."""
    return RecordCache(AddCache(name=name, url=SETTINGS.url), SETTINGS)


def set_cache(name: str) -> RecordCache:
    """The command that changes a cache, as it comes to the ledger."""
    return RecordCache(SetCache(name=name, url=OTHER_SETTINGS.url), OTHER_SETTINGS)


def requested(
    backup_id: BackupId = B1,
    *,
    cache: CacheName = ORDERS,
    name: str = "",
    kind: BackupKind = "manual",
) -> BackupRequested:
    """A backup was asked for; without a name it gets one from its id."""
    return BackupRequested(
        cache=cache,
        backup_id=backup_id,
        kind=kind,
        name=BackupName(name or f"backup-{backup_id[-2:]}"),
        vault=MAIN,
        restore_id=R1 if kind == "safety" else None,
    )


def attempted(
    backup_id: BackupId = B1, *, cache: CacheName = ORDERS, attempt: int = 1
) -> AttemptStarted:
    """An attempt began."""
    return AttemptStarted(cache=cache, backup_id=backup_id, attempt=attempt, vault=MAIN)


def running(
    backup_id: BackupId = B1,
    *,
    cache: CacheName = ORDERS,
    name: str = "",
    kind: BackupKind = "manual",
) -> tuple[Event, ...]:
    """A backup whose first attempt is under way."""
    asked = requested(backup_id, cache=cache, name=name, kind=kind)
    return (asked, attempted(backup_id, cache=cache))


def complete(
    backup_id: BackupId = B1,
    *,
    cache: CacheName = ORDERS,
    name: str = "",
    kind: BackupKind = "manual",
) -> tuple[Event, ...]:
    """A backup that exists."""
    end = BackupCompleted(cache=cache, backup_id=backup_id, stored=STORED)
    return (*running(backup_id, cache=cache, name=name, kind=kind), end)


def abandoned(backup_id: BackupId = B1, *, name: str = "") -> tuple[Event, ...]:
    """A backup whose only attempt failed, with its leftovers still there."""
    return (
        *running(backup_id, name=name),
        BackupFailed(cache=ORDERS, backup_id=backup_id, attempt=1, failure=OUTSIDE),
        BackupAbandoned(cache=ORDERS, backup_id=backup_id, reason="one attempt"),
    )


def swept(backup_id: BackupId = B1) -> LeftoversSwept:
    """An attempt's leftovers are gone."""
    return LeftoversSwept(cache=ORDERS, backup_id=backup_id)


def plan(*findings: Finding, target_keys: int = 0) -> RestorePlan:
    """A restore's plan with these findings."""
    return RestorePlan(
        findings=findings,
        load_mode="disabled",
        safety_backup=True,
        target_keys=target_keys,
        by_hand=("REPLICAOF NO ONE",),
    )


def restoring(
    backup_id: BackupId = B1, *, to: CacheName = ORDERS, of: CacheName = ORDERS
) -> RestoreRequested:
    """A restore was asked for."""
    return RestoreRequested(
        cache=to,
        restore_id=R1,
        backup_id=backup_id,
        backup_cache=of,
        replace=False,
        safety_backup=True,
    )


def under_way(
    backup_id: BackupId = B1, *, to: CacheName = ORDERS, of: CacheName = ORDERS
) -> tuple[Event, ...]:
    """A restore that has begun to change its target."""
    return (
        restoring(backup_id, to=to, of=of),
        RestorePlanned(cache=to, restore_id=R1, plan=plan()),
        RestoreStarted(
            cache=to,
            restore_id=R1,
            run_id="r" * 40,
            old_settings={"min-replicas-to-write": "0"},
            changes={"min-replicas-to-write": "2147483647"},
            listener="127.0.0.1:7000",
            replication_id="b" * 40,
        ),
    )


SOON = NOON + timedelta(hours=1)
