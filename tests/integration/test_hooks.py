"""Hooks of a real daemon, with real scripts around real backups and restores."""

import json
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio import to_thread

from daemon.answers import BackupDetail, RestoreDetail
from daemon.answers.check import Checked
from daemon.answers.hooks import HooksAnswer, HookTried, TryHook
from daemon.client import Client
from daemon.commands import CancelBackup, RequestBackup
from daemon.errors import NotFound, Rejected
from events.hooks import HookRan, HookStarted
from events.types import BackupCompleted, Event, RestoreStarted, SnapshotTaken
from projections.state import State
from tests.integration.test_walls import walled
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

CONFIG = """
[hooks.pause]
when = "before-backup"
command = ["{folder}/pause", "orders"]
timeout = "10s"
[hooks.tell]
when = "after-backup"
command = ["{folder}/tell"]
[hooks.close]
when = "before-restore"
command = ["{folder}/close"]
[hooks.warm]
when = "after-restore"
command = ["{folder}/warm"]
"""
ASKING = """
import os, socket
with socket.socket(socket.AF_UNIX) as line:
    line.connect(os.environ["VALKEEP_SOCKET"])
    line.sendall(b"GET /v1/status HTTP/1.0\\r\\n\\r\\n")
    print(line.recv(15))
"""
WELL = 'cat >> "$0.told"; echo "$VALKEEP_HOOK is done"'


def script(folder: Path, name: str, *, text: str = WELL) -> None:
    """Put a program there, at one instant, so that none is run half written."""
    new = folder / f"{name}.new"
    new.write_text(f"#!/bin/sh\n{text}\n")
    new.chmod(0o755)
    new.rename(folder / name)


def told(folder: Path, name: str) -> list[dict[str, object]]:
    """What a hook was told, run by run."""
    path = folder / f"{name}.told"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scripts are."""
    return tmp_path_factory.mktemp("h")


@pytest.fixture(scope="module")
async def hooked(nursery: Nursery, node: Node, folder: Path) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon with hooks of every kind, and a cache."""
    config = directory_vault(folder / "vault") + CONFIG.format(folder=folder)
    for name in ("pause", "tell", "close", "warm"):
        script(folder, name)
    async with installation(nursery, config) as daemon:
        await daemon.start()
        await daemon.add("orders", url=node.url)
        yield daemon


@pytest.fixture(autouse=True)
def _all_well(folder: Path) -> None:
    """Each test begins with scripts that do what they should."""
    for name in ("pause", "tell", "close", "warm"):
        script(folder, name)


async def calm(daemon: DaemonProcess) -> State:
    """Wait until no hook is due."""

    def none_is_due(state: State, _: Event) -> bool:
        return state.position >= end and not state.hooks.due

    end = len(await daemon.history())
    return await daemon.until(none_is_due)


async def runs(daemon: DaemonProcess, reference: str) -> list[tuple[str, str]]:
    """How the hooks of a backup went."""
    await calm(daemon)
    detail = await daemon.get(BackupDetail, "backups", reference)
    return [(run.hook, run.result) for run in detail.hooks]


async def test_hooks_run_around_a_backup(hooked: DaemonProcess, folder: Path) -> None:
    """What is before knows what will be made, what is after knows what was made of it."""
    backup = await hooked.backup("orders", name="one")
    assert [("pause", "ok"), ("tell", "ok")] == await runs(hooked, "orders/one")
    before, after = told(folder, "pause")[-1], told(folder, "tell")[-1]
    assert ("before-backup", "one", 1) == (
        before["event"],
        before["backup_name"],
        before["attempt"],
    )
    assert ("completed", backup.stored_bytes) == (after["outcome"], after["stored_bytes"])
    kinds = [type(told.event) for told in await hooked.history()]
    assert kinds.index(HookRan) < kinds.index(SnapshotTaken) < kinds.index(BackupCompleted)
    assert hooked.output().count("pause is done") >= 1


