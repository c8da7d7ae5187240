"""`valkeep backup show`: one backup on one page, and how to open it without Valkeep."""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import click

from daemon.answers import BackupDetail, BackupView, CopyView
from daemon.cli.desk import Desk, json_option
from daemon.cli.export_page import export_lines
from daemon.cli.follow import Standing, told
from daemon.cli.hook_page import run_lines
from daemon.cli.keys_page import show_keys
from daemon.cli.receipt_page import of_copy, pairs
from daemon.cli.restore_page import undo_command
from daemon.cli.table import facts
from daemon.cli.words import elapsed, instant, number, plural, size
from daemon.client import path_of
from events.facts import SnapshotFacts, StoredFacts


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option("--keys", is_flag=True, help="What its keys take: types, TTLs, prefixes, largest.")
@json_option
@click.pass_obj
def show(desk: Desk, reference: str, *, keys: bool) -> None:
    """Show all that is known of BACKUP: an id, the beginning of one, or CACHE/NAME.

    With --keys what its keys take, as a private engine has counted them when it was verified;
    the names of keys and prefixes are for the role admin.
    """
    if keys:
        show_keys(desk, reference)
        return
    detail, raw = desk.ask(BackupDetail, path_of("backups", reference))
    desk.show(raw, page(detail, desk.width))


def page(detail: BackupDetail, width: int) -> Iterator[str]:
    """The lines of the page."""
    view = detail.backup
    yield f"{view.cache}/{view.name}"
    yield from facts(_about(detail), indent="  ", width=width)
    if view.failure is not None:
        yield f"  failed: {view.failure.message}"
        yield f"    hint: {view.failure.hint}"
    if detail.snapshot is not None:
        yield "source"
        yield from facts(_source(detail.snapshot), indent="  ", width=width)
    if detail.stored is not None:
        yield "stored"
        yield from facts(_stored(detail.stored), indent="  ", width=width)
        yield "to restore it"
        yield from facts(_capacity(view), indent="  ", width=width)
    if view.copies:
        yield "copies"
        for copy in view.copies:
            told = "; ".join((_copy(detail, copy), *of_copy(copy)))
            yield from facts([(copy.vault, told)], indent="  ", width=width)
    yield from export_lines(detail.exports, width)
    yield from run_lines(detail.hooks, width)
    if detail.stored is not None:
        yield "proof"
        yield from facts(list(pairs(view)), indent="  ", width=width)
    if detail.objects:
        yield from _opening(detail)


def _about(detail: BackupDetail) -> list[tuple[str, str]]:
    view = detail.backup
    progress = view.progress
    state = told(Standing(False, view.phase, progress, detail.now)) if progress else view.phase  # noqa: FBT003
    return [
        ("id", view.backup_id),
        ("kind", view.kind),
        ("state", f"{state}, being read" if view.being_read else state),
        ("SUSPECT" if view.suspect else "suspicion", _suspicion(view)),
        ("serves", _occurrence(view)),
        ("waits for", view.waits_for or ""),
        ("deferred", view.deferred or ""),
        ("retry at", instant(view.retry_at)),
        ("no start after", instant(view.start_before) if view.phase == "waiting" else ""),
        ("asked for", f"{instant(view.requested_at)} by {view.requested_by}"),
        ("completed", instant(view.completed_at)),
        ("attempts", str(view.attempts)),
        ("made of", view.imported_from or ""),
        ("made for", f"restore {view.restore_id}" if view.restore_id else ""),
        ("to go back", undo_command(detail.undo)),
        (_ENDED.get(view.phase, "given up"), view.abandoned or ""),
    ]


_ENDED = {"skipped": "skipped", "cancelled": "cancelled"}


def _copy(detail: BackupDetail, copy: CopyView) -> str:
    """How one copy stands."""
    match copy.phase:
        case "failed" if copy.failure is not None:
            tries, again = plural(copy.attempts, "try", "tries"), instant(copy.retry_at)
            why = copy.failure.message.rstrip(".")
            return f"failed after {tries}: {why}; tried again at {again}. {copy.failure.hint}"
        case "complete" if copy.progress is None:
            return f"complete since {instant(copy.completed_at)}"
        case _ if copy.progress is not None:
            return told(Standing(False, copy.phase, copy.progress, detail.now))  # noqa: FBT003
        case _:
            return f"{copy.phase}, asked for at {instant(copy.requested_at)}"


def _suspicion(view: BackupView) -> str:
    if view.suspicion is None:
        return ""
    if view.acknowledged_at is not None:
        return f"acknowledged at {instant(view.acknowledged_at)}: {view.suspicion.reason}"
    return f"{view.suspicion.reason}; it does not count as good until `valkeep backup ack`"


