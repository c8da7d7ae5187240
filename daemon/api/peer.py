"""Who is at the other end of a Unix socket, as the kernel fixed it when they connected.

Numbers only, read once per connection: no address, name or process entry is ever parsed,
and whatever cannot be read refuses.
"""

import pwd
import socket
import struct

from msgspec import Struct

_PEERGROUPS = 59
"""``SO_PEERGROUPS`` of Linux (asm-generic/socket.h, since 4.13); Python has no name for it."""
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid_t, uid_t, gid_t
_GID = struct.Struct("=I")
_GROUPS_BYTES = 1024
"""What `getsockopt` of Python can take: 256 groups. A peer in more of them is refused."""


class Peer(Struct, frozen=True):
    """A process at the other end: its user, and every group it was in."""

    uid: int
    pid: int
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a connected Unix socket; raises `OSError` when any part cannot be read."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if len(told) != _CREDENTIALS.size:
        raise OSError("the peer's credentials came short")
    pid, uid, gid = _CREDENTIALS.unpack(told)
    more = connection.getsockopt(socket.SOL_SOCKET, _PEERGROUPS, _GROUPS_BYTES)
    if len(more) % _GID.size:
        raise OSError("the peer's groups came short")
    groups = frozenset(group for (group,) in _GID.iter_unpack(more))
    return Peer(uid=uid, pid=pid, groups=groups | {gid})


def user_name(uid: int) -> str | None:
    """The user's name on this host, if it has one. May ask a directory server: offload it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
