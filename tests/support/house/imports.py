"""Who may import whom (STYLE 5), which libraries have one home, and what is real only in `app`.

Everything that is not listed is forbidden: a new module needs a row in `HOUSE`.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from msgspec import Struct

from tests.support.house.source import FLOORS, Breach, Source

PURE = frozenset(
    [
        "__future__",
        "bisect",
        "binascii",
        "collections",
        "collections.abc",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fnmatch",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "urllib.parse",
        "zoneinfo",
    ]
)
"""Modules of the standard library that touch nothing outside: all that pure files may import."""


class Room(Struct, frozen=True):
    """What the modules of one place may import: of ours, of others, and of Python's own."""

    ours: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    pure: bool = False


OF_TYPES = (
    "events.alarms",
    "events.comparisons",
    "events.copies",
    "events.copy_proofs",
    "events.hooks",
    "events.imports",
    "events.prices",
    "events.proofs",
    "events.recoveries",
    "events.suspicions",
    "events.transfers",
)
"""Events that have files of their own; `events.types` has the union of all."""
TRUTH = ("events.facts", "events.types", "events.envelope", "events.log", *OF_TYPES)
EVERYWHERE = (  # the vocabulary
    "events.fact",
    "events.facts",
    "events.moves",
    "events.differences",
    "events.keyspace",
)
IN_THE_DAEMON = ("daemon.errors", "daemon.near", "daemon.ports")
WIRE = ("daemon.commands", "daemon.answers")