async def test_a_hook_that_fails_stops_a_backup(hooked: DaemonProcess, folder: Path) -> None:
    """No snapshot is taken; the reason names the hook, and what is after is told of the end."""
    script(folder, "pause", text="echo the queue does not answer; exit 3")
    backup = await hooked.backup("orders", name="stopped")
    assert backup.failure is not None
    assert "hook-failed" == backup.failure.code
    assert "Hook pause (before-backup) ended with exit code 3." in backup.failure.message
    assert "the queue does not answer" in backup.failure.message
    assert [("pause", "failed"), ("tell", "ok")] == await runs(hooked, "orders/stopped")
    after = told(folder, "tell")[-1]
    assert ("failed", "hook-failed") == (after["outcome"], after["code"])
    taken = [e.backup_id for e in await hooked.events() if isinstance(e, SnapshotTaken)]
    assert backup.backup_id not in taken


async def test_a_restore_has_its_hooks(hooked: DaemonProcess, folder: Path) -> None:
    """One before it that fails leaves the target alone; one after it that fails is a warning."""
    await hooked.backup("orders", name="source")
    script(folder, "close", text="exit 1")
    failed = await hooked.restore("orders/source", to="orders")
    assert failed.failure is not None
    assert "hook-failed" == failed.failure.code
    assert not [event for event in await hooked.events() if isinstance(event, RestoreStarted)]

    script(folder, "close")
    script(folder, "warm", text="echo cold; exit 7")
    done = await hooked.restore("orders/source", to="orders", safety_backup=False)
    assert "completed" == done.phase
    await calm(hooked)
    detail = await hooked.get(RestoreDetail, "restores", done.restore_id)
    assert [("close", "ok"), ("warm", "failed")] == [
        (run.hook, run.result) for run in detail.restore.hooks
    ]
    checked = await hooked.get(Checked, "check")
    (line,) = (line for line in checked.lines if line.rule == "hook")
    assert ("warning", "hook-failed") == (line.level, line.code)
    assert "hook warm after a restore ended with exit code 7: cold" in line.message
    client = Client(str(hooked.socket))
    metrics = (await to_thread.run_sync(client.get, "/metrics")).decode()
    assert 'valkeep_hook_runs_total{hook="warm",result="failed"}' in metrics


async def test_a_hook_may_ask_the_daemon(hooked: DaemonProcess, folder: Path) -> None:
    """The daemon answers its own hook, before a backup and after it."""
    program = folder / "ask.py"
    program.write_text(ASKING)
    asking = f"exec {sys.executable} {program}"
    for name in ("pause", "tell"):
        script(folder, name, text=asking)
    await hooked.backup("orders", name="asked")
    assert [("pause", "ok"), ("tell", "ok")] == await runs(hooked, "orders/asked")
    ran = [event for event in await hooked.events() if isinstance(event, HookRan)][-2:]
    assert all("200 OK" in event.ending.output for event in ran)


async def test_hooks_are_listed_and_tried(hooked: DaemonProcess, folder: Path) -> None:
    """A trial is given what a real run would be, is recorded as what it is, and owes nothing."""
    script(folder, "tell", text="env; exit 5")
    body = msgspec.json.encode(TryHook("tell", "orders"))
    tried = msgspec.json.decode(await hooked.post("/v1/hooks/trials", body), type=HookTried)
    assert ("failed", 5) == (tried.result, tried.exit_code)
    assert "VALKEEP_TEST=1" in tried.output.splitlines()
    last = (await hooked.events())[-1]
    assert isinstance(last, HookRan)
    assert last.by_hand
    (folder / "tell").chmod(0o644)
    found = await hooked.get(HooksAnswer, "hooks")
    assert ["pause", "tell", "close", "warm"] == [hook.name for hook in found.hooks]
    assert ["may not be run" in doubt for hook in found.hooks for doubt in hook.doubts] == [True]
    with pytest.raises(NotFound, match="tel'") as caught:
        await hooked.post("/v1/hooks/trials", msgspec.json.encode(TryHook("tel", "orders")))
    assert "Did you mean 'tell'?" == caught.value.hint


