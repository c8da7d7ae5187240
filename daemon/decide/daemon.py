"""Deciding on the daemon's own start and end: what was cut off is settled first (A6, R7)."""

from datetime import timedelta

from daemon.commands import StartDaemon, StopDaemon
from daemon.decide import copy_proofs
from daemon.decide.attempts import Cut, failed
from daemon.decide.comparisons import cut_off as comparisons_cut_off
from daemon.decide.copies import interrupted
from daemon.decide.decision import Context, Decision
from daemon.decide.exports import cut_off as exports_cut_off
from daemon.decide.hooks import cut_off as hooks_cut_off
from daemon.decide.imports import why_not_again
from daemon.decide.restores import stopped
from daemon.decide.verifications import cut_off
from daemon.errors import Rejected
from events.facts import Failure
from events.types import DaemonStarted, DaemonStopped, Event
from projections import catalog
from projections.catalog import Backup
from projections.state import State

QUIET = timedelta(minutes=1)
"""A restart loop does not grow the log: no second `DaemonStarted` within this time."""

CUT_OFF = Failure(
    code="interrupted",
    message="The daemon ended while this was running.",
    hint="See the daemon's own log for why it ended.",
)


def decide(state: State, command: StartDaemon | StopDaemon, context: Context) -> Decision:
    """The events of the daemon's coming and going."""
    match command:
        case StartDaemon():
            return Decision((*_started(state, command, context), *_cut_off(state, context)))
        case StopDaemon():
            return Decision((DaemonStopped(reason=command.reason),) if state.up else ())


def _started(state: State, command: StartDaemon, context: Context) -> tuple[Event, ...]:
    if state.installation not in (None, command.installation):
        raise Rejected(
            "other-installation",
            f"The log belongs to installation {state.installation}, not {command.installation}.",
            "Give each daemon a data_dir of its own.",
        )
    last = state.started_at
    if last is not None and timedelta(0) <= context.now - last < QUIET:
        return ()
    return (DaemonStarted(installation=command.installation, version=command.version),)


def _cut_off(state: State, context: Context) -> tuple[Event, ...]:
    events: list[Event] = [*hooks_cut_off(state)]
    for backup_id, cache in sorted(state.open_backups.items()):
        backup = catalog.get(state.catalog, cache, backup_id)
        if backup is None:
            continue
        if _was_under_way(backup):
            events += failed(state, backup, Cut(CUT_OFF, by_daemon=True), context)
        events += interrupted(backup, CUT_OFF, context)
        events += copy_proofs.interrupted(backup, CUT_OFF, context.now)
    for _, restore_id in sorted(state.active.items()):
        restore = state.restores[restore_id]
        if restore.phase != "undoing":
            events.append(stopped(restore, CUT_OFF))
    events += exports_cut_off(state, CUT_OFF)
    events += comparisons_cut_off(state, CUT_OFF)
    return (*events, *cut_off(state, CUT_OFF, context.now))


def _was_under_way(backup: Backup) -> bool:
    """A safety backup that only waited is over too: its restore will not go on (R7).

    And an import that a client was to send: the connection is gone.
    """
    needs_us = backup.kind == "safety" or why_not_again(backup) is not None
    return backup.phase == "running" or (backup.phase == "waiting" and needs_us)
