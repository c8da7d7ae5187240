"""A file of code as the house rules see it, and what they say when one is broken."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[3]
FLOORS = ("events", "projections", "daemon")
KEPT = (*FLOORS, "tests", "benchmarks")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(Struct, frozen=True):
    """One Python file: its path from the top of the repository, and its text."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The text, parsed once: rules compare its nodes."""
        return _parsed(self.text)

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All that it is made of, walked through once."""
        return walked(self.tree)

    @property
    def module(self) -> str:
        """The name it is imported by."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def floor(self) -> str:
        """The first folder of its path."""
        return self.path.split("/", 1)[0]


class Breach(Struct, frozen=True, order=True):
    """One place where a rule is broken, and what to do about it."""

    path: str
    line: int
    rule: str
    advice: str

    def __str__(self) -> str:
        """One line, as editors follow it."""
        return f"{self.path}:{self.line}: {self.rule}: {self.advice}"


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def walked(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Every node of a whole file's tree, itself first."""
    return tuple(ast.walk(tree))


def forget() -> None:
    """Let go of every tree."""
    walked.cache_clear()
    _parsed.cache_clear()


def everything() -> Iterator[Source]:
    """Every file that the rules hold for."""
    for folder in KEPT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    nodes = walked(tree) if isinstance(tree, ast.Module) else ast.walk(tree)
    return (node for node in nodes if isinstance(node, Function))
