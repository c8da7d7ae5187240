"""Caches behind passwords, ACLs and Unix sockets; and where their secrets never show."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import anyio
import msgspec
import pytest

from daemon.answers import Caches, PlanAnswer, PlanRequest, RestoreView
from daemon.commands import AddCache, SetCache
from daemon.errors import Failed
from daemon.valkey.engine import Engine
from events.types import RestoreCompleted
from tests.support.daemon import S3_KEYS, DaemonProcess, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, files_in, is_at_rest, settings_of
from tests.support.s3 import SECRET, S3Server, rclone_s3
from tests.support.servers import Node, command, fill, start_node

pytestmark = pytest.mark.anyio

PASSWORD, MASTERAUTH, OF_USER = "canary-password", "canary-masterauth", "canary-of-user"
CANARIES = (PASSWORD, MASTERAUTH, OF_USER, SECRET)
STEPS = 4
"""In so many steps whoever follows the printed lines must be done."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[S3Server, None]:
    """An S3 server."""
    async with rclone_s3(tmp_path / "s3") as server:
        yield server


@pytest.fixture
async def daemon(nursery: Nursery, server: S3Server) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon whose vault's keys are in its environment."""
    async with installation(nursery, s3_vault(server), S3_KEYS) as daemon:
        await daemon.start()
        yield daemon


@pytest.fixture
async def node(engine: Engine, short_path: Path) -> AsyncGenerator[Node, None]:
    """A filled server with a password for its clients and one for its primary."""
    settings = {"requirepass": PASSWORD, "masterauth": MASTERAUTH}
    async with start_node(engine, short_path, **settings) as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        yield node


def secret(folder: Path, text: str) -> str:
    """A file with a password in it, as an editor leaves it."""
    place = folder / "password"
    place.write_text(text + "\n")
    return str(place)


async def round_trip(daemon: DaemonProcess, node: Node, cache: str) -> RestoreView:
    """Back up, wreck, restore: the same data, and the settings as before."""
    held, settings = await data_of(node), await settings_of(node)
    backup = await daemon.backup(cache, name="b")
    assert backup.phase == "complete", backup.failure
    client = node.client()
    await client.flushall()
    await command(client, "FUNCTION", "FLUSH")
    await client.set("rubbish", "yes")
    await client.aclose()
    restore = await daemon.restore(f"{cache}/b", to=cache)
    assert restore.phase == "completed", restore.failure
    assert await data_of(node) == held
    await is_at_rest(node, settings)
    return restore


async def test_a_cache_is_reached_over_its_unix_socket(
    daemon: DaemonProcess, node: Node, tmp_path: Path
) -> None:
    """Backup and restore work over `unix://`, with a password."""
    await daemon.add("local", url=node.unix_url, password_file=secret(tmp_path, PASSWORD))
    await round_trip(daemon, node, "local")


async def test_the_rights_that_are_told_are_enough(
    daemon: DaemonProcess, node: Node, tmp_path: Path
) -> None:
    """An ACL user with nothing but the rights that adding and planning ask for can do it all."""
    await grant(node, "ACL SETUSER keeper on resetkeys -@all")
    client = node.client()
    await command(client, "ACL", "SETUSER", "keeper", f">{OF_USER}")
    await client.aclose()
    url = node.url.replace("//", "//keeper@")
    file = secret(tmp_path, OF_USER)

    request = AddCache("guarded", url, password_file=file)
    await obey(node, lambda: missing_to_add(daemon, request))
    assert (await daemon.backup("guarded", name="first")).phase == "complete"
    await obey(node, lambda: missing_to_restore(daemon, "guarded/first", to="guarded"))

    await round_trip(daemon, node, "guarded")


async def obey(node: Node, ask: Callable[[], Awaitable[str | None]]) -> None:
    """Type what is asked for until nothing is, which must be soon."""
    for _ in range(STEPS):
        line = await ask()
        if line is None:
            return
        await grant(node, line)
    raise AssertionError("it asks for more and more")


async def grant(node: Node, line: str) -> None:
    """Type a line that was printed."""
    client = node.client()
    await command(client, *line.split())
    await client.aclose()


async def missing_to_add(daemon: DaemonProcess, request: AddCache) -> str | None:
    """The line that adding the cache, or looking at it again, asks for."""
    known = [cache.name for cache in (await daemon.get(Caches, "caches")).caches]
    try:
        accepted = await daemon.command(SetCache(request.name) if known else request)
    except Failed as error:
        return line_in(error.hint)
    assert accepted.probe is not None
    return accepted.probe.missing_rights


async def missing_to_restore(daemon: DaemonProcess, backup: str, *, to: str) -> str | None:
    """The line that a plan's findings ask for."""
    body = msgspec.json.encode(PlanRequest(backup, to))
    answer = msgspec.json.decode(await daemon.post("/v1/plans", body), type=PlanAnswer)
    rights = [finding for finding in answer.plan.findings if finding.code == "auth"]
    return line_in(rights[0].hint) if rights else None


def line_in(hint: str) -> str:
    """The `ACL SETUSER` line in a hint."""
    line = re.search(r"ACL SETUSER [^;`]+", hint)
    assert line is not None, hint
    return line[0].rstrip(". ")


async def test_secrets_show_nowhere(daemon: DaemonProcess, node: Node, tmp_path: Path) -> None:
    """No password is in any output, answer, event, manifest, file of ours or process list (P7)."""
    seen: list[str] = []

    async def look() -> None:
        seen.append(command_lines(daemon.pid, node.pid))

    async def watch() -> None:
        await daemon.until(lambda _, event: isinstance(event, RestoreCompleted), look)

    file = secret(tmp_path, PASSWORD)
    await daemon.add("orders", url=node.url, password_file=file)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await round_trip(daemon, node, "orders")
    with pytest.raises(Failed):
        await daemon.add("again", url=node.url.replace("//", "//nobody@"), password_file=file)

    seen += [
        (await daemon.raw(*route.split("/"))).decode()
        for route in ("status", "caches", "backups", "restores", "events", "audit/export")
    ]
    seen += [(await daemon.raw("caches", "orders")).decode(), daemon.output()]
    folders = [tmp_path / "s3", daemon.directory]
    seen += [
        (folder / name).read_bytes().decode("latin-1")
        for folder in folders
        for name in files_in(folder)
        if name.endswith((".json", "db", "-wal", "output"))
    ]
    assert "tests.support.cradle" in "".join(seen), "no process was looked at"
    assert [canary for canary in CANARIES for text in seen if canary in text] == []


def command_lines(*roots: int) -> str:
    """Of these processes and their children."""
    return "\n".join(
        text_of(stat.with_name("cmdline"))
        for stat in Path("/proc").glob("[0-9]*/stat")
        if {int(stat.parent.name), parent(stat)} & set(roots)
    )


def parent(stat: Path) -> int:
    """A process's parent; its name, in brackets, may hold anything."""
    after = text_of(stat).rpartition(")")[2].split()
    return int(after[1]) if after else 0


def text_of(place: Path) -> str:
    """What the system tells of a process; nothing, when it has ended meanwhile."""
    try:
        return place.read_text(errors="replace")
    except OSError:
        return ""
