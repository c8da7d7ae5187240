"""A restore into a new server in text: its plan before, what there is after. Pure."""

import shlex
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from daemon.answers import BackupDetail
from daemon.cli.new.conf import recorded
from daemon.cli.new.site import Start
from daemon.cli.new.wish import CONF, RDB, NewServer
from daemon.cli.restore_page import finding_lines
from daemon.cli.table import facts
from daemon.cli.words import elapsed, instant, size
from events.facts import Finding, ServerFacts

NO_AOF = (
    "saved in dump.rdb, which the server reads when it starts; it saves again as its save points "
    "say"
)
NOTHING_SAVED = (
    "in dump.rdb, which the server reads when it starts; it saves nothing by itself, as the "
    "backup's server did: what is written from now on is in memory only"
)
WITH_AOF = "in an append-only file, whose first writing has ended"


class NewServerPlan(Struct, frozen=True, omit_defaults=True):
    """What would be made; `blockers` are the codes that no ``--force`` lifts."""

    backup_id: str
    backup: str
    directory: str
    port: int
    bind: str
    local: bool
    command: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    databases: int
    append_only: bool
    memory_bytes: int
    plain_bytes: int
    engine: str | None = None
    free_memory_bytes: int | None = None
    free_disk_bytes: int | None = None
    findings: tuple[Finding, ...] = ()
    blockers: tuple[str, ...] = ()
    memory_estimated: bool = False
    acl_users: tuple[str, ...] = ()


class NewServerMade(Struct, frozen=True, omit_defaults=True):
    """What was made: a server that serves the backup's data."""

    backup_id: str
    backup: str
    directory: str
    port: int
    pid: int
    url: str
    engine: str
    keys: dict[int, int]
    seconds: float
    durability: str
    expired: int = 0
    evicted: int = 0
    acl_users: tuple[str, ...] = ()
    cache: str | None = None
    warnings: tuple[str, ...] = ()


def plan_lines(
    plan: NewServerPlan, detail: BackupDetail, forced: Collection[str], width: int
) -> Iterator[str]:
    """What will be made, in the order in which a person decides."""
    view = detail.backup
    yield f"Plan: restore {plan.backup} into a new server in {plan.directory}"
    aof = "yes: it starts without, loads, and then writes its own" if plan.append_only else "no"
    pairs = [
        ("backup", f"taken {instant(view.taken_at)}, {size(plan.plain_bytes)}"),
        ("listens", f"on {plan.bind} port {plan.port}, {plan.databases} databases"),
        ("engine", plan.engine or "what the start command runs"),
        ("started by", shlex.join(plan.command)),
        ("memory", _memory(plan)),
        ("disk", _disk(plan)),
        ("append-only", aof),
        ("settings", _settings(plan.settings)),
        ("password", f"none: {no_password(local=plan.local)}"),
    ]
    yield from facts(pairs, indent="  ", width=width)
    for finding in plan.findings:
        yield from finding_lines(finding, forced, width)
    yield from _absent(plan.acl_users)


def made_lines(made: NewServerMade, wanted: NewServer, start: Start) -> list[tuple[str, str]]:
    """What there is now, and how to go on, as names and values."""
    keys = ", ".join(f"db{number}: {count:,}" for number, count in sorted(made.keys.items()))
    reach = f"{start.client} -h {wanted.address} -p {made.port}"
    return [
        ("listens", f"on {wanted.bind} port {made.port}, process {made.pid}, {made.engine}"),
        ("keys", keys or "none"),
        ("expired", f"{made.expired:,} since the backup" if made.expired else ""),
        ("evicted", f"{made.evicted:,} KEYS EVICTED" if made.evicted else ""),
        ("data", made.durability),
        ("took", elapsed(made.seconds)),
        ("connect", reach),
        ("stop", f"{reach} SHUTDOWN"),
        ("start again", shlex.join(start.words)),
        ("settings in", str(wanted.place(CONF))),
        ("password", f"none: {no_password(local=wanted.local)}"),
    ]


def absent_lines(acl_users: Collection[str]) -> Iterator[str]:
    """What a backup does not hold."""
    yield from _absent(acl_users)


def no_password(*, local: bool) -> str:
    """What the missing password means, and how to set one."""
    who = "whoever is on this host may use it" if local else "it answers this host alone until then"
    return f"{who}; set requirepass in {CONF} and by CONFIG SET"


def _absent(acl_users: Collection[str]) -> Iterator[str]:
    yield f"  {RDB} holds data and functions: no passwords, ACL users or configuration."
    if acl_users:
        yield f"  ACL users of the backup's server, to be made anew: {', '.join(acl_users)}"


def _settings(settings: Sequence[tuple[str, str]]) -> str:
    """The ones that people know by heart; the rest is in the file."""
    told = [f"{name}={value or '(none)'}" for name, value in settings if not _is_layout(name)]
    more = len(settings) - len(told)
    return " ".join(told) + (f", and {more} on how values are laid out" if more else "")


def _is_layout(name: str) -> bool:
    return name.startswith(("hash-", "list-", "set-", "zset-", "stream-"))


def _memory(plan: NewServerPlan) -> str:
    needed = f"{'about ' if plan.memory_estimated else ''}{size(plan.memory_bytes)} needed"
    free = plan.free_memory_bytes
    return needed if free is None else f"{needed}, {size(free)} free"


def _disk(plan: NewServerPlan) -> str:
    needed = f"{size(plan.plain_bytes)} needed"
    if plan.append_only:
        needed += ", and as much again for the append-only file"
    return (
        needed if plan.free_disk_bytes is None else f"{needed}; {size(plan.free_disk_bytes)} free"
    )


def durability(server: ServerFacts | None, *, append_only: bool) -> str:
    """How durable the new server's data is, as a sentence."""
    if append_only:
        return WITH_AOF
    saves = [value for name, value in recorded(server) if name == "save"]
    return NOTHING_SAVED if saves == [""] else NO_AOF
