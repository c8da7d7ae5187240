"""Waiting at a real terminal for a real, slow daemon: the bar, its width, and its end."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator
from hashlib import sha256
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

COLUMNS = 50
NOISE = 30_000
"""So many hashes, of 32 bytes each: about two seconds of what the daemon may send."""


@pytest.fixture
async def slow(nursery: Nursery, tmp_path: Path, node: Node) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon that sends little a second, with a cache of data that does not shrink."""
    client = node.client()
    await client.set("noise", b"".join(sha256(b"%d" % n).digest() for n in range(NOISE)))
    await client.aclose()
    config = directory_vault(tmp_path / "vault")
    async with installation(nursery, config) as daemon:
        daemon.config.write_text(
            daemon.config.read_text().replace("[daemon]", '[daemon]\nbandwidth = "400KB"')
        )
        await daemon.start()
        await daemon.add("orders", url=node.url)
        yield daemon


def at_a_terminal(*words: str, term: str = "xterm") -> tuple[int, str]:
    """The exit code of a command, and all that it has written to a terminal of 50 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TERM": term}
    with subprocess.Popen(
        [sys.executable, "-m", "daemon.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as process:
        os.close(theirs)
        said = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        return process.wait(), said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has it open any more
        return b""


async def test_a_bar_that_fits_and_leaves_nothing_behind(slow: DaemonProcess) -> None:
    """A slow backup shows how far it is on one line, never wider than the terminal."""
    words = ("--socket", str(slow.socket), "backup", "create", "orders", "one", "--timeout", "1m")
    code, said = await to_thread.run_sync(at_a_terminal, *words)

    frames = said.split("\r")
    bars = [frame.partition("\x1b")[0] for frame in frames if "%" in frame]
    assert code == 0
    assert bars, said
    assert max(len(bar) for bar in bars) < COLUMNS
    assert "\r\x1b[KBackup orders/one is complete" in said


async def test_a_dumb_terminal_gets_plain_lines(slow: DaemonProcess) -> None:
    """Where TERM is dumb there is no escape sequence, and each phase is a line."""
    socket = ("--socket", str(slow.socket))
    create = (*socket, "backup", "create", "orders", "two", "--wait")
    code, said = await to_thread.run_sync(lambda: at_a_terminal(*create, term="dumb"))

    assert code == 0
    assert "\x1b" not in said
    assert "storing" in said.splitlines()


async def test_a_daemon_that_dies_is_told_with_how_to_come_back(slow: DaemonProcess) -> None:
    """Who waits when the daemon is killed for good hears that, and the command for the end."""
    words = ("--socket", str(slow.socket), "backup", "create", "orders", "three", "--timeout", "3s")
    command = [sys.executable, "-m", "daemon.cli", *words]
    async with await anyio.open_process(command) as process:
        assert process.stderr is not None
        said = await process.stderr.receive()
        await slow.kill()
        async for piece in process.stderr:
            said += piece
        code = await process.wait()

    assert code == 5
    assert b"The backup was waited for" in said
    assert b"`valkeep backup show " in said
