"""A saved file is believed to be ours only when it cannot be anybody else's.

Other clients save at the worst instants here: the tests' own `Offload` runs a foreign save
right before or right after the daemon opens the file.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from redis.exceptions import RedisError

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Offload
from daemon.valkey.address import parse
from daemon.valkey.bgsave import bgsave, open_rdb
from daemon.valkey.checker import Limits, rdb_checker
from daemon.valkey.connection import Login, open_node
from daemon.valkey.engine import find_engines
from daemon.valkey.history import history
from daemon.valkey.info import fields
from daemon.valkey.occasion import Occasion
from daemon.valkey.probe import server
from events.facts import NodeFacts, RdbTotals, SourceChoice
from tests.support.poll import until
from tests.support.servers import Node, command, start_node
from tests.support.sources import (
    PATIENT,
    AlwaysNoon,
    Board,
    P,
    Snap,
    T,
    caches,
    settings,
    take,
    threads,
)

pytestmark = pytest.mark.anyio

ENGINES = ("valkey", pytest.param("redis", marks=pytest.mark.debian("redis-server")))


@asynccontextmanager
async def a_node(kind: str, directory: Path, **configured: str) -> AsyncGenerator[Node, None]:
    """A server of that kind that holds something."""
    engine = next(found for found in await find_engines(os.defpath) if found.kind == kind)
    async with start_node(engine, directory, **configured) as node:
        await do(node, "SET", "first", "x")
        yield node


async def do(node: Node, *words: str) -> object:
    """One command by another client."""
    client = node.client()
    try:
        return await command(client, *words)
    finally:
        await client.aclose()


async def saving(node: Node) -> bool:
    """Whether a save runs."""
    return "rdb_bgsave_in_progress:1" in await persistence(node)


async def persistence(node: Node) -> str:
    """INFO's section, as redis-py read it, in one line."""
    client = node.client()
    try:
        found = await client.info("persistence")
    finally:
        await client.aclose()
    return " ".join(f"{name}:{value}" for name, value in found.items())


async def foreign_save(node: Node) -> None:
    """Another client's save, from its beginning to its end."""
    await until(lambda: begin_save(node), "a foreign save to begin")
    await until(lambda: ended(node), "the foreign save to end")


async def begin_save(node: Node) -> bool:
    """Whether the server took our command."""
    with suppress(RedisError):
        await do(node, "BGSAVE")
        return True
    return False


async def ended(node: Node) -> bool:
    """Whether no save runs."""
    return not await saving(node)


class Meddler:
    """An `Offload` that lets another client save around the opening of the file."""

    def __init__(self, node: Node, times: int, *, before: bool) -> None:
        self._node = node
        self._left = times
        self._before = before

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, and a foreign save before or after it."""
        meddle = function is open_rdb and self._left > 0
        self._left -= meddle
        if meddle and self._before:
            await foreign_save(self._node)
        result = await threads(function, *args, **kwargs)
        if meddle and not self._before:
            await foreign_save(self._node)
        return result


async def keys_in(snap: Snap) -> int:
    """How many keys the engine's checker finds."""
    (engine, *_) = await find_engines("")
    async with rdb_checker(engine, Limits()) as checker:
        await checker.feed(snap.data)
        verdict = await checker.verdict()
    assert isinstance(verdict, RdbTotals)
    return verdict.keys


@pytest.mark.parametrize("kind", ENGINES)
async def test_save_that_runs_already_is_not_taken_for_ours(kind: str, tmp_path: Path) -> None:
    """A key written after a foreign save began is in our snapshot: another save was made."""
    async with a_node(kind, tmp_path, rdb_key_save_delay="600000") as node:
        await do(node, "BGSAVE")
        await until(lambda: saving(node), "the foreign save to run")
        await do(node, "CONFIG", "SET", "rdb-key-save-delay", "0")
        await do(node, "SET", "second", "x")
        snap = await take(caches(), settings(node.url, "bgsave"))
        assert snap.phases[:2] == ["waiting for another save", "saving"]
        assert await keys_in(snap) == 2
        assert "rdb_saves:2" in await persistence(node)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("before", [True, False])
async def test_foreign_save_around_the_opening_spoils_the_proof(
    kind: str, tmp_path: Path, *, before: bool
) -> None:
    """A file that a foreign save may have replaced is not read: we save again."""
    async with a_node(kind, tmp_path) as node:
        meddler = Meddler(node, 1, before=before)
        snap = await take(caches(offload=meddler), settings(node.url, "bgsave"))
        assert snap.phases.count("saving") == 2
        assert "rdb_saves:3" in await persistence(node)


