"""Encrypted backups of a real server: made without an identity, restored only with the right one.

`pyrage` opens what is stored in `tests.support.outcome`: it is not ourselves who judge.
"""

import hashlib
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec
import pytest

from daemon.answers import BackupDetail, PlanAnswer, PlanRequest
from daemon.valkey.engine import find_engines
from events.facts import SourceKind
from events.types import BackupCompleted, RestoreStarted
from tests.support.daemon import (
    DEAD,
    S3_KEYS,
    DaemonProcess,
    directory_vault,
    installation,
    s3_vault,
)
from tests.support.keys import BOTH, IDENTITY, OTHER_RECIPIENT, RECIPIENT, STRANGER, opened
from tests.support.nursery import Nursery
from tests.support.outcome import (
    data_of,
    files_in,
    is_at_rest,
    is_tidy,
    log_is_sound,
    nothing_partial,
    settings_of,
)
from tests.support.poll import until
from tests.support.s3 import BUCKET, rclone_s3
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio

HEN = hashlib.shake_128(b"canary").digest(1 << 20)
CANARY = HEN[1 << 19 :][:64]
"""From the middle of what does not compress: zstd keeps it as it is, wherever it comes to lie."""


class Place(NamedTuple):
    """An installation, the folder in which what it stores can be seen, and its identity file."""

    daemon: DaemonProcess
    vault: Path
    identity: Path

    def put(self, identity: str) -> None:
        """Let the identity file hold this."""
        self.identity.write_text(f"# a key\n{identity}\n")
        self.identity.chmod(0o600)

    def configure(self, vault: str, *recipients: str) -> None:
        """Encrypt to these from the next reading of the configuration on."""
        told = ", ".join(f'"{recipient}"' for recipient in recipients)
        more = f'recipients = [{told}]\nidentity_file = "{self.identity}"\n'
        self.daemon.configure(vault + more)

    def holds(self, wanted: bytes) -> bool:
        """Whether anything that the daemon wrote, its own folder included, has these bytes."""
        return any(
            wanted in path.read_bytes()
            for folder in (self.vault, self.daemon.directory)
            for path in folder.rglob("*")
            if path.is_file()
        )


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Node, None]:
    """A server with 18 MiB that do not compress, a canary among them."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, tmp_path_factory.mktemp("n"), rdbcompression="no") as node:
        await filled(node)
        yield node


async def filled(node: Node) -> None:
    """Give a server its data, whatever it held."""
    client = node.client()
    await client.flushall()
    await fill(client, keys=500)
    await client.set("canary", HEN)
    for number in range(18):
        await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(1 << 20))
    await client.aclose()


async def wrecked(node: Node) -> None:
    """Everything is gone, and something else is there."""
    client = node.client()
    await client.flushall()
    await client.set("rubbish", "yes")
    await client.aclose()


@pytest.fixture
async def place(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """An installation that encrypts into a directory, to one recipient; no identity is there."""
    vault = directory_vault(tmp_path / "vault")
    async with installation(nursery, vault) as daemon:
        place = Place(daemon, tmp_path / "vault", tmp_path / "identity")
        place.configure(vault, RECIPIENT)
        yield place


@pytest.fixture
async def bucket(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """The same with a bucket."""
    async with (
        rclone_s3(tmp_path / "s3") as server,
        installation(nursery, s3_vault(server), S3_KEYS) as daemon,
    ):
        place = Place(daemon, tmp_path / "s3" / BUCKET / "team", tmp_path / "identity")
        place.configure(s3_vault(server), RECIPIENT)
        yield place


async def there_and_back(place: Place, node: Node, source: SourceKind) -> None:
    """Back up, wreck, be refused without the right identity, and restore with it."""
    daemon, (held, settings) = place.daemon, (await data_of(node), await settings_of(node))
    await daemon.start()
    await daemon.add("orders", url=node.url, source=source)
    backup = await daemon.backup("orders", name="nightly")
    assert (backup.phase, backup.encrypted) == ("complete", True), backup.failure
    assert backup.keys, "the engine's checker has read the plain bytes on their way"
    await is_tidy(daemon, place.vault)
    await wrecked(node)

    for identity in (None, STRANGER):
        if identity:
            place.put(identity)
        refused = await daemon.restore(backup.backup_id, to="orders")
        assert refused.failure is not None
        assert (refused.phase, refused.failure.code) == ("failed", "identity")
        assert RECIPIENT in refused.failure.message + refused.failure.hint
    assert not any(isinstance(event, RestoreStarted) for event in await daemon.events())
    await is_at_rest(node, settings)

    place.put(IDENTITY)
    restored = await daemon.restore(backup.backup_id, to="orders")
    assert restored.phase == "completed", restored.failure
    assert await data_of(node) == held
    await is_at_rest(node, settings)
    await log_is_sound(daemon)


@pytest.mark.parametrize("source", ["bgsave", "replication"])
async def test_an_encrypted_backup_comes_back(place: Place, node: Node, source: SourceKind) -> None:
    """From a directory it is restored with its identity, which nobody needed to make it.

    The safety backup is encrypted as well; nothing plain was written, and no secret shown.
    """
    await filled(node)
    await there_and_back(place, node, source)

    assert {Path(name).suffix for name in files_in(place.vault)} == {".age", ".json"}
    assert not place.holds(CANARY)
    assert not place.holds(IDENTITY[16:].encode())
    assert IDENTITY not in place.daemon.output()


async def test_an_encrypted_backup_comes_back_from_a_bucket(bucket: Place, node: Node) -> None:
    """The same holds for S3."""
    await filled(node)
    await there_and_back(bucket, node, "replication")
    assert not bucket.holds(CANARY)


async def test_a_canary_would_be_seen(nursery: Nursery, tmp_path: Path, node: Node) -> None:
    """Without encryption the canary does lie in the vault: looking for it proves something."""
    await filled(node)
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        await daemon.start()
        await daemon.add("orders", url=node.url)
        assert (await daemon.backup("orders", name="nightly")).phase == "complete"
        assert Place(daemon, tmp_path / "vault", tmp_path / "identity").holds(CANARY)


async def test_the_plan_says_beforehand_that_there_is_no_key(place: Place, node: Node) -> None:
    """`restore --plan` has a blocker that nothing overrides, and a warning for an open file."""
    await place.daemon.start()
    await place.daemon.add("orders", url=node.url)
    await place.daemon.backup("orders", name="nightly")
    request = PlanRequest("orders/nightly", "orders", force=("identity",))

    async def planned() -> tuple[tuple[str, ...], set[str]]:
        said = await place.daemon.post("/v1/plans", msgspec.json.encode(request))
        answer = msgspec.json.decode(said, type=PlanAnswer)
        return answer.blockers, {finding.code for finding in answer.plan.findings}

    blockers, _ = await planned()
    assert blockers == ("identity",)
    place.put(IDENTITY)
    blockers, codes = await planned()
    assert (blockers, "identity" in codes) == ((), False)
    place.identity.chmod(0o644)
    blockers, codes = await planned()
    assert (blockers, "identity-exposed" in codes) == ((), True)


@pytest.mark.parametrize(
    ("point", "attempts"),
    [
        ("bytes 300000 storing", 2),
        ("bytes 17000000 storing", 2),
        ("before snapshot-taken", 2),
        ("phase writing the manifest", 2),
        ("before backup-completed", 2),
        ("after backup-completed", 1),
    ],
)
async def test_an_encrypted_backup_survives_kill_9(
    place: Place, node: Node, point: str, attempts: int
) -> None:
    """Killed anywhere in it, the daemon tidies up and makes it anew; nothing plain is left."""
    await filled(node)
    await place.daemon.start(doom=point)
    with suppress(*DEAD):
        await place.daemon.add("orders", url=node.url, source="replication")
        await place.daemon.backup("orders", name="nightly")
    await place.daemon.died()
    assert not place.holds(CANARY)

    async def look() -> None:
        await nothing_partial(place.daemon, place.vault)

    await place.daemon.start()
    await place.daemon.settled(look)
    assert [(b.attempts, b.encrypted) for b in await place.daemon.listed()] == [(attempts, True)]
    await is_tidy(place.daemon, place.vault)
    await log_is_sound(place.daemon)
    assert not place.holds(CANARY)


@pytest.mark.parametrize("point", ["upload part", "upload part #2", "before backup-completed"])
async def test_an_encrypted_backup_to_a_bucket_survives_kill_9(
    bucket: Place, node: Node, point: str
) -> None:
    """Killed between two parts, the daemon tidies up in the bucket, too."""
    await filled(node)
    await bucket.daemon.start(doom=point)
    with suppress(*DEAD):
        await bucket.daemon.add("orders", url=node.url)
        await bucket.daemon.backup("orders", name="nightly")
    await bucket.daemon.died()

    await bucket.daemon.start()
    await bucket.daemon.settled()
    assert [(b.attempts, b.encrypted) for b in await bucket.daemon.listed()] == [(2, True)]
    await is_tidy(bucket.daemon, bucket.vault)
    assert not bucket.holds(CANARY)


@pytest.mark.parametrize(
    ("at", "touched"), [(0.0, False), (0.01, False), (0.5, True), (0.9999, True)]
)
async def test_damaged_ciphertext_never_reaches_the_target(
    place: Place, node: Node, at: float, *, touched: bool
) -> None:
    """A flipped bit stops the restore, in the first block before anything is touched."""
    await place.daemon.start()
    await place.daemon.add("orders", url=node.url)
    assert (await place.daemon.backup("orders", name="nightly")).phase == "complete"
    place.put(IDENTITY)
    old, settings = await data_of(node), await settings_of(node)
    flip(next(place.vault.glob("caches/orders/*/0000.rdb.zst.age")), at)

    restore = await place.daemon.restore("orders/nightly", to="orders", safety_backup=False)

    assert restore.failure is not None
    code = "block-damaged" if touched else "rdb-checksum"
    assert (restore.phase, restore.failure.code) == ("failed", code)
    started = any(isinstance(event, RestoreStarted) for event in await place.daemon.events())
    assert started == touched
    await is_at_rest(node, settings)
    assert await data_of(node) == old


def flip(file: Path, at: float) -> None:
    """Flip one bit, so far into the file."""
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 1
    file.write_bytes(data)


async def test_a_new_recipient_is_for_new_backups(place: Place, node: Node, tmp_path: Path) -> None:
    """After a reload backups are encrypted to both; the old one stays as it was, and says so."""
    await place.daemon.start()
    await place.daemon.add("orders", url=node.url)
    await place.daemon.backup("orders", name="old")
    place.configure(directory_vault(tmp_path / "vault"), *BOTH)
    place.daemon.signal(signal.SIGHUP)

    async def reloaded() -> bool:
        return "configuration reloaded" in place.daemon.output()

    await until(reloaded, "the configuration was read again")
    await place.daemon.backup("orders", name="new")

    found = {}
    for name in ("old", "new"):
        detail = await place.daemon.get(BackupDetail, "backups", f"orders/{name}")
        assert detail.stored is not None
        found[name] = detail.stored.recipients
        assert detail.objects[0].endswith("0000.rdb.zst.age")
        sealed = await anyio.Path(detail.objects[0].removeprefix("file://")).read_bytes()
        assert opened(sealed)
        assert sealed.count(b"-> X25519 ") == len(found[name])
    assert found == {"old": (RECIPIENT,), "new": BOTH}
    completed = [e for e in await place.daemon.events() if isinstance(e, BackupCompleted)]
    assert [OTHER_RECIPIENT in event.stored.recipients for event in completed] == [False, True]
