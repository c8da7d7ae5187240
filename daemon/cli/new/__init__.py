"""`valkeep restore --new`: a backup becomes a new server, with the rights of who calls (R1).

The bytes come over the socket, already checked; the command line writes them, starts the
engine, waits until it serves them, and takes everything away again where that fails.
"""

import anyio
import msgspec

from daemon.answers import BackupDetail, CacheDetail
from daemon.cli.blocked import refuse_blocked
from daemon.cli.desk import Desk
from daemon.cli.new import conf
from daemon.cli.new.deed import Order, made, registered
from daemon.cli.new.page import NewServerPlan, plan_lines
from daemon.cli.new.result import tell
from daemon.cli.new.site import Start, site_of, start_of
from daemon.cli.new.wish import NewServer
from daemon.client import path_of
from daemon.errors import NotFound, Rejected
from events.facts import StoredFacts
from projections.capacity import capacity
from projections.new_server import Site, databases, findings, writes_aof


def new_server(desk: Desk, wanted: NewServer) -> None:
    """Plan it, show that, make it, and tell what there is now."""
    order = _ordered(desk, wanted)
    lines = plan_lines(order.plan, order.detail, wanted.force, desk.width)
    if wanted.plan_only:
        desk.show(msgspec.json.encode(order.plan), lines)
    else:
        for line in lines:
            desk.note(line)
    refuse_blocked(order.plan.findings, order.plan.blockers)
    if wanted.plan_only:
        return
    served = made(desk, order)
    tell(desk, order, served, registered(desk, order))


def _ordered(desk: Desk, wanted: NewServer) -> Order:
    detail, _ = desk.ask(BackupDetail, path_of("backups", wanted.reference))
    stored, view = detail.stored, detail.backup
    if stored is None or view.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"Backup {view.cache}/{view.name} is not complete ({view.phase}).",
            f"See `valkeep backup show {view.backup_id}`.",
        )
    if wanted.register is not None:
        _name_is_free(desk, wanted.register)
    start = anyio.run(start_of, wanted, detail.snapshot, desk.environment)
    site = site_of(wanted, start.program)
    plan = _planned(wanted, detail, stored, start=start, site=site)
    return Order(wanted, detail, stored, start, plan)


def _planned(
    wanted: NewServer, detail: BackupDetail, stored: StoredFacts, *, start: Start, site: Site
) -> NewServerPlan:
    snapshot = detail.snapshot
    server = snapshot.server if snapshot else None
    needs = capacity(snapshot, stored)
    found = findings(snapshot, stored, site)
    return NewServerPlan(
        backup_id=detail.backup.backup_id,
        backup=f"{detail.backup.cache}/{detail.backup.name}",
        directory=str(wanted.directory),
        port=wanted.port,
        bind=wanted.bind,
        local=wanted.local,
        command=start.words,
        settings=tuple(conf.recorded(server)),
        databases=databases(snapshot, stored),
        append_only=writes_aof(server),
        memory_bytes=needs.memory_bytes,
        memory_estimated=needs.estimated,
        plain_bytes=stored.plain_bytes,
        engine=site.program.label if site.program else None,
        free_memory_bytes=site.memory_bytes,
        free_disk_bytes=site.disk_bytes,
        findings=found,
        blockers=tuple(
            finding.code
            for finding in found
            if finding.level == "blocker"
            and not (finding.forcible and finding.code in wanted.force)
        ),
        acl_users=conf.lost_users(server),
    )


def _name_is_free(desk: Desk, name: str) -> None:
    try:
        desk.ask(CacheDetail, path_of("caches", name))
    except NotFound:
        return
    raise Rejected(
        "cache-exists",
        f"There is a cache {name!r} already.",
        f"Choose another name for --register, or `valkeep cache set {name} --url …` afterwards.",
    )
