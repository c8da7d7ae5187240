"""The runbook, followed by a stranger: each section's commands bring the data back."""

import os
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
import redis.asyncio
from msgspec import Struct, structs

from daemon.answers import CacheDetail
from daemon.commands import PolicyChange, SetPolicy
from daemon.valkey.engine import Engine
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.new_servers import New
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.runbook import Page, Reader
from tests.support.servers import Node, command, fill, free_port, start_node

pytestmark = pytest.mark.anyio

PAGE = Page(Path(__file__).parents[2] / "docs" / "runbook.md")
KEYS = {"db0": 59, "db3": 59, "db9": 59}
"""What `fill` makes of 50, by database."""


class Night(Struct, frozen=True):
    """Everything there is when it happens."""

    daemon: DaemonProcess
    primary: Node
    replica: Node
    new: New
    reader: Reader

    async def lose(self) -> None:
        """The accident."""
        await asked(self.primary.port, "FLUSHALL")

    async def reloaded(self) -> bool:
        """Whether the daemon has read its configuration again."""
        return "configuration reloaded" in self.daemon.output()

    async def url(self) -> str:
        """Where Valkeep thinks the cache is."""
        return (await self.daemon.get(CacheDetail, "caches", "shop")).cache.settings.url


@pytest.fixture
async def night(nursery: Nursery, engine: Engine, short_path: Path) -> AsyncGenerator[Night, None]:
    """A primary with a replica, a backup of them, and a person with the page."""
    new = New(short_path / "new", free_port())
    config = directory_vault(short_path / "v")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        daemon = await enter(installation(nursery, config, {"PATH": os.defpath}))
        primary = await enter(start_node(engine, short_path / "a"))
        follows = f"127.0.0.1 {primary.port}"
        replica = await enter(start_node(engine, short_path / "b", replicaof=follows))
        stack.push_async_callback(new.kill)
        await filled(primary)
        await until_held(replica.port)  # a backup comes from the replica, if it is in step
        await daemon.start()
        await daemon.add("shop", url=primary.url)
        nightly = await daemon.backup("shop", name="nightly")
        assert ("complete", sum(KEYS.values())) == (nightly.phase, nightly.keys)
        yield Night(
            daemon, primary, replica, new, reader(daemon, new, primary=primary, replica=replica)
        )


def reader(daemon: DaemonProcess, new: New, *, primary: Node, replica: Node) -> Reader:
    """A person whose servers are elsewhere than the page's."""
    names = {
        "6379": str(primary.port),
        "6380": str(new.port),
        "6381": str(replica.port),
        "/var/lib/shop": str(new.directory),
    }
    assert primary.engine.cli is not None
    return Reader(daemon.socket, primary.engine.cli, names)


async def filled(node: Node) -> None:
    """Some data."""
    client = node.client()
    await fill(client, keys=50)
    await client.aclose()


async def asked(port: int, *words: str, password: str | None = None) -> object:
    """One command's answer, from whoever listens there."""
    client = redis.asyncio.Redis(port=port, password=password)
    try:
        return await command(client, *words)
    finally:
        await client.aclose()


async def held(port: int, password: str | None = None) -> dict[str, int]:
    """Keys by database."""
    info = await asked(port, "INFO", "keyspace", password=password)
    assert isinstance(info, dict)
    return {name: found["keys"] for name, found in info.items()}


async def until_held(port: int) -> None:
    """Wait until the data is there."""

    async def there() -> bool:
        return await held(port) == KEYS

    await until(there, f"the data on port {port}")


async def test_it_begins_with_a_look(night: Night) -> None:
    """The first page of commands shows the backups, and proves one."""
    printed = await night.reader.follow(PAGE, "First of all")

    assert "shop/nightly" in printed["valkeep backup list shop"]
    assert "loaded" in printed["valkeep backup verify shop/nightly --wait"]


async def test_one_node_that_still_runs(night: Night) -> None:
    """The running server has its data back, and what it had before is a safety backup."""
    await night.lose()
    await asked(night.primary.port, "SET", "rubbish", "1")

    printed = await night.reader.follow(PAGE, "One node that still runs")

    assert KEYS == await held(night.primary.port)
    assert "shop/before-restore-" in printed["valkeep backup list shop"]


async def test_only_some_keys_are_gone(night: Night) -> None:
    """The keys that fit come back, and what is there and younger stays."""
    for number in range(40):
        await asked(night.primary.port, "DEL", f"k:{number}")
    await asked(night.primary.port, "SET", "k:1", "younger")
    names = {**night.reader.names, "cart:*": "k:*"}
    there = structs.replace(night.reader, names=names)

    printed = await there.follow(PAGE, "Only some keys are gone")

    assert KEYS == await held(night.primary.port)
    assert b"younger" == await asked(night.primary.port, "GET", "k:1")
    assert any("39" in told for line, told in printed.items() if "diff" in line)


