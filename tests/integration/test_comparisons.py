"""Comparisons by a real daemon: what is found, what is refused, and what is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec
import pytest

from daemon.answers.comparison import ComparisonDetail, ComparisonView
from daemon.client import Client, path_of
from daemon.commands import (
    AddCache,
    CancelComparison,
    DeleteBackup,
    DifferingKey,
    RequestComparison,
)
from daemon.decide.comparisons import CANCELLED
from daemon.errors import NotFound, Rejected
from daemon.valkey.engine import find_engines
from events.comparisons import ComparisonFailed, ComparisonRequested
from events.differences import KeyCounts
from tests.support.comparing import after, before, expected, expired, told
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.keys import IDENTITY, RECIPIENT
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.servers import Node, start_node

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
MANY = 10_000


class Scene(NamedTuple):
    """A daemon with the backups `orders/one` and `orders/two` of a server."""

    daemon: DaemonProcess
    node: Node

    async def compare(self, first: str, *, to: str, **more: object) -> ComparisonView:
        """The end of a comparison, well or not."""
        request = RequestComparison(first, to, **more)  # type: ignore[arg-type]
        comparison_id = (await self.daemon.command(request)).comparison_id
        assert comparison_id is not None
        return await self.ended(comparison_id)

    async def ended(self, comparison_id: str) -> ComparisonView:
        """Wait for it."""
        query = {"wait": 60.0}
        found = await self.daemon.get(ComparisonDetail, "comparisons", comparison_id, query=query)
        assert found.comparison.phase != "requested", self.daemon.output()
        return found.comparison

    async def names(self, view: ComparisonView) -> list[DifferingKey]:
        """The names that it has found."""
        raw = await self.daemon.raw("comparisons", view.comparison_id, "names")
        return [msgspec.json.decode(line, type=DifferingKey) for line in raw.splitlines()]


class Printed(NamedTuple):
    """What a program ended with."""

    code: int
    out: str
    err: str


def words_for(daemon: DaemonProcess, *words: str) -> list[str]:
    """The command line's own command line."""
    return [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket), *words]


async def valkeep(daemon: DaemonProcess, *words: str) -> Printed:
    """The command line in a process of its own."""
    wide = {**daemon.environment, "COLUMNS": "200"}
    line = words_for(daemon, *words)
    done = await anyio.run_process(line, check=False, cwd=ROOT, env=wide)
    return Printed(done.returncode, done.stdout.decode(), done.stderr.decode())


def sealed_vault(name: str, place: Path) -> str:
    """The configuration of a vault that holds only what is encrypted; its folder is made."""
    (place / name).mkdir()
    return f'[vaults.{name}]\nurl = "file://{place / name}"\nrecipients = ["{RECIPIENT}"]\n'


@pytest.fixture(scope="module")
async def scene(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Scene, None]:
    """One server in two states, a backup of each, and a vault that only others can read."""
    engine = (await find_engines(os.defpath))[0]
    place = tmp_path_factory.mktemp("c")
    (place / "identity").write_text(IDENTITY)
    config = directory_vault(place / "vault") + sealed_vault("sealed", place)
    config += sealed_vault("locked", place) + f'identity_file = "{place / "identity"}"\n'
    async with (
        start_node(engine, place / "n") as node,
        installation(nursery, config) as daemon,
    ):
        await daemon.start()
        await daemon.command(AddCache("orders", node.url, vault="main", source="replication"))
        client = node.client()
        await before(client)
        assert (await daemon.backup("orders", name="one")).phase == "complete"
        await after(client)
        await until(lambda: expired(client), "keys to expire")
        await client.aclose()
        assert (await daemon.backup("orders", name="two")).phase == "complete"
        yield Scene(daemon, node)


async def test_every_kind_of_difference_is_found(scene: Scene) -> None:
    """Keys of all types are told apart by what happened to them; encodings do not matter."""
    view = await scene.compare("orders/one", to="orders/two", names=0)

    assert view.result is not None, view
    assert expected() == told(await scene.names(view))
    found = view.result.counts
    assert KeyCounts(same=9, added=12, removed=13, expired=6, changed=6, ttl=12) == found
    assert {0: found} == view.result.databases
    assert 1 == view.result.types["hash"].changed
    assert ("orders/one", "orders/two") == (view.first, view.second)
    assert 49 == view.result.names


