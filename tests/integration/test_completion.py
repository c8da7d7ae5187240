"""Completion in the shell, as a shell asks for it."""

import subprocess
import sys

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.servers import Node

pytestmark = pytest.mark.anyio


def tab(words: str, *, socket: str = "/nowhere") -> list[str]:
    """What the tab key offers after these words."""
    command = [sys.executable, "-m", "daemon.cli"]
    asked = {"COMP_WORDS": f"valkeep {words}", "COMP_CWORD": str(len(words.split(" ")))}
    told = subprocess.run(
        command,
        env={"_VALKEEP_COMPLETE": "bash_complete", "VALKEEP_SOCKET": socket, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in told.stdout.splitlines() if line]


def test_commands_and_options_are_offered() -> None:
    """Commands at every level, and the options of one."""
    assert tab("pol") == ["policy"]
    assert "create" in tab("backup ")
    assert "--no-safety-backup" in tab("restore --no")


async def test_names_are_offered(daemon: DaemonProcess, node: Node) -> None:
    """Caches, backups and vaults by the names that the daemon knows."""
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await daemon.backup("orders", name="one")
    socket = str(daemon.socket)

    assert tab("cache show ", socket=socket) == ["orders"]
    assert tab("policy set or", socket=socket) == ["orders"]
    assert tab("backup show orders/", socket=socket) == ["orders/one"]
    assert tab("restore orders/one --to ", socket=socket) == ["orders"]
    assert tab("restore orders/one --from ", socket=socket) == ["main"]
    assert tab("cache add ", socket=socket) == []


def test_a_daemon_that_is_away_offers_nothing() -> None:
    """Without a daemon there are no names and no error."""
    assert tab("backup show ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed(shell: str) -> None:
    """The script for a shell goes to stdout alone, the place for it to stderr."""
    command = [sys.executable, "-m", "daemon.cli", "completion", shell]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "_VALKEEP_COMPLETE" in told.stdout
    assert "valkeep" in told.stderr
