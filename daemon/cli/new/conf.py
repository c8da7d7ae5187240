"""The configuration file of a new server: where it lives, and what the backup's server had. Pure.

Only settings that change what data means or whether it fits (those of the finding `parameters`,
R2) and those that keep data are taken over; how a server is run otherwise is its owner's affair.
"""

import re
from collections.abc import Iterator, Mapping

from daemon.cli.new.wish import LOG, PID, RDB, NewServer
from events.facts import ServerFacts

_TAKEN = (
    "maxmemory-policy",
    "maxmemory-clients",
    "proto-max-bulk-len",
    "notify-keyspace-events",
    "appendfsync",
)
_LAYOUT = (
    "hash-max-listpack-",
    "list-max-listpack-",
    "list-compress-",
    "set-max-",
    "zset-max-listpack-",
    "stream-node-max-",
)
_OLD_LAYOUT = ("hash-max-ziplist-", "list-max-ziplist-", "zset-max-ziplist-")
"""The names that engines before 7.0 have for the same; newer ones tell both."""

_PLAIN = re.compile(r"[A-Za-z0-9_./:%*-]+")
"""What needs no quotes."""

Setting = tuple[str, str]


def own(wanted: NewServer, databases: int) -> Iterator[Setting]:
    """The settings that make it this server in this place."""
    yield "port", str(wanted.port)
    yield "bind", " ".join(wanted.binds)
    yield "protected-mode", "yes"
    yield "dir", str(wanted.directory)
    yield "dbfilename", RDB
    yield "logfile", str(wanted.place(LOG))
    yield "pidfile", str(wanted.place(PID))
    yield "databases", str(databases)


def recorded(server: ServerFacts | None) -> Iterator[Setting]:
    """The backup's own settings that matter to its data, by name."""
    if server is None:
        return
    settings = server.settings
    if server.maxmemory_bytes:
        yield "maxmemory", str(server.maxmemory_bytes)
    new_names = any(name.startswith(_LAYOUT[0]) for name in settings)
    layout = _LAYOUT if new_names else (*_LAYOUT, *_OLD_LAYOUT)
    for name, value in sorted(settings.items()):
        if (name in _TAKEN or name.startswith(layout)) and value:
            yield name, value
    if "save" in settings:
        yield from _save(settings)


def lost_users(server: ServerFacts | None) -> tuple[str, ...]:
    """Names of the ACL users that the backup's server had, and no backup holds."""
    return tuple(user for user in server.acl_users if user != "default") if server else ()


def _save(settings: Mapping[str, str]) -> Iterator[Setting]:
    """One line for each save point, as every engine takes it."""
    words = settings["save"].split()
    if not words:
        yield "save", ""
    for seconds, changes in zip(words[::2], words[1::2], strict=False):
        yield "save", f"{seconds} {changes}"


def text(
    wanted: NewServer, server: ServerFacts | None, *, databases: int, append_only: bool
) -> str:
    """The whole file; `append_only` only once its append-only file holds the data."""
    lines = [f"# A new server, restored by Valkeep from {wanted.reference}.", ""]
    lines += [_line(name, value=value) for name, value in own(wanted, databases)]
    lines += ["", "# What the backup's server had."]
    lines += [_line(name, value=value) for name, value in recorded(server)]
    lines += ["", f"appendonly {'yes' if append_only else 'no'}"]
    if server is not None and server.modules:
        lines += ["", "# It had modules as well; give the path of each:"]
        lines += [f"# loadmodule /PATH/TO/{name}.so" for name in server.modules]
    if users := lost_users(server):
        lines += ["", f"# Its ACL users are not in a backup: {', '.join(users)}"]
    return "\n".join([*lines, ""])


def _line(name: str, *, value: str) -> str:
    if _PLAIN.fullmatch(value) or (name in ("bind", "save") and value):
        return f"{name} {value}"
    plain = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name} "{plain}"'
