"""Being the first in S3: storing an object only where there is none, whatever the server.

A server that honours ``If-None-Match`` decides by itself. On one that passes over it (rclone,
and others) everybody who wants to be first shows a flag, an object of his own, *before* he
looks for those of others: of two, at least the later one sees the other's flag, and only who
sees none goes on. This needs nothing but listings that show what was stored before.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from hashlib import sha256

import anyio

from daemon.errors import Transient
from daemon.storage.vault import ObjectName, Vault

PutIfNone = Callable[[ObjectName, bytes], Awaitable[bool]]
"""Stores an object under the condition that there is none; False when the server refused."""

LOOKS = 20
LOOK_SECONDS = 0.5


async def put_first(vault: Vault, name: ObjectName, data: bytes, put_if_none: PutIfNone) -> bool:
    """Store an object where there is none; False when somebody else was first.

    Different claimants have different bytes. Raises ``vault-contested`` when others try it at
    this moment: nothing was stored then. When the outcome of the storing itself is unknown the
    flag stays, for what was sent may land yet; the same claimant goes on from there.
    """
    flag = ObjectName(f"{name}.claim-{sha256(data).hexdigest()[:16]}")
    await vault.put(flag, data)
    honoured = not await put_if_none(flag, data)
    if not honoured:
        await _alone(vault, name, flag=flag)
    # Whoever was alone before us has stored the object before his flag went.
    first = await vault.size(name) is None and await put_if_none(name, data)
    await vault.delete(flag)
    return first


async def _alone(vault: Vault, name: ObjectName, *, flag: ObjectName) -> None:
    """Return when no other flag is there: the smallest waits for that, the others give way.

    A listing that makes no sense, as rclone's do now and then while others write, is no proof
    that nobody is there: it is asked for again.
    """
    why: Transient | None = None
    for _ in range(LOOKS):
        try:
            others = await _others(vault, name, flag=flag)
        except Transient as error:
            why = error
        else:
            if not others:
                return
            why = _contested(vault, others[0])
            if min(others) < flag:
                break
        await anyio.sleep(LOOK_SECONDS)
    await vault.delete(flag)
    raise why or _contested(vault, name)


async def _others(vault: Vault, name: ObjectName, *, flag: ObjectName) -> list[ObjectName]:
    async with aclosing(vault.list(f"{name}.claim-")) as flags:
        return [info.name async for info in flags if info.name != flag]


def _contested(vault: Vault, other: ObjectName) -> Transient:
    return Transient(
        "vault-contested",
        f"another installation is claiming {vault.url} at this moment",
        f"try again; if no other daemon uses this vault, delete {other} there",
    )
