"""Importing RDBs that others have made: every version, from every place, and what is none."""

import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
import pytest
import redis.asyncio
from anyio import to_thread
from msgspec import Struct

from daemon.answers import Accepted, BackupDetail, BackupView
from daemon.client import Client
from daemon.commands import RequestImport
from daemon.errors import BadRequest, Permanent
from daemon.storage import s3_source
from daemon.storage.sources import Reach, open_source
from daemon.valkey.engine import Engine
from events.facts import CacheName
from events.imports import ImportCompleted, ImportFailed
from events.types import BackupCancelled, BackupCompleted, BackupFailed
from projections.state import State
from tests.support.daemon import DEAD, DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.offload import THREADS
from tests.support.outcome import is_tidy
from tests.support.rdb_writer import HISTORY, golden
from tests.support.s3 import BUCKET, KEY, SECRET, S3Server, rclone_s3
from tests.support.servers import DATABASES, Node, command, fill, start_node

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parents[1] / "data" / "rdb"
MORE = '[imports]\nmax_bytes = "8MiB"\n[timeouts]\nstall_seconds = 1\n'


class Hall(Struct, frozen=True):
    """What these tests share."""

    daemon: DaemonProcess
    node: Node
    s3: S3Server
    vault: Path
    bucket: Path

    async def brought(self, name: str, *, source: str) -> BackupView:
        """An import by the daemon, when it has ended."""
        accepted = await self.daemon.command(RequestImport("orders", source, name))
        assert accepted.backup_id is not None
        return await self.daemon.backup_ended(accepted.backup_id)

    async def sent(self, name: str, source: int) -> BackupView:
        """An import by a client, when it has ended."""
        client = Client(str(self.daemon.socket))
        query = {"cache": "orders", "name": name, "source": "test"}
        raw = await to_thread.run_sync(
            lambda: client.send("/v1/imports", query, source), abandon_on_cancel=True
        )
        accepted = msgspec.json.decode(raw, type=Accepted)
        assert accepted.backup_id is not None
        return await self.daemon.backup_ended(accepted.backup_id)


@pytest.fixture(scope="module")
async def hall(
    nursery: Nursery, engines: dict[str, Engine], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Hall, None]:
    """A daemon with a cache, and an S3 server that its own AWS settings lead to."""
    folder = tmp_path_factory.mktemp("i")
    vault = directory_vault(folder / "vault")
    async with (
        start_node(engines["valkey"], folder / "n") as node,
        rclone_s3(folder / "s3", "--dir-cache-time", "0s") as s3,
        installation(nursery, vault + MORE, aws(s3)) as daemon,
    ):
        await daemon.start()
        await daemon.add("orders", url=node.url)
        yield Hall(daemon, node, s3, folder / "vault", folder / "s3" / BUCKET)


