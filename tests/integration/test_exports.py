"""Exports of a real daemon to a directory and to buckets: whole or not at all, also when killed."""

import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from daemon.answers import ExportDetail
from daemon.answers.exports import ExportView
from daemon.commands import AddCache, DeleteBackup, RequestExport, RequestImport
from daemon.errors import BadRequest, NotFound, Rejected
from daemon.storage.factory import open_vault
from daemon.storage.s3 import S3Vault
from daemon.valkey.engine import Engine, find_engines
from events.transfers import ExportRequested
from tests.support.autos import typing
from tests.support.daemon import DEAD, DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.offload import THREADS
from tests.support.outcome import data_of, files_in
from tests.support.s3 import BUCKET, KEY, SECRET, S3Server, rclone_s3
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio

FILE = "orders-one-0000.rdb"


class Place(NamedTuple):
    """A daemon with a backup "orders/one" of three blocks, and where it can be exported to."""

    daemon: DaemonProcess
    node: Node
    engine: Engine
    server: S3Server
    vault: Path
    bucket: Path

    @property
    def object(self) -> Path:
        """The backup's data."""
        return next(self.vault.glob("caches/orders/*/0000.rdb.zst"))

    async def exported(self, destination: str, *, replace: bool = False) -> ExportView:
        """One export, when it has ended."""
        request = RequestExport("orders/one", destination, replace=replace)
        return await self.ended((await self.daemon.command(request)).export_id)

    async def ended(self, export_id: str | None) -> ExportView:
        """An export, when it has ended."""
        found = await self.daemon.get(
            ExportDetail, "exports", export_id or "", query={"wait": 30.0}
        )
        assert found.export.phase != "requested", self.daemon.output()
        return found.export

    @contextmanager
    def damaged(self, at: float) -> Iterator[None]:
        """One bit, so far into the stored backup, is flipped for a while."""
        whole = self.object.read_bytes()
        data = bytearray(whole)
        data[min(int(len(whole) * at), len(whole) - 1)] ^= 1
        self.object.write_bytes(data)
        try:
            yield
        finally:
            self.object.write_bytes(whole)

    async def uploads(self) -> int:
        """How many uploads are unfinished in the bucket."""
        vault = open_vault(self.server.settings(), THREADS, jitter=lambda: 0.5)
        assert isinstance(vault, S3Vault)
        try:
            return len([upload async for upload in vault._uploads("")])
        finally:
            await vault.aclose()


def config(vault: Path, server: S3Server) -> str:
    """A vault in a directory, and an entry in a bucket."""
    second = directory_vault(vault.with_name("second")).replace("main", "second")
    return f"""{directory_vault(vault)}{second}
[exports.warehouse]
url = "s3://{BUCKET}/rdb"
endpoint_url = "{server.endpoint_url}"
region = "us-east-1"
access_key_id_env = "EXPORT_KEY"
secret_access_key_env = "EXPORT_SECRET"
"""


def environment(server: S3Server) -> dict[str, str]:
    """The entry's keys, and the same for the usual AWS chain."""
    return {
        "EXPORT_KEY": KEY,
        "EXPORT_SECRET": SECRET,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
    }


@pytest.fixture(scope="module")
async def place(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Place, None]:
    """One for the module; each test exports to a place of its own, and leaves the backup whole."""
    engine = (await find_engines(os.defpath))[0]
    vault, s3 = tmp_path_factory.mktemp("v"), tmp_path_factory.mktemp("s3")
    async with (
        start_node(engine, tmp_path_factory.mktemp("n"), rdbcompression="no") as node,
        rclone_s3(s3) as server,
        installation(nursery, config(vault, server), environment(server)) as daemon,
    ):
        client = node.client()
        await fill(client)
        for number in range(20):
            await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(1 << 20))
        await client.aclose()
        await daemon.start()
        await daemon.command(AddCache("orders", node.url, vault="main"))
        assert (await daemon.backup("orders", name="one")).phase == "complete"
        yield Place(daemon, node, engine, server, vault, s3 / BUCKET)


async def loads(place: Place, file: Path, *, folder: Path) -> None:
    """A server that is started on the file holds what the source holds."""
    await anyio.Path(folder).mkdir()
    shutil.copy(file, folder / "dump.rdb")
    async with start_node(place.engine, folder) as node:
        assert await data_of(node) == await data_of(place.node)


