"""How a log tells its subscribers that it has grown, and how they follow it.

Knows nothing of records' contents nor of where they lie: a subscription is a read, repeated
from where the last one ended, whenever the bell rings.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio

from events.envelope import Record
from events.facts import Position


class Bell:
    """Rung after each stored batch; who took hold of `next_ring` before sees that ring."""

    def __init__(self) -> None:
        self._ring = anyio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._ring.set()
        self._ring = anyio.Event()

    def next_ring(self) -> anyio.Event:
        """The event that the next ring sets."""
        return self._ring


async def follow(
    read: Callable[[Position], AsyncGenerator[Record, None]], bell: Bell, after: Position
) -> AsyncGenerator[Record, None]:
    """All records after a position, and then each new one, for ever. Use under `aclosing`."""
    while True:
        grown = bell.next_ring()  # before the read: a batch stored during it is not missed
        async with aclosing(read(after)) as records:
            async for record in records:
                yield record
                after = record.position
        await grown.wait()
