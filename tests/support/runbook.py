"""A page of instructions, followed word for word: its commands by section, with names filled in."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import Struct

from tests.support.api import typed

_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
VERDICTS = ("check", "doctor")
"""Commands whose exit code is what they found."""


class Page(Struct, frozen=True):
    """A page of the documentation."""

    path: Path

    def sections(self) -> list[str]:
        """The headings of all sections that have commands."""
        return [heading for heading in self._headings() if self.commands(heading)]

    def commands(self, section: str) -> list[str]:
        """The commands of one section, in order; every line of a block is one."""
        _, found, rest = self.path.read_text(encoding="utf-8").partition(f"\n## {section}\n")
        assert found, section
        blocks = _BLOCK.findall(rest.partition("\n## ")[0])
        lines = [line.strip() for block in blocks for line in block.splitlines()]
        assert all(line.startswith("$ ") for line in lines), lines
        return [line.removeprefix("$ ") for line in lines]

    def _headings(self) -> list[str]:
        return re.findall(r"^## (.+)$", self.path.read_text(encoding="utf-8"), re.MULTILINE)


class Reader(Struct, frozen=True):
    """Somebody who follows a page: on this socket, with this client, and names of their own."""

    socket: Path
    cli: str
    names: Mapping[str, str]

    async def follow(self, page: Page, section: str) -> dict[str, str]:
        """Type all commands of a section; each succeeds. What each of them printed."""
        return {command: await self.type(command) for command in page.commands(section)}

    async def type(self, command: str) -> str:
        """One command, as the page has it; what it printed."""
        words = [self._named(word) for word in shlex.split(command)]
        match words:
            case ["valkeep", *rest]:
                done = await to_thread.run_sync(lambda: typed("--socket", str(self.socket), *rest))
                assert done.code == 0 or rest[0] in VERDICTS, f"{command}: {done}"
                return done.out
            case ["valkey-cli", *rest]:
                answer = await anyio.run_process([self.cli, *rest])
                return answer.stdout.decode()
            case _:
                raise AssertionError(f"who is to run this? {command}")

    def _named(self, word: str) -> str:
        for name, ours in self.names.items():
            word = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", ours.replace("\\", r"\\"), word)
        return word
