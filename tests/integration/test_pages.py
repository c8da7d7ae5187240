"""Every command that a page shows, typed by a stranger: it succeeds, and answers as is shown.

A page has a stage: servers, a daemon and backups under the names that the page uses.
"""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from daemon.answers import Restores
from daemon.commands import (
    AddCache,
    PolicyChange,
    RequestAutoBackup,
    RequestComparison,
    RequestExport,
    SetCache,
    SetPolicy,
)
from daemon.valkey.engine import Engine, find_engines
from tests.docs.follow import Reader, put_programs
from tests.docs.pages import ROOT, Block, blocks, paths
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.new_servers import New
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.servers import Node, fill, free_port, start_node

pytestmark = pytest.mark.anyio

EXAMPLE_ID = "20261123T034546Z-5f0c61aa"
ELSEWHERE = ("docs/runbook.md", "docs/encryption.md")
"""Pages that are followed by tests of their own, section by section."""


class Stage(Struct):
    """All that a page's reader has before the first command."""

    daemon: DaemonProcess
    node: Node
    new: New
    reader: Reader
    folder: Path
    nursery: Nursery
    stack: AsyncExitStack
    learns: bool = False
    """Whether the page makes the auto backup itself that it then speaks of."""

    async def learn(self) -> None:
        """The name of the auto backup that the page has made meanwhile."""
        for one in await self.daemon.listed() if self.learns else ():
            if one.kind == "auto":
                self.reader.names = {"auto-20261123-0200": one.name, **self.reader.names}

    async def add(self, *caches: str) -> None:
        """Put the server under backup, under these names."""
        for cache in caches:
            await self.daemon.command(AddCache(cache, self.node.url, vault="main"))

    async def backed_up(self, *backups: str) -> None:
        """Make these backups, ``CACHE/NAME``."""
        for reference in backups:
            cache, _, name = reference.partition("/")
            await self.daemon.backup(cache, name=name)


def furnish(engine: Engine, folder: Path) -> None:
    """The folders and programs of a page's reader."""
    folder.mkdir()
    put_programs(engine, folder / "programs")
    (folder / "here").mkdir()
    (folder / "warehouse" / "2026" / "03").mkdir(parents=True)


@asynccontextmanager
async def stage(nursery: Nursery, folder: Path) -> AsyncGenerator[Stage, None]:
    """A server with data, a daemon with two vaults and a place for exports."""
    engine = (await find_engines(os.defpath))[0]
    furnish(engine, folder)
    second = directory_vault(folder / "second").replace("vaults.main", "vaults.second")
    exports = f'[exports.warehouse]\nurl = "file://{folder}/warehouse"\n'
    config = directory_vault(folder / "main") + second + exports
    new = New(folder / "new", free_port())
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        daemon = await enter(installation(nursery, config, {"PATH": os.defpath}))
        node = await enter(start_node(engine, folder / "node"))
        stack.push_async_callback(new.kill)
        client = node.client()
        await fill(client, keys=50, prefix="cart")
        await client.aclose()
        await daemon.start()
        names = {
            "/run/valkeep/valkeep.sock": str(daemon.socket),
            "/var/lib/shop": str(new.directory),
            "/srv/rdb": str(folder / "warehouse"),
            "/home/anna/dump.rdb": str(folder / "here" / "dump.rdb"),
            "6379": str(node.port),
            "6380": str(new.port),
        }
        reader = Reader(daemon.socket, folder / "here", folder / "programs", stack, names)
        yield Stage(daemon, node, new, reader, folder, nursery, stack)


async def of_copies(stage: Stage) -> None:
    """A cache that has got a second vault, and backups from before that."""
    await stage.add("orders")
    await stage.backed_up("orders/before-upgrade", "orders/before-launch")
    await stage.daemon.command(SetCache("orders", copy_to="second", probe=False))
    stage.reader.keyboard = {"restore": "orders\n"}


