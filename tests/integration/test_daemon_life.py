"""The daemon's own life: how it ends, what the next one makes of that, how it reloads."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from daemon.answers import Status
from daemon.commands import AddCache, RequestBackup
from daemon.errors import Rejected, Unavailable
from events.facts import CacheName
from events.types import (
    AttemptStarted,
    BackupFailed,
    CacheReconfigured,
    CacheRegistered,
    CacheSuspended,
    DaemonStarted,
    DaemonStopped,
)
from tests.support.daemon import DaemonProcess, directory_vault
from tests.support.nursery import ROOT
from tests.support.outcome import is_tidy, log_is_sound
from tests.support.poll import until
from tests.support.saving import saving_at_once, saving_slowly
from tests.support.servers import Node

pytestmark = pytest.mark.anyio


async def recorded(daemon: DaemonProcess) -> None:
    """Wait until the daemon's start is in the log."""
    await daemon.until(lambda _, event: isinstance(event, DaemonStarted))


async def test_sigterm_in_a_backup_ends_in_time_and_the_next_start_settles_it(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """Told to end in the middle of a backup, the daemon ends well; the next one makes it anew."""
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await saving_slowly(node)
    accepted = await daemon.command(RequestBackup("orders", "nightly"))
    await daemon.until(lambda _, event: isinstance(event, AttemptStarted))
    with anyio.fail_after(10):
        assert await daemon.stop() == 0
    await saving_at_once(node)

    await daemon.start()
    assert accepted.backup_id is not None
    assert (await daemon.backup_ended(accepted.backup_id)).attempts == 2

    events = await daemon.events()
    assert [e.failure.code for e in events if isinstance(e, BackupFailed)] == ["interrupted"]
    assert any(isinstance(e, DaemonStopped) for e in events)
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_a_daemon_that_is_ready_obeys_signals(daemon: DaemonProcess) -> None:
    """Whoever waits for readiness may tell the daemon to reload in the same breath, and to end."""
    await daemon.start()
    daemon.signal(signal.SIGHUP)

    await until(lambda: says(daemon, "configuration reloaded"), "it reloads")
    assert await daemon.stop() == 0


async def test_a_second_sigterm_ends_the_daemon_at_once(daemon: DaemonProcess) -> None:
    """A shutdown that hangs on its last record is cut short by a second signal."""
    await daemon.start(doom="stall daemon-stopped")
    await recorded(daemon)
    daemon.signal(signal.SIGTERM)
    await daemon.notices.said(b"STOPPING=1")

    daemon.signal(signal.SIGTERM)

    with anyio.fail_after(10):
        assert await daemon.ended() == -signal.SIGTERM
    await daemon.start()
    await log_is_sound(daemon)


async def test_a_restart_loop_does_not_grow_the_log(daemon: DaemonProcess) -> None:
    """Within a minute there is one record of a start, however often it crashes."""
    for _ in range(3):
        await daemon.start()
        await recorded(daemon)
        await daemon.kill()
    await daemon.start()

    assert [type(event) for event in await daemon.events()] == [DaemonStarted]


def declared(node: Node, *, source: str = "auto") -> str:
    """A configuration that declares one cache."""
    return f'[caches.orders]\nurl = "{node.url}"\nsource = "{source}"\n'


async def test_sighup_takes_a_changed_file_and_leaves_a_bad_one(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A reload reconciles declared caches; a bad file changes nothing; a cache can be suspended."""
    base = directory_vault(vault)
    daemon.configure(base + declared(node))
    await daemon.start()
    await daemon.until(lambda _, event: isinstance(event, CacheRegistered))

    daemon.configure(base + declared(node, source="sideways"))
    daemon.signal(signal.SIGHUP)
    await until(lambda: says(daemon, "configuration not reloaded"), "the bad file is refused")
    assert "sideways" in daemon.output()
    assert (await daemon.backup("orders", name="after-a-bad-file")).phase == "complete"

    daemon.configure(base + declared(node, source="replication"))
    daemon.signal(signal.SIGHUP)
    state = await daemon.until(lambda _, event: isinstance(event, CacheReconfigured))
    assert state.caches[CacheName("orders")].settings.source == "replication"

    daemon.configure(base)
    daemon.signal(signal.SIGHUP)
    await daemon.until(lambda _, event: isinstance(event, CacheSuspended))
    with pytest.raises(Rejected, match="is suspended") as caught:
        await daemon.command(RequestBackup("orders", "not-any-more"))
    assert (caught.value.code, bool(caught.value.hint)) == ("cache-suspended", True)
    assert [b.name for b in await daemon.listed()] == ["after-a-bad-file"]


async def says(daemon: DaemonProcess, words: str) -> bool:
    """Whether the daemon has printed this."""
    return words in daemon.output()


async def test_a_log_without_room_makes_the_daemon_read_only_until_there_is_some(
    daemon: DaemonProcess, node: Node, tmp_path: Path
) -> None:
    """A log that cannot be written refuses commands with 503; questions are still answered."""
    crowd = tmp_path / "crowd"
    await daemon.start(doom=f"crowded {crowd}")
    await daemon.add("orders", url=node.url)
    crowd.touch()
    with pytest.raises(Unavailable) as caught:
        await many_caches(daemon, node)
    assert (caught.value.code, bool(caught.value.hint)) == ("log-unwritable", True)
    status = await daemon.get(Status, "status")
    assert status.log.trouble is not None
    assert status.problems != ()
    held = await daemon.history()

    crowd.unlink()

    assert (await daemon.backup("orders", name="b")).phase == "complete"
    assert (await daemon.get(Status, "status")).log.trouble is None
    assert (await daemon.history())[: len(held)] == held
    await log_is_sound(daemon)


async def many_caches(daemon: DaemonProcess, node: Node) -> None:
    """Add caches until somebody objects."""
    for number in range(200):
        await daemon.command(AddCache(f"more-{number}", node.url, probe=False))


async def test_the_command_line_runs_the_daemon(daemon: DaemonProcess) -> None:
    """`valkeep serve` is a process of its own that says when it is ready and ends on SIGTERM."""
    process = await anyio.open_process(
        [sys.executable, "-m", "daemon.cli", "serve", "--config", str(daemon.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=daemon.environment,
        cwd=ROOT,
    )
    try:
        with anyio.fail_after(30):
            await daemon.notices.said(b"READY=1")
            assert (await daemon.get(Status, "status")).problems == ()
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()
