"""Histories as daemons write them, of any size: caches with policies, and backups of them.

Events with their instants only; putting them into a log is somebody else's.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

from events import codec
from events.envelope import Commit, Entry, Who
from events.facts import (
    START,
    BackupId,
    BackupName,
    CacheName,
    CacheSettings,
    CommitId,
    InstallationId,
    Policy,
    Position,
    ServerFacts,
    SnapshotFacts,
    StoredFacts,
    Stream,
    VaultName,
    Window,
)
from events.sqlite import open_log
from events.types import (
    AttemptStarted,
    BackupCompleted,
    BackupDeleted,
    BackupRequested,
    CacheRegistered,
    DaemonStarted,
    DeletionRequested,
    Event,
    PolicySet,
    RetentionExpired,
    SnapshotTaken,
    stream_of,
)

MORNING = datetime(2030, 1, 14, 9, 30, tzinfo=UTC)
"""Between all windows: in UTC those of 07:00 and 13:00, in Paris those of 06:00 and 12:00."""
WINDOWS = tuple(Window(start=f"{hour:02}:00", minutes=120) for hour in (1, 7, 13, 19))
ZONES = ("UTC", "Europe/Paris")
VAULT = VaultName("main")
STORED = StoredFacts(
    plain_bytes=1_000_000, stored_bytes=300_000, sha256="a" * 64, manifest_sha256="b" * 64, blocks=1
)
WHO = Who(kind="daemon")
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
WEEK = 7
AT_ONCE = 2_000
Told = tuple[datetime, Event]


def fleet(caches: int) -> Iterator[Told]:
    """A daemon with so many caches of four windows each, and one auto backup of each."""
    began = MORNING - timedelta(hours=1)
    yield began, DaemonStarted(installation=InstallationId("bench"), version="0")
    for number in range(caches):
        name = CacheName(f"cache-{number:05}")
        settings = CacheSettings(url=f"valkey://127.0.0.1:{1 + number % 500}", vault=VAULT)
        policy = Policy(auto=True, timezone=ZONES[number % len(ZONES)], windows=WINDOWS)
        yield began, CacheRegistered(cache=name, settings=settings)
        yield began, PolicySet(cache=name, policy=policy)
        for event in backup(name, number):
            yield began + timedelta(seconds=1), event


def backup(
    cache: CacheName, number: int
) -> tuple[BackupRequested, AttemptStarted, BackupCompleted]:
    """An auto backup that was made."""
    mine = BackupId(f"20300114T083000Z-{number:08x}")
    return (
        BackupRequested(
            cache=cache, backup_id=mine, kind="auto", name=BackupName(f"b-{number}"), vault=VAULT
        ),
        AttemptStarted(cache=cache, backup_id=mine, attempt=1, vault=VAULT),
        BackupCompleted(cache=cache, backup_id=mine, stored=STORED),
    )


def years(events: int, *, caches: int = 500) -> Iterator[Told]:
    """So many events of daily backups that were made, and deleted after a week."""
    days = ((day, MORNING + timedelta(days=day)) for day in count())
    told = ((at, event) for day, at in days for event in _day(day, at, caches=caches))
    return islice(told, events)


def _day(day: int, at: datetime, *, caches: int) -> Iterator[Event]:
    for number in range(caches):
        yield from _day_of(CacheName(f"cache-{number:05}"), day, at)


def _day_of(cache: CacheName, day: int, at: datetime) -> Iterator[Event]:
    if day == 0:
        yield CacheRegistered(cache=cache, settings=CacheSettings(url="unix:///s", vault=VAULT))
        yield PolicySet(cache=cache, policy=Policy(auto=True, windows=WINDOWS))
    asked, begun, complete = backup(cache, day)
    snapshot = SnapshotFacts(
        server=SERVER, source="replication", reason="bench", rdb_version=80, taken_at=at
    )
    yield from (asked, begun)
    yield SnapshotTaken(cache=cache, backup_id=asked.backup_id, snapshot=snapshot)
    yield complete
    if day >= WEEK:
        old = backup(cache, day - WEEK)[0].backup_id
        yield RetentionExpired(
            cache=cache, backup_id=old, taken_at=at, retention_days=WEEK, reason="it is old"
        )
        yield DeletionRequested(cache=cache, backup_id=old, reason="retention")
        yield BackupDeleted(cache=cache, backup_id=old)


async def write(path: Path, history: Iterable[Told], *, pid: int) -> int:
    """Put a history into a new log on disk, each event in a commit of its own; how many."""
    heads: dict[Stream, Position] = {}
    batch: list[Commit] = []
    number = 0
    async with open_log(path, pid=pid) as log:
        for number, (at, event) in enumerate(history, 1):
            batch.append(_commit(number, at, event, heads))
            if len(batch) == AT_ONCE:
                await log.append(batch)
                batch = []
        if batch:
            await log.append(batch)
    return number


def _commit(number: int, at: datetime, event: Event, heads: dict[Stream, Position]) -> Commit:
    stream = stream_of(event)
    relied = {stream: heads.get(stream, START)}
    heads[stream] = Position(number)
    entries = (Entry(stream, codec.encode(event)),)
    return Commit(CommitId(f"bench-{number}"), at, WHO, relied, entries)
