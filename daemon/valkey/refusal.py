"""What a server's error reply means for the caller, whichever way it came in.

Pure: takes the reply's text, gives an error of `daemon.errors`. Ordinary commands and the
replication handshake both end here, so that one cause has one code.
"""

from collections.abc import Iterable

from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.address import Address

_PASSING = {
    "LOADING": ("cache-loading", "is still loading its data", "it answers when that is done"),
    "BUSY": ("cache-busy", "is busy with a script or function", "see SCRIPT KILL, FUNCTION KILL"),
    "MASTERDOWN": (
        "replica-unlinked",
        "is a replica that has lost its primary",
        "look at master_link_status in its INFO replication",
    ),
    "NOMASTERLINK": (
        "replica-unlinked",
        "is a replica that is not connected with its primary",
        "look at master_link_status in its INFO replication, or back up the primary",
    ),
    "MISCONF": (
        "cache-misconf",
        "cannot save to its own disk",
        "its log says why: usually the disk is full or not writable",
    ),
    "OOM": ("cache-memory", "has reached its maxmemory", "give it more memory"),
    "CLUSTERDOWN": ("cache-unreachable", "says that its cluster is down", "see CLUSTER INFO"),
}


class Asked(Struct, frozen=True):
    """Who asked whom: `user` is the ACL user that the connection is authenticated as."""

    address: Address
    user: str = "default"


def refused(asked: Asked, reply: str, *, command: str) -> Failed:
    """The error for an error reply (without its leading ``-``) to this command."""
    code = reply.partition(" ")[0]
    where = str(asked.address)
    if code in _PASSING:
        kebab, state, hint = _PASSING[code]
        return Transient(kebab, f"{where} {state}", hint)
    match code:
        case "NOAUTH" | "WRONGPASS":
            return unauthenticated(asked)
        case "NOPERM":
            return missing_right(asked, command)
        case _ if "without any password configured" in reply:
            return _no_password_there(asked)
        case _ if "invalid password" in reply:
            return unauthenticated(asked)
        case _ if reply.startswith("ERR unknown command"):
            return _unknown_command(asked, command)
        case _ if "max number of clients" in reply:
            return Transient(
                "cache-clients", f"{where} has no room for another client", "see its maxclients"
            )
        case _:
            return Transient(
                "cache-refused",
                f"{where} refused {command}: {printable(reply)}",
                "the server's own words say why; its log may say more",
            )


def unauthenticated(asked: Asked) -> Permanent:
    """No password where one is wanted, or not the right one."""
    return Permanent(
        "cache-auth",
        f"{asked.address} did not accept the password of user '{asked.user}', or wants one",
        "set password_file to a file that holds the password alone, and name the ACL user "
        "in the URL (valkey://user@host) if it is not 'default'",
    )


def missing_right(asked: Asked, *commands: str) -> Permanent:
    """The ACL does not let this user run the command; the hint is the line that does."""
    listed = ", ".join(commands)
    return Permanent(
        "cache-rights",
        f"user '{asked.user}' of {asked.address} may not run {listed}",
        f"on the server: {acl_line(asked.user, commands)}",
    )


def acl_line(user: str, commands: Iterable[str]) -> str:
    """The ``ACL SETUSER`` line that grants these commands; ``CONFIG GET`` becomes ``+config|get``.

    Names below a command are separated by a blank here and by a bar there.
    """
    grants = dict.fromkeys("+" + command.lower().replace(" ", "|") for command in commands)
    return f"ACL SETUSER {user} {' '.join(grants)}"


def not_valkey(address: Address) -> Permanent:
    """Something listens there, but it does not speak this protocol."""
    return Permanent(
        "cache-protocol",
        f"what listens on {address} does not answer as a Valkey or Redis server does",
        "check host and port; a server that wants TLS looks like this too",
    )


def printable(text: str) -> str:
    """A server's words, fit for one line of a message."""
    return "".join(c if c.isprintable() else "?" for c in text[:300])


def _no_password_there(asked: Asked) -> Permanent:
    return Permanent(
        "cache-auth",
        f"{asked.address} has no password for user '{asked.user}', but one was given",
        "remove password_file (or password_env) from the cache, or set the password there",
    )


def _unknown_command(asked: Asked, command: str) -> Permanent:
    return Permanent(
        "command-unknown",
        f"{asked.address} does not know {command}",
        "it was renamed or is withheld, as managed services do: try the other source",
    )
