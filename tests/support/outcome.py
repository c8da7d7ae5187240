"""What must be true when a daemon that was cut off has settled everything.

Looks from outside only: into the vault's directory, at the engine, at the API's answers.
"""

import hashlib
from pathlib import Path

import msgspec
import zstandard

from daemon.answers import BackupView, VerdictView
from daemon.storage.manifest import Manifest
from daemon.storage.names import log_span_of
from daemon.storage.vault import ObjectName
from events.types import AttemptStarted, BackupAbandoned, BackupCompleted, BackupRequested
from tests.support.daemon import DaemonProcess
from tests.support.keys import RECIPIENT, opened
from tests.support.poll import until
from tests.support.servers import Node, digest

TOUCHED = (
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "replica-read-only",
    "repl-diskless-load",
    "masterauth",
    "masteruser",
    "tls-cluster",
)


async def settings_of(node: Node) -> dict[str, str]:
    """The settings that a restore may touch."""
    client = node.client()
    try:
        found = await client.config_get(*TOUCHED)
        return {str(name): str(value) for name, value in found.items()}
    finally:
        await client.aclose()


async def is_at_rest(node: Node, settings: dict[str, str], replicas: int = 0) -> None:
    """The engine lives, is a primary, takes writes, is set as it was, and keeps its AOF.

    So many replicas follow it, soon.
    """
    assert node.running(), node.output()
    assert await settings_of(node) == settings
    client = node.client(database=15)

    async def appends() -> bool:
        state = await client.info("persistence")
        wanted = node.settings["appendonly"] == "yes"
        return (bool(state["aof_enabled"]), state["aof_rewrite_in_progress"]) == (wanted, 0)

    async def followed() -> bool:
        return bool((await client.info("replication"))["connected_slaves"] == replicas)

    try:
        await until(appends, "the append-only file is as it was")
        assert (await client.info("replication"))["role"] == "master"
        await until(followed, f"{replicas} replicas follow it")
        assert await client.set("written", "again")
        assert await client.delete("written") == 1
    finally:
        await client.aclose()


async def data_of(node: Node) -> tuple[str, bytes]:
    """What a server holds: the digest of its data, and its functions."""
    client = node.client()
    try:
        return await digest(client)
    finally:
        await client.aclose()


async def nothing_partial(daemon: DaemonProcess, folder: Path) -> None:
    """Each backup that is listed has its manifest and its object, of the right size."""
    for backup in await daemon.listed():
        place = folder / place_of(backup)
        assert (place / "manifest.json").is_file()
        assert (place / object_of(backup)).stat().st_size == backup.stored_bytes


async def is_tidy(daemon: DaemonProcess, folder: Path) -> None:
    """The vault holds the backups that are listed, all of each, copies of the log, and no more."""
    expected = set()
    for backup in await daemon.listed():
        place = place_of(backup)
        is_whole(folder / place)
        expected |= {f"{place}/{object_of(backup)}", f"{place}/manifest.json"}
    there = {name for name in files_in(folder) if log_span_of(ObjectName(name)) is None}
    assert there - {"valkeep.json"} == expected


def place_of(backup: BackupView) -> str:
    """The folder of the attempt that made it."""
    attempt = "" if backup.attempts == 1 else f".{backup.attempts}"
    return f"caches/{backup.cache}/{backup.backup_id}{attempt}"


def object_of(backup: BackupView) -> str:
    """The name of its data."""
    return "0000.rdb.zst.age" if backup.encrypted else "0000.rdb.zst"


def files_in(folder: Path) -> set[str]:
    """Everything in a folder that is no folder, hidden or not."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def is_whole(folder: Path) -> None:
    """A backup's manifest tells the truth about the object beside it, to the last byte."""
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    (shard,) = manifest.shards
    stored = (folder / Path(shard.object).name).read_bytes()
    assert sum(block.size_bytes for block in shard.blocks) == len(stored)
    if "age" in shard.codecs:
        assert RECIPIENT in shard.recipients
        stored = opened(stored)
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
    assert (len(plain), hashlib.sha256(plain).hexdigest()) == (shard.plain_bytes, shard.sha256)


async def log_is_sound(daemon: DaemonProcess) -> None:
    """The chain holds to its end, and every backup that was begun has ended."""
    verdict = await daemon.get(VerdictView, "audit", "verify")
    history = await daemon.events()
    assert verdict.position == verdict.records == len(history)
    ended = {e.backup_id for e in history if isinstance(e, BackupCompleted | BackupAbandoned)}
    asked = {e.backup_id for e in history if isinstance(e, BackupRequested)}
    begun = {e.backup_id for e in history if isinstance(e, AttemptStarted)}
    assert begun <= asked == ended