HOUSE: Mapping[str, Room] = {
    "events": Room(("events",), ("msgspec", "anyio")),
    "events.fact": Room((), ("msgspec",), pure=True),
    "events.facts": Room((), ("msgspec",), pure=True),
    "events.moves": Room(pure=True),
    "events.differences": Room((), ("msgspec",), pure=True),
    "events.keyspace": Room((), ("msgspec",), pure=True),
    "events.types": Room(OF_TYPES, ("msgspec",), pure=True),
    "events.alarms": Room((), ("msgspec",), pure=True),
    "events.comparisons": Room((), ("msgspec",), pure=True),
    "events.copies": Room((), ("msgspec",), pure=True),
    "events.copy_proofs": Room((), ("msgspec",), pure=True),
    "events.hooks": Room((), ("msgspec",), pure=True),
    "events.imports": Room((), ("msgspec",), pure=True),
    "events.prices": Room((), ("msgspec",), pure=True),
    "events.proofs": Room((), ("msgspec",), pure=True),
    "events.recoveries": Room((), ("msgspec",), pure=True),
    "events.suspicions": Room((), ("msgspec",), pure=True),
    "events.transfers": Room((), ("msgspec",), pure=True),
    "events.chain": Room(("events",), ("msgspec",), pure=True),
    "events.sqlite": Room(("events",), ("msgspec", "anyio", "aiosqlite")),
    "projections": Room((*TRUTH, "projections"), ("msgspec", "immutables"), pure=True),
    "daemon.errors": Room(pure=True),
    "daemon.near": Room(pure=True),
    "daemon.ports": Room(pure=True),
    "daemon.commands": Room((*TRUTH, "daemon.commands"), ("msgspec",), pure=True),
    "daemon.answers": Room((*TRUTH, "daemon.answers", "daemon.commands"), ("msgspec",), pure=True),
    "daemon.board": Room((), ("msgspec",), pure=True),
    "daemon.bech32": Room(pure=True),
    "daemon.rates": Room(("daemon.size",), pure=True),
    "daemon.size": Room(pure=True),
    # The rules of a policy are written once, for the file and for commands.
    "daemon.config": Room(
        (
            "events.alarms",
            "daemon.config",
            "daemon.bech32",
            "daemon.rates",
            "daemon.size",
            "events.hooks",
            "projections.policy",
        ),
        ("msgspec",),
    ),
    "daemon.hooks": Room(("daemon.hooks", "events.hooks"), ("msgspec", "anyio")),
    "daemon.decide": Room(
        (*TRUTH, "projections", "daemon.decide", "daemon.commands"), ("msgspec",), pure=True
    ),
    "daemon.ledger": Room(
        (*TRUTH, "events.codec", "projections", "daemon.decide", *WIRE),
        ("msgspec", "anyio", "structlog"),
    ),
    "daemon.frozen": Room(
        (*TRUTH, "projections", "daemon.frozen", "daemon.ledger"), ("msgspec", "anyio", "structlog")
    ),
    "daemon.frozen.sheet": Room(("projections",), ("msgspec",), pure=True),
    "daemon.core": Room(
        (
            *TRUTH,
            "projections",
            "daemon.actors.hooks",
            "daemon.actors.alarms",
            "daemon.actors.rereader",
            "daemon.actors.scheduler",
            "daemon.actors.stocktaker",
            "daemon.actors.worker",
            "daemon.board",
            "daemon.ledger",
            *WIRE,
        ),
        ("msgspec", "anyio", "structlog"),
    ),
    "daemon.valkey": Room(("daemon.valkey",), ("msgspec", "anyio", "structlog", "redis", "anycrc")),
    "daemon.valkey.resp": Room(("daemon.valkey",), ("msgspec",), pure=True),
    "daemon.valkey.replication": Room(("daemon.valkey",), ("msgspec",), pure=True),
    "daemon.valkey.primary": Room(("daemon.valkey",), ("msgspec",), pure=True),
    "daemon.valkey.rdb": Room(("daemon.valkey",), ("msgspec", "anycrc"), pure=True),
    "daemon.storage": Room(
        ("daemon.rates", "daemon.storage"), ("msgspec", "anyio", "structlog", "zstandard")
    ),
    "daemon.storage.age": Room(
        ("daemon.storage.age", "daemon.bech32"), ("msgspec", "cryptography")
    ),
    "daemon.storage.s3": Room(
        ("daemon.storage",),
        (
            "msgspec",
            "anyio",
            "structlog",
            "anycrc",
            "aiobotocore",
            "botocore",
            "aiohttp",
            "types_aiobotocore_s3",
        ),
    ),
    "daemon.actors": Room(
        (
            *TRUTH,
            "projections",
            "daemon.actors.bulkhead",
            "daemon.actors.holding",
            "daemon.actors.job",
            "daemon.actors.seams",
            "daemon.board",
            "daemon.commands",
            "daemon.ledger",
            "daemon.storage",
            "daemon.valkey",
        ),
        ("msgspec", "anyio", "structlog"),
    ),
    "daemon.actors.hooks": Room(
        (
            *TRUTH,
            "projections",
            "daemon.actors.bulkhead",
            "daemon.actors.holding",
            "daemon.commands",
            "daemon.hooks",
            "daemon.ledger",
        ),
        ("msgspec", "anyio", "structlog"),
    ),
    "daemon.actors.history": Room(
        (
            *TRUTH,
            "events.audit",
            "events.chain",
            "events.codec",
            "projections",
            "daemon.actors.bulkhead",
            "daemon.actors.seams",
            "daemon.commands",
            "daemon.ledger",
            "daemon.storage",
        ),
        ("msgspec", "anyio", "structlog", "immutables"),
    ),
    "daemon.api": Room(
        (
            *TRUTH,
            "events.audit",
            "events.codec",
            "projections",
            "daemon.api",
            "daemon.board",
            "daemon.rates",
            "daemon.ledger",
            *WIRE,
        ),
        ("msgspec", "anyio", "structlog", "aiohttp", "immutables", "prometheus_client"),
    ),
    "daemon.doctor": Room(
        (
            *TRUTH,
            "projections",
            "daemon.actors.bulkhead",
            "daemon.answers",
            "daemon.commands",
            "daemon.doctor",
            "daemon.ledger",
            "daemon.storage",
            "daemon.valkey.engine",
        ),
        ("msgspec", "anyio", "structlog"),
    ),
    "daemon.full_house": Room(("daemon.answers",), ("msgspec",)),
    "daemon.client": Room(
        ("daemon.client", "daemon.client_refusal", "daemon.full_house", "daemon.config", *WIRE),
        ("msgspec", "anyio"),
    ),
    "daemon.cli": Room(
        ("daemon.cli", "daemon.client", "daemon.config", *WIRE),
        ("msgspec", "anyio", "click", "rich"),
    ),
    "daemon.cli.audit": Room(
        ("events", "daemon.cli", "daemon.client", "daemon.config", *WIRE),
        ("msgspec", "anyio", "click", "rich"),
    ),
    "daemon.cli.demo": Room(
        ("daemon.cli", "daemon.client", "daemon.config", "daemon.valkey.engine", *WIRE),
        ("msgspec", "anyio", "click", "rich", "redis"),
    ),
    "daemon.cli.report": Room(
        ("daemon.cli", "daemon.client", "daemon.config", *WIRE),
        ("msgspec", "anyio", "click", "rich"),
    ),
    "daemon.cli.report.drawing": Room(("daemon.cli.report",), ("msgspec", "pygal")),
    "daemon.cli.report.page": Room(("daemon.cli", *WIRE), ("msgspec", "jinja2", "markupsafe")),
    # It looks at programs that the daemon would run.
    "daemon.cli.hook_doubts": Room(
        ("daemon.cli", "daemon.client", "daemon.config", "daemon.hooks.program", *WIRE),
        ("msgspec", "anyio", "click", "rich"),
    ),
    # It starts a server with the caller's rights, as the demo does, and plans that as R2 says.
    "daemon.cli.new": Room(
        (
            "daemon.cli",
            "daemon.client",
            "daemon.config",
            "daemon.valkey.address",
            "daemon.valkey.connection",
            "daemon.valkey.engine",
            "daemon.valkey.host_memory",
            "daemon.valkey.info",
            "projections.capacity",
            "projections.new_server",
            "projections.rdb_versions",
            *WIRE,
        ),
        ("msgspec", "anyio", "click", "rich"),
    ),
    "daemon.cli.serve": Room(
        ("daemon.app", "daemon.cli", "daemon.client", "daemon.config", *WIRE),
        ("msgspec", "anyio", "click", "rich"),
    ),
    "daemon.app": Room(FLOORS, ("msgspec", "anyio", "structlog", "aiohttp", "redis")),
    # A process of its own: what apprise loads is never in the daemon.
    "daemon.herald": Room((), ("msgspec", "apprise")),
}
"""The row with the longest name that a module's begins with holds for it: ``daemon.storage.s3``
is also for ``daemon.storage.s3_parts``. Beside its row, a file that became a folder may import
what is in its own folder."""