async def test_endless_foreign_saves_end_in_a_failure(tmp_path: Path) -> None:
    """Where the proof is spoilt every time no file is ever taken; the other source is named."""
    async with a_node("valkey", tmp_path) as node:
        meddler = Meddler(node, 100, before=True)
        with pytest.raises(Transient) as raised:
            await take(caches(offload=meddler), settings(node.url, "bgsave"))
    assert raised.value.code == "bgsave-contended"
    assert "replication" in raised.value.hint


async def test_client_that_saves_all_the_time_does_no_harm(tmp_path: Path) -> None:
    """With another client saving without pause each snapshot is ours or none, and says so."""
    async with a_node("valkey", tmp_path, hz="500") as node, anyio.create_task_group() as tasks:
        enough = anyio.Event()
        tasks.start_soon(save_until, node, enough)
        for number in range(2, 8):
            await do(node, "SET", f"key {number}", "x")
            snap = await take_unless_contended(node)
            assert snap is None or await keys_in(snap) == number
        enough.set()


async def take_unless_contended(node: Node) -> Snap | None:
    """A snapshot, or None where the daemon could not prove one."""
    try:
        return await take(caches(), settings(node.url, "bgsave"))
    except Transient as error:
        if error.code != "bgsave-contended":
            raise
        return None


async def save_until(node: Node, enough: anyio.Event) -> None:
    """Save, and save again."""
    while not enough.is_set():
        await foreign_save(node)


async def test_server_that_cannot_save_says_so(tmp_path: Path) -> None:
    """A save that fails on the server's side is worth another try, and points at its log."""
    async with a_node("valkey", tmp_path, dbfilename="taken") as node:
        await anyio.Path(tmp_path, "taken").mkdir()
        with pytest.raises(Transient) as raised:
            await take(caches(), settings(node.url, "bgsave"))
    assert raised.value.code == "bgsave-failed"
    assert "log" in raised.value.hint


@pytest.mark.parametrize("theirs", ["another server's file", "nothing", "no RDB"])
async def test_file_of_another_server_is_never_read(theirs: str, tmp_path: Path) -> None:
    """A path that leads elsewhere, as with a container's, is found out by the file itself."""
    elsewhere = tmp_path / "elsewhere" / "dump.rdb"
    async with (
        a_node("valkey", tmp_path / "ours") as node,
        a_node("valkey", elsewhere.parent) as other,
    ):
        if theirs == "another server's file":
            await foreign_save(other)
        if theirs == "no RDB":
            elsewhere.write_bytes(b"something else entirely")
        with pytest.raises(Permanent) as raised:
            await read_at(elsewhere, node)
    assert raised.value.code == "bgsave-file"
    assert "replication" in raised.value.hint


async def test_foreign_file_that_is_saved_meanwhile_is_found_out(tmp_path: Path) -> None:
    """Another server's save in the very same second is a new file too, and is not read.

    Its replication id tells it; where the second has passed, its creation time does.
    """
    elsewhere = tmp_path / "elsewhere" / "dump.rdb"
    async with (
        a_node("valkey", tmp_path / "ours") as node,
        a_node("valkey", elsewhere.parent) as other,
    ):
        for each in (node, other):
            await take(caches(), settings(each.url, "replication"))  # Gives it a backlog.
        await foreign_save(other)
        with pytest.raises(Failed) as raised:
            await read_at(elsewhere, node, Meddler(other, 100, before=True))
    assert raised.value.code in {"bgsave-contended", "bgsave-file"}


async def test_older_file_that_is_put_there_meanwhile_is_found_out(tmp_path: Path) -> None:
    """A copy of an older save is a new file, but was not created after our command."""
    elsewhere = tmp_path / "elsewhere" / "dump.rdb"
    elsewhere.parent.mkdir()
    async with a_node("valkey", tmp_path / "ours") as node:
        saved = (await take(caches(), settings(node.url, "bgsave"))).data
        at = saved.index(b"ctime\xc2") + len(b"ctime\xc2")
        hour_ago = int.from_bytes(saved[at : at + 4], "little") - 3_600
        copy = saved[:at] + hour_ago.to_bytes(4, "little") + saved[at + 4 :]

        async def copying(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            if function is open_rdb:
                elsewhere.write_bytes(copy)
            return await threads(function, *args, **kwargs)

        with pytest.raises(Permanent) as raised:
            await read_at(elsewhere, node, copying)
    assert raised.value.code == "bgsave-file"


async def read_at(path: Path, node: Node, offload: Offload = threads) -> None:
    """Take a snapshot of a node as if its file lay at that path."""
    who = Login(parse(node.url))
    async with open_node(who, PATIENT) as asked:
        info = fields(await asked.text("INFO"))
        facts = await server(asked, info)
    choice = SourceChoice("bgsave", "a test")
    chosen = NodeFacts(who.address.place, "primary", "a test")
    means = (who, PATIENT, AlwaysNoon(), Board())
    occasion = Occasion(*means, facts, choice, chosen, history(info))
    async with bgsave(path, occasion, offload):
        pass
