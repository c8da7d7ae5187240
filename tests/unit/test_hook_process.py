"""Hooks as real processes: whatever one does, it ends, and nothing of it stays."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import pytest

from daemon.hooks import Command, HookRunner, process
from daemon.hooks.process import clean
from daemon.hooks.program import Account, doubts, myself
from events.hooks import HookEnding
from tests.support.poll import until

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
T = TypeVar("T")
FACTS: dict[str, str | int] = {"event": "before-backup", "cache": "orders", "attempt": 1}
SHORT, LONG = 0.4, 20.0


async def here(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The `Offload` port for what is done in no time."""
    return function(*args, **kwargs)


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is given much time to end."""
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)


def script(folder: Path, text: str, *, first: str = "#!/bin/sh") -> Path:
    """A program that does this."""
    path = folder / "hook"
    path.write_text(f"{first}\n{text}\n")
    path.chmod(0o755)
    return path


async def ran(path: Path, *words: str, seconds: float = LONG) -> HookEnding:
    """Run it with a clean environment."""
    command = Command((str(path), *words), seconds)
    runner = HookRunner(lambda _: command, {"PATH": os.defpath, "LANG": "C.UTF-8"}, here)
    return await runner.run("hook", FACTS)


def alive(mark: str) -> list[int]:
    """The processes with this word among their arguments."""
    return list(_marked(mark.encode()))


def _marked(mark: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if entry.name.isdecimal() and mark in words:
            yield int(entry.name)


async def test_a_hook_gets_the_facts_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts are in its environment and on its input; no secret of the daemon's comes along."""
    monkeypatch.setenv("VAULT_SECRET", "hunter2")
    ending = await ran(script(tmp_path, 'cat; env; pwd; echo "$1"'), "a b")
    assert ("ok", 0, "") == (ending.result, ending.exit_code, ending.error)
    first, *lines = ending.output.splitlines()
    assert '{"event":"before-backup","cache":"orders","attempt":1}' == first
    assert {"VALKEEP_CACHE=orders", "VALKEEP_ATTEMPT=1", "VALKEEP_EVENT=before-backup"} < set(lines)
    assert ["/", "a b"] == lines[-2:]
    names = {line.partition("=")[0] for line in lines[:-2]}
    told = {"VALKEEP_CACHE", "VALKEEP_ATTEMPT", "VALKEEP_EVENT", "VALKEEP_RUN"}
    assert names <= {"PATH", "LANG", "PWD"} | told


@pytest.mark.parametrize(
    ("text", "result", "code", "name"),
    [
        ("exit 3", "failed", 3, None),
        ("kill -9 $$", "killed", None, "SIGKILL"),
        ("exec <&- >&- 2>&-", "ok", 0, None),
        ("echo full >/dev/full", "failed", None, None),
    ],
)
async def test_how_a_hook_ends_is_told(
    tmp_path: Path, text: str, result: str, code: int | None, name: str | None
) -> None:
    """By its exit code or by a signal, and with the end of what it printed."""
    ending = await ran(script(tmp_path, text))
    assert (result, name) == (ending.result, ending.signal)
    assert code in (None, ending.exit_code)


async def test_memory_is_taken_from_a_hook_first(tmp_path: Path) -> None:
    """When it runs out, the kernel takes the hook and not the daemon."""
    ending = await ran(script(tmp_path, "cat /proc/self/oom_score_adj"))
    assert int(ending.output) >= 500


async def test_a_hook_that_reads_nothing_and_hangs_is_ended(tmp_path: Path) -> None:
    """When its time is over it is asked to end, with all that it has started."""
    mark = f"31{os.getpid()}"
    ending = await ran(script(tmp_path, f"sleep {mark} & sleep {mark}"), seconds=SHORT)
    assert ("timed-out", "SIGTERM") == (ending.result, ending.signal)
    assert [] == alive(mark)


async def test_a_hook_that_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    """After its grace nobody is asked."""
    text = 'trap "" TERM; echo never; while :; do sleep 0.05; done'
    ending = await ran(script(tmp_path, text), seconds=SHORT)
    assert ("timed-out", "SIGKILL", "never") == (ending.result, ending.signal, ending.output)


async def test_a_hook_that_makes_itself_a_daemon_leaves_none(tmp_path: Path) -> None:
    """What has left its session and its parent is found all the same, and it is told."""
    mark = f"32{os.getpid()}"
    text = f"(setsid sh -c 'trap \"\" TERM HUP; exec sleep {mark}' &) ; sleep 0.1; echo done"
    ending = await ran(script(tmp_path, text))
    assert ("ok", "done") == (ending.result, ending.output)
    assert "1 process that it had left behind was ended" == ending.error
    assert [] == alive(mark)