async def test_directory_export_is_loaded_by_an_engine(place: Place, tmp_path: Path) -> None:
    """The exported file is the daemon's alone, has the recorded hash, and an engine loads it."""
    folder = tmp_path / "rdb"
    folder.mkdir()
    words = ("backup", "export", "orders/one", f"file://{folder}", "--wait")
    printed = (await typing(place.daemon, *words)).out

    file = folder / FILE
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert {FILE} == files_in(folder)
    assert 0o600 == file.stat().st_mode & 0o777
    assert f"{folder}/{FILE}" in printed
    assert digest in printed
    assert digest in (await typing(place.daemon, "backup", "show", "orders/one")).out
    await loads(place, file, folder=tmp_path / "n")


@pytest.mark.parametrize(
    ("destination", "key"),
    [
        ("warehouse/2026/03", f"rdb/2026/03/{FILE}"),
        (f"s3://{BUCKET}/own/mine.rdb", "own/mine.rdb"),
    ],
)
async def test_bucket_export_by_entry_and_by_url(place: Place, destination: str, key: str) -> None:
    """An entry has keys of its own, a URL the usual AWS chain's; the object is the plain RDB."""
    view = await place.exported(destination)

    assert view.failure is None
    (file,) = view.files
    data = (place.bucket / key).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (file.plain_bytes, file.sha256)
    assert file.place == f"s3://{BUCKET}/{key}"
    assert 0 == await place.uploads()


@pytest.mark.parametrize("kind", ["directory", "bucket"])
async def test_another_file_of_that_name_stays(place: Place, tmp_path: Path, kind: str) -> None:
    """What has the same name is overwritten only by `--replace`; the very same file is success."""
    folder = tmp_path if kind == "directory" else place.bucket / "taken"
    destination = f"file://{folder}" if kind == "directory" else f"s3://{BUCKET}/taken"
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(b"REDIS0011 of somebody else")

    refused = await place.exported(destination)
    assert refused.failure is not None
    assert "export-exists" == refused.failure.code
    assert b"REDIS0011 of somebody else" == (folder / FILE).read_bytes()

    replaced = await place.exported(destination, replace=True)
    again = await place.exported(destination)
    assert ("completed", "completed") == (replaced.phase, again.phase)
    assert replaced.files == again.files
    assert {FILE} == files_in(folder)


@pytest.mark.parametrize("at", [0.5, 1.0])
async def test_flipped_bit_never_gets_a_name(place: Place, tmp_path: Path, at: float) -> None:
    """With one bit of the stored backup flipped neither place has a file, and the log says why."""
    with place.damaged(at):
        views = [
            await place.exported(f"file://{tmp_path}"),
            await place.exported(f"s3://{BUCKET}/flipped"),
        ]

    assert ["block-damaged"] * 2 == [v.failure.code for v in views if v.failure]
    assert set() == files_in(tmp_path) == files_in(place.bucket / "flipped")
    assert 0 == await place.uploads()


@pytest.mark.parametrize(
    ("destination", "kind", "told"),
    [
        ("warehose", NotFound, "Did you mean 'warehouse'?"),
        ("/srv/rdb", NotFound, "Did you mean 'file:///srv/rdb'?"),
        ("ftp://host/x", BadRequest, "Allowed: file:///absolute/path"),
        ("s3://key:secret@bucket/x", BadRequest, "Name where it is kept"),
        ("file:///{vault}/below", Rejected, "place of its own"),
    ],
)
async def test_place_that_cannot_be_is_refused_at_once(
    place: Place, destination: str, kind: type[Exception], told: str
) -> None:
    """A slip, a secret in a URL, or a vault's own folder is refused before anything is recorded."""
    where = destination.replace("/{vault}", str(place.vault))
    before = len(await place.daemon.history())
    with pytest.raises(kind) as refused:
        await place.daemon.command(RequestExport("orders/one", where))
    assert told in getattr(refused.value, "hint", "")
    assert "secret" not in str(refused.value)
    assert len(await place.daemon.history()) == before


