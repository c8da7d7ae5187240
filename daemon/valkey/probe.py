"""Looking at one server: what it is, what it holds, what we may do, which source fits.

Asks only what changes nothing. What a server refuses to tell is listed as unknown and is no
error, but for ``INFO``: without that there is nothing to say of a cache.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from daemon.errors import Failed
from daemon.ports import Offload
from daemon.valkey.connection import Node
from daemon.valkey.engine import version_numbers
from daemon.valkey.info import Extras, fields, pairs, server_facts
from daemon.valkey.refusal import acl_line
from events.facts import Probe, ServerFacts, SourceChoice, SourceKind

SETTINGS = (
    # What fits, and what happens when it does not.
    "databases",
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-clients",
    "proto-max-bulk-len",
    # What values look like in memory: a target with other limits needs more or less of it.
    "hash-max-listpack-*",
    "hash-max-ziplist-*",
    "list-max-listpack-size",
    "list-max-ziplist-size",
    "list-compress-depth",
    "set-max-*",
    "zset-max-*",
    "stream-node-max-*",
    "hll-sparse-max-bytes",
    "activerehashing",
    # What keeps data over a restart.
    "appendonly",
    "appendfsync",
    "save",
    "rdbcompression",
    "rdbchecksum",
    # What clients rely on.
    "notify-keyspace-events",
    "lazyfree-lazy-*",
    "lua-time-limit",
    "busy-reply-threshold",
    "timeout",
    "cluster-enabled",
    # How replicas and restores by replication behave.
    "repl-diskless-*",
    "repl-timeout",
    "repl-backlog-size",
    "replica-*",
    "min-replicas-*",
)
"""Settings that change what data means or whether it fits (rule R2), as CONFIG GET patterns.

None of them can hold a secret; that is why it is a list and not ``*``.
"""

NEEDED: dict[Literal["bgsave", "replication"], tuple[str, ...]] = {
    "bgsave": ("INFO", "CONFIG GET", "TIME", "BGSAVE"),
    "replication": ("INFO", "PING", "REPLCONF", "PSYNC"),
}
"""The commands that a source cannot do without."""

_HARMLESS = {
    "INFO": ("INFO", "server"),
    "CONFIG GET": ("CONFIG", "GET", "dir"),
    "TIME": ("TIME",),
    "PING": ("PING",),
    "REPLCONF": ("REPLCONF", "capa", "eof"),
    # Rights are checked before arguments, and these arguments are refused. [tried]
    "BGSAVE": ("BGSAVE", "?"),
    "PSYNC": ("PSYNC", "?", "?"),
}
_REFUSALS = frozenset({"cache-rights", "command-unknown", "cache-refused"})


class RdbFile(Struct, frozen=True):
    """Where the server writes its RDB, and whether the daemon can read there, with the reason."""

    path: Path | None
    readable: bool
    reason: str


async def look(node: Node, offload: Offload, wanted: SourceKind) -> Probe:
    """Everything a cache's probe tells (rule C2)."""
    facts = await server(node)
    choice, _ = await pick(node, offload, facts, wanted)
    lacking = await missing(node, choice.source, facts)
    line = acl_line(node.login.asked.user, lacking) if lacking else None
    return Probe(server=facts, choice=choice, missing_rights=line)


async def pick(
    node: Node, offload: Offload, facts: ServerFacts, wanted: SourceKind
) -> tuple[SourceChoice, Path | None]:
    """Which source to use on this node, and where its RDB file lies if that is to be read."""
    if wanted == "replication":
        return choose(facts, RdbFile(None, readable=False, reason=""), wanted), None
    file = await rdb_file(node, offload, wanted)
    return choose(facts, file, wanted), file.path


def choose(facts: ServerFacts, file: RdbFile, wanted: SourceKind) -> SourceChoice:
    """Which source to use; ``auto`` takes bgsave when it can, else replication."""
    if wanted != "auto":
        return SourceChoice(wanted, f"the cache's settings ask for {wanted}")
    if file.readable and not facts.cluster:
        return SourceChoice("bgsave", file.reason)
    return SourceChoice("replication", file.reason)


async def server(node: Node, info: Mapping[str, str] | None = None) -> ServerFacts:
    """What the node says of itself, in this ``INFO`` of it or in one that is asked for now.

    What it refuses to say is in `unknown`.
    """
    info = info or fields(await node.text("INFO"))
    unknown: list[str] = []
    settings = await _settings(node, unknown)
    clients = await _asked(node, unknown, "CLIENT", "LIST", "TYPE", "pubsub")
    modules = await _asked(node, unknown, "MODULE", "LIST")
    functions = await _asked(node, unknown, "FUNCTION", "LIST")
    users = await _asked(node, unknown, "ACL", "USERS")
    extras = Extras(
        databases=int(settings.get("databases", "16")),
        sentinel=isinstance(clients, str) and " name=sentinel-" in clients,
        modules=_names(modules, "name"),
        functions=_names(functions, "library_name"),
        acl_users=tuple(sorted(map(str, users))) if isinstance(users, list) else (),
        settings=settings,
        unknown=tuple(unknown),
    )
    return server_facts(info, extras)


