"""What clients hear of a daemon that stops or starts, and that who waits goes on with the next."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio import to_thread
from anyio.abc import Process, SocketStream

from daemon.answers import ErrorAnswer, Status
from daemon.api import Access, listening
from daemon.app import threshold
from daemon.app.threshold import Threshold
from daemon.client import Client
from daemon.commands import AddCache, RequestBackup
from daemon.errors import Away, Forbidden, Unreachable, ValkeepError
from events.types import AttemptStarted, DaemonStarted
from tests.support.api import AS_ADMIN, doorway
from tests.support.daemon import DaemonProcess
from tests.support.nursery import ROOT
from tests.support.saving import saving_at_once, saving_slowly
from tests.support.servers import Node

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def asking(daemon: DaemonProcess, target: str) -> AsyncGenerator[SocketStream, None]:
    """A bare GET that the daemon has begun to answer: whoever came after it was answered."""
    async with await anyio.connect_unix(daemon.socket) as line:
        await line.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await daemon.get(Status, "status")
        yield line


async def all_of(line: SocketStream) -> bytes:
    """What comes to the end of the connection."""
    return b"".join([piece async for piece in line])


def problem(line: bytes) -> tuple[str, str, str]:
    """Code, message and hint of a refusal."""
    said = msgspec.json.decode(line, type=ErrorAnswer).error
    return said.code, said.message, said.hint


async def test_who_waits_for_a_stopping_daemon_is_told_so(
    daemon: DaemonProcess, node: Node
) -> None:
    """A held question is answered with 503 and when to come back; a stream ends with the error."""
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await saving_slowly(node)
    asked = await daemon.command(RequestBackup("orders", "nightly"))
    await daemon.until(lambda _, event: isinstance(event, AttemptStarted))
    held = f"/v1/backups/{asked.backup_id}?wait=30"
    async with (
        asking(daemon, held) as question,
        asking(daemon, "/v1/events?follow=true") as stream,
    ):
        assert await daemon.stop() == 0
        head, _, body = (await all_of(question)).partition(b"\r\n\r\n")
        followed = await all_of(stream)
    await saving_at_once(node)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 5\r\n" in head
    code, message, hint = problem(body)
    assert (code, bool(hint)) == ("stopping", True)
    assert "goes on, or is recorded as interrupted" in message
    *_, last, end, _, _ = followed.split(b"\r\n")
    assert problem(last)[0] == "stopping"
    assert end == b"0", "the stream ends as one that is whole"


@asynccontextmanager
async def command(daemon: DaemonProcess, *words: str) -> AsyncGenerator[Process, None]:
    """The command line as a process; killed at the end if it still runs."""
    begun = [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket), *words]
    process = await anyio.open_process(begun, stdin=subprocess.DEVNULL, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()


async def heard(process: Process, words: bytes) -> None:
    """Wait until it has said this on stderr."""
    assert process.stderr is not None
    said = b""
    with anyio.fail_after(30):
        while words not in said:
            said += await process.stderr.receive()


async def test_a_wait_outlives_a_restart_of_the_daemon(daemon: DaemonProcess, node: Node) -> None:
    """Who waits for a backup while the daemon is restarted hears of its end from the next one."""
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await saving_slowly(node)
    async with command(daemon, "backup", "create", "orders", "one", "--wait") as waiting:
        await daemon.until(lambda _, event: isinstance(event, AttemptStarted))
        assert await daemon.stop() == 0
        await heard(waiting, b"the daemon is away")
        await saving_at_once(node)
        await daemon.start()
        assert waiting.stdout is not None
        told = b"".join([piece async for piece in waiting.stdout])
        code = await waiting.wait()

    assert code == 0
    assert b"Backup orders/one is complete" in told


async def test_who_comes_while_the_daemon_stops_is_told_so(daemon: DaemonProcess) -> None:
    """While its last record hangs nobody is left to wait, nor taken for a stranger."""
    await daemon.start(doom="stall daemon-stopped")
    await daemon.until(lambda _, event: isinstance(event, DaemonStarted))
    daemon.signal(signal.SIGTERM)
    await daemon.notices.said(b"STOPPING=1")

    with pytest.raises(Away) as late, anyio.fail_after(10):
        await daemon.get(Status, "status")
    await daemon.kill()
    with pytest.raises(Unreachable):
        await daemon.get(Status, "status")

    assert late.value.code == "stopping"
    assert late.value.hint


async def test_who_is_cut_off_unheard_knocks_again_and_is_told_why() -> None:
    """A daemon that is told to end closes on whom it has just let in: that one is no stranger."""
    with doorway() as path, listening(path) as door:

        async def closing() -> None:
            for _ in range(2):  # the question, and the look whether anybody is there
                await anyio.wait_readable(door)
                door.accept()[0].close()
            await Threshold(door, AS_ADMIN, handed=False).stopping()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(closing)
            with pytest.raises(Away) as told:
                await to_thread.run_sync(Client(str(path)).get, "/v1/status")
            tasks.cancel_scope.cancel()

    assert told.value.code == "stopping"


async def refused_at_start(access: Access, file: Path) -> ValkeepError:
    """What a client hears of a daemon that reads this file."""
    with doorway() as path, listening(path) as door:
        async with Threshold(door, access, handed=False).starting(file):
            with pytest.raises(ValkeepError) as told:
                await to_thread.run_sync(Client(str(path)).get, "/v1/status")
    return told.value


async def test_who_comes_while_the_log_is_read_is_told_how_long_it_lasts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A start that takes long answers with 503 what it does; a stranger hears nothing of it."""
    monkeypatch.setattr(threshold, "UNNOTICED_SECONDS", 0.0)
    file = tmp_path / "events.db"
    file.touch()
    os.truncate(file, 1_234_567_890)
    everybody = Access(users={os.getuid(): "viewer"}, groups={})
    for access, kind in ((everybody, Away), (Access(users={}, groups={}), Forbidden)):
        told = await refused_at_start(access, file)
        assert type(told) is kind
        assert ("its log of 1,177.4 MiB" in told.message) == (kind is Away)


async def test_who_follows_the_history_goes_on_with_the_next_daemon(daemon: DaemonProcess) -> None:
    """`events --follow` tells each event once, over a restart as well."""
    await daemon.start()
    await daemon.until(lambda _, event: isinstance(event, DaemonStarted))
    async with command(daemon, "events", "--follow", "--json") as following:
        assert following.stdout is not None
        told = await following.stdout.receive()
        assert await daemon.stop() == 0
        await heard(following, b"the daemon is away")
        await daemon.start()
        await daemon.command(AddCache("orders", "valkey://127.0.0.1:1", probe=False))
        with anyio.fail_after(20):
            while b"cache-registered" not in told:
                told += await following.stdout.receive()

    positions = [msgspec.json.decode(line)["position"] for line in told.splitlines()]
    assert positions == sorted(set(positions))
