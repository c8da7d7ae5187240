"""The page on encryption, word for word: its commands open a backup of a real server."""

import os
import re
import shutil
from pathlib import Path

import anyio
import pytest

from daemon.valkey.engine import Engine, find_engines
from tests.support.daemon import directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.servers import fill, start_node

pytestmark = [pytest.mark.anyio, pytest.mark.debian("age", "age-keygen", "zstd")]

PAGE = Path(__file__).parents[2] / "docs" / "encryption.md"
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def commands(section: str) -> str:
    """All commands of one section of the page, as a script."""
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")
    assert found, section
    blocks = BLOCK.findall(rest.partition("\n## ")[0])
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    assert lines
    assert all(line.startswith("$ ") for line in lines)
    return "\n".join(line.removeprefix("$ ") for line in lines)


async def typed(script: str, *, folder: Path, programs: Path) -> str:
    """What these commands print; all of them succeed."""
    done = await anyio.run_process(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": f"{programs}:{os.defpath}", "LC_ALL": "C.UTF-8"},
    )
    return done.stdout.decode()


def put_checker(engine: Engine, folder: Path) -> None:
    """The engine is the checker when it is called so."""
    folder.mkdir()
    (folder / "valkey-check-rdb").symlink_to(engine.server)


async def test_a_backup_is_opened_by_following_the_page(nursery: Nursery, short_path: Path) -> None:
    """Make a key, back up to it, and open the backup, with nothing but what the page says."""
    engine = (await find_engines(os.defpath))[0]
    folder, vault, programs = short_path / "f", short_path / "v", short_path / "p"
    put_checker(engine, programs)
    await anyio.Path(folder).mkdir()
    recipient = (await typed(commands("Making a key"), folder=folder, programs=programs)).split()[
        -1
    ]
    config = directory_vault(vault) + f'recipients = ["{recipient}"]\n'
    async with (
        installation(nursery, config) as daemon,
        start_node(engine, short_path / "n") as node,
    ):
        client = node.client()
        await fill(client)
        await client.aclose()
        await daemon.start()
        await daemon.add("orders", url=node.url)
        backup = await daemon.backup("orders", name="b")
    for name in ("0000.rdb.zst.age", "manifest.json"):
        shutil.copy(next(vault.glob(f"caches/orders/*/{name}")), folder)

    printed = await typed(commands("Opening a backup by hand"), folder=folder, programs=programs)

    assert recipient in printed
    assert "dump.rdb: OK" in printed
    assert f"{backup.keys} keys read" in printed
    assert (folder / "identity.txt").stat().st_mode & 0o077 == 0