async def rdb_file(node: Node, offload: Offload, wanted: SourceKind) -> RdbFile:
    """Where the RDB lies; ``auto`` also wants the rights that bgsave needs.

    A path that can be read proves little: the server may see another file under that name
    (a container). That is found out by bgsave itself, which believes nothing without proof.
    """
    try:
        found = await node.items("CONFIG", "GET", "dir")
        found += await node.items("CONFIG", "GET", "dbfilename")
    except Failed as error:
        if error.code in _REFUSALS:
            return RdbFile(None, readable=False, reason=f"its file is unknown: {error.message}")
        raise
    settings = pairs(found)
    if not settings.get("dir") or not settings.get("dbfilename"):
        return RdbFile(None, readable=False, reason="the server does not tell where its file is")
    path = Path(settings["dir"], settings["dbfilename"])
    if not await same_host(node):
        return RdbFile(path, readable=False, reason="the server runs on another host")
    problem = await offload(unreadable, path)
    if problem:
        return RdbFile(path, readable=False, reason=problem)
    if wanted == "auto" and (lacking := await missing(node, "bgsave", None)):
        return RdbFile(path, readable=False, reason=f"we may not run {', '.join(lacking)}")
    return RdbFile(path, readable=True, reason=f"the daemon can read {path}")


def unreadable(path: Path) -> str | None:
    """Why this file, or the one that will be put there, cannot be read; None if it can."""
    folder = path.parent
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"the daemon cannot read the folder {folder}"
    try:
        with path.open("rb"):
            return None
    except FileNotFoundError:
        return None  # None was saved yet; the next one will be.
    except OSError as error:
        return f"the daemon cannot read {path}: {error.strerror}"


async def same_host(node: Node) -> bool:
    """Whether the server runs where we do: by its own view of our connection where it tells.

    Behind a published container port the two ends differ there, though we called 127.0.0.1.
    """
    address = node.login.address
    if address.socket is not None:
        return True
    ours = await _asked(node, [], "CLIENT", "INFO")
    if isinstance(ours, str):
        ends = dict(word.partition("=")[::2] for word in ours.split())
        if "laddr" in ends:
            return ends["addr"].rpartition(":")[0] == ends["laddr"].rpartition(":")[0]
    return address.loopback


async def missing(
    node: Node, source: Literal["bgsave", "replication"], facts: ServerFacts | None
) -> list[str]:
    """The commands which the source needs and our user may not run; nothing is changed by it."""
    return [command for command in NEEDED[source] if not await _allowed(node, command, facts)]


async def _allowed(node: Node, command: str, facts: ServerFacts | None) -> bool:
    form = _HARMLESS[command]
    user = node.login.asked.user
    verdict = await _asked(node, [], "ACL", "DRYRUN", user, *form)
    if isinstance(verdict, str):
        return verdict == "OK"
    if command == "PSYNC" and (facts is None or version_numbers(facts.version) < (7, 0)):
        return True  # Older servers begin a synchronisation whatever the offset is.
    try:
        await node.call(*form)
    except Failed as error:
        return error.code != "cache-rights"
    return True


async def _asked(node: Node, unknown: list[str], *words: str) -> object:
    """An answer, or None where the server refuses it; then it is noted as unknown."""
    try:
        return await node.call(*words)
    except Failed as error:
        if error.code not in _REFUSALS:
            raise
        unknown.append(" ".join(words[:2]))
        return None


async def _settings(node: Node, unknown: list[str]) -> dict[str, str]:
    together = await _asked(node, [], "CONFIG", "GET", *SETTINGS)
    if isinstance(together, list):
        return dict(sorted(pairs(together).items()))
    # Before Redis 7.0 CONFIG GET takes one pattern at a time.
    found: dict[str, str] = {}
    for pattern in SETTINGS:
        answer = await _asked(node, unknown, "CONFIG", "GET", pattern)
        if not isinstance(answer, list):
            break
        found |= pairs(answer)
    return dict(sorted(found.items()))


def _names(listed: object, field: str) -> tuple[str, ...]:
    """The named field of each entry, where entries are flat arrays of names and values."""
    if not isinstance(listed, list):
        return ()
    entries = (pairs(entry) for entry in listed if isinstance(entry, list))
    return tuple(sorted(entry[field] for entry in entries if field in entry))
