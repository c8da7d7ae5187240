"""Waiting for work that the daemon does, and for bytes that we move ourselves.

The daemon holds each question back until the work has ended or a short while is over, so
nothing here sleeps, and all times of its work are the daemon's. What is shown is `sign`'s.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from daemon.answers import BackupDetail, ExportDetail, ProgressView, RestoreDetail
from daemon.answers.comparison import ComparisonDetail
from daemon.cli.desk import Desk, Interrupted
from daemon.cli.sign import BAR_STEP_SECONDS, Sign, Standing, sign, told
from daemon.cli.words import elapsed
from daemon.client import STRANGER, path_of
from daemon.errors import Failed, Forbidden, Unreachable

__all__ = ["Standing", "Stay", "told"]

SAFETY = "safety backup"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class Stay(Struct, frozen=True):
    """How long somebody waits, for what, and the command that shows how far it is."""

    what: str
    see: str
    timeout_seconds: float | None = None

    def over(self) -> Failed:
        """Said when the time is over."""
        waited = elapsed(self.timeout_seconds or 0.0)
        told = f"{self.what} has not ended within {waited}; it goes on in the daemon."
        return Failed("wait-timeout", told, f"`{self.see}` shows how far it is.")

    def interrupted(self) -> Interrupted:
        """Said after Ctrl-C."""
        return Interrupted(f"{self.what} goes on in the daemon. See: {self.see}")

    def alone(self, why: str) -> Unreachable:
        """Said when the daemon has gone while it was waited for."""
        told = f"{self.what} was waited for, and then: {why}"
        hint = f"When a daemon answers again `{self.see}` shows what became of it."
        return Unreachable("gone", told, hint)


def backup(desk: Desk, backup_id: str, stay: Stay) -> tuple[BackupDetail, bytes]:
    """Wait for a backup's end."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait)

    return _until_ended(asked, of_backup, _sign(desk), stay)


def copy(desk: Desk, backup_id: str, stay: Stay) -> tuple[BackupDetail, bytes]:
    """Wait until the copy of a backup that was asked for last is made, or a try has failed."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait, copies=True)

    return _until_ended(asked, _of_copy, _sign(desk), stay)


def _of_copy(detail: BackupDetail) -> Standing:
    last = next(reversed(detail.backup.copies), None)
    if last is None:
        return Standing(ended=True, label="gone", progress=None, now=detail.now)
    ended = last.phase not in ("waiting", "running")
    return Standing(ended, last.phase, last.progress, detail.now)


def restore(desk: Desk, restore_id: str, stay: Stay) -> tuple[RestoreDetail, bytes]:
    """Wait for a restore's end, its undoing included."""

    def asked(wait: float) -> tuple[RestoreDetail, bytes]:
        return desk.ask(RestoreDetail, path_of("restores", restore_id), wait=wait)

    return _until_ended(asked, _of_restore, _sign(desk), stay)


def verification(
    desk: Desk, backup_id: str, stay: Stay, vault: str | None = None
) -> tuple[BackupDetail, bytes]:
    """Wait for the end of a backup's verification, or of that of its copy in a vault."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("proofs", backup_id), wait=wait, vault=vault)

    return _until_ended(asked, partial(_of_proof, vault=vault), _sign(desk), stay)


def _of_proof(detail: BackupDetail, vault: str | None) -> Standing:
    copy = next((one for one in detail.backup.copies if one.vault == vault), None)
    proof, progress = (copy or detail.backup).proof, (copy or detail.backup).progress
    label = "verifying"
    under_way = proof.under_way if proof else None
    if under_way is not None and under_way.failure is not None and not under_way.running:
        label = f"try {under_way.tries} failed: {under_way.failure.message}"
    elif under_way is not None and under_way.waits_for:
        label = f"waiting: {under_way.waits_for}"
    return Standing(under_way is None, label, progress, detail.now)


def comparison(desk: Desk, comparison_id: str, stay: Stay) -> tuple[ComparisonDetail, bytes]:
    """Wait for a comparison's end."""

    def asked(wait: float) -> tuple[ComparisonDetail, bytes]:
        return desk.ask(ComparisonDetail, path_of("comparisons", comparison_id), wait=wait)

    return _until_ended(asked, _of_comparison, _sign(desk), stay)


