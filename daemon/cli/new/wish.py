"""What the caller wants of a new server, and the words by which it is started.

Knows the command line's own rules: placeholders, quoting, what must be said. Touches nothing.
"""

import re
import shlex
from collections.abc import Mapping
from os.path import normpath
from pathlib import Path

from msgspec import Struct, convert

from daemon.errors import BadRequest
from daemon.near import nearest

CONF = "valkey.conf"
RDB = "dump.rdb"
LOG = "server.log"
OUTPUT = "start.log"
PID = "server.pid"
AOF = "appendonlydir"
LOOPBACK = "127.0.0.1"
ANYWHERE = ("*", "0.0.0.0")  # noqa: S104 - known, not bound

PLACEHOLDERS = ("dir", "conf", "port")
_CACHE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Rule C1: asked for before a server is started that could not be registered."""
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


class NewServer(Struct, frozen=True):
    """A new server that is wanted; `directory` is absolute.

    `command` is the template it is started by, None for the usual one; `register` the name of
    the cache that it becomes.
    """

    reference: str
    directory: Path
    port: int
    bind: str = LOOPBACK
    command: str | None = None
    register: str | None = None
    vault: str | None = None
    force: tuple[str, ...] = ()
    plan_only: bool = False

    def place(self, name: str) -> Path:
        """A file in its directory."""
        return self.directory / name

    @property
    def local(self) -> bool:
        """Whether nobody but this host can reach it."""
        return self.bind.startswith("127.") or self.bind in ("::1", "localhost")

    @property
    def address(self) -> str:
        """Where it is reached from this host: without a password it answers on loopback alone."""
        return self.bind if self.local else LOOPBACK

    @property
    def binds(self) -> tuple[str, ...]:
        """The addresses that it listens on, loopback always among them."""
        return (self.bind,) if self.local or self.bind in ANYWHERE else (LOOPBACK, self.bind)

    @property
    def url(self) -> str:
        """How a cache of it is reached."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"valkey://{host}:{self.port}"


def usual_command(server: str) -> str:
    """The template where none was given, for this program."""
    return f"{shlex.quote(server)} {{conf}} --daemonize yes"


def command_words(template: str, wanted: NewServer) -> list[str]:
    """The program and its arguments, split as a shell would, but never given to one.

    Raises `BadRequest` for what cannot be split, an unknown placeholder, or no place at all.
    """
    values = {
        "dir": str(wanted.directory),
        "conf": str(wanted.place(CONF)),
        "port": str(wanted.port),
    }
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise _unusable(template, why=f"it cannot be split into words ({error})") from None
    if not words:
        raise _unusable(template, why="it is empty")
    named = _PLACEHOLDER.findall(template)
    for name in named:
        if name not in values:
            near = nearest(name, PLACEHOLDERS)
            meant = f"; did you mean {{{near}}}?" if near else ""
            raise _unusable(template, why=f"{{{name}}} is no placeholder{meant}")
    if not {"dir", "conf"} & set(named):
        raise _unusable(
            template, why="it names neither {conf} nor {dir}, so it would start elsewhere"
        )
    return [_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in words]


def _unusable(template: str, *, why: str) -> BadRequest:
    return BadRequest(
        "start-command",
        f"The start command {template!r} cannot be used: {why}.",
        "Like this: --start-command 'valkey-server {conf} --daemonize yes'; there are {dir}, "
        "{conf} and {port}.",
    )


def wanted(given: Mapping[str, object], folder: Path) -> NewServer:
    """What the flags of the command line ask for; a relative directory is below `folder`.

    Raises `BadRequest` for a directory whose name no configuration file could hold, and for a
    name that no cache can have.
    """
    said = {
        "reference": given["reference"],
        "port": given["port"],
        "bind": given["bind"] or LOOPBACK,
        "command": given["start_command"],
        "register": given["register"],
        "vault": given["vault"],
        "force": given["force"],
        "plan_only": given["plan_only"],
    }
    register = given["register"]
    if register is not None and not _CACHE_NAME.fullmatch(str(register)):
        raise BadRequest(
            "cache-name",
            f"{register!r} cannot be the name of a cache.",
            "Use 1 to 64 letters, digits, '-' and '_', beginning with a letter or digit.",
        )
    directory = Path(normpath(folder / str(given["new"])))
    if not str(directory).isprintable():
        raise BadRequest(
            "directory",
            f"{str(directory)!r} cannot be written into a configuration file.",
            "Use a directory whose name can be printed.",
        )
    return convert({**said, "directory": directory}, NewServer)