HOMES: Mapping[str, tuple[str, ...]] = {
    "sqlite3": ("events",),  # L7: nothing outside may know what the log is kept in
    "subprocess": ("daemon.valkey", "daemon.hooks", "daemon.cli", "daemon.app"),
    "logging": ("daemon.app", "daemon.herald"),  # everybody else uses structlog
    "http": ("daemon.client", "daemon.api", "daemon.app"),
    "aiohttp.web": ("daemon.api", "daemon.app"),  # S3 knows the errors of aiohttp, not its server
}
"""Modules that only some may import, though they are Python's own or their library is theirs."""

ROOTS = ("daemon.app", "daemon.cli.main")
"""The composition roots: of the daemon, and of the command line (which reads its variables)."""
REAL = frozenset({"random", "secrets", "time", "uuid", "threading", "multiprocessing"})
"""Modules that only the composition root may import: clocks, randomness, ids, threads."""
REAL_NAMES = frozenset(
    [
        "asyncio.create_task",
        "asyncio.ensure_future",
        "concurrent.futures",
        "date.today",
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "datetime.now",
        "datetime.today",
        "datetime.utcnow",
        "os.environ",
        "os.environb",
        "os.getenv",
        "os.urandom",
    ]
)


class Import(Struct, frozen=True):
    """One imported module or name, in full, and the line it is on."""

    name: str
    line: int


def imports(source: Source) -> Iterator[Import]:
    """Everything that a file imports, wherever in it: `from a import b` is ``a.b``."""
    for node in source.nodes:
        yield from _imports_of(node)


def room(module: str) -> Room | None:
    """The row of the table that holds for a module."""
    fitting = [
        name for name in HOUSE if _within(module, place=name) or module.startswith(f"{name}_")
    ]
    return HOUSE[max(fitting, key=len)] if fitting else None


