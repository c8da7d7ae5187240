"""What an RDB tells of the server that wrote it, as far as it tells anything.

Pure. From version 7 (Redis 3.2) on it names its engine; before that only its version tells how
old the engine was at least.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from daemon.valkey.rdb import Header
from events.facts import ServerFacts
from projections.imports import ESTIMATED, estimated_memory

NOT_ASKED = ("INFO", "CONFIG GET", "MODULE LIST", "FUNCTION LIST", "ACL LIST")
"""What a server is asked for a snapshot, and no server was."""
USUAL_DATABASES = 16
"""What every engine has unless it is told otherwise."""
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}")
_REDIS: Mapping[int, str] = {
    5: "2.6",
    6: "2.6",
    7: "3.2",
    8: "4.0",
    9: "5.0",
    10: "7.0",
    11: "7.2",
    12: "7.4",
    13: "8.6",
    14: "8.8",
}
"""The first release that wrote each RDB version; before 5 it was 2.4 or older."""
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def server_facts(
    header: Header, plain_bytes: int, *, databases: int = USUAL_DATABASES
) -> ServerFacts:
    """The server that wrote it: what is not in the header is unknown, and named so.

    `databases` is how many the data needs; no server of the usual kind has fewer than that many.
    """
    engine, version = _engine(header)
    used = header.number("used-mem")
    told = used is not None and used > 0
    return ServerFacts(
        engine=engine,
        version=version or oldest_release(engine, header.version),
        run_id="",
        role="primary",
        replication_id=header.fields.get("repl-id", "")[:40],
        replication_offset=max(0, header.number("repl-offset") or 0),
        replicas=0,
        used_memory_bytes=used if used and told else estimated_memory(plain_bytes),
        maxmemory_bytes=0,
        system_memory_bytes=0,
        databases=max(databases, USUAL_DATABASES),
        keys={},
        aof=False,
        cluster=False,
        unknown=(
            *NOT_ASKED,
            *(() if version else ("the version (the oldest that wrote such RDBs)",)),
            *(() if told else (ESTIMATED,)),
        ),
    )


def oldest_release(engine: Literal["valkey", "redis"], rdb_version: int) -> str:
    """The first release of an engine that wrote this RDB version."""
    if engine == "valkey":
        return "9.0" if rdb_version >= 80 else "7.2"
    return _REDIS.get(rdb_version, "2.4" if rdb_version < min(_REDIS) else "8.8")


def created_at(header: Header) -> datetime | None:
    """When the RDB says that it was made, if that is an instant at all."""
    seconds = header.number("ctime")
    if seconds is None or not 0 < seconds < _LATEST:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _engine(header: Header) -> tuple[Literal["valkey", "redis"], str]:
    """Family and version; a version that is none, or missing, is empty."""
    valkey, redis = header.fields.get("valkey-ver"), header.fields.get("redis-ver")
    told = (valkey or redis or "")[:20]
    version = told if _VERSION.fullmatch(told) else ""
    return "valkey" if valkey is not None or header.version >= 80 else "redis", version
