"""Completion in the shell, as a shell asks for it."""

import subprocess
import sys

import pytest

from daemon.cli.blocked import FORCIBLE
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
    assert told.stderr == ""
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
    assert tab("backup verify orders/one --from ", socket=socket) == ["main"]
    assert tab("restore un", socket=socket) == ["undo"]
    assert tab("restore undo ", socket=socket) == ["orders"]
    assert tab("events --cache o", socket=socket) == ["orders"]
    assert tab("backup diff orders/one or", socket=socket) == ["orders/one", "orders"]
    assert tab("recover --vault ", socket=socket) == ["main"]
    (named,) = tab("backup show 2", socket=socket)
    assert named == (await daemon.listed())[0].backup_id
    assert tab("cache add ", socket=socket) == []


def test_a_daemon_that_is_away_offers_nothing() -> None:
    """Without a daemon there are no names and no error."""
    assert tab("backup show ") == []


def test_what_needs_no_daemon_is_offered_without_one() -> None:
    """Values, codes and time zones are known here; files are left to the shell."""
    assert tab("policy set orders --verify ") == ["always", "daily", "never"]
    assert tab("restore orders/one --to orders --force mo") == ["modules"]
    assert tab("policy set orders --timezone Europe/Pari") == ["Europe/Paris"]
    assert tab("--socket /run/x") == ["/run/x"]


def test_values_are_offered_after_a_sign() -> None:
    """``--option=value`` is completed as ``--option value`` is, also where bash splits it."""
    assert tab("restore orders/one --force = mo") == ["modules"]
    assert tab("restore orders/one --force =") == list(FORCIBLE)


def test_a_slip_is_not_the_moment_for_an_error() -> None:
    """What cannot be is offered nothing, and nothing is said over the line that is typed."""
    assert tab("backpu ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed(shell: str) -> None:
    """The script for a shell goes to stdout alone, the place for it to stderr."""
    command = [sys.executable, "-m", "daemon.cli", "completion", shell]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "_VALKEEP_COMPLETE" in told.stdout
    assert "valkeep" in told.stderr
