"""Restores while others die: the target, its child, its replica, the vault of the safety backup.

The target is left with old data or with new, set as before, and the log says with which.
"""

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from daemon.answers import RestoreView
from daemon.commands import AddCache, RequestRestore
from daemon.valkey.engine import find_engines
from events.types import RestoreCompleted, RestoreFailed
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, log_is_sound, settings_of
from tests.support.poll import until
from tests.support.servers import Node, command, fill, start_node

pytestmark = pytest.mark.anyio

Data = tuple[str, bytes]
PASSWORD = "the-target-wants-one"
SETUPS: dict[str, dict[str, str]] = {
    "disabled, saved": {"repl_diskless_load": "disabled", "save": "3600 1000000"},
    "swapdb, AOF, replica": {"repl_diskless_load": "swapdb", "appendonly": "yes"},
}


class Field(NamedTuple):
    """An installation that is not running, with the backup `orders/b`; a target with a password."""

    daemon: DaemonProcess
    target: Node
    replica: Node | None
    new: Data
    second: Path

    async def refilled(self) -> Data:
        """The target holds its old data again, on its disk as well; what that is."""
        client = self.target.client()
        await client.flushall()
        await command(client, "FUNCTION", "FLUSH")
        await fill(client, keys=200, prefix="old")
        if self.replica is None:
            await command(client, "SAVE")
        await client.aclose()
        return await data_of(self.target)

    async def restored(self, doom: str, victim: Node | None = None) -> RestoreView:
        """Restore while that happens; a server that was killed is started again at once."""
        await self.daemon.start(doom=doom)
        asked = await self.daemon.command(RequestRestore("orders/b", "copy", replace=True))
        assert asked.restore_id is not None
        if victim is not None:
            await victim.fallen()
            await victim.start()
        return await self.daemon.restore_ended(asked.restore_id)


@pytest.fixture(scope="module", params=SETUPS)
async def field(
    request: pytest.FixtureRequest, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Field, None]:
    """One source, one target of this sort, perhaps with a replica, and one installation."""
    engine, folder = (await find_engines(os.defpath))[0], tmp_path_factory.mktemp("f")
    login = {"requirepass": PASSWORD, "masterauth": PASSWORD}
    (folder / "second").mkdir()
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    vaults = f'{directory_vault(folder / "main")}[vaults.second]\nurl = "file://{folder}/second"\n'
    async with (
        start_node(engine, folder / "s", rdbcompression="no") as source,
        start_node(engine, folder / "t", **login, **SETUPS[request.param]) as target,
        start_node(engine, folder / "r", **login) as replica,
        installation(nursery, vaults) as daemon,
    ):
        client = source.client()
        await fill(client, keys=2_000, prefix="new")
        await client.aclose()
        follows = "replica" in request.param
        if follows:
            client = replica.client()
            await command(client, "REPLICAOF", "127.0.0.1", target.port)
            await client.aclose()
        await daemon.start()
        await daemon.command(AddCache("orders", source.url, vault="main"))
        secret = str(folder / "password")
        await daemon.command(AddCache("copy", target.url, vault="second", password_file=secret))
        assert (await daemon.backup("orders", name="b")).phase == "complete"
        assert await daemon.stop() == 0
        yield Field(
            daemon, target, replica if follows else None, await data_of(source), folder / "second"
        )


@pytest.fixture
async def ground(field: Field) -> AsyncGenerator[Field, None]:
    """The same; whatever runs at the end of a test is ended."""
    yield field
    await field.daemon.aclose()


async def left_well(field: Field, view: RestoreView, old: Data, settings: dict[str, str]) -> Data:
    """The target is free, as the log says; what it holds."""
    holds = await data_of(field.target)
    assert holds in (old, field.new)
    replicas = 0 if field.replica is None else 1
    await is_at_rest(field.target, settings, replicas=replicas)
    if field.replica is not None:
        replica = field.replica

        async def same() -> bool:
            return await data_of(replica) == holds

        await until(same, "the replica has what its primary has")
    ends = [e for e in await field.daemon.events() if isinstance(e, RestoreFailed)]
    if view.phase == "failed":
        told = {"old": [old], "new": [field.new], "unknown": [old, field.new]}[ends[-1].serves]
        assert ends[-1].undone
        assert holds in told, ends[-1]
    await log_is_sound(field.daemon)
    return holds


@contextmanager
def no_folder(vault: Path) -> Iterator[None]:
    """The folder of a vault is elsewhere, and something else is in its place."""
    elsewhere = vault.with_name("elsewhere")
    vault.rename(elsewhere)
    vault.write_text("no folder")
    try:
        yield
    finally:
        vault.unlink()
        elsewhere.rename(vault)


class Case(NamedTuple):
    """In which phase the target dies, and what it can hold after that."""

    phase: str
    holds: Literal["old", "either"]


@pytest.mark.parametrize(
    "case",
    [
        Case("waiting for the safety backup", "old"),
        Case("waiting for the target", "old"),
        Case("sending", "old"),
        Case("loading", "either"),
        Case("making it durable", "either"),
    ],
    ids=lambda case: case.phase,
)
async def test_the_target_is_killed(ground: Field, case: Case) -> None:
    """A target that dies in a restore comes back with old data or new, and nothing of ours set."""
    old, settings = await ground.refilled(), await settings_of(ground.target)

    view = await ground.restored(f"fell {ground.target.pid} {case.phase}", ground.target)

    assert view.phase == "failed"
    holds = await left_well(ground, view, old, settings)
    assert holds == old or case.holds == "either"


async def test_the_targets_child_is_killed(ground: Field) -> None:
    """Where the child that makes the safety backup dies, the restore stops; nothing is lost."""
    old, settings = await ground.refilled(), await settings_of(ground.target)

    view = await ground.restored(f"orphan {ground.target.pid} storing")

    if view.phase == "failed":
        assert view.failure is not None
        assert view.failure.code == "safety-backup"
    holds = await left_well(ground, view, old, settings)
    assert (holds == ground.new) == (view.phase == "completed")


async def test_the_vault_of_the_safety_backup_is_away(ground: Field) -> None:
    """Without a safety backup nothing is overwritten, and the target takes writes again."""
    old, settings = await ground.refilled(), await settings_of(ground.target)
    with no_folder(ground.second):
        await ground.daemon.start()
        view = await ground.daemon.restore("orders/b", to="copy")

    assert view.failure is not None
    assert view.failure.code == "safety-backup"
    assert await left_well(ground, view, old, settings) == old


async def test_the_targets_replica_is_killed(ground: Field) -> None:
    """A replica of the target that dies is nothing to the restore, and synchronises afterwards."""
    if ground.replica is None:
        view = await ground.restored("fell 0 nothing")
    else:
        await ground.refilled()
        view = await replica_killed(ground, ground.replica)

    assert view.phase == "completed", view.failure
    assert await data_of(ground.target) == ground.new
    assert isinstance((await ground.daemon.events())[-1], RestoreCompleted)


async def replica_killed(field: Field, replica: Node) -> RestoreView:
    """The replica dies while the data is sent, and follows again."""
    view = await field.restored(f"fell {replica.pid} sending", replica)
    client = replica.client()
    await command(client, "REPLICAOF", "127.0.0.1", field.target.port)
    await client.aclose()

    async def same() -> bool:
        return await data_of(replica) == field.new

    await until(same, "the replica has what its primary has")
    return view
