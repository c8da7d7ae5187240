"""Restores by keys, as tests want them: asked for in one line, and what a server then holds."""

from typing import NamedTuple

import msgspec

from daemon.answers import PlanAnswer, PlanRequest, RestoreView
from daemon.commands import RequestRestore
from events.moves import KeysWish
from tests.support.daemon import DaemonProcess
from tests.support.replicas import asking
from tests.support.servers import Node, command


async def restored(
    daemon: DaemonProcess, backup: str, wish: KeysWish, *, to: str = "target", safety: bool = False
) -> RestoreView:
    """Restore by keys, and wait until that has ended, well or not; may overwrite."""
    request = RequestRestore(
        backup, to, replace=True, safety_backup=safety, method="keys", keys=wish
    )
    accepted = await daemon.command(request)
    assert accepted.restore_id is not None
    return await daemon.restore_ended(accepted.restore_id)


async def plan_of(
    daemon: DaemonProcess, backup: str, wish: KeysWish, *, to: str = "target"
) -> PlanAnswer:
    """What such a restore would do."""
    request = PlanRequest(backup, to, method="keys", keys=wish)
    said = await daemon.post("/v1/plans", msgspec.json.encode(request))
    return msgspec.json.decode(said, type=PlanAnswer)


class Held(NamedTuple):
    """A key as a server has it: what it holds, in whatever order, and when it ends."""

    value: bytes
    ends_at: int


async def held(node: Node, database: int = 0) -> dict[bytes, Held]:
    """Every key of a database; streams as the server writes them down, with all their readers."""
    client = node.client(database)
    try:
        keys = [key async for key in client.scan_iter(count=1000)]
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.type(key)
            pipe.execute_command("DEBUG", "DIGEST-VALUE", key)
            pipe.pexpiretime(key)
        said = await pipe.execute()
        found: dict[bytes, Held] = {}
        for at, key in enumerate(keys):
            kind, digests, ends_at = said[3 * at : 3 * at + 3]
            value = await command(client, "DUMP", key) if kind == b"stream" else digests[0]
            assert isinstance(value, bytes)
            found[key] = Held(value, ends_at)
        return found
    finally:
        await client.aclose()


async def emptied(*nodes: Node) -> None:
    """Nothing is on these servers."""
    for node in nodes:
        async with asking(node) as client:
            await client.flushall()
