"""`valkeep doctor` of a real daemon: what each part that fails looks like, and what it leaves."""

import json
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from daemon.answers.check import Checked
from daemon.answers.doctor import Examined, Finding
from daemon.commands import AddCache
from daemon.valkey.engine import find_engines
from events.types import VaultExamined
from tests.support.autos import typing
from tests.support.daemon import S3_KEYS, DaemonProcess, directory_vault, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.outcome import place_of
from tests.support.proxy import Fault, proxy_before
from tests.support.s3 import S3Server, rclone_s3
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio

ROUTE = ("doctor",)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncGenerator[Node, None]:
    """A filled server."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, tmp_path / "n") as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        yield node


@pytest.fixture
async def daemon(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon with a vault in a folder."""
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        await daemon.start()
        yield daemon


async def examined(daemon: DaemonProcess) -> Examined:
    """What the doctor finds."""
    return await daemon.get(Examined, *ROUTE)


def of(found: Examined, part: str, name: str | None = None) -> list[Finding]:
    """The findings on one part."""
    return [one for one in found.findings if (one.part, one.name) == (part, name)]


def bad(found: Examined) -> list[tuple[str, str]]:
    """Names and codes of all problems."""
    return [(one.name or one.part, one.code) for one in found.findings if one.grade == "problem"]


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def test_a_healthy_installation(daemon: DaemonProcess, node: Node, tmp_path: Path) -> None:
    """Every part is told of, the exit code is 0, and neither vault nor log are changed by it."""
    await daemon.add("orders", url=node.url)
    assert "complete" == (await daemon.backup("orders", name="one")).phase
    before, position = files(tmp_path / "vault"), len(await daemon.history())

    printed = await typing(daemon, "doctor")
    found = await examined(daemon)

    assert [] == bad(found)
    assert "OK vault main: It takes, gives back, lists and deletes what it should." in printed.out
    assert "OK vault main: 3 objects, " in printed.out
    assert f"OK cache orders: {node.engine.label.capitalize()}, primary with 0 " in printed.out
    assert printed.out.splitlines()[-1].startswith(f"{found.grade.upper()} in all: 0 problems, ")
    assert ["clock", "time-zones", "disk", "socket"] == [
        one.code for one in of(found, "host") if one.grade == "ok"
    ]
    assert of(found, "engine")
    assert before == files(tmp_path / "vault")
    assert position == len(await daemon.history())


async def test_a_dead_cache(daemon: DaemonProcess) -> None:
    """A cache that nobody serves is a problem, with what to do, and exit 1."""
    await daemon.command(AddCache("nobody", "valkey://127.0.0.1:1", probe=False))
    printed = await typing(daemon, "doctor", "--json", code=1)
    found = json.loads(printed.out)

    assert "problem" == found["grade"]
    first = found["findings"][0]
    assert ("cache", "nobody", "cache-unreachable") == (first["part"], first["name"], first["code"])
    assert first["hint"]


async def test_a_right_that_is_missing(daemon: DaemonProcess, node: Node) -> None:
    """A user without the rights that a backup takes is a problem with the exact ACL line."""
    client = node.client()
    await client.acl_setuser("keeper", enabled=True, nopass=True, commands=["+info", "+time"])
    await client.aclose()
    url = node.url.replace("//", "//keeper@")
    await daemon.command(AddCache("orders", url, source="replication", probe=False))

    found = of(await examined(daemon), "cache", "orders")

    assert "cache-rights" in [one.code for one in found]
    rights = next(one for one in found if one.code == "cache-rights")
    assert "ACL SETUSER keeper" in rights.hint
    assert "+psync" in rights.hint


async def test_what_the_log_does_not_know(
    daemon: DaemonProcess, node: Node, tmp_path: Path
) -> None:
    """S1: strange objects are told with their number and size, and a lost manifest by its backup.

    Nothing is deleted, and the log still lists the backup.
    """
    await daemon.add("orders", url=node.url)
    kept = await daemon.backup("orders", name="kept")
    strange = tmp_path / "vault" / "caches/orders/20200101T000000Z-0badcafe"
    strange.mkdir()
    (strange / "0000.rdb.zst").write_bytes(b"x" * 1000)
    (tmp_path / "vault" / "notes.txt").write_bytes(b"by hand")
    (tmp_path / "vault" / place_of(kept) / "manifest.json").unlink()
    before = files(tmp_path / "vault")

    found = of(await examined(daemon), "vault", "main")

    told = {one.code: one for one in found}
    assert "2 of 4 objects are unknown to the log, 1,007 bytes" in (
        told["vault-unknown-objects"].message
    )
    assert "caches/orders/20200101T000000Z-0badcafe/0000.rdb.zst" in (
        told["vault-unknown-objects"].message
    )
    assert "1 backups have lost their manifest: orders/kept" == told["manifest-missing"].message
    assert before == files(tmp_path / "vault")
    assert 1 == len(await daemon.listed())


