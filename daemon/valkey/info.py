"""What a server's ``INFO`` says, read from its text.

Pure. The text is the same over every connection and protocol version, and a recorded one
makes a test case.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from daemon.errors import Permanent
from events.facts import ServerFacts


class Extras(Struct, frozen=True):
    """What other commands than ``INFO`` tell; `unknown` names those that were refused."""

    databases: int = 16
    sentinel: bool = False
    modules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    acl_users: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    unknown: tuple[str, ...] = ()


class Saving(Struct, frozen=True):
    """Where a server stands with its saves (``INFO persistence``).

    `saves` counts starts, not ends, and also those that another's ``BGSAVE`` or a disk-based
    synchronisation made. `child` is any child process: a save, an AOF rewrite, a module's.
    """

    running: bool
    child: bool
    ok: bool
    last_save: int
    saves: int | None
    copy_on_write_bytes: int | None


def fields(text: str) -> dict[str, str]:
    """Every ``name:value`` line; headings and empty lines are passed over."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, colon, value in pairs if colon}


def server_facts(info: Mapping[str, str], extras: Extras) -> ServerFacts:
    """The facts of one node; `Permanent("topology")` for a Sentinel, which holds no data."""
    mode = info.get("redis_mode") or info.get("server_mode") or "standalone"
    if mode == "sentinel":
        raise Permanent(
            "topology",
            "the address is a Sentinel's, not a cache's",
            "give the address of the node itself; caches named by Sentinel are not there yet",
        )
    engine: Literal["valkey", "redis"] = "valkey" if "valkey_version" in info else "redis"
    return ServerFacts(
        engine=engine,
        version=info.get(f"{engine}_version", "0"),
        run_id=info.get("run_id", ""),
        role="primary" if info.get("role", "master") == "master" else "replica",
        replication_id=info.get("master_replid", ""),
        replication_offset=number(info, "master_repl_offset"),
        replicas=number(info, "connected_slaves"),
        used_memory_bytes=number(info, "used_memory"),
        maxmemory_bytes=number(info, "maxmemory"),
        system_memory_bytes=number(info, "total_system_memory"),
        databases=extras.databases,
        keys=_keys(info),
        aof=info.get("aof_enabled") == "1",
        cluster=info.get("cluster_enabled") == "1",
        sentinel=extras.sentinel,
        modules=extras.modules,
        functions=extras.functions,
        acl_users=extras.acl_users,
        settings=extras.settings,
        unknown=extras.unknown,
    )


def saving(info: Mapping[str, str]) -> Saving:
    """The state of saves; `saves` is None where the server does not count them (Redis < 7)."""
    children = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "module_fork_in_progress")
    return Saving(
        running=info.get("rdb_bgsave_in_progress") == "1",
        child=any(info.get(child) == "1" for child in children),
        ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        last_save=number(info, "rdb_last_save_time"),
        saves=number(info, "rdb_saves") if "rdb_saves" in info else None,
        copy_on_write_bytes=number(info, "rdb_last_cow_size")
        if "rdb_last_cow_size" in info
        else None,
    )


def number(info: Mapping[str, str], name: str) -> int:
    """A field that is a whole number; 0 if it is missing or none."""
    value = info.get(name, "")
    return int(value) if value.removeprefix("-").isdecimal() else 0


def pairs(flat: Iterable[object]) -> dict[str, str]:
    """A flat array of names and values, as ``CONFIG GET`` answers in RESP2."""
    texts = [str(item) for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _keys(info: Mapping[str, str]) -> dict[int, int]:
    found: dict[int, int] = {}
    for name, value in info.items():
        database = name.removeprefix("db")
        if name.startswith("db") and database.isdecimal():
            counts = dict(part.partition("=")[::2] for part in value.split(","))
            found[int(database)] = number(counts, "keys")
    return dict(sorted(found.items()))
