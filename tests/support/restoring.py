"""A restore by replication as its actor does it, step by step, for tests of the steps.

Knows the order of the steps only; the log, the vault and the safety backup are left out.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from msgspec import Struct

from daemon.valkey.address import parse
from daemon.valkey.connection import Login, Timeouts
from daemon.valkey.durable import Before, Durability, before
from daemon.valkey.listener import Door, Listener, Names, listening
from daemon.valkey.seeder import Chunks, Patience, Seeder
from daemon.valkey.target import Hold, Target, open_target
from daemon.valkey.target_facts import LOOPBACK, Entry, entry
from tests.support.servers import Node

NAMES = Names(replication_id="5eed" * 10, marker="7777aaaa")
ONE_TIME = "0123456789abcdef" * 4
QUICK = Timeouts(connect=5.0, command=20.0, stall=10.0)
PATIENT = Patience(arrival=10.0, stall=10.0, load=20.0, tries=2)


class Silent:
    """Progress that goes nowhere."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Nothing."""

    def advance(self, moved_bytes: int) -> None:
        """Nothing."""


class Stage(Struct, frozen=True):
    """A target that is held still and a door that waits for it."""

    target: Target
    listener: Listener
    entry: Entry
    hold: Hold
    seeder: Seeder


async def pieces(data: bytes) -> AsyncGenerator[bytes, None]:
    """These bytes in pieces, as a vault gives them."""
    for start in range(0, len(data), 1 << 16):
        yield data[start : start + (1 << 16)]


def source(generator: Callable[[], AsyncGenerator[bytes, None]]) -> Chunks:
    """A source that runs this generator anew each time it is opened."""
    return lambda: aclosing(generator())


def whole(data: bytes) -> Chunks:
    """A source of these bytes."""
    return source(lambda: pieces(data))


@asynccontextmanager
async def staged(
    node: Node, load_mode: str, *, patience: Patience = PATIENT
) -> AsyncIterator[Stage]:
    """The target frozen, with a listener that lets it in; nothing is undone by itself."""
    door = Door("127.0.0.1", 0, "127.0.0.1", LOOPBACK)
    async with open_target(Login(parse(node.url)), QUICK) as target:
        expected = await entry(target.node, ONE_TIME)
        async with listening(door, expected.access, NAMES) as listener:
            hold = await target.hold(
                expected, listener, load_mode=load_mode, replication_id=NAMES.replication_id
            )
            await target.freeze(hold)
            seeder = Seeder(listener, patience, Silent())
            yield Stage(target, listener, expected, hold, seeder)


async def restore(stage: Stage, data: bytes, load_mode: str) -> tuple[str, Before]:
    """Send it, promote, wait until it is durable, put the settings back."""
    earlier = await before(stage.target.node)
    await stage.target.replicate_from(stage.hold, stage.entry)
    await stage.seeder.serve(len(data), whole(data))
    await stage.target.wait_loaded(stage.hold, 10)
    await stage.target.promote(stage.hold)
    stage.seeder.close()
    durability = await Durability(stage.target, stage.hold, 30).wait(load_mode, earlier)
    assert await stage.target.thaw(stage.hold) == ()
    return durability, earlier
