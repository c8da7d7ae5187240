"""The plan of a restore into a new server (R1, R2): what stands in its way, with the figures.

Pure: the backup as its events tell it and what was found at the place, in; findings out. A new
server has no old data, no clients and no rights of its own, so most of R2 does not arise; what
is new is the place itself: its directory, port, disk and memory.
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from events.facts import Finding, ServerFacts, SnapshotFacts, StoredFacts
from projections.capacity import capacity
from projections.rdb_versions import newest_readable, reads, release

DATABASES = 16
"""What an engine has when nobody says otherwise."""


class Program(Struct, frozen=True):
    """The engine that would be started, as it told of itself."""

    kind: Literal["valkey", "redis"]
    version: str

    @property
    def label(self) -> str:
        """``valkey 8.1.8``."""
        return f"{self.kind} {self.version}"


class Site(Struct, frozen=True):
    """The place of a new server; a trouble is a sentence, and empty where there is none.

    `program` is None where a start command does not tell which engine it runs. `where` names
    what limits the memory: the host, or a control group of it.
    """

    directory_trouble: str = ""
    directory_mode: int = 0o700
    port_trouble: str = ""
    program: Program | None = None
    memory_bytes: int | None = None
    where: str = "this host"
    disk_bytes: int | None = None


def findings(
    snapshot: SnapshotFacts | None, stored: StoredFacts, site: Site
) -> tuple[Finding, ...]:
    """What a new server there would meet, blockers first."""
    found = [*_place(site), *_engine(snapshot, site), *_room(snapshot, stored, site)]
    found += _modules(snapshot)
    return tuple(sorted(found, key=lambda finding: finding.level))


def databases(snapshot: SnapshotFacts | None, stored: StoredFacts) -> int:
    """How many databases it needs: as many as there were, and all that hold keys."""
    recorded = snapshot.server.databases if snapshot else DATABASES
    highest = stored.totals.highest_database if stored.totals else 0
    return max(recorded, highest + 1, 1)


def writes_aof(server: ServerFacts | None) -> bool:
    """Whether the backup's server wrote an append-only file, as the new one will."""
    return server is not None and server.aof


def _place(site: Site) -> Iterator[Finding]:
    if site.directory_trouble:
        hint = "Name a directory that is empty or is not there yet, in one that you may write to."
        yield Finding("directory", "blocker", site.directory_trouble, hint)
    if site.directory_mode & 0o077:
        yield Finding(
            "directory",
            "warning",
            f"The directory has mode {site.directory_mode:04o}: others on this host may read what "
            "the server writes there.",
            "chmod 700, or name one that is not there yet.",
        )
    if site.port_trouble:
        yield Finding("port", "blocker", site.port_trouble, "Give another --port.")


def _engine(snapshot: SnapshotFacts | None, site: Site) -> Iterator[Finding]:
    program = site.program
    if snapshot is None:
        return
    if program is None:
        yield Finding(
            "rdb-version",
            "warning",
            "Which engine the start command runs is not known: one that cannot read RDB version "
            f"{snapshot.rdb_version} exits while it loads.",
        )
        return
    source, rdb = snapshot.server, snapshot.rdb_version
    if not reads(program.kind, program.version, rdb):
        newest = newest_readable(program.kind, program.version)
        yield Finding(
            "rdb-version",
            "blocker",
            f"The backup's RDB version is {rdb} (from {source.engine} {source.version}); "
            f"{program.label} reads up to {newest}.",
            "Name an engine that can read it with --start-command.",
        )
    if not any(release(source.version)):
        return  # An imported file does not always tell which engine wrote it.
    older = release(program.version) < release(source.version)
    if older or release(program.version) > release(source.version):
        yield Finding(
            "engine-version",
            "blocker" if older else "warning",
            f"The new server would be {program.label}, {'older' if older else 'newer'} than the "
            f"backup's {source.engine} {source.version}.",
            "Older engines may not know what newer ones store." if older else "",
            forcible=older,
        )


def _room(snapshot: SnapshotFacts | None, stored: StoredFacts, site: Site) -> Iterator[Finding]:
    needed = capacity(snapshot, stored)
    if site.memory_bytes is not None and site.memory_bytes < needed.memory_bytes:
        how = "is estimated to take" if needed.estimated else "took"
        yield Finding(
            "memory",
            "blocker",
            f"The backup's data {how} {needed.memory_bytes:,} bytes of memory; {site.where} has "
            f"{site.memory_bytes:,} free.",
            "Free some, or start it on a larger host: `valkeep restore … --file` makes a file.",
            forcible=True,
        )
    server = snapshot.server if snapshot else None
    files = 2 if writes_aof(server) else 1
    if site.disk_bytes is not None and site.disk_bytes < files * stored.plain_bytes:
        beside = ", and an append-only file as large beside it" if files > 1 else ""
        yield Finding(
            "disk",
            "blocker",
            f"The RDB file has {stored.plain_bytes:,} bytes{beside}; the directory's disk has "
            f"{site.disk_bytes:,} free.",
            "Choose a directory on a larger disk.",
            forcible=True,
        )


def _modules(snapshot: SnapshotFacts | None) -> Iterator[Finding]:
    modules = snapshot.server.modules if snapshot else ()
    if modules:
        yield Finding(
            "modules",
            "blocker",
            f"The backup's server had modules: {', '.join(modules)}. A server without them exits "
            "on their data.",
            "Name them in the start command (`--start-command 'valkey-server {conf} --loadmodule "
            "/PATH/TO/MODULE.so --daemonize yes'`) and say --force modules.",
            forcible=True,
        )
