"""How a server is started on an RDB that was written to a file, in steps that can be typed."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from daemon.answers import BackupDetail
from daemon.cli.plain_file import Fetched
from daemon.cli.table import facts
from daemon.cli.words import size

TELLING = (
    "databases",
    "maxmemory",
    "maxmemory-policy",
    "appendonly",
    "save",
    "notify-keyspace-events",
)
"""Settings that decide whether the data fits, and how it lives on; the others are elsewhere."""


def lines(detail: BackupDetail, fetched: Fetched, path: Path, width: int) -> Iterator[str]:
    """What was written, and how it is put to use; the case of an append-only file included."""
    view = detail.backup
    yield f"{view.cache}/{view.name} is in {path}: {size(fetched.plain_bytes)}, mode 0600."
    yield f"  SHA-256 {fetched.sha256}, which is the one that was recorded"
    if view.encrypted:
        yield "  The backup is encrypted; THIS FILE IS NOT."
    engine = detail.snapshot.server.engine if detail.snapshot else "valkey"
    yield from steps(path, engine)
    yield from _not_in_it(detail, width)


def steps(path: Path, engine: str) -> Iterator[str]:
    """From a running server with other data to one that has this; each line as it is typed."""
    cli, server = f"{engine}-cli", f"{engine}-server"
    yield "To start a server on it (in place of DIR and DBFILENAME what step 1 answers):"
    yield "  1. Ask the server where it looks for its file, while it still runs:"
    yield f"       {cli} CONFIG GET dir"
    yield f"       {cli} CONFIG GET dbfilename"
    yield "  2. Stop it. The file comes after that: a server that stops saves its old data."
    yield f"       {cli} SHUTDOWN"
    yield "  3. Put the file there, for the server's user:"
    yield f"       install -o {engine} -g {engine} -m 0640 {quote(str(path))} DIR/DBFILENAME"
    yield "  4. Start it as usual, unless it has `appendonly yes`."
    yield "With `appendonly yes` it reads its append-only file and passes over the RDB. Then:"
    yield "  4. Move the old append-only files away, and start it once without them:"
    yield "       mv DIR/appendonlydir DIR/appendonlydir.old"
    yield f"       {server} CONFIGFILE --appendonly no"
    yield "  5. Turn them on, and wait until both say 0; from then on start it as usual:"
    yield f"       {cli} CONFIG SET appendonly yes"
    yield f"       {cli} INFO persistence | grep -E 'aof_rewrite_(in_progress|scheduled)'"


def _not_in_it(detail: BackupDetail, width: int) -> Iterator[str]:
    yield "An RDB holds neither ACL users nor configuration. Recorded with this backup:"
    if detail.snapshot is None:
        return
    server = detail.snapshot.server
    told = [(name, server.settings.get(name)) for name in TELLING]
    settings = " ".join(f"{name}={value}" for name, value in told if value)
    pairs = [
        ("engine", f"{server.engine} {server.version}; it takes this one or a newer one"),
        ("memory", f"{size(server.used_memory_bytes)} were used"),
        ("ACL users", ", ".join(server.acl_users)),
        ("modules", ", ".join(server.modules)),
        ("settings", f"{settings}; all: valkeep backup show {detail.backup.backup_id}"),
    ]
    yield from facts(pairs, indent="  ", width=width)