def _occurrence(view: BackupView) -> str:
    """The window that it was made for: a local start, and its two ends in UTC."""
    of = view.occurrence
    if of is None:
        return ""
    return f"window {of.start} of {of.day} ({instant(of.opens_at)} to {instant(of.closes_at)})"


def _source(snapshot: SnapshotFacts) -> list[tuple[str, str]]:
    server = snapshot.server
    keys = ", ".join(f"db{db}: {count:,}" for db, count in sorted(server.keys.items()))
    fork = "" if snapshot.fork_seconds is None else elapsed(snapshot.fork_seconds)
    copied = snapshot.copy_on_write_bytes
    settings = " ".join(f"{name}={value}" for name, value in sorted(server.settings.items()))
    return [
        ("engine", f"{server.engine} {server.version}, RDB version {snapshot.rdb_version}"),
        ("node", _node(snapshot)),
        ("run id", server.run_id),
        ("taken", f"{instant(snapshot.taken_at)} by {snapshot.source}: {snapshot.reason}"),
        ("note", "; ".join(snapshot.imported.notes) if snapshot.imported else ""),
        (
            "replication",
            f"{server.replication_id} at offset {server.replication_offset:,}"
            if server.replication_id
            else "",
        ),
        ("keys (INFO)", keys),
        ("memory", f"{size(server.used_memory_bytes)} used, {_limit(server.maxmemory_bytes)}"),
        ("fork", f"{fork}, {size(copied)} copied on write" if fork or copied else ""),
        ("modules", ", ".join(server.modules)),
        ("functions", ", ".join(server.functions)),
        ("ACL users", f"{', '.join(server.acl_users)} (names only)" if server.acl_users else ""),
        ("settings", settings),
        ("not told", ", ".join(server.unknown)),
    ]


def _node(snapshot: SnapshotFacts) -> str:
    server, node = snapshot.server, snapshot.node
    if snapshot.imported is not None:
        return ""
    if node is None:
        return f"{server.role} with {plural(server.replicas, 'replica')}"
    return f"the {node.role} {node.address}: {node.reason}"


def _limit(maxmemory_bytes: int) -> str:
    return f"maxmemory {size(maxmemory_bytes)}" if maxmemory_bytes else "no maxmemory"


def _stored(stored: StoredFacts) -> list[tuple[str, str]]:
    totals = stored.totals
    blocks = plural(stored.blocks, "block")
    ratio = stored.plain_bytes / stored.stored_bytes if stored.stored_bytes else 0.0
    return [
        ("plain", f"{size(stored.plain_bytes)} ({number(stored.plain_bytes)} bytes)"),
        ("stored", f"{size(stored.stored_bytes)} in {blocks}, {ratio:.1f} to 1"),
        ("sha256", f"{stored.sha256} of the plain RDB"),
        ("manifest", f"{stored.manifest_sha256} is its SHA-256"),
        ("checked", _checked(stored)),
        ("databases", f"up to {totals.highest_database}" if totals else ""),
        ("opens to", "" if stored.recipients else "everybody: it is not encrypted"),
        *(("opens to", recipient) for recipient in stored.recipients),
    ]


def _capacity(view: BackupView) -> list[tuple[str, str]]:
    """What a target must have: the memory by load mode, and the disk."""
    guess = ", guessed from the size of the RDB" if view.memory_estimated else ""
    beside = "a target that loads beside its old data (swapdb) needs it on top of what it holds"
    first = "on a target that takes the RDB to its disk first (disabled), or for a new server"
    return [
        ("memory", f"{size(view.memory_bytes)} for the data{guess}; {beside}"),
        ("disk", f"{size(view.plain_bytes)} {first}; as much again where it writes an AOF"),
    ]


def _checked(stored: StoredFacts) -> str:
    totals = stored.totals
    if totals is None:
        return f"hashes only: {stored.unread or 'no engine could read it'}"
    return f"{totals.keys:,} keys, {totals.expires:,} with expiry, read by {totals.by}"


def _opening(detail: BackupDetail) -> Iterator[str]:
    yield "to open it without Valkeep"
    for place in detail.objects:
        yield f"  {_command(place)}"
    yield "An RDB holds data and functions. It holds neither ACL users nor configuration:"
    yield "keep users.acl and the engine's configuration file somewhere of their own."


def _command(place: str) -> str:
    parts = urlsplit(place)
    name = parts.path.rsplit("/", 1)[-1].removesuffix(".age").removesuffix(".zst")
    tools = ["age -d -i IDENTITY_FILE", "zstd -d"] if place.endswith(".age") else ["zstd -d"]
    if parts.scheme == "file":
        tools[0] += f" < {unquote(parts.path)}"
    else:
        tools.insert(0, f"aws s3 cp {place} -")
    return f"{' | '.join(tools)} > {name}"