async def test_a_cancelled_backup_ends_its_hook(hooked: DaemonProcess, folder: Path) -> None:
    """Whoever cancels a backup need not wait for the hook before it."""
    script(folder, "pause", text="exec sleep 3141")
    accepted = await hooked.command(RequestBackup("orders", "cancelled"))
    await hooked.until(lambda state, _: bool(state.hooks.running))
    await hooked.command(CancelBackup(str(accepted.backup_id)))
    assert [("pause", "cut-off"), ("tell", "ok")] == await runs(hooked, str(accepted.backup_id))
    assert "cancelled" == told(folder, "tell")[-1]["outcome"]


async def test_what_is_due_outlives_the_daemon(hooked: DaemonProcess, folder: Path) -> None:
    """A hook after a backup that ``kill -9`` cuts off leaves nothing, and is run once more."""
    mark = folder / "begun"
    script(
        folder, "tell", text=f'echo x >> {mark}; [ "$(wc -l < {mark})" -gt 1 ] || exec sleep 3142'
    )
    await hooked.backup("orders", name="due")

    async def begun() -> bool:
        return await anyio.Path(mark).exists()

    await until(begun, "the hook")
    await hooked.kill()
    await hooked.start()
    assert [("pause", "ok"), ("tell", "cut-off"), ("tell", "ok")] == await runs(
        hooked, "orders/due"
    )
    assert "x\nx\n" == mark.read_text()


async def test_a_reload_takes_other_hooks(hooked: DaemonProcess, folder: Path) -> None:
    """SIGHUP takes hooks as the file has them now; nothing is due for what ended before."""
    old = hooked.config.read_text()
    new = old.partition("[hooks.pause]")[0]
    new += f'[hooks.late]\nwhen = "after-backup"\ncommand = ["{folder}/tell"]\n'
    hooked.config.write_text(new)
    hooked.signal(signal.SIGHUP)
    await hooked.until(lambda state, _: [h.name for h in state.hooks.configured] == ["late"])
    assert not [e for e in await hooked.events() if isinstance(e, HookStarted) and e.hook == "late"]
    await hooked.backup("orders", name="late")
    assert [("late", "ok")] == await runs(hooked, "orders/late")
    with pytest.raises((NotFound, Rejected)):
        await hooked.post("/v1/hooks/trials", msgspec.json.encode(TryHook("tell", "orders")))
    hooked.config.write_text(old)
    hooked.signal(signal.SIGHUP)
    await hooked.until(lambda state, _: len(state.hooks.configured) == 4)


async def test_hooks_live_behind_the_walls_of_the_unit(
    nursery: Nursery, node: Node, folder: Path
) -> None:
    """A hook runs there, may talk to the network, and gets no more rights than the daemon has."""
    program = folder / "look.py"
    program.write_text(LOOKING.format(folder=folder, port=node.port))
    script(folder, "look", text=f"exec {sys.executable} {program}")
    config = f'[hooks.look]\nwhen = "before-backup"\ncommand = ["{folder}/look"]\n'
    async with walled(nursery, config) as (daemon, _):
        await daemon.add("orders", url=node.url, source="replication")
        backup = await daemon.backup("orders", name="walled")
        assert "complete" == backup.phase, backup.failure
        (ran,) = (event for event in await daemon.events() if isinstance(event, HookRan))
        assert {
            "outside": "Read-only file system",
            "network": "reached",
            "privileges": "NoNewPrivs:\t1",
        } == json.loads(ran.ending.output)


LOOKING = """
import json, pathlib, socket
def outside():
    try:
        pathlib.Path("{folder}/outside").touch()
    except OSError as error:
        return error.strerror
    return "written"
def network():
    with socket.create_connection(("127.0.0.1", {port})):
        return "reached"
status = pathlib.Path("/proc/self/status").read_text().splitlines()
print(json.dumps(dict(
    outside=outside(),
    network=network(),
    privileges=next(line for line in status if line.startswith("NoNewPrivs")),
)))
"""