async def of_orders(stage: Stage) -> None:
    """Two backups of one cache, every kind of difference between them, and that told."""
    client = stage.node.client()
    await client.hset("changed:hash", mapping={"a": "1"})
    await client.set(b"bin\0\xff\n", "x")
    await stage.add("orders")
    await client.set("brief:1", "x", px=3000)
    await stage.backed_up("orders/monday")
    await client.delete(b"bin\0\xff\n")
    await client.hset("changed:hash", mapping={"a": "2"})
    await client.set("new:1", "x")
    await client.expire("cart:1", 1000)

    async def gone() -> bool:
        return await client.exists("brief:1") == 0

    await until(gone, "a key with a TTL to end")
    await client.aclose()
    await stage.backed_up("orders/tuesday")
    wish = RequestComparison("orders/monday", "orders/tuesday", names=0)
    told = await stage.daemon.command(wish)
    assert told.comparison_id is not None
    stage.reader.names = {"20261123T034546Z-5f0c61aa": told.comparison_id, **stage.reader.names}
    await stage.daemon.raw("comparisons", told.comparison_id, query={"wait": 30})


async def of_shop(stage: Stage) -> None:
    """A cache with a backup or two."""
    await stage.add("shop")
    await stage.backed_up("shop/nightly", "shop/first")
    stage.reader.keyboard = {"restore": "shop\n"}


async def of_import(stage: Stage) -> None:
    """A cache, and RDB files from elsewhere."""
    await stage.add("shop", "orders")
    await stage.backed_up("shop/nightly")
    await stage.reader.type("valkeep restore shop/nightly --file ./dump.rdb")
    await stage.reader.type("zstd -q dump.rdb -o orders.rdb.zst")


async def of_metrics(stage: Stage) -> None:
    """Nothing but a daemon."""


async def of_schedule(stage: Stage) -> None:
    """A cache with a policy, and a backup by it."""
    await stage.add("orders")
    await stage.reader.type("valkeep policy set orders --auto")
    await stage.reader.type("valkeep backup create orders --auto --wait")
    (auto,) = await stage.daemon.listed()
    stage.reader.names = {"auto-20260301-0200": auto.name, **stage.reader.names}


async def of_storage(stage: Stage) -> None:
    """Somebody who stands in the folder of a backup."""
    await stage.add("shop")
    await stage.backed_up("shop/nightly")
    (manifest,) = (stage.folder / "main").glob("caches/shop/*/manifest.json")
    stage.reader.folder = manifest.parent


async def of_undo(stage: Stage) -> None:
    """A restore that can be taken back."""
    await of_shop(stage)
    await stage.daemon.restore("shop/nightly", to="shop")


async def of_api(stage: Stage) -> None:
    """One of everything that has an id."""
    await of_undo(stage)
    await stage.daemon.command(SetPolicy("shop", PolicyChange(auto=True)))
    await stage.reader.type("valkeep restore shop/nightly --file ./dump.rdb")
    command = stage.daemon.command
    export = await command(RequestExport("shop/nightly", "warehouse"))
    wish = RequestComparison("shop/nightly", "shop/first", names=0)
    comparison = await command(wish)
    (restore,) = (await stage.daemon.get(Restores, "restores")).restores
    assert export.export_id is not None
    assert comparison.comparison_id is not None
    await stage.daemon.raw("comparisons", comparison.comparison_id, query={"wait": 30})
    ids = {
        f"exports/{EXAMPLE_ID}": f"exports/{export.export_id}",
        f"restores/{EXAMPLE_ID}": f"restores/{restore.restore_id}",
        f"comparisons/{EXAMPLE_ID}": f"comparisons/{comparison.comparison_id}",
    }
    stage.reader.names = {**ids, **stage.reader.names}


async def of_recover(stage: Stage) -> None:
    """A host that is lost, and a new one that has its vault."""
    folder = stage.folder / "lost"
    config = directory_vault(folder)
    async with installation(stage.nursery, config, {"PATH": os.defpath}) as lost:
        await lost.start()
        await lost.add("shop", url=stage.node.url)
        await lost.backup("shop", name="before-launch")
        await lost.command(SetPolicy("shop", PolicyChange(auto=True)))
        asked = await lost.command(RequestAutoBackup("shop"))
        assert asked.backup_id is not None
        await lost.backup_ended(asked.backup_id)
        assert await lost.stop() == 0
    fresh = installation(stage.nursery, config, {"PATH": os.defpath})
    daemon = await stage.stack.enter_async_context(fresh)
    await daemon.start()
    stage.reader.socket = daemon.socket
    stage.reader.names = {"s3://backups/team": f"file://{folder}"}
    stage.reader.keyboard = {"recover": "y\n"}


