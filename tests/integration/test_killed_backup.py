"""A daemon that is killed while it makes or deletes a backup: nothing half done is left."""

import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.commands import DeleteBackup
from daemon.valkey.engine import Engine, find_engines
from events.facts import SourceKind
from events.types import BackupAbandoned, BackupFailed
from tests.support.daemon import DEAD, DaemonProcess
from tests.support.outcome import is_at_rest, is_tidy, log_is_sound, nothing_partial, settings_of
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


class Case(NamedTuple):
    """Where the daemon dies, and how many attempts there have been in the end."""

    source: SourceKind
    point: str
    attempts: int


CASES = (
    Case("bgsave", "before backup-requested", 0),
    Case("bgsave", "after backup-requested", 1),
    Case("bgsave", "before attempt-started", 1),
    Case("bgsave", "after attempt-started", 2),
    Case("bgsave", "phase connecting", 2),
    Case("bgsave", "phase saving", 2),
    Case("bgsave", "phase reading", 2),
    Case("bgsave", "phase storing", 2),
    Case("bgsave", "bytes 300000 storing", 2),
    Case("bgsave", "before snapshot-taken", 2),
    Case("bgsave", "after snapshot-taken", 2),
    Case("bgsave", "phase writing the manifest", 2),
    Case("bgsave", "before backup-completed", 2),
    Case("bgsave", "after backup-completed", 1),
    Case("replication", "phase waiting for the fork", 2),
    Case("replication", "phase storing", 2),
    Case("replication", "bytes 300000 storing", 2),
    Case("replication", "before backup-completed", 2),
)


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Node, None]:
    """A server with a megabyte of data."""
    engine: Engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, tmp_path_factory.mktemp("n"), rdbcompression="no") as node:
        client = node.client()
        await fill(client, keys=1_000)
        await client.aclose()
        yield node


async def back_up(daemon: DaemonProcess, node: Node, point: str, source: SourceKind) -> None:
    """Run a doomed daemon that is asked for a backup, until it dies."""
    await daemon.start(doom=point)
    with suppress(*DEAD):
        await daemon.add("orders", url=node.url, source=source)
        await daemon.backup("orders", name="nightly")
    await daemon.died()


async def recover(daemon: DaemonProcess, vault: Path) -> None:
    """Start a sound daemon and wait until it has settled everything, looking all the while."""

    async def look() -> None:
        await nothing_partial(daemon, vault)

    await daemon.start()
    await look()
    await daemon.settled(look)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}: {case.point}")
async def test_a_backup_survives_kill_9(
    daemon: DaemonProcess, node: Node, vault: Path, case: Case
) -> None:
    """Killed anywhere in a backup, the daemon completes it after its start, or never heard of it.

    Until then nothing is listed, and afterwards nothing is left over.
    """
    before = await settings_of(node)
    await back_up(daemon, node, case.point, case.source)

    await recover(daemon, vault)

    listed = await daemon.listed()
    assert [(b.name, b.attempts) for b in listed] == [("nightly", case.attempts)][
        : bool(case.attempts)
    ]
    failures = [e for e in await daemon.events() if isinstance(e, BackupFailed)]
    assert [f.failure.code for f in failures] == ["interrupted"] * (case.attempts - 1)
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)
    await is_at_rest(node, before)


async def test_a_daemon_that_dies_twice_in_one_backup_gives_it_up(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A manual backup whose second attempt is cut off too is abandoned, and swept."""
    await back_up(daemon, node, "bytes 300000 storing", "bgsave")
    await daemon.start(doom="bytes 300000 storing")
    await daemon.died()

    await recover(daemon, vault)

    assert await daemon.listed() == ()
    (abandoned,) = [e for e in await daemon.events() if isinstance(e, BackupAbandoned)]
    assert "one attempt, and one more if the daemon itself failed" in abandoned.reason
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


@pytest.mark.parametrize("point", ["phase sweeping leftovers", "before leftovers-swept"])
async def test_a_sweep_that_was_cut_off_is_made_again(
    daemon: DaemonProcess, node: Node, vault: Path, point: str
) -> None:
    """Killed while it sweeps what an attempt left, the daemon sweeps it at its next start."""
    await back_up(daemon, node, "before backup-completed", "bgsave")
    await daemon.start(doom=point)
    await daemon.died()

    await recover(daemon, vault)

    assert [b.attempts for b in await daemon.listed()] == [2]
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


@pytest.mark.parametrize(
    ("point", "left"),
    [
        ("before deletion-requested", 1),
        ("after deletion-requested", 0),
        ("phase deleting", 0),
        ("before backup-deleted", 0),
        ("after backup-deleted", 0),
    ],
)
async def test_a_deletion_survives_kill_9(
    daemon: DaemonProcess, node: Node, vault: Path, point: str, left: int
) -> None:
    """Killed anywhere in a deletion, the daemon finishes it, or the backup is still whole."""
    await daemon.start(doom=point)
    await daemon.add("orders", url=node.url)
    assert (await daemon.backup("orders", name="nightly")).phase == "complete"
    with suppress(*DEAD):
        await daemon.command(DeleteBackup("orders/nightly"))
        await daemon.settled()
    await daemon.died()

    await recover(daemon, vault)

    assert len(await daemon.listed()) == left
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)
