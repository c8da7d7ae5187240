"""What hooks leave when their warden is killed: real processes, found by their mark."""

import os
import signal
from pathlib import Path

import anyio
import pytest

from daemon.hooks import Command, HookRunner, strays
from events.hooks import HookEnding
from tests.support.poll import until
from tests.unit.test_hook_process import LONG, alive, here, script

pytestmark = pytest.mark.anyio


async def test_a_warden_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """``kill -9`` of the warden ends the hook, and the daemon what the hook has begun."""
    word = f"35{os.getpid()}"
    command = Command((str(script(tmp_path, f"setsid sleep {word} & sleep {word}")),), LONG)
    runner = HookRunner(lambda _: command, {"PATH": os.defpath}, here, "test.life")
    endings: list[HookEnding] = []

    async def run() -> None:
        endings.append(await runner.run("hook", {}))

    async def two() -> bool:
        return len(alive(word)) == 2

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await until(two, "the hook and what it has begun")
        os.kill(_warden(), signal.SIGKILL)

    assert [] == alive(word)
    assert "killed" == endings[0].result
    assert endings[0].error.startswith("its warden ended without a word: was it killed?; ")
    assert endings[0].error.endswith("left, and ended")


def _warden() -> int:
    told = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii")
    words = {int(pid): Path("/proc", pid, "cmdline").read_bytes() for pid in told.split()}
    return next(pid for pid, line in words.items() if b"warden.py" in line)


async def test_only_what_has_the_mark_is_ended() -> None:
    """A process of another life's mark, or of none, is left alone."""
    environment = {"PATH": os.defpath}
    ours = await anyio.open_process(["sleep", "60"], env={**environment, strays.MARK: "a.1"})
    others = await anyio.open_process(["sleep", "60"], env={**environment, strays.MARK: "b.1"})
    try:
        found = strays.end(lambda mark: mark.startswith("a."))

        assert [(ours.pid, "sleep")] == [(one.pid, one.program) for one in found]
        assert -signal.SIGKILL == await ours.wait()
        assert others.returncode is None
        assert () == strays.end(lambda mark: mark.startswith("a."))
    finally:
        others.kill()
        await others.wait()
        for one in (ours, others):
            await one.aclose()
