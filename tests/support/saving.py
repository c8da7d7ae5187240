"""A server whose saves last as long as a test wants.

The delay is of the engine's own making (`rdb-key-save-delay`), so the child is a real one.
"""

import os
import signal
from pathlib import Path

from tests.support.servers import Node, command


async def saving_slowly(node: Node) -> None:
    """Make the server's saves last: a tenth of a second for each key."""
    await _delay(node, 100_000)


async def saving_at_once(node: Node) -> None:
    """Saves are quick again, and one that has begun slowly ends as if it had never been."""
    await _delay(node, 0)
    for child in _children(node.pid):
        os.kill(child, signal.SIGUSR1)  # by which the engine itself gives a save up


async def _delay(node: Node, microseconds_per_key: int) -> None:
    client = node.client()
    await command(client, "CONFIG", "SET", "rdb-key-save-delay", microseconds_per_key)
    await client.aclose()


def _children(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in told.split()]
