"""What can be wrong with a configuration, and how it is told: all of it at once.

Never holds a value that may be a secret: the rules decide what of a value may be shown.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from daemon.errors import BadRequest
from daemon.near import meant


class Wrong(Struct, frozen=True):
    """What is wrong with one setting, and what would be right."""

    wrong: str
    allowed: str


class Problem(Struct, frozen=True):
    """One thing to correct: the setting's path, its line if it has one, and what is wrong."""

    setting: str
    wrong: str
    allowed: str
    line: int | None = None


class ConfigError(BadRequest):
    """A configuration that cannot be used, with every problem that was found in it."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        lines = "\n".join(f"  {_told(path, problem)}" for problem in self.problems)
        many = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(
            "config-invalid",
            f"{path} has {many}:\n{lines}",
            f"Correct them and look again with: `valkeep config check {path}`",
        )


def near_miss(name: str, known: Sequence[str]) -> str:
    """``Did you mean …? `` for a name that is nearly one of the known ones, else nothing."""
    near = meant(name, known)
    return f"{near} " if near else ""


def _told(path: Path, problem: Problem) -> str:
    where = str(path) if problem.line is None else f"{path}:{problem.line}"
    return f"{where}: {problem.setting}: {problem.wrong}. {problem.allowed}"