def imports_allowed(source: Source) -> Iterator[Breach]:
    """A module imports what its row of the table lists, and nothing else."""
    if source.floor not in FLOORS:
        return
    found = room(source.module)
    for imported in imports(source):
        if found is None:
            advice = "this module has no row in tests/support/house/imports.py: add one"
            yield Breach(source.path, imported.line, "import", advice)
        elif told := _forbidden(found, module=source.module, imported=imported.name):
            yield Breach(source.path, imported.line, "import", told)


def stubs(source: Source) -> Iterator[Breach]:
    """Type stubs are installed for tests only: programs import them under ``TYPE_CHECKING``."""
    if source.floor not in FLOORS:
        return
    guarded = {
        inner
        for node in source.nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    advice = "it is not there when Valkeep runs: put it under TYPE_CHECKING"
    for node in source.nodes:
        if node in guarded:
            continue
        for imported in _imports_of(node):
            if imported.name.startswith("types_"):
                yield Breach(source.path, imported.line, "stubs", f"`{imported.name}`: {advice}")


def reality(source: Source) -> Iterator[Breach]:
    """Clock, randomness, ids, threads and environment are real in the composition roots only."""
    if source.floor not in FLOORS or any(_within(source.module, place=root) for root in ROOTS):
        return
    advice = "only daemon/app has the real one: let it come in through daemon.ports"
    for imported in imports(source):
        if imported.name.split(".")[0] in REAL or imported.name in REAL_NAMES:
            yield Breach(source.path, imported.line, "reality", f"`{imported.name}`: {advice}")
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node) in REAL_NAMES:
            yield Breach(source.path, node.lineno, "reality", f"`{ast.unparse(node)}`: {advice}")


def purity(source: Source) -> Iterator[Breach]:
    """Pure files neither open nor print anything, and await nothing."""
    found = room(source.module)
    if source.floor not in FLOORS or found is None or not found.pure:
        return
    for node in source.nodes:
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in {"open", "print", "input"} or isinstance(node, ast.Await):
            told = f"`{called or 'await'}`: this file is pure; let the caller do it"
            yield Breach(source.path, getattr(node, "lineno", 1), "purity", told)


def cycles(sources: Iterable[Source]) -> Iterator[Breach]:
    """No module imports itself by way of others."""
    paths = {source.module: source.path for source in sources if source.floor in FLOORS}
    graph = {
        source.module: {_module(imported.name, paths) for imported in imports(source)}
        & (paths.keys() - {source.module})
        for source in sources
        if source.floor in FLOORS
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1]
        advice = f"{' <- '.join(ring)}: move what both need to a module of its own"
        yield Breach(paths[ring[0]], 1, "cycle", advice)


def _imports_of(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (Import(f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _forbidden(allowed: Room, *, module: str, imported: str) -> str | None:
    """Why a module may not import that, or None."""
    top = imported.split(".", maxsplit=1)[0]
    if top in FLOORS:
        return _forbidden_ours(allowed, module=module, imported=imported)
    if top in sys.stdlib_module_names:
        if allowed.pure and not any(_within(imported, place=name) for name in PURE):
            return f"`{imported}`: this file is pure; it may import {', '.join(sorted(PURE))}"
    elif top not in allowed.libraries:
        here = ", ".join(allowed.libraries) or "no library"
        return f"`{top}` has its home elsewhere; here: {here}"
    return _elsewhere(module=module, imported=imported)


def _forbidden_ours(allowed: Room, *, module: str, imported: str) -> str | None:
    own_folder = ".".join(module.split(".")[:3])
    in_the_daemon = IN_THE_DAEMON if _within(module, place="daemon") else ()
    listed = (*allowed.ours, *EVERYWHERE, *in_the_daemon)
    if any(_within(imported, place=name) for name in listed):
        return None
    if own_folder.count(".") == 2 and _within(imported, place=own_folder):
        return None
    return f"`{imported}` is not for `{module}`; it may import {', '.join(sorted(listed))}"


def _elsewhere(*, module: str, imported: str) -> str | None:
    for name, homes in HOMES.items():
        at_home = any(_within(module, place=home) for home in homes)
        if _within(imported, place=name) and not at_home:
            return f"`{imported}` has its home in {', '.join(homes)}"
    return None


def _within(name: str, *, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def _module(imported: str, known: Mapping[str, str]) -> str:
    """The module that an imported name is, or is in."""
    return imported if imported in known else imported.rpartition(".")[0]
