"""The daemon as a service: its socket handed over, its watchdog fed, its unit's walls."""

import configparser
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

import pytest

from daemon.client import Client
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery

pytestmark = pytest.mark.anyio

PACKAGING = Path(__file__).parents[2] / "packaging"
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "daemon.cli", "serve", "--config", sys.argv[2]])
"""
"""What a service manager does between fork and exec; `serve` is what the unit says."""


@contextmanager
def activated(daemon: DaemonProcess, door: socket) -> Iterator[subprocess.Popen[str]]:
    """The daemon, started with a socket that somebody else listens on."""
    command = [sys.executable, "-c", ACTIVATE, str(door.fileno()), str(daemon.config)]
    with subprocess.Popen(
        command,
        env={**daemon.environment, "LISTEN_FDS": "1"},
        pass_fds=[door.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_command_waits_for_the_daemon_at_the_units_socket(daemon: DaemonProcess) -> None:
    """Who asks before the daemon is up is answered when it is, and the socket outlives it."""
    with socket(AF_UNIX, SOCK_STREAM) as door:
        door.bind(str(daemon.socket))
        door.listen(8)
        with activated(daemon, door) as process:
            assert b'"version"' in Client(str(daemon.socket)).get("/v1/status")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert daemon.socket.is_socket()


async def test_a_socket_that_nobody_would_find_is_refused(daemon: DaemonProcess) -> None:
    """A unit and a configuration that name two paths are told apart, with both paths."""
    other = daemon.directory / "other"
    with socket(AF_UNIX, SOCK_STREAM) as door:
        door.bind(str(other))
        door.listen(8)
        with activated(daemon, door) as process:
            _, told = process.communicate(timeout=30)

    assert process.returncode == 1
    assert str(other) in told
    assert str(daemon.socket) in told
    assert "ListenStream" in told


async def test_an_idle_daemon_gives_signs_of_life(nursery: Nursery, vault: Path) -> None:
    """A daemon without work is not taken for a stuck one."""
    config, watched = directory_vault(vault), {"WATCHDOG_USEC": "200000"}
    async with installation(nursery, config, watched) as daemon:
        await daemon.start()
        for _ in range(3):
            await daemon.notices.said(b"WATCHDOG=1")


def unit(name: str) -> configparser.ConfigParser:
    """A unit file; of settings that stand there twice the last counts here."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(PACKAGING / "systemd" / name)
    return parser


def test_the_units_agree_with_the_program() -> None:
    """The socket's path is the default one, and both ends have the time that the program takes."""
    service, door = unit("valkeep.service")["Service"], unit("valkeep.socket")["Socket"]
    example = (PACKAGING.parent / "config.example.toml").read_text()
    assert f'socket = "{door["ListenStream"]}"' in example
    assert door["SocketMode"] == "0666"
    assert service["Type"] == "notify"
    assert int(service["TimeoutStopSec"]) > 25
    assert f'data_dir = "/var/lib/{service["StateDirectory"]}"' in example


@pytest.mark.debian("systemd-analyze")
def test_the_unit_is_hardened() -> None:
    """Systemd's own judgement of the unit is 1.5 or less."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    told = subprocess.run(
        [*command, str(PACKAGING / "systemd" / "valkeep.service")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    ).stdout
    found = re.search(r"Overall exposure level for valkeep.service: ([0-9.]+)", told)
    assert found is not None, told
    assert float(found[1]) <= 1.5


@pytest.mark.debian("systemd-sysusers", "systemd-tmpfiles")
def test_the_user_and_the_folders_are_made(tmp_path: Path) -> None:
    """Systemd makes the user, its group, and folders that are theirs, out of what is shipped."""
    (tmp_path / "etc").mkdir()
    sysusers, tmpfiles = (PACKAGING / f"{kind}.d/valkeep.conf" for kind in ("sysusers", "tmpfiles"))
    run = partial(subprocess.run, check=True, capture_output=True, env={"PATH": os.defpath})
    run(["systemd-sysusers", f"--root={tmp_path}", str(sysusers)])
    run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", str(tmpfiles)])

    (user,) = (line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line)
    name, _, uid, _, _, home, shell = user.split(":")
    assert ("valkeep", "/var/lib/valkeep", "/usr/sbin/nologin") == (name, home, shell)
    for folder, mode in (("run/valkeep", 0o755), ("var/backups/valkeep", 0o700)):
        found = (tmp_path / folder).stat()
        assert (found.st_mode & 0o777, found.st_uid) == (mode, int(uid))