async def of_newcomer(stage: Stage) -> None:
    """A server, and no daemon yet: the page starts it."""
    assert await stage.daemon.stop() == 0
    stage.daemon.configure(directory_vault(stage.folder / "main"))
    stage.reader.names = {"serve": f"serve --config {stage.daemon.config}", **stage.reader.names}
    stage.reader.keyboard = {"restore": "shop\n"}


async def of_service(stage: Stage) -> None:
    """A daemon that runs with one vault, as the page has just set it up."""
    await of_newcomer(stage)
    await stage.daemon.start()
    stage.learns = True


async def of_quick_service(stage: Stage) -> None:
    """The same, and the cache that the page has just added with a password."""
    await of_service(stage)
    policy = PolicyChange(auto=True, windows=("02:00+2h",), timezone="Europe/Paris")
    await stage.daemon.command(AddCache("shop", stage.node.url, policy=policy))


async def of_report(stage: Stage) -> None:
    """A cache with a backup."""
    await stage.add("orders")
    await stage.backed_up("orders/monday")


STAGES: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "README.md#Five minutes: a first backup, and a restore": of_newcomer,
    "README.md#As a service": of_service,
    "docs/quickstart.md#A trial without root": of_newcomer,
    "docs/quickstart.md#As a service": of_quick_service,
    "docs/api.md": of_api,
    "docs/report.md": of_report,
    "docs/alarms.md": of_metrics,
    "docs/copies.md": of_copies,
    "docs/diff.md": of_orders,
    "docs/export.md": of_shop,
    "docs/import.md": of_import,
    "docs/metrics.md": of_metrics,
    "docs/new-server.md": of_shop,
    "docs/receipts.md": of_shop,
    "docs/recover.md": of_recover,
    "docs/restore-keys.md": of_shop,
    "docs/restore.md": of_shop,
    "docs/schedule.md": of_schedule,
    "docs/storage.md": of_storage,
    "docs/undo.md": of_undo,
}


PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "docs/api.md": ("curl",),
    "docs/diff.md": ("curl",),
    "docs/alarms.md": ("curl",),
    "docs/report.md": ("curl",),
    "docs/export.md": ("curl",),
    "docs/import.md": ("zstd",),
    "docs/metrics.md": ("curl",),
    "docs/storage.md": ("zstd",),
}
"""Debian's programs that a page asks for."""
PARTS = [
    pytest.param(part, marks=[pytest.mark.debian(*PROGRAMS[part])] if part in PROGRAMS else [])
    for part in sorted(STAGES)
]


def followed(part: str) -> tuple[Block, ...]:
    """The blocks that are typed, of a page or of one section of it (``PAGE#SECTION``)."""
    page, _, section = part.partition("#")
    return tuple(
        one
        for one in blocks(ROOT / page)
        if one.language == "console" and not one.not_run and section in ("", one.section)
    )


@pytest.mark.parametrize("part", PARTS)
async def test_a_page_is_followed(part: str, nursery: Nursery, short_path: Path) -> None:
    """Whoever types what the page shows gets what it shows."""
    async with stage(nursery, short_path / "s") as there:
        await STAGES[part](there)
        for block in followed(part):
            await there.reader.follow(block)
            await there.learn()


def test_every_block_of_commands_is_followed() -> None:
    """A block of commands is typed by a test, or says why not; no stage is empty."""
    typed = {block.place for part in (*STAGES, *ELSEWHERE) for block in followed(part)}
    wanted = {block.place for path in paths() for block in followed(str(path.relative_to(ROOT)))}
    assert wanted == typed
    assert [] == [part for part in STAGES if not followed(part)]
