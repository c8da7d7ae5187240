"""Whether a node still is who it was: the same run, role and history (DESIGN 5).

Pure. A snapshot is of one instant, so that no fail-over can mix two histories inside it; what
this finds out is that the facts beside it are not of that instant's node any more.
"""

from collections.abc import Mapping

from msgspec import Struct

from daemon.errors import Transient
from daemon.valkey.topology import is_primary

_NONE = "0" * 40


class History(Struct, frozen=True):
    """Which run of which server wrote which history, when a node was chosen."""

    run_id: str
    primary: bool
    replication_id: str
    backlog: bool


def history(info: Mapping[str, str]) -> History:
    """What the node says of it now."""
    return History(
        run_id=info.get("run_id", ""),
        primary=is_primary(info),
        replication_id=info.get("master_replid", ""),
        backlog=info.get("repl_backlog_active") == "1",
    )


def difference(before: History, info: Mapping[str, str]) -> str | None:
    """What has changed since then, in words; None when nothing has.

    A primary whom nobody followed takes a new id when it gets its first replica, which we are
    perhaps. It remembers no former id then, as one does that has followed somebody. [tried]
    """
    now = history(info)
    if now.run_id != before.run_id:
        return "was restarted, or is another server now"
    if now.primary != before.primary:
        return "was promoted" if now.primary else "has become a replica"
    if now.replication_id == before.replication_id:
        return None
    former = info.get("master_replid2", _NONE)
    if before.primary and not before.backlog and former == _NONE:
        return None
    return f"changed its replication id from {before.replication_id} to {now.replication_id}"


def unlike(before: History, replication_id: str) -> str | None:
    """What is wrong with the id that a synchronisation is answered with; see `difference`."""
    if replication_id == before.replication_id or (before.primary and not before.backlog):
        return None
    return f"changed its replication id from {before.replication_id} to {replication_id}"


def failed_over(where: str, *, what: str) -> Transient:
    """The roles changed while a snapshot was taken."""
    return Transient(
        "failed-over",
        f"{where} {what} while its snapshot was taken",
        "a fail-over, it seems: the next attempt looks anew for the node to take it from",
    )
