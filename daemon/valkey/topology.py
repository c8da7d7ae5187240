"""A primary and its replicas, read from what each says in ``INFO``: who there is, who is fit.

Pure: nobody is asked here. Believes a node about itself and a primary about who follows it;
an address that was announced is only a place to look at, never a proof of who is there.
"""

import ipaddress
from collections.abc import Iterator, Mapping

from msgspec import Struct

from daemon.valkey.figures import amount
from daemon.valkey.info import number

Info = Mapping[str, str]

LAG_BYTES = 32 << 20
"""How far behind its primary a replica may be: less than a second's writes of a busy one."""
ACK_SECONDS = 10
"""A replica acknowledges once a second; ``min-replicas-max-lag`` has this default too."""
SILENCE_SECONDS = 15
"""A primary pings its replicas every 10 s (``repl-ping-replica-period``)."""
_NOT_REPLICAS = frozenset({"rdb-channel"})
"""Second connections that a primary lists as if they were replicas of their own."""


class Listed(Struct, frozen=True):
    """A replica as the node that it follows lists it; `ack_seconds` since it last acknowledged."""

    host: str
    port: int
    state: str = "online"
    ack_seconds: int = 0


def is_primary(info: Info) -> bool:
    """Whether the node says that it follows nobody."""
    return info.get("role", "master") == "master"


def follows(info: Info) -> tuple[str, int] | None:
    """Host and port of the node that this replica follows, as it was told them."""
    host, port = info.get("master_host", ""), number(info, "master_port")
    return None if is_primary(info) or not host or not 0 < port < 65536 else (host, port)


def followers(info: Info) -> Iterator[Listed]:
    """The replicas that a node lists, in its order; those without an address are left out.

    A backup program that reads by plain ``PSYNC`` is listed with port 0.
    """
    for name, line in info.items():
        if not (name.startswith("slave") and name.removeprefix("slave").isdecimal()):
            continue
        said = dict(word.partition("=")[::2] for word in line.split(","))
        port = number(said, "port")
        if said.get("ip") and 0 < port < 65536 and said.get("type") not in _NOT_REPLICAS:
            lag = number(said, "lag")
            yield Listed(said["ip"], port, said.get("state", ""), lag)


def seen_from(host: str, *, told_by: str) -> str:
    """Where to look for a host that a node names: its own loopback address is that node."""
    return told_by if loopback(host) and told_by and not loopback(told_by) else host


def loopback(host: str) -> bool:
    """Whether the text is an address of whoever says it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def behind(info: Info, *, primary: Info) -> int:
    """How many bytes of the stream a replica has not applied that its primary has written.

    Ask the primary first: then it is the least that it can be, and never below 0.
    """
    return max(0, written(primary) - applied(info))


def written(primary: Info) -> int:
    """How far a primary has written its stream of replication, in bytes."""
    return number(primary, "master_repl_offset")


def applied(info: Info) -> int:
    """How far a replica has applied the stream that it follows, in bytes."""
    own = "slave_repl_offset" if "slave_repl_offset" in info else "master_repl_offset"
    return number(info, own)


def rank(info: Info, primary: Info | None) -> tuple[bool, int]:
    """Sorts fit replicas, best first: those that are never promoted, then the nearest.

    ``replica-priority 0`` is what people set on a node for such work as ours.
    """
    may_be_promoted = info.get("slave_priority") != "0"
    return may_be_promoted, 0 if primary is None else behind(info, primary=primary)


def unfit(info: Info, primary: Info | None, listed: Listed | None) -> str | None:
    """Why a snapshot is not to be taken from this replica, or None if it may.

    `primary` is what the primary said a moment before; without it only the replica's own word
    counts. `listed` is how the node that it follows sees it.
    """
    reasons = _by_itself(info)
    if primary is None:
        reasons = (*reasons, *_without_primary(info))
    else:
        reasons = (*reasons, *_beside(info, listed, primary=primary))
    return next((reason for wrong, reason in reasons if wrong), None)


_Reasons = tuple[tuple[bool, str], ...]


def _by_itself(info: Info) -> _Reasons:
    return (
        (is_primary(info), "is no replica any more"),
        (info.get("loading") == "1", "is still loading its data"),
        (info.get("master_sync_in_progress") == "1", "is being synchronised"),
        (info.get("master_link_status") != "up", "is not in step with its primary"),
        # What clients have written to it is in no other node's history.
        (info.get("slave_read_only") == "0", "takes writes of its own (replica-read-only no)"),
    )


def _without_primary(info: Info) -> _Reasons:
    silence = number(info, "master_last_io_seconds_ago")
    told = f"has heard nothing from its primary for {silence} s"
    return ((silence > SILENCE_SECONDS, told),)


def _beside(info: Info, listed: Listed | None, *, primary: Info) -> _Reasons:
    lag = behind(info, primary=primary)
    replication_id = info.get("master_replid")
    found = [
        (replication_id != primary.get("master_replid"), "follows another history"),
        (lag > LAG_BYTES, f"is {amount(lag)} behind"),
    ]
    if listed is not None:
        ago = listed.ack_seconds
        found += [
            (listed.state != "online", f"is being synchronised ({listed.state or 'no state'})"),
            (ago > ACK_SECONDS, f"has acknowledged nothing for {ago} s"),
        ]
    return tuple(found)
