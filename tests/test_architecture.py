"""The code keeps the house rules (STYLE 2, 3 and 5), and each rule is shown to bite.

The rules themselves are in `tests.support.house`.
"""

import gc
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.support.house import imports, numbers
from tests.support.house.source import Breach, Source, everything, forget

SOURCES = tuple(everything())
Rule = Callable[[Source], Iterator[Breach]]
RULES: tuple[Rule, ...] = (
    *numbers.RULES,
    imports.imports_allowed,
    imports.purity,
    imports.reality,
    imports.stubs,
)


@pytest.fixture(autouse=True, scope="module")
def _trees() -> Iterator[None]:
    """All code as trees is 200 MB of small objects, and none is rubbish before the last test."""
    gc.disable()
    yield
    forget()
    gc.enable()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    """No file of the three floors, the tests or the benchmarks breaks the rule."""
    _none(breach for source in SOURCES for breach in rule(source))


def test_modules_do_not_import_each_other_in_a_ring() -> None:
    """Imports go one way."""
    _none(imports.cycles(SOURCES))


def test_at_most_two_handlers_of_the_daemon_catch_everything() -> None:
    """Only the worker loop and the API's boundary may catch what they do not know."""
    _none(numbers.broad_excepts(list(SOURCES)))


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _function(*, lines: int, arm: int = 0) -> str:
    """A function with a body of so many lines; with `arm`, one match with arms of that length."""
    if not arm:
        return _text("def f() -> None:", '    """Said."""', *["    g()"] * lines)
    arms = [line for _ in range(lines // (arm + 1)) for line in ["  case 1:", *["   g()"] * arm]]
    return _text("def f(x: int) -> None:", " match x:", *arms)


def _deep(*openings: str) -> str:
    nested = [f"{' ' * depth}{opening}" for depth, opening in enumerate(openings, 1)]
    return _text("def f() -> None:", *nested, f"{' ' * (len(openings) + 1)}g()")


DEEP = ("if a:", "for b in c:", "with d:", "while e:")
ELIF = _text("def f() -> None:", " if a:", "  g()", *[" elif b:", "  g()"] * 5)
BROAD = _text("try:", " g()", "except Exception:", " raise")
BODY = '"""Says."""\n'

BAD: list[tuple[Rule, str, str]] = [
    (numbers.file_length, "daemon/x.py", "x = 1\n" * 401),
    (numbers.file_length, "tests/test_x.py", "x = 1\n" * 601),
    (numbers.body_length, "daemon/x.py", _function(lines=41)),
    (numbers.body_length, "daemon/x.py", _function(lines=61, arm=2)),
    (numbers.body_length, "daemon/x.py", _function(lines=55, arm=4)),
    (numbers.nesting, "daemon/x.py", _deep(*DEEP)),
    (numbers.nesting, "daemon/x.py", _deep("if a:", "async with b:", "async for c in d:", "if e:")),
    (numbers.nesting, "daemon/x.py", _deep("if a:", "match b:", "case 1:", "if e:", "while f:")),
    (numbers.parameter_count, "daemon/x.py", "def f(a, b, c, *, d, e, f): ..."),
    (numbers.parameter_count, "tests/x.py", "class A:\n def f(self, a, b, c, d, *e, **f): ..."),
    (numbers.keyword_only, "daemon/x.py", "def f(a: int, b: str, c: int): ..."),
    (numbers.keyword_only, "daemon/x.py", "class A:\n async def f(self, a: X, b: X): ..."),
    (numbers.keyword_only, "daemon/x.py", "class A:\n def __init__(self, a: X, b: X): ..."),
    (numbers.module_docstring, "daemon/x.py", "x = 1\n"),
    (numbers.module_docstring, "daemon/x.py", '"""A.\n\n' + "b\n" * 6 + '"""\n'),
    (numbers.file_name, "daemon/utils.py", BODY),
    (numbers.file_name, "tests/support/redis_helpers.py", BODY),
    (numbers.file_name, "daemon/manager/x.py", BODY),
    (numbers.broad_except, "events/x.py", BROAD),
    (numbers.broad_except, "projections/x.py", "try:\n g()\nexcept:\n raise"),
    (numbers.broad_except, "events/x.py", "try:\n g()\nexcept (OSError, BaseException):\n raise"),
    (numbers.broad_except, "events/x.py", "with contextlib.suppress(Exception):\n g()"),
    (imports.imports_allowed, "daemon/decide/x.py", "import anyio"),
    (imports.imports_allowed, "daemon/decide/x.py", "from daemon.storage import names"),
    (imports.imports_allowed, "daemon/decide/x.py", "import pathlib"),
    (imports.imports_allowed, "projections/x.py", "from events.codec import decode"),
    (imports.imports_allowed, "projections/x.py", "from events.sqlite import SqliteLog"),
    (imports.imports_allowed, "projections/x.py", "import structlog"),
    (imports.imports_allowed, "projections/x.py", "import os"),
    (imports.imports_allowed, "projections/x.py", "import daemon.errors"),
    (imports.imports_allowed, "events/x.py", "from projections import state"),
    (imports.imports_allowed, "events/memory.py", "import aiosqlite"),
    (imports.imports_allowed, "events/facts.py", "from events.types import Event"),
    (imports.imports_allowed, "daemon/actors/backup.py", "from daemon.actors import restore"),
    (imports.imports_allowed, "daemon/actors/backup.py", "from daemon.actors.removal import x"),
    (imports.imports_allowed, "daemon/actors/backup.py", "from events.sqlite import SqliteLog"),
    (imports.imports_allowed, "daemon/valkey/x.py", "from daemon.storage.vault import Vault"),
    (imports.imports_allowed, "daemon/valkey/resp.py", "import socket"),
    (imports.imports_allowed, "daemon/valkey/primary.py", "import redis"),
    (imports.imports_allowed, "daemon/storage/x.py", "from daemon.valkey.rdb import RdbGuard"),
    (imports.imports_allowed, "daemon/storage/local.py", "import aiobotocore.session"),
    (imports.imports_allowed, "daemon/storage/local.py", "def f():\n import redis.asyncio"),
    (imports.imports_allowed, "daemon/api/x.py", "from daemon.valkey import source"),
    (imports.imports_allowed, "daemon/api/x.py", "from daemon.actors.worker import Worker"),
    (imports.imports_allowed, "daemon/client.py", "import aiohttp"),
    (imports.imports_allowed, "daemon/storage/s3_errors.py", "from aiohttp import web"),
    (imports.imports_allowed, "daemon/cli/backup.py", "from daemon.ledger import Ledger"),
    (imports.imports_allowed, "daemon/cli/backup.py", "from events.audit import verify"),
    (imports.imports_allowed, "daemon/cli/backup.py", "import daemon.app"),
    (imports.imports_allowed, "daemon/ledger.py", "import sqlite3"),
    (imports.imports_allowed, "daemon/config/x.py", "from daemon.client import Client"),
    (imports.imports_allowed, "daemon/unheard_of.py", "import re"),
    (imports.purity, "projections/x.py", "def f(): return open('x')"),
    (imports.purity, "daemon/decide/x.py", "async def f(): await g()"),
    (imports.reality, "daemon/core.py", "from datetime import datetime\ndatetime.now()"),
    (imports.reality, "daemon/core.py", "import datetime\ndatetime.datetime.utcnow()"),
    (imports.reality, "daemon/core.py", "import uuid"),
    (imports.reality, "daemon/core.py", "from random import choice"),
    (imports.reality, "daemon/core.py", "import os\nos.environ['HOME']"),
    (imports.reality, "daemon/core.py", "from os import urandom"),
    (imports.reality, "daemon/core.py", "import time"),
    (imports.reality, "events/x.py", "import threading"),
    (imports.reality, "daemon/core.py", "import asyncio\nasyncio.create_task(f())"),
    (imports.stubs, "daemon/storage/s3.py", "from types_aiobotocore_s3 import S3Client"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (numbers.file_length, "daemon/x.py", "x = 1\n" * 400),
    (numbers.file_length, "tests/test_x.py", "x = 1\n" * 600),
    (numbers.body_length, "daemon/x.py", _function(lines=40)),
    (numbers.body_length, "daemon/x.py", _function(lines=56, arm=3)),
    (numbers.nesting, "daemon/x.py", _deep(*DEEP[:3])),
    (numbers.nesting, "daemon/x.py", ELIF),
    (numbers.parameter_count, "daemon/x.py", "class A:\n def f(self, a, b, *, c, d, e): ..."),
    (numbers.parameter_count, "tests/test_x.py", "def test_x(a, b, c, d, e, f): ..."),
    (numbers.keyword_only, "daemon/x.py", "def f(a: int, b: str, *, c: int, d: int): ..."),
    (numbers.keyword_only, "daemon/x.py", "class A:\n def __setitem__(self, a: X, b: X): ..."),
    (numbers.keyword_only, "daemon/x.py", "class A(Exception):\n def __init__(s, a: X, b: X): ..."),
    (numbers.module_docstring, "daemon/x.py", '"""A.\n\n' + "b\n" * 5 + '"""\n'),
    (numbers.module_docstring, "tests/__init__.py", ""),
    (numbers.file_name, "daemon/based.py", BODY),
    (numbers.broad_except, "events/x.py", "try:\n g()\nexcept OSError:\n raise"),
    (imports.imports_allowed, "daemon/decide/x.py", "from projections import state\nimport re"),
    (imports.imports_allowed, "daemon/valkey/x.py", "from events.facts import CacheName"),
    (imports.imports_allowed, "daemon/storage/x.py", "import daemon.ports\nimport daemon.errors"),
    (imports.imports_allowed, "daemon/storage/s3_part.py", "import aiobotocore"),
    (
        imports.imports_allowed,
        "daemon/actors/restore/x.py",
        "from daemon.actors.restore.y import z",
    ),
    (imports.imports_allowed, "daemon/actors/restore.py", "from daemon.actors.seams import z"),
    (imports.imports_allowed, "daemon/api/x.py", "from aiohttp import web"),
    (imports.imports_allowed, "daemon/cli/audit.py", "from events.sqlite import open_stopped"),
    (imports.imports_allowed, "events/sqlite.py", "import aiosqlite, sqlite3"),
    (imports.imports_allowed, "daemon/app/x.py", "import daemon.api.x, events.sqlite"),
    (imports.reality, "daemon/app/x.py", "import random, os\nos.environ"),
    (imports.purity, "daemon/app/x.py", "open('x')"),
    (imports.stubs, "daemon/x.py", "if TYPE_CHECKING:\n from types_aiobotocore_s3 import S3Client"),
]


def _ids(value: object) -> str:
    """The rule's name and the path; the text would make the test's name unreadable."""
    return getattr(value, "__name__", None) or str(value).split("\n", 1)[0][:40]


@pytest.mark.parametrize(("rule", "path", "text"), BAD, ids=_ids)
def test_each_rule_bites(rule: Rule, path: str, text: str) -> None:
    """A small bad file breaks its rule in one place, and is told where and what to do."""
    (breach,) = rule(Source(path, text))

    assert str(breach).startswith(f"{path}:{breach.line}: ")
    assert breach.advice


@pytest.mark.parametrize(("rule", "path", "text"), GOOD, ids=_ids)
def test_no_rule_bites_what_just_keeps_it(rule: Rule, path: str, text: str) -> None:
    """Code at the very limit passes."""
    assert [] == list(rule(Source(path, text)))


def test_every_rule_is_shown_to_bite() -> None:
    """A rule without a bad sample could be one that never says anything."""
    assert set(RULES) == {rule for rule, _, _ in BAD}


def test_a_ring_of_imports_is_found() -> None:
    """Three modules that need each other are told as the ring that they are."""
    ring = [
        Source("daemon/a.py", "from daemon import b"),
        Source("daemon/b.py", "from daemon.c import x"),
        Source("daemon/c.py", "def f():\n import daemon.a"),
    ]

    (breach,) = imports.cycles(ring)
    assert {"daemon.a", "daemon.b", "daemon.c"} <= set(breach.advice.split(":")[0].split(" <- "))
    assert [] == list(imports.cycles(ring[:2]))


def test_a_third_handler_that_catches_everything_is_found() -> None:
    """Two are allowed in the daemon; with a third, all of them are shown."""
    sources = [Source(f"daemon/{name}.py", BROAD) for name in "abc"]

    assert 3 == len(list(numbers.broad_excepts(sources)))
    assert [] == list(numbers.broad_excepts(sources[:2]))


def test_all_floors_are_read() -> None:
    """The rules look at the code that there is, and not at an empty folder."""
    assert {"events", "projections", "daemon", "tests", "benchmarks"} == {
        source.floor for source in SOURCES
    }
    assert "daemon/errors.py" in {source.path for source in SOURCES}


def _none(breaches: Iterable[Breach]) -> None:
    told = [str(breach) for breach in sorted(breaches)]
    assert not told, "\n" + "\n".join(told)
