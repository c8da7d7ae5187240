"""Which role each command takes, and how a refusal says so. The one table of it.

The routes' own roles are in their list; of `POST /v1/commands` it is the command that counts.
"""

from collections.abc import Mapping
from typing import get_args

from daemon.answers import Role
from daemon.commands import (
    AcknowledgeBackup,
    CancelBackup,
    CancelComparison,
    Request,
    RequestAutoBackup,
    RequestBackup,
    RequestComparison,
    RequestCopy,
    RequestVerification,
    TestNotifications,
)
from daemon.errors import Forbidden

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From the least to the most; each may do what the ones before it may."""
MAY: Mapping[Role, str] = {
    "viewer": "ask: status, lists, events, plans of retention, figures",
    "operator": "also make, verify, copy, compare, cancel and acknowledge backups, send a test "
    "message, and run the doctor",
    "admin": "everything: restore, delete, export, import, compare with names, caches and "
    "policies, hooks by hand, recovery",
}
"""What each role is for, in words."""
Holders = Mapping[Role, tuple[str, ...]]
"""Whom the configuration names for each role."""

_OF_OPERATORS = (
    RequestBackup
    | RequestAutoBackup
    | CancelBackup
    | RequestVerification
    | RequestCopy
    | AcknowledgeBackup
    | RequestComparison
    | CancelComparison
    | TestNotifications
)


def role_for(request: Request) -> Role:
    """The least role that may give a command (DESIGN 8); names of keys are data."""
    if isinstance(request, RequestComparison) and request.names is not None:
        return "admin"
    return "operator" if isinstance(request, _OF_OPERATORS) else "admin"


def tag_of(request: type[Request] | Request) -> str:
    """What a command is called where it is sent."""
    return str(request.__struct_config__.tag)


def roles_of_commands() -> dict[str, Role]:
    """The least role for each command, by its name; some take more by what they say."""
    return {
        tag_of(kind): "operator" if issubclass(kind, get_args(_OF_OPERATORS)) else "admin"
        for kind in get_args(Request)
    }


def in_words() -> str:
    """Which commands which role may give."""
    found = roles_of_commands()
    operators = ", ".join(sorted(tag for tag, role in found.items() if role == "operator"))
    admins = ", ".join(sorted(tag for tag, role in found.items() if role == "admin"))
    return (
        f"It is the command that decides: the role operator may give {operators}; the role admin "
        f"also {admins}, and a comparison that keeps names."
    )


def demand(role: Role, *, wanted: Role, what: str, holders: Holders) -> None:
    """Raise `Forbidden` unless the role reaches what is wanted for this."""
    if ROLES.index(role) >= ROLES.index(wanted):
        return
    raise Forbidden(
        "role",
        f"{what} needs the role {wanted}, and you are {role}.",
        f"{_who(wanted, holders)} Ask one of them to do it, or to add you to {wanted} under "
        "[roles] in the daemon's configuration, which is read when it starts.",
    )


def _who(wanted: Role, holders: Holders) -> str:
    """Whoever has the role or a greater one."""
    enough = ROLES[ROLES.index(wanted) :]
    named = [entry for role in enough for entry in holders.get(role, ())]
    who = ", ".join(["root", "the daemon's own user", *dict.fromkeys(named)])
    return f"Those who may: {who}."
