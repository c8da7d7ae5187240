"""What is said when nobody answers on the socket, or somebody who should not.

Words only: who has met which of them is the client's to know.
"""

import os

from daemon.errors import Forbidden, Unreachable

STRANGER = "unknown-peer"
"""The code of the refusal of whoever has no role; it comes without a word."""
_OTHER = "Another socket is named by --socket or VALKEEP_SOCKET."


def unreachable(path: str, error: OSError) -> Unreachable:
    """Nobody can be connected to: why, and what to do."""
    start = "Look with `systemctl status valkeep`, or start one: `valkeep serve`."
    match error:
        case FileNotFoundError() | NotADirectoryError():
            why = "there is no such socket"
        case ConnectionRefusedError():
            why = "nobody listens on it any more"
        case PermissionError():
            why = "this user may not open it"
        case BlockingIOError():
            why = "it takes no connection, and too many wait for one"
        case _:
            why = (error.strerror or str(error)).lower()
    return Unreachable(
        "unreachable", f"No daemon can be reached on {path}: {why}.", f"{start} {_OTHER}"
    )


def unknown_peer(path: str) -> Forbidden:
    """Closed before a word was said: that is how the daemon treats strangers."""
    uid, groups = os.geteuid(), sorted({os.getegid(), *os.getgroups()})
    return Forbidden(
        STRANGER,
        f"The daemon on {path} does not know you: it closed the connection at once.",
        f"You are {_named_user(uid)}, in {', '.join(map(_named_group, groups))}. [roles] in the "
        "daemon's configuration says who may talk to it; new groups count after a new login.",
    )


def _named_user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - only for this message

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _named_group(gid: int) -> str:
    import grp  # noqa: PLC0415 - only for this message

    try:
        return f"group {grp.getgrgid(gid).gr_name}"
    except KeyError:
        return f"group {gid}"


def cut_short(path: str) -> Unreachable:
    """It went away while it answered."""
    return Unreachable(
        "cut-short",
        f"The daemon on {path} ended the connection in the middle of its answer.",
        "If a command was sent, `valkeep events` tells whether it was taken.",
    )


def no_daemon(path: str) -> Unreachable:
    """Something else answers there."""
    return Unreachable("unreachable", f"What answers on {path} is no Valkeep daemon.", _OTHER)
