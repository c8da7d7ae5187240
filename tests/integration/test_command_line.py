"""The command line as a process of its own: signals, pipes, and what it must not import."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from tests.support.api import serving
from tests.support.given import an_id
from tests.support.samples import complete, registered

pytestmark = pytest.mark.anyio

VALKEEP = (sys.executable, "-m", "daemon.cli")
SLOW = ("aiohttp", "anyio", "rich", "redis", "aiobotocore", "asyncio", "difflib", "http.client")
IMPORTED = f"""
import sys
from daemon.cli.main import run
code = run(sys.argv[1:])
print(*[name for name in {SLOW!r} if name in sys.modules])
sys.exit(code)
"""


async def said_by(process: Process, words: str) -> str:
    """What the process says on stderr, until these words are among it."""
    assert process.stderr is not None
    said = ""
    async for piece in TextReceiveStream(process.stderr):
        said += piece
        if words in said:
            break
    return said


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches programs that are started here, also where whoever runs us ignores it.

    A shell ignores it for what it runs in the background, and children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
async def test_ctrl_c_leaves_the_work_to_the_daemon() -> None:
    """Ctrl-C while waiting ends with 130, and says that the work goes on and how to see it."""
    async with serving(registered()) as api:
        words = ("--socket", str(api.path), "backup", "create", "orders", "nightly", "--wait")
        async with await anyio.open_process([*VALKEEP, *words]) as process:
            await said_by(process, "waiting")
            process.send_signal(signal.SIGINT)
            said = await said_by(process, "valkeep backup show")
            code = await process.wait()
        waiting = list(api.ledger.state.open_backups)

    assert 130 == code
    assert f"The backup goes on in the daemon. See: valkeep backup show {waiting[0]}" in said
    assert "Traceback" not in said


async def test_a_reader_that_leaves_is_no_error() -> None:
    """A pipe whose reader goes away ends the command without a word."""
    history = [complete(an_id(number)) for number in range(600)]
    async with serving(registered(), *history) as api:
        said, code = await to_thread.run_sync(read_a_little, api.path)

    assert b"" == said
    assert code != 0


def read_a_little(socket: Path) -> tuple[bytes, int]:
    """What a command says on stderr, and its exit code, after its reader took 10 bytes."""
    words = [*VALKEEP, "--socket", str(socket), "events"]
    with subprocess.Popen(words, bufsize=0, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        return process.stderr.read(), process.wait()


async def test_a_list_imports_little() -> None:
    """`backup list` imports nothing that is slow and that it has no use for."""
    async with serving(registered(), complete()) as api:
        words = ["--socket", str(api.path), "backup", "list"]
        command = [sys.executable, "-c", IMPORTED, *words]
        done = await anyio.run_process(command, stderr=subprocess.STDOUT)

    assert "" == done.stdout.decode().splitlines()[-1]