def _of_comparison(detail: ComparisonDetail) -> Standing:
    view = detail.comparison
    ended = view.phase != "requested"
    return Standing(ended, "waiting for its turn", view.progress, detail.now)


def of_backup(detail: BackupDetail) -> Standing:
    """What is shown of a backup; one that waits for a retry with its last failure."""
    view = detail.backup
    label = view.phase if view.waits_for is None else f"waiting: {view.waits_for}"
    if view.phase == "waiting" and view.failure is not None:
        label = f"attempt {view.attempts} failed: {view.failure.message} ({label})"
    return Standing(view.phase not in ("waiting", "running"), label, view.progress, detail.now)


def _of_restore(detail: RestoreDetail) -> Standing:
    view = detail.restore
    progress, label = view.progress, str(view.phase)
    if view.safety is not None and view.safety.phase == "running":
        progress, label = view.safety.progress, SAFETY
        if progress is not None:
            progress = replace(progress, phase=f"{SAFETY}: {progress.phase}")
    return Standing(view.phase in ("completed", "failed"), label, progress, detail.now)


def export(desk: Desk, export_id: str, stay: Stay) -> tuple[ExportDetail, bytes]:
    """Wait for an export's end."""

    def asked(wait: float) -> tuple[ExportDetail, bytes]:
        return desk.ask(ExportDetail, path_of("exports", export_id), wait=wait)

    return _until_ended(asked, of_export, _sign(desk), stay)


def of_export(detail: ExportDetail) -> Standing:
    """What is shown of an export; one that nobody works on yet waits for another."""
    view = detail.export
    return Standing(view.phase != "requested", "waiting", view.progress, detail.now)


@contextmanager
def moving(desk: Desk) -> Iterator[Callable[[ProgressView], None]]:
    """A sign for bytes that we move ourselves: call it with how far they are."""
    shown_on, phase, began, shown_at = _sign(desk), "", desk.seconds(), 0.0

    def show(progress: ProgressView) -> None:
        nonlocal phase, began, shown_at
        now = desk.seconds()
        if progress.phase != phase:
            phase, began, shown_at = progress.phase, now, 0.0
        if now - shown_at < BAR_STEP_SECONDS:
            return
        shown_at = now
        ours = replace(progress, phase_seconds=now - began)
        shown_on.show(Standing(False, phase, ours, _EPOCH + timedelta(seconds=now)))  # noqa: FBT003

    try:
        yield show
    finally:
        shown_on.clear()


def _sign(desk: Desk) -> Sign:
    return sign(terminal=desk.environment.get("TERM", ""), as_json=desk.as_json)


def _until_ended(
    asked: Callable[[float], tuple[T, bytes]],
    standing_of: Callable[[T], Standing],
    shown_on: Sign,
    stay: Stay,
) -> tuple[T, bytes]:
    known = False
    try:
        found, raw = asked(0)
        known = True
        first = standing_of(found).now
        while not (standing := standing_of(found)).ended:
            shown_on.show(standing)
            waited = (standing.now - first).total_seconds()
            found, raw = asked(_step(shown_on.step, stay, waited_seconds=waited))
    except KeyboardInterrupt:
        raise stay.interrupted() from None
    except Unreachable as error:
        raise stay.alone(error.message) from None
    except Forbidden as error:
        # One that dies with a question unread closes the line, as it does before strangers.
        if not known or error.code != STRANGER:
            raise
        raise stay.alone("The daemon has gone.") from None
    finally:
        shown_on.clear()
    return found, raw


def _step(usual: float, stay: Stay, *, waited_seconds: float) -> float:
    """How long the next question may be held back; raises `Failed` when the time is over."""
    if stay.timeout_seconds is None:
        return usual
    left = stay.timeout_seconds - waited_seconds
    if left <= 0:
        raise stay.over()
    return min(usual, max(0.05, left))