async def test_folder_that_is_missing_ends_the_export(place: Place, tmp_path: Path) -> None:
    """A folder is never made; the export fails at once, and says what to do, on the page, too."""
    words = ("backup", "export", "orders/one", f"file://{tmp_path}/gone", "--wait")
    printed = await typing(place.daemon, *words, code=1)
    assert "No such file or directory" in printed.err
    assert "never made by itself" in printed.err
    assert "failed: cannot" in (await typing(place.daemon, "backup", "show", "orders/one")).out
    assert set() == files_in(tmp_path)


@pytest.mark.parametrize(
    ("kind", "doom"),
    [
        ("directory", "after export-requested"),
        ("directory", "bytes 9000000 exporting"),
        ("directory", "before export-completed"),
        ("bucket", "upload part"),
    ],
)
async def test_killed_export_starts_again(
    place: Place, tmp_path: Path, kind: str, doom: str
) -> None:
    """After ``kill -9`` anywhere it is made from zero, and nothing of the first try is left."""
    name = doom.replace(" ", "-")
    folder = tmp_path if kind == "directory" else place.bucket / name
    destination = f"file://{folder}" if kind == "directory" else f"s3://{BUCKET}/{name}"
    daemon = place.daemon
    await daemon.stop()
    await daemon.start(doom=doom)
    with suppress(*DEAD):  # it may die before it answers
        await daemon.command(RequestExport("orders/one", destination))
    await daemon.died()
    await daemon.start()

    view = await place.ended(await newest(daemon))

    assert view.failure is None
    assert {FILE} == files_in(folder)
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    assert [digest] == [file.sha256 for file in view.files]
    assert 0 == await place.uploads()


async def test_export_from_a_copy(place: Place, tmp_path: Path) -> None:
    """A damaged backup's export names the vault that has a copy, and `--from` reads that one."""
    await typing(place.daemon, "backup", "copy", "orders/one", "--to", "second", "--wait")
    words = ("backup", "export", "orders/one", f"file://{tmp_path}", "--wait")
    with place.damaged(0.5):
        assert "say --from second" in (await typing(place.daemon, *words, code=1)).err
        await typing(place.daemon, *words, "--from", "second")
    assert {FILE} == files_in(tmp_path)


async def test_end_of_the_daemon_puts_an_export_off(place: Place, tmp_path: Path) -> None:
    """SIGTERM in the middle of an export leaves nothing of it; the next start makes it whole."""
    daemon, away = place.daemon, place.vault.with_name("away")
    place.vault.rename(away)
    try:
        await daemon.command(RequestExport("orders/one", f"file://{tmp_path}"))
        assert 0 == await daemon.stop()
        assert set() == files_in(tmp_path)
    finally:
        away.rename(place.vault)
    await daemon.start()
    assert "completed" == (await place.ended(await newest(daemon))).phase
    assert {FILE} == files_in(tmp_path)


async def newest(daemon: DaemonProcess) -> str:
    """The export that was asked for last."""
    return [e.export_id for e in await daemon.events() if isinstance(e, ExportRequested)][-1]


async def test_backup_is_held_while_it_is_exported(place: Place, tmp_path: Path) -> None:
    """While its export is tried again a backup cannot be deleted, and `status` shows the export."""
    sick = tmp_path / "sick"
    sick.mkdir()
    vault = place.vault.rename(place.vault.with_name("away"))
    try:
        request = RequestExport("orders/one", f"file://{sick}")
        export_id = (await place.daemon.command(request)).export_id
        page = (await typing(place.daemon, "status")).out
        with pytest.raises(Rejected, match="read"):
            await place.daemon.command(DeleteBackup("orders/one"))
    finally:
        vault.rename(place.vault)
    assert f"export of orders/one to file://{sick}" in page
    assert "completed" == (await place.ended(export_id)).phase


async def test_what_was_exported_to_an_entry_is_imported_from_it(place: Place) -> None:
    """An entry's name and a key are a source, too, with the entry's own keys (S4)."""
    exported = await place.exported("warehouse/round")
    (file,) = exported.files
    asked = RequestImport("orders", f"warehouse/round/{FILE}", "again")
    await place.daemon.command(asked)
    back = await place.daemon.backup_ended("orders/again")
    assert (back.phase, back.imported_from) == ("complete", f"warehouse/round/{FILE}")
    assert back.plain_bytes == file.plain_bytes

    with pytest.raises(NotFound) as refused:
        await place.daemon.command(RequestImport("orders", "werehouse/x.rdb", "other"))
    assert "warehouse" in refused.value.hint
