"""Statuses as a daemon might answer them, for looking at the page that is made of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from daemon.answers import (
    BackupView,
    CacheView,
    LogView,
    Problem,
    ProgressView,
    RestoreView,
    StartView,
    Status,
    Trouble,
    UndoView,
    VaultView,
)
from daemon.answers.exports import ExportView
from daemon.answers.proof import AssuranceView
from daemon.answers.standing import (
    EngineView,
    FailureView,
    HostView,
    PortView,
    ReachView,
    SpoolView,
    WorkView,
)
from events.facts import CacheSettings, Failure, Occurrence, VaultName

NOW = datetime(2026, 3, 3, 3, 12, 9, tzinfo=UTC)
HOUR, GIB, MIB = timedelta(hours=1), 1 << 30, 1 << 20
SILENT = Failure("cache-unreachable", "127.0.0.1:6379 refused the connection.", "Start it.")
VAULT = VaultView(
    "main",
    "file:///var/backups/valkeep",
    backups=21,
    stored_bytes=63 * GIB,
    reach=ReachView(NOW, free_bytes=412 * GIB, total_bytes=931 * GIB),
)
BUCKET = VaultView(
    "far", "s3://team-backups/valkeep", copies=21, stored_bytes=63 * GIB, reach=ReachView(NOW)
)
HOST = HostView(
    at=NOW,
    pid=4242,
    data_dir="/var/lib/valkeep",
    memory_bytes=84 * MIB,
    log_bytes=9 * MIB,
    free_bytes=31 * GIB,
    total_bytes=59 * GIB,
    watchdog_seconds=240,
    looked_seconds=12,
    engine=EngineView("valkey 8.1.9", "/usr/bin/valkey-server", "system", sound=True),
    spool=SpoolView("/var/lib/valkeep/spool", 8 * GIB, 0, 31 * GIB),
    metrics=PortView("127.0.0.1:9464"),
)


def backup(name: str, *, cache: str = "orders", hours: float = 3.0) -> BackupView:
    """A backup of 3 GiB that was taken so long ago."""
    return BackupView(
        backup_id="20260303T002000Z-0000beef",
        cache=cache,
        name=name,
        kind="auto" if name.startswith("auto") else "manual",
        phase="complete",
        vault="main",
        requested_at=NOW - hours * HOUR,
        requested_by="scheduler",
        taken_at=NOW - hours * HOUR,
        completed_at=NOW - hours * HOUR + timedelta(minutes=2),
        plain_bytes=3 * GIB,
        stored_bytes=GIB,
        keys=1_200_000,
    )


def start(hours: float) -> StartView:
    """A start to come, in Paris."""
    at = NOW + hours * HOUR
    window = Occurrence(day=at.date(), start="02:00", opens_at=at, closes_at=at + 2 * HOUR)
    return StartView(at, at + HOUR, "CET", window, "02:00+2h")


def cache(name: str = "orders", hours: float = 3.0) -> CacheView:
    """A cache that is well."""
    newest = backup("auto-20260303-0200", cache=name, hours=hours)
    return CacheView(
        name=name,
        settings=CacheSettings(url="valkey://10.0.0.7:6379", vault=VaultName("main")),
        declared=True,
        added_at=NOW - 900 * HOUR,
        backups=7,
        stored_bytes=7 * GIB,
        newest=newest,
        scheduled=newest,
        next_start=start(22.4),
        level="ok",
        assurance=AssuranceView(
            proven_at=NOW - (hours - 0.5) * HOUR,
            level="loaded",
            name=newest.name,
            restore_seconds=41.0,
            restore_from=f"loading {newest.name} into valkey 8.1.9 took 39.2 s for 2,900.0 MiB "
            "(2026-03-03)",
            lost_seconds=hours * 3600,
            newest=newest.name,
        ),
    )


def status(*caches: CacheView) -> Status:
    """The answer of a daemon that is well, with these caches."""
    return Status(
        now=NOW,
        version="0.1.0",
        uptime_seconds=19 * 86_400.0,
        your_role="operator",
        log=LogView(12_345),
        installation="20260101T000000Z-0000cafe",
        caches=caches,
        vaults=(BUCKET, VAULT),
        host=HOST,
    )


def progress(phase: str, part: float = 0.4) -> ProgressView:
    """So much of 3 GiB, in half a minute."""
    return ProgressView(phase, 40.0, 30.0, int(3 * GIB * part), 3 * GIB)


def trouble(name: str = "orders") -> Trouble:
    """A cache whose attempts fail."""
    told = (
        f"{name}: attempt 2 at auto-20260303-0200 failed, another follows at 2026-03-03 04:31 "
        "CET: 127.0.0.1:6379 refused the connection"
    )
    hint = f"Start it, or correct its address: `valkeep cache set {name} --url URL`."
    return Trouble("connection-refused", told, hint, "warning", "last-attempt", name)


def old(name: str = "orders") -> Trouble:
    """A cache without a backup of last night."""
    told = (
        f"{name}: the newest good scheduled backup is auto-20260302-0200, 26 h old, older than "
        "the last window (02:00 of 2026-03-03, closed at 2026-03-03 04:00 CET)"
    )
    hint = f"Make one now: `valkeep backup create {name} --auto`."
    return Trouble("fresh", told, hint, "critical", "fresh", name)


def failing(name: str = "orders") -> CacheView:
    """That cache."""
    failed = FailureView(
        NOW - HOUR / 2, "auto-20260303-0200 failed", "127.0.0.1:6379 refused the connection"
    )
    return replace(cache(name, 26.0), level="critical", last_failure=failed, next_start=start(0.3))


def suspended(name: str = "carts") -> CacheView:
    """A cache that left the file."""
    gone = "it is no longer declared in /etc/valkeep/valkeep.toml"
    return replace(cache(name, 70), suspended=gone, next_start=None, level="critical")


def bad() -> Status:
    """Two caches fail, one is suspended, one had failed, and one was never backed up."""
    again = FailureView(
        NOW - 9 * HOUR,
        "auto-20260302-1800 failed",
        "the vault main is full",
        since="auto-20260302-2200",
        since_at=NOW - 5 * HOUR,
    )
    mended = replace(cache("sessions", 5.0), last_failure=again)
    new = CacheView(
        "new", mended.settings, declared=False, added_at=NOW, backups=0, stored_bytes=0,
        level="warning", assurance=AssuranceView(),
    )  # fmt: skip
    told = "carts: it is suspended and gets no backups: it is no longer declared in the file"
    hint = "Declare it again, or end it: `valkeep cache remove carts`."
    left = Trouble("suspended", told, hint, "critical", "suspended", "carts")
    found = status(failing(), suspended(), mended, new, cache("users"))
    return replace(found, problems=(old(), left, trouble()))


def busy() -> Status:
    """Everything that can run does, and much waits."""
    running = replace(
        backup("auto-20260303-0400"), phase="running", progress=progress("storing"), taken_at=None
    )
    waiting = replace(
        backup("auto-20260303-0410", cache="users"),
        phase="waiting",
        waits_for="a free place (max_backups)",
    )
    again = replace(
        waiting,
        cache="carts",
        waits_for="a retry is due",
        retry_at=NOW + HOUR / 4,
        attempts=2,
        failure=SILENT,
    )
    many = tuple(replace(waiting, cache=f"shop-{n}") for n in range(8))
    restore = RestoreView(
        "20260303T031100Z-0000f00d", "users", waiting.backup_id, "users", "started",
        replace=True, safety_backup=True, requested_at=NOW, requested_by="anna",
        backup_name="auto-20260302-2200", progress=progress("sending", 0.9),
    )  # fmt: skip
    frozen = replace(
        restore,
        target="carts",
        progress=None,
        safety=replace(running, kind="safety", progress=progress("waiting for the fork", 0)),
    )
    export = ExportView(
        "x", "y", "orders", "s3", "s3://team/rdb", "requested", NOW, "anna",
        backup_name="before", progress=progress("writing", 0.1),
    )  # fmt: skip
    return replace(
        status(cache(), cache("users", 5)),
        backups=(running, again, waiting, *many),
        restores=(restore, frozen),
        exports=(export,),
        work=tuple(_others()),
    )


def _others() -> list[WorkView]:
    one = WorkView("copy", "copy of orders/before into far", "orders", "b", NOW, "far")
    return [
        replace(one, progress=progress("copying", 0.5)),
        replace(one, what="copy of users/x into far", failure=SILENT, retry_at=NOW + HOUR / 6),
        WorkView("verification", "verification of users/x", "u", "b", progress=progress("read")),
        WorkView("comparison", "comparison of a/x with a as it is", "a", "b"),
        *(WorkView("deletion", f"deletion of a/{n}", "a", "b", waits_for="something reads it")
          for n in range(9)),
        WorkView("sweep", "sweep of what a/y left", "a", "b", progress=progress("sweeping")),
    ]  # fmt: skip


def sick() -> Status:
    """The log cannot be written, its disk is full, a vault and the port are away."""
    full = Problem("log-unwritable", "The log cannot be written: no space left.", "Make room.")
    silent = Failure("vault-silent", "it has not answered within 2 s", "Look at its mount.")
    host = replace(
        HOST,
        free_bytes=20 * MIB,
        engine=None,
        spool=None,
        watchdog_seconds=None,
        metrics=PortView("127.0.0.1:9464", Failure("metrics-port", "Address already in use", "")),
    )
    told = "the disk of data_dir /var/lib/valkeep has 20 MiB left"
    return replace(
        status(cache()),
        log=LogView(12_345, full),
        host=host,
        problems=(
            Trouble(full.code, full.message, full.hint, "critical", "daemon"),
            Trouble("disk-full", told, "Make room there, or move data_dir.", "critical", "disk"),
        ),
        vaults=(BUCKET, replace(VAULT, reach=ReachView(NOW, silent))),
    )


def undone() -> Status:
    """A restore of this morning that can be taken back."""
    undo = UndoView(
        "r", "s", "valkeep restore undo orders", NOW - HOUR, NOW - HOUR, NOW + 160 * HOUR
    )
    return status(replace(cache(), undo=undo))


def fleet(count: int, *, ill: int = 0) -> Status:
    """So many caches, some of which fail."""
    well = [cache(f"cache-{n:04}", 2 + n % 20) for n in range(count - ill)]
    sick = [failing(f"ill-{n:03}") for n in range(ill)]
    problems = [old(one.name) for one in sick] + [trouble(one.name) for one in sick[:2]]
    return replace(status(*well, *sick), problems=tuple(problems))


STATES: Mapping[str, Status] = {
    "empty": replace(status(), host=None, vaults=(VAULT,)),
    "well": status(cache(), cache("sessions", 5), cache("users", 0.4)),
    "bad": bad(),
    "busy": busy(),
    "sick": sick(),
    "undone": undone(),
    "forty": fleet(40),
    "thousand": fleet(1000, ill=60),
}