async def test_a_vault_that_is_gone(daemon: DaemonProcess, tmp_path: Path) -> None:
    """A missing folder is a problem, `check` is critical and stays so over a restart."""
    assert [] == bad(await examined(daemon))
    (tmp_path / "vault").rename(tmp_path / "elsewhere")
    gone = await typing(daemon, "doctor", code=1)
    await daemon.kill()
    await daemon.start()
    checked = await typing(daemon, "check", code=2)
    status = await typing(daemon, "status")
    (tmp_path / "elsewhere").rename(tmp_path / "vault")
    assert [] == bad(await examined(daemon))
    mended = await daemon.get(Checked, "check")

    assert gone.out.startswith("PROBLEM vault main: It cannot be used (cannot look at valkeep.json")
    assert "  hint: Mount the disk, or make the directory: " in gone.out
    assert checked.out.startswith("CRITICAL vault: vault main: it cannot be used (cannot look at ")
    assert "Vault main: it cannot be used" in status.out
    assert [] == [line for line in mended.lines if line.rule == "vault"]
    faults = [event.faults for event in await daemon.events() if isinstance(event, VaultExamined)]
    assert [True, False] == [bool(found) for found in faults]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[S3Server, None]:
    """An S3 server over a folder."""
    async with rclone_s3(tmp_path / "s3") as server:
        yield server


async def test_a_vault_that_cannot_delete_is_an_alarm_on_day_one(
    nursery: Nursery, server: S3Server
) -> None:
    """Nobody asks the doctor, and `check` warns by itself that retention will not work."""
    async with proxy_before(server.port) as proxy:
        proxy.faults.append(Fault("delete", "refuse", 1000, status=403, code="AccessDenied"))
        config = s3_vault(server).replace(f":{server.port}", f":{proxy.port}")
        async with installation(nursery, config, S3_KEYS) as daemon:
            await daemon.start()
            daemon.signal(signal.SIGHUP)  # The round is made at once, and not after a while.
            await daemon.until(lambda _, event: isinstance(event, VaultExamined))
            checked = await typing(daemon, "check", code=1)
            printed = await typing(daemon, "doctor", code=1)
            proxy.faults.clear()
            assert [] == bad(await examined(daemon))
            well = await typing(daemon, "check")

    assert checked.out.startswith("WARNING vault: vault main: it cannot delete: retention will not")
    assert "the keys need the permission s3:DeleteObject" in checked.out
    assert "PROBLEM vault main: It cannot delete" in printed.out
    assert "s3:DeleteObject" in printed.out
    assert "OK in all: " in well.out


@contextmanager
def stopped(server: S3Server, node: Node) -> Iterator[None]:
    """A vault's server and a cache that hang."""
    os.kill(server.pid, signal.SIGSTOP)
    node.pause()
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
        node.resume()


async def test_what_hangs(nursery: Nursery, server: S3Server, node: Node) -> None:
    """A stopped S3 server and a stopped cache are told within their time, both at once.

    The daemon answers everybody else meanwhile.
    """
    async with installation(nursery, s3_vault(server), S3_KEYS) as daemon:
        await daemon.start()
        await daemon.add("orders", url=node.url)
        assert [] == bad(await examined(daemon))
        found: list[Examined] = []

        async def examine() -> None:
            found.append(await examined(daemon))

        with stopped(server, node):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(examine)
                assert [await daemon.raw("status") for _ in range(3)]
                assert [] == found

    assert [("main", "vault-hangs"), ("orders", "cache-hangs")] == bad(found[0])
    vault, cache = found[0].findings[:2]
    assert "did not answer in 15 s (open)" in vault.message
    assert "it did not answer in 10 s" == cache.message
    assert found[0].seconds < 24  # one after the other they take 25


async def test_a_daemon_killed_under_its_canary(daemon: DaemonProcess, tmp_path: Path) -> None:
    """What a canary left when the daemon was killed goes with the next one."""
    state = await daemon.until(lambda state, _: state.installation is not None)
    left = tmp_path / "vault" / f"canary-{state.installation}"
    left.mkdir()
    (left / "20260302T120000Z-00000002").write_bytes(b"left")
    (left / ".20260302T120000Z-00000002.large.0.tmp").write_bytes(b"left")
    await daemon.kill()
    await daemon.start()

    assert [] == bad(await examined(daemon))
    assert {} == files(tmp_path / "vault")


async def test_who_may_ask(daemon: DaemonProcess) -> None:
    """Without a daemon the command says what to do, with exit 5; a slip is met with the name."""
    slip = await typing(daemon, "docter", code=2)
    await daemon.stop()
    nobody = await typing(daemon, "doctor", code=5)

    assert "Did you mean 'doctor'?" in slip.err
    assert "No daemon can be reached" in nobody.err
    assert "hint: " in nobody.err
