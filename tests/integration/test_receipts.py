"""Verifications by a real daemon: receipts, damage, alarms, kills, and what is held meanwhile."""

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.answers import BackupDetail, BackupView, Status
from daemon.answers.check import Checked
from daemon.answers.proof import ProofView
from daemon.commands import (
    DeleteBackup,
    PolicyChange,
    RemoveCache,
    RequestAutoBackup,
    RequestVerification,
    SetPolicy,
)
from daemon.errors import Rejected
from daemon.valkey.engine import Engine
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationPutOff,
    VerificationRequested,
    VerificationStarted,
)
from tests.support.autos import told, typing
from tests.support.daemon import (
    DEAD,
    S3_KEYS,
    DaemonProcess,
    directory_vault,
    installation,
    s3_vault,
)
from tests.support.nursery import Nursery
from tests.support.outcome import log_is_sound
from tests.support.poll import until
from tests.support.s3 import BUCKET, rclone_s3
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


class Place(NamedTuple):
    """A daemon that was not started, and where its backups can be seen."""

    daemon: DaemonProcess
    vault: Path

    @property
    def object(self) -> Path:
        """The data of the only backup."""
        return next(self.vault.glob("caches/orders/*/0000.rdb.zst"))

    @property
    def manifest(self) -> Path:
        """The manifest of the only backup."""
        return next(self.vault.glob("caches/orders/*/manifest.json"))


