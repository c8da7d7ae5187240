"""What both sources need for one snapshot besides its bytes.

What was found before it began, the clock, the progress board, how its facts are put together.
Asks the server one thing, after the snapshot: who it is by then, and how much copying its child
caused.
"""

from contextlib import suppress
from datetime import UTC, datetime

import anyio
from msgspec import Struct, structs

from daemon.errors import Failed
from daemon.ports import Clock, Progress
from daemon.valkey.connection import Login, Timeouts, open_node
from daemon.valkey.history import History
from daemon.valkey.info import fields, saving
from daemon.valkey.rdb import Header
from events.facts import NodeFacts, ServerFacts, SnapshotFacts, SourceChoice

# A server notices its child's end in its next round: within 100 ms with the usual hz of 10.
CHILD_SECONDS = 5.0
STEP_SECONDS = 0.02


class Occasion(Struct, frozen=True):
    """One snapshot to be taken: of whom, by which choice, with which means."""

    login: Login
    timeouts: Timeouts
    clock: Clock
    progress: Progress
    server: ServerFacts
    choice: SourceChoice
    node: NodeFacts
    history: History


class Taken(Struct, frozen=True):
    """What a source knows when its bytes are through.

    `fork_seconds` is the time that we saw the server's child live: for bgsave from the answer
    to ``BGSAVE`` until ``rdb_bgsave_in_progress`` was 0; for replication from the answer to
    ``PSYNC`` until the RDB's beginning where a file was written first, else until its end.
    ``INFO`` has it in whole seconds only, and its ``latest_fork_usec`` is the call alone.
    """

    at: datetime
    header: Header
    fork_seconds: float | None
    copy_on_write_bytes: int | None
    replication: tuple[str, int] | None


def snapshot_facts(occasion: Occasion, taken: Taken) -> SnapshotFacts:
    """What is to be recorded of a snapshot, with the replication offset of its own instant."""
    replication_id, offset = taken.replication or (
        occasion.server.replication_id,
        occasion.server.replication_offset,
    )
    created = taken.header.number("ctime")
    seconds = taken.fork_seconds
    return SnapshotFacts(
        server=structs.replace(
            occasion.server, replication_id=replication_id, replication_offset=offset
        ),
        source=occasion.choice.source,
        reason=occasion.choice.reason,
        rdb_version=taken.header.version,
        taken_at=taken.at,
        rdb_created_at=None if created is None else datetime.fromtimestamp(created, UTC),
        fork_seconds=None if seconds is None else round(seconds, 3),
        copy_on_write_bytes=taken.copy_on_write_bytes,
        node=occasion.node,
    )


async def after_child(occasion: Occasion) -> dict[str, str] | None:
    """``INFO`` once the child has ended; None where the server does not tell any more.

    Never an error: the bytes are there already. A child that still lives when our patience ends
    may be of another save.
    """
    info: dict[str, str] | None = None
    with suppress(Failed), anyio.move_on_after(CHILD_SECONDS):
        async with open_node(occasion.login, occasion.timeouts) as node:
            info = fields(await node.text("INFO"))
            while saving(info).running:
                await anyio.sleep(STEP_SECONDS)
                info = fields(await node.text("INFO"))
    return info


def copied(after: dict[str, str] | None) -> int | None:
    """``rdb_last_cow_size``, where `after_child` has seen our child end."""
    state = None if after is None else saving(after)
    return None if state is None or state.running else state.copy_on_write_bytes
