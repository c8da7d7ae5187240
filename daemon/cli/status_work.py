"""What runs and what waits, as `valkeep status` tells it. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from daemon.answers import BackupView, ProgressView, RestoreView, Status
from daemon.answers.exports import ExportView
from daemon.answers.standing import WorkView
from daemon.cli.export_page import running_line
from daemon.cli.follow import Standing, told
from daemon.cli.wide import wrapped
from daemon.cli.words import duration, plural

MOST_WAITING = 4
"""So many of each kind that only wait are shown, the rest is counted."""


class Job(Struct, frozen=True):
    """One piece of work: its kind, what it is, and how far."""

    kind: str
    what: str
    state: str
    moving: bool = False


def work_lines(found: Status, width: int, *, everything: bool = False) -> Iterator[str]:
    """A line for each, those that run first; of those that wait the first few of each kind."""
    jobs = list(_jobs(found))
    shown: Counter[str] = Counter()
    for job in sorted(jobs, key=lambda job: not job.moving):
        shown[job.kind] += not job.moving
        if job.moving or everything or shown[job.kind] <= MOST_WAITING:
            yield from _lines(job, width)
    for kind, count in shown.items():
        if count > MOST_WAITING and not everything:
            left = count - MOST_WAITING
            yield f"and {plural(left, f'more {kind} waits', f'more {_many(kind)} wait')}"


def _many(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _lines(job: Job, width: int) -> Iterator[str]:
    """On one line where it fits, else what it is above how far it is."""
    line = f"{job.what}: {job.state}"
    if len(line) <= width:
        yield line
    elif job.moving:
        yield f"{job.what}:"
        yield from _figures(job.state, width)
    else:
        yield f"{job.what}:"
        yield from wrapped(job.state, width, first="    ", rest="    ")


def _figures(state: str, width: int) -> Iterator[str]:
    """A bar and its figures, which stand two spaces apart; broken only between them."""
    line = " "
    for figure in state.split("  "):
        if line.strip() and len(line) + 2 + len(figure) > width:
            yield line
            line = "     "
        line = f"{line} {figure}" if not line.strip() else f"{line}  {figure}"
    yield line


def _jobs(found: Status) -> Iterator[Job]:
    now = found.now
    for backup in found.backups:
        kind = "import" if backup.imported_from else "backup"
        what = f"{kind} {backup.cache}/{backup.name}"
        yield _job(Job(kind, what, _backup(found, backup)), backup.progress, now)
    for restore in found.restores:
        yield _restore(found, restore)
    for export in found.exports:
        yield _job(Job("export", running_line(export), _export(export)), export.progress, now)
    for work in found.work:
        kind = "deletion" if work.kind == "copy-deletion" else work.kind
        yield _job(Job(kind, work.what, _other(found, work)), work.progress, now)


def _job(job: Job, progress: ProgressView | None, now: datetime) -> Job:
    """With its progress, where somebody works on it."""
    standing = Standing(ended=False, label=job.state, progress=progress, now=now)
    return Job(job.kind, job.what, told(standing), progress is not None)


def _backup(found: Status, view: BackupView) -> str:
    waits = f"waiting: {view.waits_for}" if view.waits_for else view.phase
    if view.phase == "waiting" and view.retry_at is not None and view.retry_at > found.now:
        waits = f"tried again {_ahead(found, view)}"
    if view.phase == "waiting" and view.failure is not None:
        return f"{waits}; attempt {view.attempts} failed: {view.failure.message}"
    return waits


def _ahead(found: Status, view: BackupView | WorkView) -> str:
    seconds = (view.retry_at - found.now).total_seconds() if view.retry_at else 0.0
    return f"in {duration(seconds)}"


def _restore(found: Status, view: RestoreView) -> Job:
    what = f"restore of {view.backup_cache}/{view.backup_name or view.backup_id} into {view.target}"
    label, progress = str(view.phase), view.progress
    if view.safety is not None and view.safety.phase == "running":
        what, progress = f"{what}, safety backup first", view.safety.progress
    elif view.phase == "undoing" and view.failure is not None:
        label = f"is being undone, it had failed: {view.failure.message}"
    return _job(Job("restore", what, label), progress, found.now)


def _export(view: ExportView) -> str:
    return "a client reads" if view.kind == "client" else "waiting"


def _other(found: Status, view: WorkView) -> str:
    if view.retry_at is not None:
        waits = f"tried again {_ahead(found, view)}"
    else:
        waits = f"waiting: {view.waits_for}" if view.waits_for else "waiting for its turn"
    return f"{waits}; the last try failed: {view.failure.message}" if view.failure else waits