async def test_names_stay_out_of_the_log(scene: Scene) -> None:
    """The log has the counts of a comparison, and no key's name."""
    await scene.compare("orders/one", to="orders/two", names=0)

    kept = b"".join(path.read_bytes() for path in scene.daemon.log.parent.rglob("events.db*"))
    assert b"comparison-completed" in kept
    assert b"renamed:" not in kept
    assert "renamed:" not in scene.daemon.output()
    assert [] == list((scene.daemon.log.parent / "engine").iterdir())


async def test_pattern_and_database_narrow_it(scene: Scene) -> None:
    """Only keys that fit any pattern are looked at, in the one database that is named."""
    view = await scene.compare(
        "orders/one", to="orders/two", keys=("added:*", "removed:[sh]*"), database=0
    )
    assert view.result is not None, view
    assert KeyCounts(added=6, removed=4) == view.result.counts

    view = await scene.compare("orders/one", to="orders/two", database=7)
    assert view.result is not None, view
    assert KeyCounts() == view.result.counts


async def test_live_cache_is_one_instant_of_it(scene: Scene) -> None:
    """A cache that is written to meanwhile is compared as it was at one instant."""
    wrote = anyio.Event()

    async def write() -> None:
        client = scene.node.client(database=5)
        try:
            for number in range(1_000_000):
                await client.set(f"w:{number}", number)
                wrote.set()
        finally:
            with anyio.CancelScope(shield=True):
                await client.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await wrote.wait()
        view = await scene.compare("orders/two", to="orders", names=0)
        tasks.cancel_scope.cancel()

    assert view.result is not None, view
    names = await scene.names(view)
    assert {"added"} == {name.difference for name in names}
    assert {5} == {name.database for name in names}
    assert {f"w:{n}" for n in range(len(names))} == {name.key for name in names}
    assert view.second == "orders (live)"
    client = scene.node.client()
    assert 0 == (await client.info("replication"))["connected_slaves"]
    await client.aclose()


async def test_command_line_counts_first_and_names_on_demand(scene: Scene) -> None:
    """The page has counts; names come when asked for, escaped; JSON is for programs."""
    page = await valkeep(scene.daemon, "backup", "diff", "orders/one", "orders/two")
    assert 0 == page.code, page.err
    assert "49 keys of 58 differ" in page.out
    assert "renamed:" not in page.out

    words = ("backup", "diff", "orders/one", "orders/two", "--names", "--limit", "1")
    named = await valkeep(scene.daemon, *words, "--keys", "bin*", "--keys", "expir*")
    lines = [line for line in named.out.splitlines() if " db0 " in line]
    assert '- db0 string "bin\\x00\\xff\\n"' in lines
    assert 2 == len(lines)

    raw = await valkeep(scene.daemon, *words, "--json")
    first, *names = raw.out.splitlines()
    view = msgspec.json.decode(first, type=ComparisonDetail).comparison
    assert {"added", "removed", "expired", "changed", "ttl"} == {
        msgspec.json.decode(name, type=DifferingKey).difference for name in names
    }
    again = await valkeep(scene.daemon, "backup", "diff", view.comparison_id)
    assert page.out.splitlines()[0] == again.out.splitlines()[0]

    typo = await valkeep(scene.daemon, "backup", "diff", "orders/one", "ordres")
    assert (4, True) == (typo.code, "Did you mean 'orders'?" in typo.err)
    alone = await valkeep(scene.daemon, "backup", "diff", "orders/one")
    assert (2, True) == (alone.code, "second backup" in alone.err)


async def test_many_differences_are_listed_as_far_as_wanted(scene: Scene) -> None:
    """Ten thousand keys that differ are all counted, and named up to the limit of each kind."""
    client = scene.node.client(database=9)
    pipe = client.pipeline(transaction=False)
    for number in range(MANY):
        pipe.set(f"many:{number}", number)
    await pipe.execute()
    await client.aclose()

    some = await scene.compare("orders/two", to="orders", database=9, names=25)
    assert some.result is not None, some
    assert (MANY, 25) == (some.result.counts.added, some.result.names)
    assert 25 == len(await scene.names(some))
    every = await scene.compare("orders/two", to="orders", database=9, names=0)
    assert MANY == len({name.key for name in await scene.names(every)})