async def test_output_without_end_costs_no_memory(tmp_path: Path) -> None:
    """The last 4 KiB are kept, and it is said that there was more."""
    ending = await ran(script(tmp_path, "yes abcdefg"), seconds=SHORT)
    assert "timed-out" == ending.result
    assert ending.output.startswith("… ")
    assert 4000 < len(ending.output) <= 4098


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("#!/nowhere/python", "its interpreter"),
        ("echo no first line", "neither a program nor a script"),
    ],
)
async def test_what_cannot_be_started_says_why(tmp_path: Path, first: str, told: str) -> None:
    """A missing interpreter is told apart from a missing program."""
    ending = await ran(script(tmp_path, "true", first=first))
    assert "not-started" == ending.result
    assert told in ending.error


async def test_a_hook_without_a_program_is_not_run(tmp_path: Path) -> None:
    """One that is not there, may not be run, or could be anybody's is refused before."""
    path = script(tmp_path, "true")
    path.chmod(0o644)
    assert "may not be run" in (await ran(path)).error
    path.chmod(0o757)
    assert "can be changed by everybody" in (await ran(path)).error
    path.chmod(0o755)
    os.chmod(tmp_path, 0o777)  # noqa: PTH101, S103 - the mode is what is tried
    assert "can be replaced by everybody" in (await ran(path)).error
    assert "is not there" in (await ran(tmp_path / "nothing")).error


def test_a_program_of_others_is_doubted_and_not_refused(tmp_path: Path) -> None:
    """Its owner could put something else there: that is told, and it is run."""
    path, account = script(tmp_path, "true"), myself()
    if account.uid == 0:
        os.chown(path, 4242, 4242)
    else:
        account = Account(account.uid + 1, frozenset())
    (doubt,) = doubts(str(path), account)
    assert "belongs to another user" in doubt.message
    assert not doubt.refused


def test_a_program_of_a_group_is_doubted_and_not_refused(tmp_path: Path) -> None:
    """Whoever is in its group could put something else there."""
    path, account = script(tmp_path, "true"), myself()
    path.chmod(0o775)
    if account.uid == 0:
        os.chown(path, 0, 4242)
    (doubt,) = doubts(str(path), account)
    assert "can be changed by its group" in doubt.message
    assert not doubt.refused


async def test_a_cancelled_hook_has_ended(tmp_path: Path) -> None:
    """When the caller is cancelled the hook is gone before that comes through."""
    mark = f"33{os.getpid()}"
    path = script(tmp_path, f"sleep {mark}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ran, path)

        async def begun() -> bool:
            return bool(alive(mark))

        await until(begun, "the hook")
        tasks.cancel_scope.cancel()
    assert [] == alive(mark)


async def test_nothing_is_left_of_a_hook_whose_daemon_is_killed(tmp_path: Path) -> None:
    """``kill -9`` of whoever runs it ends the hook, and what it has made of itself."""
    mark = f"34{os.getpid()}"
    path = script(tmp_path, f"setsid sleep {mark} & sleep {mark}")
    program = tmp_path / "runner.py"
    program.write_text(RUNNER.format(root=str(Path(__file__).parents[2]), hook=str(path)))
    daemon = await anyio.open_process([sys.executable, str(program)])

    async def two() -> bool:
        return len(alive(mark)) == 2

    async def none() -> bool:
        return not alive(mark)

    try:
        await until(two, "the hook and what it has started")
        os.kill(daemon.pid, signal.SIGKILL)
        await until(none, "their end")
    finally:
        if daemon.returncode is None:
            daemon.kill()
        await daemon.aclose()


RUNNER = """
import os, sys
sys.path.insert(0, {root!r})
import anyio
from daemon.hooks import Command, HookRunner

async def here(function, *args):
    return function(*args)

runner = HookRunner(lambda _: Command(({hook!r},), 60.0), {{"PATH": os.defpath}}, here)
anyio.run(runner.run, "hook", {{}})
"""


def test_output_does_nothing_to_a_terminal() -> None:
    """Escapes are gone, other control characters are shown as such, text stays text."""
    assert "red\ufffd \ufffd\nnext\tü" == clean(b"\x1b[31mred\x1b[0m\x07 \xff\r\nnext\t\xc3\xbc\n")
    assert "title" == clean(b"\x1b]0;evil\x07title")
    assert "… end" == clean(b"end", cut=True)
