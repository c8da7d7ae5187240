"""Two states of a server with one difference of every kind between them, for comparisons."""

import redis.asyncio

from daemon.commands import DifferingKey
from events.differences import Difference
from tests.support.servers import command

TYPES = ("string", "list", "set", "zset", "hash", "stream")
TTL_MS = 4_000
"""Of keys that are to be in the first backup, and to expire before the second."""


async def before(client: redis.asyncio.Redis) -> None:
    """The first state: a key of every type for everything that can happen to it."""
    for kind in TYPES:
        for deed in ("kept", "changed", "removed", "persisted", "sooner", "renamed", "expiring"):
            await written(client, kind, key=f"{deed}:{kind}")
    for kind in TYPES:
        await client.expire(f"persisted:{kind}", 500_000)
        await client.expire(f"sooner:{kind}", 500_000)
    deadline_ms = int((await client.time())[0]) * 1_000 + TTL_MS
    for kind in TYPES:
        await client.pexpireat(f"expiring:{kind}", deadline_ms)
    await client.set("kept:deadline", deadline_ms // 1_000)
    await client.hset("encoding:hash", mapping={f"field {n}": "x" for n in range(5)})
    await client.sadd("encoding:set", *range(10))
    await client.xgroup_create("kept:stream", "readers", id="0")
    await client.xgroup_create("changed:stream", "readers", id="0")
    await client.set(b"bin\x00\xff\n".decode("latin-1").encode("latin-1"), "x")


async def after(client: redis.asyncio.Redis) -> None:
    """What happens then; values that end as they were do not differ."""
    for kind in TYPES:
        await client.delete(f"removed:{kind}")
        await written(client, kind, key=f"added:{kind}")
        await client.persist(f"persisted:{kind}")
        await client.expire(f"sooner:{kind}", 400_000)
        await client.rename(f"renamed:{kind}", f"again:{kind}")
    await client.append("changed:string", "!")
    await client.lset("changed:list", 0, "!")
    await client.sadd("changed:set", "!")
    await client.zincrby("changed:zset", 1, "a")
    await client.hset("changed:hash", "a", "!")
    await client.xreadgroup("readers", "ann", {"changed:stream": ">"}, count=1)
    await client.hset("encoding:hash", mapping={f"more {n}": "y" * 100 for n in range(600)})
    await client.hdel("encoding:hash", *(f"more {n}" for n in range(600)))
    await client.sadd("encoding:set", "no number")
    await client.srem("encoding:set", "no number")
    await client.delete(b"bin\x00\xff\n")


async def expired(client: redis.asyncio.Redis) -> bool:
    """Whether the keys that were to expire have, in the second before this one at the latest.

    An RDB tells its instant in whole seconds.
    """
    if await client.exists(*(f"expiring:{kind}" for kind in TYPES)):
        return False
    seconds, _ = await client.time()
    return bool(seconds > int(await client.get("kept:deadline") or 0))


async def written(client: redis.asyncio.Redis, kind: str, *, key: str) -> None:
    """A key of this type."""
    words = {
        "string": ("SET", key, "value"),
        "list": ("RPUSH", key, "a", "b"),
        "set": ("SADD", key, "a", "b"),
        "zset": ("ZADD", key, 1, "a", 2, "b"),
        "hash": ("HSET", key, "a", 1, "b", 2),
        "stream": ("XADD", key, "1-1", "a", 1),
    }
    await command(client, *words[kind])


def expected() -> set[tuple[Difference, str, str]]:
    """Each key that differs between the two: how, which type, and its name."""
    found: set[tuple[Difference, str, str]] = {("removed", "string", "(base64)")}
    for kind in TYPES:
        found |= {
            ("removed", kind, f"removed:{kind}"),
            ("added", kind, f"added:{kind}"),
            ("ttl", kind, f"persisted:{kind}"),
            ("ttl", kind, f"sooner:{kind}"),
            ("removed", kind, f"renamed:{kind}"),
            ("added", kind, f"again:{kind}"),
            ("changed", kind, f"changed:{kind}"),
            ("expired", kind, f"expiring:{kind}"),
        }
    return found


def told(names: list[DifferingKey]) -> set[tuple[Difference, str, str]]:
    """The names that were found, in the same words."""
    return {(name.difference, name.type, name.key or "(base64)") for name in names}