async def test_the_restore_was_the_mistake(night: Night) -> None:
    """What the restore has overwritten is there again."""
    await night.lose()
    await asked(night.primary.port, "SET", "needed", "after all")
    await night.daemon.restore("shop/nightly", to="shop")

    await night.reader.follow(PAGE, "The restore was the mistake")

    assert {"db0": 1} == await held(night.primary.port)
    assert b"after all" == await asked(night.primary.port, "GET", "needed")


async def test_one_node_whose_server_is_gone(night: Night) -> None:
    """A new server has the data, a password and its backups."""
    await night.primary.kill()
    night.new.directory.with_suffix(".password").write_text("correct-horse")

    await night.reader.follow(PAGE, "One node whose server is gone")

    assert KEYS == await held(night.new.port, "correct-horse")
    assert 2 == len(await night.daemon.listed())
    assert "correct-horse" in await anyio.Path(night.new.conf).read_text()


async def test_a_primary_with_replicas(night: Night) -> None:
    """The primary has its data back, and its replica after it."""
    await night.lose()

    await night.reader.follow(PAGE, "A primary with replicas")

    assert KEYS == await held(night.primary.port)
    await until_held(night.replica.port)


async def test_the_primary_is_gone(night: Night) -> None:
    """The replica takes over; where its data is no good, a new primary does, and it follows."""
    await night.primary.kill()

    await night.reader.follow(PAGE, "The primary is gone, a replica lives")

    assert KEYS == await held(night.new.port)
    await until_held(night.replica.port)
    assert f"valkey://127.0.0.1:{night.new.port}" == await night.url()
    assert 2 == len(await night.daemon.listed())


async def test_the_host_is_gone(
    night: Night, nursery: Nursery, short_path: Path, engine: Engine
) -> None:
    """On a new machine everything comes back from the vault, and the data from a backup."""
    assert 0 == await night.daemon.stop()
    await night.primary.kill()
    await night.replica.kill()
    config = directory_vault(short_path / "v")
    async with installation(nursery, config, {"PATH": os.defpath}) as fresh:
        await fresh.start()
        there = reader(fresh, night.new, primary=night.primary, replica=night.replica)

        await there.follow(PAGE, "The host is gone, the bucket is left")
        printed = await there.follow(PAGE, "Afterwards")

        assert KEYS == await held(night.new.port)
        assert 2 == len(await fresh.listed())
        assert "after-the-move" in printed["valkeep events --cache shop"]


async def test_backups_fail(night: Night) -> None:
    """The look names the failure and the right hint, and the next backup is made."""
    await night.daemon.command(SetPolicy("shop", PolicyChange(auto=True)))
    await night.primary.kill()
    await night.replica.kill()
    failed = await night.daemon.backup("shop", name="vain")
    await night.primary.start()

    printed = await night.reader.follow(PAGE, "Backups fail")

    assert "failed" == failed.phase
    assert "vain" in printed["valkeep backup list shop --all"]
    assert failed.failure is not None
    assert failed.failure.message[:20] in printed["valkeep status"]
    assert 2 == len(await night.daemon.listed())


async def test_the_vault_is_full(night: Night) -> None:
    """What is deleted makes room, and a new backup is there."""
    await night.daemon.command(SetPolicy("shop", PolicyChange(auto=True)))

    printed = await night.reader.follow(PAGE, "The vault or the disk is full")

    assert "manual" in printed["valkeep retention why shop/nightly"]
    assert ["auto"] == [one.kind for one in await night.daemon.listed()]


async def test_keys_were_rotated(night: Night) -> None:
    """With the new password in its file the next backup is made."""
    night.new.directory.with_suffix(".password").write_text("correct-horse")
    for port in (night.primary.port, night.replica.port):
        await asked(port, "CONFIG", "SET", "masterauth", "correct-horse")
        await asked(port, "CONFIG", "SET", "requirepass", "correct-horse")

    printed = await night.reader.follow(PAGE, "Keys were rotated")

    assert 2 == len(await night.daemon.listed())
    assert "PROBLEM cache" not in printed["valkeep doctor"]


async def test_the_bucket_has_moved(night: Night, short_path: Path) -> None:
    """The copy of a vault is the vault, when the configuration says so."""
    shutil.copytree(short_path / "v", short_path / "w")
    night.daemon.configure(directory_vault(short_path / "w"))
    night.daemon.signal(signal.SIGHUP)
    await until(night.reloaded, "the new place to be taken over")
    shutil.rmtree(short_path / "v")

    printed = await night.reader.follow(PAGE, "The bucket has moved")

    assert "loaded" in printed["valkeep backup verify shop/nightly --wait"]
    assert "PROBLEM vault" not in printed["valkeep doctor"]


def test_every_section_is_followed() -> None:
    """No section of the page has commands that no test types."""
    typed = Path(__file__).read_text(encoding="utf-8")

    assert [] == [section for section in PAGE.sections() if f'PAGE, "{section}"' not in typed]
