"""A daemon that is killed while it restores: the target has all old or all new data, and is free.

Nothing of a cut-off restore is done again by itself; what it changed on its target is undone.
"""

import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import pytest

from daemon.commands import UndoRestore
from daemon.errors import Rejected
from daemon.valkey.engine import find_engines
from events.types import (
    BackupAbandoned,
    BackupCompleted,
    Event,
    RestoreCompleted,
    RestoreFailed,
    RestoreRequested,
    RestoreStarted,
)
from projections.state import State
from tests.support.daemon import DEAD, DaemonProcess
from tests.support.outcome import (
    data_of,
    is_at_rest,
    is_tidy,
    log_is_sound,
    nothing_partial,
    settings_of,
)
from tests.support.servers import Node, command, fill, start_node

pytestmark = pytest.mark.anyio

Data = tuple[str, bytes]
E = TypeVar("E")


class Case(NamedTuple):
    """Where the daemon dies, what the target holds in the end, and how its safety backup ended."""

    point: str
    data: Literal["old", "new", "either"]
    safety: Literal["none", "complete", "abandoned"]


CASES = (
    Case("before restore-requested", "old", "none"),
    Case("after restore-requested", "old", "none"),
    Case("phase planning", "old", "none"),
    Case("before restore-planned", "old", "none"),
    Case("after restore-planned", "old", "none"),
    Case("before restore-started", "old", "none"),
    Case("after restore-started", "old", "none"),
    Case("phase waiting for the safety backup", "old", "none"),
    Case("after backup-requested #2", "old", "abandoned"),
    Case("before attempt-started #2", "old", "abandoned"),
    Case("phase storing #2", "old", "abandoned"),
    Case("bytes 100000 storing #2", "old", "abandoned"),
    Case("before backup-completed #2", "old", "abandoned"),
    Case("after backup-completed #2", "old", "complete"),
    Case("phase waiting for the target", "old", "complete"),
    Case("phase sending", "old", "complete"),
    Case("bytes 300000 sending", "old", "complete"),
    Case("phase loading", "either", "complete"),
    Case("phase making it durable", "new", "complete"),
    Case("before restore-completed", "new", "complete"),
    Case("after restore-completed", "new", "complete"),
)


class Scene(NamedTuple):
    """A cache to take from, one to restore into, and what each of them holds."""

    source: Node
    target: Node
    new: Data
    old: Data
    settings: dict[str, str]


@pytest.fixture(scope="module", params=["disabled", "swapdb"])
async def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[Node, Node], None]:
    """Two servers: one to take from, and a target that loads in this mode."""
    engine = (await find_engines(os.defpath))[0]
    async with (
        start_node(engine, tmp_path_factory.mktemp("s"), rdbcompression="no") as source,
        start_node(
            engine,
            tmp_path_factory.mktemp("t"),
            repl_diskless_load=request.param,
            rdbcompression="no",
            appendonly="yes" if request.param == "swapdb" else "no",
            min_replicas_max_lag="0",
        ) as target,
    ):
        await filled(source, keys=2_000, prefix="new")
        yield source, target


@pytest.fixture
async def scene(nodes: tuple[Node, Node]) -> Scene:
    """The two, the target with its old data again."""
    source, target = nodes
    client = target.client()
    await client.flushall()
    await command(client, "FUNCTION", "FLUSH")
    await client.aclose()
    old = await filled(target, keys=200, prefix="old")
    return Scene(source, target, await data_of(source), old, await settings_of(target))


async def filled(node: Node, keys: int, prefix: str) -> Data:
    """Fill a server; what it holds then."""
    client = node.client()
    await fill(client, keys=keys, prefix=prefix)
    await client.aclose()
    return await data_of(node)


async def restore(daemon: DaemonProcess, scene: Scene, point: str) -> None:
    """Run a doomed daemon that backs up and is asked to restore, until it dies."""
    await daemon.start(doom=point)
    with suppress(*DEAD):
        await daemon.add("orders", url=scene.source.url)
        await daemon.add("copy", url=scene.target.url)
        assert (await daemon.backup("orders", name="nightly")).phase == "complete"
        await daemon.restore("orders/nightly", to="copy")
    await daemon.died()


