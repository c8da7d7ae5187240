"""What a restore by replication means for people: its clients, its safety, its undoing.

Words only, each sentence tried on real servers. The figures are in the findings.
"""

from collections.abc import Iterator

from events.facts import TargetFacts
from projections.load_mode import LoadMode


def clients(target: TargetFacts, mode: LoadMode) -> tuple[str, ...]:
    """What the target's clients will see, in the order in which it happens."""
    return tuple(_clients(target, mode))


def by_hand(target: TargetFacts, mode: LoadMode) -> tuple[str, ...]:
    """What to type on the target if our host dies in the middle, in this order."""
    lines = ["REPLICAOF NO ONE"]
    settings = target.server.settings | {"repl-diskless-load": target.load_mode}
    lines += [f"CONFIG SET {name} {settings[name]}" for name in _changed(target, mode)]
    if target.tls_trial:
        lines.append("CONFIG SET tls-cluster no")
    if target.one_time_password:
        lines.append('CONFIG SET masterauth ""')
    return tuple(lines)


def durability(target: TargetFacts, mode: LoadMode) -> str:
    """When the restored data will survive a crash of the target (R6), as a sentence."""
    server = target.server
    saves = bool(server.settings.get("save"))
    if server.aof:
        return (
            "The target writes an append-only file: it is rewritten after the load, and the "
            "restore is complete when that has ended; until then a crash brings the old data back."
        )
    if mode == "disabled" and target.drops_rdb and not saves:
        return (
            "The target keeps nothing on disk (rdb-del-sync-files): the restored data is in "
            "memory only."
        )
    if mode == "disabled":
        return (
            "The target writes the whole RDB to its own disk before it drops the old data, and "
            "needs the space for it; the restored data is durable as soon as it is served."
        )
    if saves:
        return (
            "The target loads beside its old data and is then told to save (BGSAVE): the restore "
            "is complete when that has ended; until then a crash brings the old data back."
        )
    return (
        "The target saves nothing by itself: the restored data is in memory only, and an old "
        "RDB file would return after a crash."
    )


def _clients(target: TargetFacts, mode: LoadMode) -> Iterator[str]:
    yield (
        "Writes are refused until the restored data is durable: NOREPLICAS, then READONLY while "
        "it is our replica, then NOREPLICAS."
    )
    yield "Blocked clients (BLPOP, WAIT and the like) get UNBLOCKED and are disconnected."
    if target.server.settings.get("replica-serve-stale-data") == "no":
        yield (
            "Reads get MASTERDOWN while the target receives and loads (replica-serve-stale-data "
            "no); then they see the new data."
        )
    elif mode == "disabled":
        yield ("Reads see the old data while the target receives, and get LOADING while it loads.")
    else:
        yield (
            "Reads get LOADING while the target loads, and wait where our vault is slower than it; "
            "then they see the new data at once."
        )
    if target.server.replicas:
        yield (
            f"The target's {target.server.replicas} replicas load everything anew, each with a "
            "full resynchronization."
        )
    yield "Keys whose time has passed since the backup are gone, and fire `expired`."
    yield "Functions become the backup's; ACL users and settings stay the target's own."


def _changed(target: TargetFacts, mode: LoadMode) -> Iterator[str]:
    """Names of the settings whose old values are to be put back, writes last."""
    settings = target.server.settings
    if target.load_mode != mode:
        yield "repl-diskless-load"
    if settings.get("replica-read-only") == "no":
        yield "replica-read-only"
    if settings.get("min-replicas-max-lag") == "0":
        yield "min-replicas-max-lag"
    if "min-replicas-to-write" in settings:
        yield "min-replicas-to-write"