def aws(server: S3Server) -> dict[str, str]:
    """What the usual chain finds."""
    return {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


async def plain(hall: Hall, view: BackupView) -> bytes:
    """The stored RDB, opened with a public tool (V1)."""
    stored = hall.vault / "caches" / "orders" / view.backup_id / "0000.rdb.zst"
    return (await anyio.run_process(["zstd", "-dc", str(stored)])).stdout


async def keys_of(client: redis.asyncio.Redis) -> list[bytes]:
    """Every key of a database."""
    return [key for key in await client.keys() if isinstance(key, bytes)]


async def expires_at(client: redis.asyncio.Redis, key: bytes) -> object:
    """When a key expires, in milliseconds."""
    return await command(client, "PEXPIRETIME", key)


async def value(client: redis.asyncio.Redis, key: bytes) -> object:
    """A key's value as the sample tells it."""
    match await command(client, "TYPE", key):
        case b"string":
            return await command(client, "GET", key)
        case b"list":
            return await command(client, "LRANGE", key, 0, -1)
        case b"set":
            return await command(client, "SMEMBERS", key)
        case b"hash":
            return await command(client, "HGETALL", key)
        case b"stream":
            return await command(client, "XRANGE", key, "-", "+")
        case _:
            return dict(await client.zrange(key, 0, -1, withscores=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", HISTORY)
async def test_old_versions_come_whole(hall: Hall, version: int) -> None:
    """An RDB of every old version is kept as it is, and a real engine finds every key in it."""
    sample, source = golden(version), f"file://{DATA / f'v{version}.rdb'}"
    view = await hall.brought(f"v{version}", source=source)
    assert "complete" == view.phase, view.failure
    assert len(sample.holds) == view.keys
    stored = await plain(hall, view)
    assert sample.data == stored

    dump = hall.node.directory / "dump.rdb"
    await anyio.Path(dump).write_bytes(stored)
    client = hall.node.client()
    await command(client, "DEBUG", "RELOAD", "NOSAVE")
    assert sample.holds == {key: await value(client, key) for key in await keys_of(client)}
    assert sample.expires == {key: await expires_at(client, key) for key in sample.expires}
    await client.aclose()


async def test_import_is_proven_and_tells_where_it_came_from(hall: Hall) -> None:
    """A kept import gets a receipt of a load, and shows its source, its sum and its notes."""
    source = f"file://{DATA / 'v9.rdb'}"
    view = await hall.brought("proven", source=source)
    query = {"wait": 20.0}
    detail = await hall.daemon.get(BackupDetail, "proofs", view.backup_id, query=query)
    assert detail.backup.proof is not None
    assert detail.backup.proof.receipt is not None
    assert "loaded" == detail.backup.proof.receipt.level
    assert detail.snapshot is not None
    assert detail.snapshot.imported is not None
    assert source == detail.snapshot.imported.source
    assert "3.2.13" == detail.snapshot.server.version
    assert detail.stored is not None
    told = [event for event in await hall.daemon.events() if isinstance(event, ImportCompleted)]
    assert (source, detail.stored.sha256) == (told[-1].source, told[-1].sha256)


GOOD = golden(9).data
FLIPPED = GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:]
END = b"\xff" + bytes(8)
LARGE = b"REDIS0009\xfe\x00\x00\x01k"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("truncated", GOOD[:200], "rdb-truncated"),
        ("old-truncated", golden(2).data[:-1], "rdb-broken"),
        ("flipped", FLIPPED, "rdb-checksum"),
        ("garbage", b"GIF89a" * 20_000, "rdb-type"),
        ("empty", b"", "rdb-type"),
        ("aof", b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", "rdb-type"),
        ("zstd", b"\x28\xb5\x2f\xfd" + bytes(50), "rdb-type"),
        ("trailing", GOOD + bytes(5_000_000), "rdb-truncated"),
        ("future", b"REDIS0012" + GOOD[9:], "rdb-version"),
        ("huge", LARGE + b"\x81\x7f" + b"\xff" * 7 + bytes(200_000) + END, "rdb-broken"),
        ("too-large", b"REDIS0009" + bytes(9 << 20), "import-size"),
    ],
)
async def test_what_cannot_be_read_is_not_kept(
    hall: Hall, tmp_path: Path, name: str, data: bytes, code: str
) -> None:
    """What an engine cannot read is refused with its reason and what to do; nothing stays of it."""
    file = tmp_path / "x.rdb"
    file.write_bytes(data)
    view = await hall.brought(f"bad-{name}", source=f"file://{file}")
    assert view.failure is not None
    assert ("failed", code) == (view.phase, view.failure.code), view.failure
    assert view.failure.hint
    await hall.daemon.settled()
    assert not list(hall.vault.rglob(f"*{view.backup_id}*/*"))
    told = [event for event in await hall.daemon.events() if isinstance(event, ImportFailed)]
    assert view.backup_id == told[-1].backup_id


async def test_places_that_hold_no_file_are_told_apart(hall: Hall, tmp_path: Path) -> None:
    """A folder, a pipe, and nothing at all are refused by what they are, and nobody waits."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    found = [
        await hall.brought(f"no-{number}", source=f"file://{place}")
        for number, place in enumerate((tmp_path, fifo, tmp_path / "nothing"))
    ]
    codes = [view.failure.code for view in found if view.failure is not None]
    assert ["source-type", "source-type", "source-missing"] == codes


async def test_object_in_s3_comes_whole(hall: Hall) -> None:
    """An object is read from S3 as the usual AWS settings say; one that is not there is missing."""
    key = "old dumps/v8 ü.rdb"
    (hall.bucket / key).parent.mkdir()
    (hall.bucket / key).write_bytes(golden(8).data)
    view = await hall.brought("from-s3", source=f"s3://{BUCKET}/{key}")
    assert "complete" == view.phase, view.failure
    assert golden(8).data == await plain(hall, view)
    none = await hall.brought("not-in-s3", source=f"s3://{BUCKET}/{key}.gz")
    assert none.failure is not None
    assert "source-missing" == none.failure.code


async def test_object_that_changes_is_noticed(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that is another one between two ranges is not taken for a whole one."""
    monkeypatch.setattr(s3_source, "RANGE_BYTES", 1 << 20)
    entries = {"house": hall.s3.settings()}
    reach = Reach(THREADS, lambda: 0.5, lambda: entries)
    file = hall.bucket / "changing.rdb"
    file.write_bytes(b"a" * (3 << 20))
    async with open_source("house/changing.rdb", reach) as source:
        assert b"a" * (1 << 20) == await source.read()
        file.write_bytes(b"b" * (3 << 20))
        with pytest.raises(Permanent) as changed:
            await source.read()
    assert "source-changed" == changed.value.code
    async with open_source(f"s3://{BUCKET}/changing.rdb", reach) as source:
        assert [1 << 20] * 3 + [0] == [len(await source.read()) for _ in range(4)]


async def test_pipe_is_sent_and_kept(hall: Hall, tmp_path: Path) -> None:
    """What a client sends over the socket is kept; what is none is answered before its end."""
    read_end, write_end = os.pipe()
    os.write(write_end, golden(7).data)
    os.close(write_end)
    view = await hall.sent("piped", read_end)
    os.close(read_end)
    assert "complete" == view.phase, view.failure
    assert golden(7).data == await plain(hall, view)

    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        file.truncate(1 << 34)
    with endless.open("rb") as file:
        garbage = await hall.sent("endless", file.fileno())
        assert garbage.failure is not None
        assert "rdb-type" == garbage.failure.code
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) < 1 << 30