async def test_what_cannot_be_decrypted_is_said_first(scene: Scene) -> None:
    """A backup whose vault has no identity here is refused before anything is read."""
    await scene.daemon.command(AddCache("sealed", scene.node.url, vault="sealed"))
    assert (await scene.daemon.backup("sealed", name="shut")).phase == "complete"

    view = await scene.compare("orders/one", to="sealed/shut")
    assert view.failure is not None, view
    assert "identity" == view.failure.code
    with pytest.raises(NotFound):
        await scene.names(view)


async def test_what_can_be_decrypted_is_compared(scene: Scene) -> None:
    """With an identity an encrypted backup is compared like any other."""
    await scene.daemon.command(AddCache("locked", scene.node.url, vault="locked"))
    assert (await scene.daemon.backup("locked", name="open")).phase == "complete"

    view = await scene.compare("locked/open", to="orders", names=0)
    assert view.result is not None, view
    assert [] == await scene.names(view)
    assert view.result.counts.same > 0


async def test_killed_engine_is_no_result(scene: Scene) -> None:
    """``kill -9`` of a private engine ends the comparison with a failure that says so."""
    request = RequestComparison("orders/one", "orders/two", names=0)
    accepted = await scene.daemon.command(request)
    await until(lambda: killed_child(scene.daemon.pid), "an engine to kill")
    assert accepted.comparison_id is not None
    view = await scene.ended(accepted.comparison_id)

    assert view.failure is not None
    assert view.failure.code in {"not-loaded", "engine-ended"}
    with pytest.raises(NotFound):
        await scene.names(view)
    await until(lambda: nothing_in(scene.daemon.log.parent / "engine"), "the engines' folders")


async def killed_child(pid: int) -> bool:
    """Whether the process had a child that could be killed."""
    pids: list[str] = []
    async for task in anyio.Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # A thread may end meanwhile.
            pids += (await (task / "children").read_text()).split()
    for child in pids[:1]:
        os.kill(int(child), signal.SIGKILL)
    return bool(pids)


async def nothing_in(folder: Path) -> bool:
    """Whether it is empty."""
    return not [found async for found in anyio.Path(folder).iterdir()]


@asynccontextmanager
async def waiting(scene: Scene) -> AsyncGenerator[str, None]:
    """A comparison under way, which waits for a server that does not answer."""
    scene.node.pause()
    try:
        request = RequestComparison("orders/one", "orders", names=0)
        comparison_id = (await scene.daemon.command(request)).comparison_id
        assert comparison_id is not None
        yield comparison_id
    finally:
        scene.node.resume()


async def test_cancelled_comparison_ends_at_once(scene: Scene) -> None:
    """Ctrl-C at the command line ends the comparison in the daemon, and its backup is free."""
    scene.node.pause()
    try:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        words = words_for(scene.daemon, "backup", "diff", "orders/one", "orders")
        async with await anyio.open_process(
            words, cwd=ROOT, env=scene.daemon.environment, stderr=subprocess.PIPE
        ) as process:
            signal.signal(signal.SIGINT, before)
            assert process.stderr is not None
            said = b""
            while b"looking" not in said and b"waiting" not in said:
                said += await process.stderr.receive()
            process.send_signal(signal.SIGINT)
            async for piece in process.stderr:
                said += piece
            assert 130 == await process.wait()
    finally:
        scene.node.resume()

    assert b"The comparison is cancelled." in said
    await scene.daemon.settled()
    events = await scene.daemon.events()
    (failed,) = [e for e in events if isinstance(e, ComparisonFailed) and e.failure == CANCELLED]
    with pytest.raises(Rejected) as caught:
        await scene.daemon.command(CancelComparison(failed.comparison_id))
    assert "comparison-over" == caught.value.code


async def test_killed_daemon_has_not_compared(scene: Scene) -> None:
    """After ``kill -9`` the comparison has failed, nothing holds its backups, no engine is left."""
    async with waiting(scene) as comparison_id:
        await scene.daemon.kill()
        await scene.daemon.start()
        view = await scene.ended(comparison_id)

    assert view.failure is not None
    assert "interrupted" == view.failure.code
    await scene.daemon.settled()
    asked = [e for e in await scene.daemon.events() if isinstance(e, ComparisonRequested)]
    assert comparison_id == asked[-1].comparison_id
    with pytest.raises(NotFound, match="No names are kept"):
        Client(str(scene.daemon.socket)).get(f"{path_of('comparisons', comparison_id)}/names")
    await scene.daemon.command(DeleteBackup("orders/one"))
