"""Somebody who types what a page shows, and looks whether the answer is the one that is shown.

Words must agree; whatever has a digit in it (figures, dates, ids) may be another, and ``…`` stands
for anything. Names of the page's servers and folders are filled in from outside.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import Struct

from daemon.valkey.engine import Engine
from tests.docs.pages import Block, Step
from tests.support.api import typed
from tests.support.poll import until

_OF_THE_SHELL = re.compile(r"[|<>&;$]|\./|--html|^(?!valkeep )")
"""What the shell has to do, or what writes a file where the reader stands."""
_COMMENT = re.compile(r"\s{2,}# .*|(?<=\S) # .*")
_AMOUNT = re.compile(r"\b\d[\d,.]*( (ms|s|min|h|d|days?|B|KiB|MiB|GiB)\b)?")
_DIGITS = re.compile(r"\S*\d\S*")
_AGE = re.compile(r"just now|\b\d+ (s|min|h|days?) ago")
_ANY = "…"
END_SECONDS = 30


class Reader(Struct):
    """On which socket, where, with which programs; what is called what; what is answered."""

    socket: Path
    folder: Path
    programs: Path
    stack: AsyncExitStack
    """Where what runs in the background is ended."""
    names: Mapping[str, str] = {}
    keyboard: Mapping[str, str] = {}
    """What is typed at the question of a command that has these words."""

    async def follow(self, block: Block) -> None:
        """Type every command of a block: each succeeds, and answers as it is shown."""
        for step in block.steps:
            out, err = await self._typed(step.command)
            shown, keys = self._named(step), self._answer(step.command) or ""
            same = any(agrees(shown, told) for told in (out, out + err, err + keys + out))
            assert same, f"{block.place}: {step.command}\n{out}{err}"

    async def type(self, written: str) -> str:
        """One command as it is written; what it printed. It succeeds."""
        out, err = await self._typed(written)
        return out + err

    async def _typed(self, written: str) -> tuple[str, str]:
        command = self._filled_in(_COMMENT.sub("", written)).rstrip()
        if command.endswith(" &"):
            await self._in_the_background(command)
            return "", ""
        if _OF_THE_SHELL.search(command):
            return await self._by_the_shell(command)
        words = ["--socket", str(self.socket), *shlex.split(command.replace("\\\n", " "))[1:]]
        keys = self._answer(written)
        done = await to_thread.run_sync(lambda: typed(*words, keyboard=keys))
        assert done.code == 0, f"{written}: {done.out}{done.err}"
        return done.out, done.err

    async def _in_the_background(self, command: str) -> None:
        """What a page leaves running: a daemon, which is there when somebody listens."""
        self.stack.enter_context(running(command, folder=self.folder, programs=self.programs))

        async def there() -> bool:
            try:
                await (await anyio.connect_unix(self.socket)).aclose()
            except OSError:
                return False
            return True

        await until(there, f"a daemon on {self.socket}")

    def _answer(self, written: str) -> str | None:
        return next((keys for part, keys in self.keyboard.items() if part in written), None)

    async def _by_the_shell(self, command: str) -> tuple[str, str]:
        done = await anyio.run_process(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=environment(self.programs) | {"VALKEEP_SOCKET": str(self.socket)},
            check=False,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode()
        assert done.returncode == 0, f"{command}: {out}{err}"
        return out, err

    def _named(self, step: Step) -> tuple[str, ...]:
        return tuple(self._filled_in(line) for line in step.shown)

    def _filled_in(self, text: str) -> str:
        for name, ours in self.names.items():
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", ours.replace("\\", r"\\"), text)
        return text


def environment(programs: Path) -> dict[str, str]:
    """What a reader's shell has, and nothing of ours."""
    path = f"{programs}:{os.defpath}:/usr/bin:/bin"
    return {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": str(programs.parent)}


def put_programs(engine: Engine, folder: Path) -> None:
    """`valkeep` as it is here, and the engine under the names that pages call it."""
    folder.mkdir()
    source = Path(__file__).parents[2]
    script = f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m daemon.cli "$@"\n'
    (folder / "valkeep").write_text(script)
    (folder / "valkeep").chmod(0o755)
    for name in ("valkey-server", "valkey-check-rdb"):
        (folder / name).symlink_to(engine.server)
    (folder / "python3").symlink_to(sys.executable)
    assert engine.cli is not None
    (folder / "valkey-cli").symlink_to(engine.cli)


@contextmanager
def running(command: str, *, folder: Path, programs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that a page leaves running in the background; ended by its own pid."""
    words = shlex.split(command.removesuffix(" &"))
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment(programs),
        executable=programs / words[0],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        finally:
            process.kill()


def agrees(shown: tuple[str, ...], told: str) -> bool:
    """Whether what was printed is what a page shows, which may be nothing at all."""
    if not [line for line in shown if line.strip()]:
        return True
    pattern = "".join(_pattern(line) for line in shown)
    printed = "".join(f"{_plain(line)}\n" for line in told.splitlines())
    return re.fullmatch(pattern, printed) is not None


def _pattern(line: str) -> str:
    """What a line that is shown may be: with nothing else in it, ``…`` is any number of lines."""
    if line.strip() in {"...", _ANY}:
        return r"(?:.*\n)*?"
    return re.escape(_plain(line)).replace(_ANY, ".*") + r"\n"


def _plain(line: str) -> str:
    """A line without its figures and the widths of its columns."""
    counted = _AMOUNT.sub("0", _AGE.sub("0", line).replace("CEST", "CET"))
    return " ".join(_DIGITS.sub("#", counted).split())