async def test_client_that_goes_leaves_nothing(hall: Hall) -> None:
    """An import ends with who sends it: cut off, or silent for too long; nothing of it stays."""
    read_end, write_end = os.pipe()
    os.write(write_end, GOOD[:300])
    with pytest.raises(BadRequest) as stalled:
        await hall.sent("stalled", read_end)
    os.close(write_end)
    os.close(read_end)
    assert "upload-stalled" == stalled.value.code

    async with await anyio.connect_unix(str(hall.daemon.socket)) as line:
        head = "POST /v1/imports?cache=orders&name=cut HTTP/1.1\r\nHost: valkeep\r\n"
        await line.send(f"{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:300])
        await hall.daemon.until(lambda state, _: began(state, "cut"))
    cut = await hall.daemon.get(BackupDetail, "backups", "orders/cut", query={"wait": 10.0})
    assert cut.backup.phase in ("failed", "cancelled")
    await hall.daemon.settled()
    await is_tidy(hall.daemon, hall.vault)


async def test_restored_from_a_source_in_one_command(hall: Hall, tmp_path: Path) -> None:
    """`restore SOURCE --to CACHE` imports the caller's file, restores it, and names the backup."""
    file = tmp_path / "v9.rdb"
    file.write_bytes(GOOD)
    said = await valkeep(hall, "restore", str(file), "--to", "orders", "--replace")
    assert "is kept: 17 keys" in said
    assert "is restored into orders" in said
    client = hall.node.client()
    assert golden(9).holds.keys() == set(await keys_of(client))
    await client.aclose()
    refused = await valkeep(hall, "restore", str(file), "--to", "orders", "--plan", code=2)
    assert "import it first" in refused


async def test_command_line_imports_from_its_input(hall: Hall, tmp_path: Path) -> None:
    """`backup import` takes a file or its input, tells what was kept, and why something was not."""
    file = tmp_path / "v5.rdb"
    file.write_bytes(golden(5).data)
    kept = await valkeep(hall, "backup", "import", "orders", "cli", str(file))
    assert "orders/cli is kept: 13 keys" in kept
    piped = await valkeep(hall, "backup", "import", "orders", "cli2", "-", data=golden(6).data)
    assert "orders/cli2 is kept: 13 keys" in piped
    none = await valkeep(hall, "backup", "import", "orders", "cli3", f"{file}x", code=4)
    assert "There is no file" in none
    broken = await valkeep(hall, "backup", "import", "orders", "c4", "-", data=b"\x1f\x8b", code=1)
    assert "gzip -dc FILE" in broken


def asked_for(state: State, name: str) -> bool:
    """Whether a backup of this name is wanted."""
    of_cache = state.catalog[CacheName("orders")].values() if state.catalog else ()
    return any(b.name == name for b in of_cache)


def began(state: State, name: str) -> bool:
    """Whether the attempt at a backup of this name has begun."""
    of_cache = state.catalog[CacheName("orders")].values() if state.catalog else ()
    return any(b.name == name and b.phase == "running" for b in of_cache)


async def valkeep(hall: Hall, *words: str, data: bytes = b"", code: int = 0) -> str:
    """All that a command says; it must end with this code."""
    program = [sys.executable, "-m", "daemon.cli", "--socket", str(hall.daemon.socket), *words]
    done = await anyio.run_process(program, input=data, check=False)
    said = (done.stdout + done.stderr).decode()
    assert code == done.returncode, said
    return said


@pytest.mark.debian("redis-server")
async def test_dump_of_redis_is_restored(
    hall: Hall, engines: dict[str, Engine], tmp_path: Path
) -> None:
    """What Redis 7.0 has saved is imported and restored, and is the same data then."""
    async with start_node(engines["redis"], tmp_path / "r") as old:
        client = old.client()
        await fill(client, keys=40)
        await client.save()
        await client.aclose()
        before = await held(old)
    view = await hall.brought("redis", source=f"file://{tmp_path / 'r' / 'dump.rdb'}")
    assert "redis 7.0.15" == view.engine
    assert "completed" == (await hall.daemon.restore(view.backup_id, to="orders")).phase
    assert before == await held(hall.node)


async def held(node: Node) -> dict[tuple[int, bytes], object]:
    """Every key of a server with its value and its expiry."""
    found: dict[tuple[int, bytes], object] = {}
    for database in DATABASES:
        client = node.client(database)
        for key in await keys_of(client):
            found[database, key] = (await value(client, key), await expires_at(client, key))
        await client.aclose()
    return found


async def test_killed_upload_is_over(hall: Hall, nursery: Nursery, tmp_path: Path) -> None:
    """A daemon that is killed while a client sends has failed that import, and sweeps it (S1).

    And a client that goes while its import waits for its turn has called it off.
    """
    async with installation(nursery, directory_vault(tmp_path / "v")) as daemon:
        await daemon.start()
        await daemon.add("orders", url=hall.node.url)
        await daemon.command(RequestImport("orders", f"file://{DATA / 'v1.rdb'}", "first"))
        await daemon.settled()
        async with await anyio.connect_unix(str(daemon.socket)) as line:
            head = "POST /v1/imports?cache=orders&name=one HTTP/1.1\r\nHost: valkeep\r\n"
            await line.send(f"{head}Content-Length: 9000000\r\n\r\n".encode() + GOOD)
            await daemon.until(lambda state, _: began(state, "one"))
            async with await anyio.connect_unix(str(daemon.socket)) as other:
                await other.send(f"{head}Content-Length: 9\r\n\r\n".replace("one", "two").encode())
                await daemon.until(lambda state, _: asked_for(state, "two"))
            await daemon.until(lambda _, event: isinstance(event, BackupCancelled))
            await daemon.kill()
        await daemon.start()
        await daemon.settled()
        kinds = [type(event) for event in await daemon.events()]
        assert (1, 2) == (kinds.count(BackupFailed), kinds.count(ImportFailed))
        await is_tidy(daemon, tmp_path / "v")


@pytest.mark.parametrize("point", ["phase storing", "before backup-completed"])
async def test_killed_import_starts_again(
    hall: Hall, nursery: Nursery, tmp_path: Path, point: str
) -> None:
    """A daemon that is killed reads the source again from the start, and keeps it once (R7)."""
    async with installation(nursery, directory_vault(tmp_path / "v")) as daemon:
        await daemon.start(doom=point)
        await daemon.add("orders", url=hall.node.url)
        with suppress(*DEAD):
            await daemon.command(RequestImport("orders", f"file://{DATA / 'v4.rdb'}", "one"))
        await daemon.died()
        await daemon.start()
        await daemon.settled()
        kinds = [type(event) for event in await daemon.events()]
        assert (1, 1) == (kinds.count(BackupFailed), kinds.count(BackupCompleted))
        await is_tidy(daemon, tmp_path / "v")