async def recover(daemon: DaemonProcess, vault: Path) -> State:
    """Start a sound daemon and wait until it has settled everything, looking all the while."""

    async def look() -> None:
        await nothing_partial(daemon, vault)

    await daemon.start()
    await look()
    return await daemon.settled(look)


def one(events: list[Event], kind: type[E]) -> E | None:
    """The only event of a kind, or None."""
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) <= 1, found
    return found[0] if found else None


def safety_of(events: list[Event]) -> str:
    """How the safety backup ended; the one before it was whole."""
    ends = Counter(type(event) for event in events)
    assert ends[BackupCompleted] >= 1
    if ends[BackupCompleted] == 2:
        return "complete"
    return "abandoned" if ends[BackupAbandoned] else "none"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.point)
async def test_a_restore_survives_kill_9(
    daemon: DaemonProcess, scene: Scene, vault: Path, case: Case
) -> None:
    """Killed anywhere in a restore, the daemon frees the target and does not begin again.

    The target holds its old data, or all of the new, and the log says which.
    """
    await restore(daemon, scene, case.point)

    await recover(daemon, vault)

    holds = await data_of(scene.target)
    assert holds in {"old": [scene.old], "new": [scene.new]}.get(case.data, [scene.old, scene.new])
    await is_at_rest(scene.target, scene.settings)
    events = await daemon.events()
    asked, failed = one(events, RestoreRequested), one(events, RestoreFailed)
    if one(events, RestoreCompleted) is None and asked is not None:
        assert failed is not None
        assert failed.undone
        assert failed.failure.code == "interrupted"
        assert failed.command.startswith(f"valkeep restore {asked.backup_id} --to copy")
        assert ("had loaded the backup" in failed.failure.message) == (holds == scene.new)
    assert one(events, RestoreStarted) is None or safety_of(events) == case.safety
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


@pytest.mark.parametrize(
    "point", ["phase undoing the restore", "before restore-failed", "after restore-failed"]
)
async def test_an_undoing_that_was_cut_off_is_made_again(
    daemon: DaemonProcess, scene: Scene, vault: Path, point: str
) -> None:
    """Killed while it frees a target, the daemon frees it at its next start."""
    await restore(daemon, scene, "bytes 300000 sending")
    await daemon.start(doom=point)
    await daemon.died()

    await recover(daemon, vault)

    assert await data_of(scene.target) == scene.old
    await is_at_rest(scene.target, scene.settings)
    assert one(await daemon.events(), RestoreFailed) is not None
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_an_interrupted_restore_is_repeated_by_the_command_that_is_told(
    daemon: DaemonProcess, scene: Scene, vault: Path
) -> None:
    """After a restore was cut off, the same backup can be restored by hand, whole."""
    await restore(daemon, scene, "bytes 300000 sending")
    state = await recover(daemon, vault)

    backup_id = next(iter(state.restores.values())).backup_id
    again = await daemon.restore(backup_id, to="copy")

    assert again.phase == "completed", again.failure
    assert await data_of(scene.target) == scene.new
    await is_at_rest(scene.target, scene.settings)
    await is_tidy(daemon, vault)


async def test_a_restore_that_was_cut_off_after_the_load_is_taken_back(
    daemon: DaemonProcess, scene: Scene, vault: Path
) -> None:
    """A cut-off restore whose data is there by then can be undone: the old data comes back."""
    await restore(daemon, scene, "phase making it durable")
    await recover(daemon, vault)
    assert await data_of(scene.target) == scene.new

    accepted = await daemon.command(UndoRestore("copy", replace=True))
    assert accepted.restore_id is not None
    undone = await daemon.restore_ended(accepted.restore_id)

    assert undone.phase == "completed", undone.failure
    assert await data_of(scene.target) == scene.old
    await is_at_rest(scene.target, scene.settings)


async def test_a_backup_is_held_while_its_restore_is_undone(
    daemon: DaemonProcess, scene: Scene, vault: Path
) -> None:
    """The target is frozen, so the undoing has to wait: meanwhile the cache stays excluded."""
    await restore(daemon, scene, "bytes 300000 sending")
    scene.target.pause()
    try:
        await daemon.start()
        with pytest.raises(Rejected, match="has not ended"):
            await daemon.restore("orders/nightly", to="copy")
    finally:
        scene.target.resume()
    await daemon.settled()
    await is_at_rest(scene.target, scene.settings)
