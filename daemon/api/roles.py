"""Who may do what: users and groups of this host, and the role that each of them gives.

Names become ids once, at the start. Root and the daemon's own user are admin; a peer whom
nothing names has no role at all, which is different from the least one.
"""

import grp
import pwd
from collections.abc import Mapping

from msgspec import Struct

from daemon.answers import Role
from daemon.api.peer import Peer
from daemon.api.rights import ROLES, Holders


class Roles(Struct, frozen=True):
    """The configuration's words: ``user:NAME`` and ``group:NAME`` for each role."""

    admin: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    viewer: tuple[str, ...] = ()


class Access(Struct, frozen=True):
    """Which ids have which role. `unknown` are the configured names that this host lacks.

    `holders` is whom the configuration names, for whoever is refused.
    """

    users: Mapping[int, Role]
    groups: Mapping[int, Role]
    unknown: tuple[str, ...] = ()
    holders: Holders = {}

    def role_of(self, peer: Peer) -> Role | None:
        """The greatest role that the peer's user or groups give; None for a stranger."""
        given = {self.groups[gid] for gid in peer.groups if gid in self.groups}
        if peer.uid in self.users:
            given.add(self.users[peer.uid])
        return max(given, key=ROLES.index, default=None)


def access_for(roles: Roles, *, own_uid: int) -> Access:
    """Access by ids; asks this host's directory of users and groups, so it may block."""
    users: dict[int, Role] = {}
    groups: dict[int, Role] = {}
    unknown = []
    for role in ROLES:  # ascending: who is named twice keeps the greater one
        for entry in getattr(roles, role):
            kind, _, name = entry.partition(":")
            number = _number(kind, name=name)
            if number is None:
                unknown.append(entry)
            else:
                (users if kind == "user" else groups)[number] = role
    users |= {0: "admin", own_uid: "admin"}
    named: Holders = {role: getattr(roles, role) for role in ROLES}
    return Access(users=users, groups=groups, unknown=tuple(unknown), holders=named)


def _number(kind: str, *, name: str) -> int | None:
    try:
        if kind == "user":
            return pwd.getpwnam(name).pw_uid
        return grp.getgrnam(name).gr_gid if kind == "group" else None
    except KeyError:
        return None
