"""Hooks that ask for backups themselves, and hooks whose warden is killed: a real daemon."""

import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from daemon.commands import RequestBackup
from events.hooks import HookAsked, HookRan, HookStarted, Passed
from events.types import Event
from projections.state import State
from tests.integration.test_hooks import calm, script
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import ROOT, Nursery
from tests.support.poll import until
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

CONFIG = """
[hooks.again]
when = "after-backup"
command = ["{folder}/again"]
[hooks.tell]
when = "after-backup"
command = ["{folder}/tell"]
"""
AGAIN = f"""
cd {ROOT} || exit 1
exec {sys.executable} -m daemon.cli backup create "$VALKEEP_CACHE" "after-$VALKEEP_BACKUP_NAME"
"""
"""What would go on for ever: a backup after each backup."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scripts are."""
    return tmp_path_factory.mktemp("h")


@pytest.fixture(scope="module")
async def hooked(nursery: Nursery, node: Node, folder: Path) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon with both hooks, and a cache."""
    script(folder, "again", text=AGAIN)
    script(folder, "tell")
    config = directory_vault(folder / "vault") + CONFIG.format(folder=folder)
    async with installation(nursery, config) as daemon:
        await daemon.start()
        await daemon.add("orders", url=node.url)
        yield daemon


async def test_a_hook_that_makes_a_backup_is_not_run_for_that(hooked: DaemonProcess) -> None:
    """A backup that a hook has asked for has its hooks, but for those that led to it."""
    await hooked.command(RequestBackup("orders", "first"))
    await hooked.until(
        lambda state, event: (
            isinstance(event, HookRan) and event.hook == "tell" and len(state.hooks.ran) == 2
        )
    )
    state = await calm(hooked)

    events = await hooked.events()
    asked = [event for event in events if isinstance(event, HookAsked)]
    names: dict[str, str] = {one.backup_id: one.name for one in await hooked.listed()}
    assert set(names.values()) == {"first", "after-first"}
    assert [(names[one.work_id], names[one.cause_id], one.passed) for one in asked] == [
        ("after-first", "first", (Passed("again", asked[0].cache),))
    ]
    ran = {(names[run.work_id], run.hook) for runs in state.hooks.ran.values() for run in runs}
    assert ran == {("first", "again"), ("first", "tell"), ("after-first", "tell")}


def processes(word: str) -> dict[int, int]:
    """Each living process with this word among its arguments, and its parent."""
    found: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            told = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if word.encode() in words and told[0] != b"Z":
            found[int(entry.name)] = int(told[1])
    return found


def parent_of(pid: int) -> int:
    """Whoever has started it."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


async def test_nothing_of_a_hook_outlives_its_warden_and_its_daemon(
    hooked: DaemonProcess, folder: Path
) -> None:
    """Where daemon and warden are killed at once, the next daemon ends what the hook has begun."""
    word = f"47{os.getpid()}"
    script(folder, "again", text=f"setsid sleep {word} & wait")

    async def there() -> bool:
        return bool(processes(word))

    async def none() -> bool:
        return not processes(word)

    def is_asked(_: State, event: Event) -> bool:
        return isinstance(event, HookStarted) and event.work_id == asked.backup_id

    asked = await hooked.command(RequestBackup("orders", "second"))
    await hooked.until(is_asked)
    await until(there, "what the hook begins")
    (hook,) = processes(word).values()
    warden = parent_of(hook)
    os.kill(warden, signal.SIGSTOP)
    await hooked.kill()
    os.kill(warden, signal.SIGKILL)
    assert processes(word), "nobody is left to end it"
    script(folder, "again", text="true")

    await hooked.start()

    await until(none, "its end")
    assert "hook of an earlier life ended" in hooked.output()
    await calm(hooked)