@pytest.fixture(scope="module")
async def node(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A server with 18 MiB that do not compress."""
    async with start_node(engine, tmp_path_factory.mktemp("n"), rdbcompression="no") as node:
        client = node.client()
        await fill(client, keys=500)
        for number in range(18):
            await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(1 << 20))
        await client.aclose()
        yield node


@pytest.fixture
async def place(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """An installation with a directory vault."""
    vault = tmp_path / "vault"
    async with installation(nursery, directory_vault(vault)) as daemon:
        yield Place(daemon, vault)


@pytest.fixture
async def bucket(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """The same with a bucket."""
    async with (
        rclone_s3(tmp_path / "s3") as server,
        installation(nursery, s3_vault(server), S3_KEYS) as daemon,
    ):
        yield Place(daemon, tmp_path / "s3" / BUCKET / "team")


async def backed_up(place: Place, node: Node) -> None:
    """A daemon with the backup `orders/b`."""
    await place.daemon.start()
    await place.daemon.add("orders", url=node.url)
    assert (await place.daemon.backup("orders", name="b")).phase == "complete"


async def proven(daemon: DaemonProcess, backup: str = "orders/b") -> BackupView:
    """The backup after the end of its verification."""
    query = {"wait": 60.0}
    detail = await daemon.get(BackupDetail, "proofs", backup, query=query)
    assert detail.backup.proof is not None, daemon.output()
    assert detail.backup.proof.under_way is None, daemon.output()
    return detail.backup


async def verified(
    daemon: DaemonProcess, backup: str = "orders/b", *, quick: bool = False
) -> ProofView:
    """Verify a backup; what is known of it then."""
    await daemon.command(RequestVerification(backup, quick))
    found = (await proven(daemon, backup)).proof
    assert found is not None
    return found


async def lines(daemon: DaemonProcess, *rules: str) -> dict[str, str]:
    """The levels of these rules of `check`."""
    checked = await daemon.get(Checked, "check")
    return {line.rule: line.level for line in checked.lines if line.rule in rules}


async def test_a_good_backup_gets_a_receipt(place: Place, node: Node, engine: Engine) -> None:
    """From a directory it is loaded, and everybody is told by what and when."""
    await receives_a_receipt(place, node, engine)


async def test_a_backup_in_a_bucket_gets_a_receipt(
    bucket: Place, node: Node, engine: Engine
) -> None:
    """The same holds for S3."""
    await receives_a_receipt(bucket, node, engine)


async def receives_a_receipt(place: Place, node: Node, engine: Engine) -> None:
    """Verify a backup by the command line, and look everywhere where that is told."""
    await backed_up(place, node)
    printed = await typing(place.daemon, "backup", "verify", "orders/b")

    assert "Backup orders/b is good: loaded." in printed.out
    assert engine.label in printed.out
    (_, event), *more = await told(place.daemon, BackupVerified)
    assert ([], "loaded") == (more, event.receipt.level)
    assert "loaded" in (await typing(place.daemon, "backup", "list")).out
    assert (
        "a private engine has loaded it"
        in (await typing(place.daemon, "backup", "show", "orders/b")).out
    )
    status = await place.daemon.get(Status, "status")
    known = status.caches[0].assurance
    assert known is not None
    assert ("b", "loaded") == (known.name, known.level)
    assert known.restore_seconds is not None
    assert known.lost_seconds is not None
    assert "LAST PROVEN" in (await typing(place.daemon, "status")).out
    assert {"damaged": "ok"} == await lines(place.daemon, "damaged")
    assert not (place.daemon.directory / "data" / "engine").exists() or [] == list(
        (place.daemon.directory / "data" / "engine").iterdir()
    )
    await log_is_sound(place.daemon)


def flip(place: Path) -> None:
    """Flip one bit in the middle."""
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


def cut(place: Path) -> None:
    """Take the last byte away."""
    place.write_bytes(place.read_bytes()[:-1])


async def test_damage_is_found_told_and_taken_back(place: Place, node: Node) -> None:
    """Each kind of damage fails the verification; when the vault is mended the next one passes."""
    await backed_up(place, node)
    daemon = place.daemon
    whole = {path: path.read_bytes() for path in (place.object, place.manifest)}
    damages: tuple[tuple[str, Callable[[Path], None], Path], ...] = (
        ("block-damaged", flip, place.object),
        ("object-size", cut, place.object),
        ("object-missing", Path.unlink, place.object),
        ("manifest-tampered", flip, place.manifest),
        ("manifest-missing", Path.unlink, place.manifest),
    )
    for code, damage, path in damages:
        damage(path)
        proof = await verified(daemon)
        assert proof.refuted is not None, code
        assert code == proof.refuted.code
        for place_of, data in whole.items():
            place_of.write_bytes(data)
    assert {"damaged": "critical"} == await lines(daemon, "damaged")
    assert "FAILED" in (await typing(daemon, "backup", "list")).out
    failed = [event.failure.code for _, event in await told(daemon, VerificationFailed)]
    assert [code for code, _, _ in damages] == failed

    proof = await verified(daemon, quick=True)
    assert (None, True) == (proof.refuted, proof.receipt is not None)
    assert {"damaged": "ok"} == await lines(daemon, "damaged")


async def test_the_command_line_fails_for_a_damaged_backup(place: Place, node: Node) -> None:
    """Exit code 1, the block, and what to do; the receipt of a quick look says what it left out."""
    await backed_up(place, node)
    quick = await typing(place.daemon, "backup", "verify", "orders/b", "--quick")
    assert "only the hashes were asked for" in " ".join(quick.out.split())
    flip(place.object)
    printed = await typing(place.daemon, "backup", "verify", "orders/b", code=1)
    assert "block" in printed.err
    assert "hint:" in printed.err


async def test_an_absent_vault_says_nothing_of_its_backups(place: Place, node: Node) -> None:
    """A vault that is not mounted puts the verification off; nothing is held against the backup."""
    await backed_up(place, node)
    hidden = place.vault.rename(place.vault.with_name("hidden"))
    place.vault.mkdir()
    await place.daemon.command(RequestVerification("orders/b"))
    state = await place.daemon.until(lambda _, event: isinstance(event, VerificationPutOff))
    (wanted,) = state.verifications.values()
    assert wanted.failure is not None
    assert "vault-owner-missing" == wanted.failure.code
    place.vault.rmdir()
    hidden.rename(place.vault)
    assert [] == await told(place.daemon, VerificationFailed)

    assert wanted.retry_at is not None
    await place.daemon.travel(wanted.retry_at + timedelta(seconds=1))
    view = await proven(place.daemon)
    assert view.proof is not None
    assert view.proof.receipt is not None


async def test_a_killed_daemon_starts_again_from_zero(
    place: Place, node: Node, engine: Engine
) -> None:
    """`kill -9` in the middle of a load leaves no engine and no directory, and the next run ends.

    What is being verified cannot be deleted, before and after.
    """
    await backed_up(place, node)
    assert await place.daemon.stop() == 0
    await place.daemon.start(doom=f"bytes 9000000 loading into {engine.label}")
    with suppress(*DEAD):
        await place.daemon.command(RequestVerification("orders/b"))
    await place.daemon.died()
    folder = place.daemon.directory / "data" / "engine"

    async def gone() -> bool:
        return not any(str(folder) in command for command in commands())

    await until(gone, "the engine has ended with its daemon")
    assert list(folder.iterdir())

    await place.daemon.start()
    view = await proven(place.daemon)
    assert view.proof is not None
    assert view.proof.receipt is not None
    assert "loaded" == view.proof.receipt.level
    assert [] == list(folder.iterdir())
    assert [1, 2] == [e.attempt for _, e in await told(place.daemon, VerificationStarted)]
    await log_is_sound(place.daemon)


def commands() -> list[str]:
    """The command lines of all processes."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


async def test_what_is_being_read_is_not_deleted(place: Place, node: Node, engine: Engine) -> None:
    """A deletion is refused while the verification runs, and its cache may be removed meanwhile."""
    await backed_up(place, node)
    assert await place.daemon.stop() == 0
    await place.daemon.start(doom="stall backup-verified")
    await place.daemon.command(RequestVerification("orders/b"))
    await place.daemon.until(lambda _, event: isinstance(event, VerificationStarted))
    with pytest.raises(Rejected, match="read by a verification"):
        await place.daemon.command(DeleteBackup("orders/b"))
    with pytest.raises(Rejected, match="verified already"):
        await place.daemon.command(RequestVerification("orders/b"))


async def test_backups_of_a_removed_cache_are_verified(place: Place, node: Node) -> None:
    """A manual backup outlives its cache, is proven all the same, and its damage is an alarm."""
    await backed_up(place, node)
    await place.daemon.command(RemoveCache("orders"))
    proof = await verified(place.daemon)
    assert proof.receipt is not None
    assert "loaded" == proof.receipt.level
    flip(place.object)
    assert (await verified(place.daemon)).refuted is not None
    assert {"damaged": "critical"} == await lines(place.daemon, "damaged")


async def test_the_policy_has_auto_backups_proven(place: Place, node: Node) -> None:
    """By default the first auto backup of a day is proven; `always` proves each; `never` none."""
    daemon = place.daemon
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await daemon.command(SetPolicy("orders", PolicyChange(auto=True)))

    async def make() -> None:
        accepted = await daemon.command(RequestAutoBackup("orders"))
        assert accepted.backup_id is not None
        await daemon.backup_ended(accepted.backup_id)
        await daemon.settled()

    counts = []
    for verify in ("daily", "daily", "never", "always"):
        printed = await typing(daemon, "policy", "set", "orders", "--verify", verify)
        assert f"verify {verify}" in " ".join(printed.out.split())
        await make()
        counts.append(len(await told(daemon, BackupVerified)))
    assert [1, 1, 1, 2] == counts
    causes = {event.cause for _, event in await told(daemon, VerificationRequested)}
    assert {"policy"} == causes
    assert "verify  " in (await typing(daemon, "policy", "show", "orders")).out


async def test_no_sound_engine_leaves_the_hashes(
    nursery: Nursery, tmp_path: Path, node: Node
) -> None:
    """Where only a sound engine may be used and there is none, hashes are all, and it is said."""
    config = directory_vault(tmp_path / "vault") + "[engine]\nrequire_sound = true\n"
    async with installation(nursery, config) as daemon:
        await backed_up(Place(daemon, tmp_path / "vault"), node)
        proof = await verified(daemon)
    assert proof.receipt is not None
    assert "hashes" == proof.receipt.level
    assert "no engine" in proof.receipt.reason


async def test_removing_a_cache_ends_its_verifications(place: Place, node: Node) -> None:
    """An auto backup that waits to be verified again goes with its cache at once."""
    daemon = place.daemon
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await daemon.command(SetPolicy("orders", PolicyChange(auto=True, verify="never")))
    accepted = await daemon.command(RequestAutoBackup("orders"))
    assert accepted.backup_id is not None
    await daemon.backup_ended(accepted.backup_id)
    hidden = place.vault.rename(place.vault.with_name("hidden"))
    await daemon.command(RequestVerification(accepted.backup_id))
    await daemon.until(lambda _, event: isinstance(event, VerificationPutOff))
    hidden.rename(place.vault)

    await daemon.command(RemoveCache("orders"))
    await daemon.settled()
    assert 1 == len(await told(daemon, VerificationAbandoned))
    assert [] == list(place.vault.glob("caches/orders/*/*"))
