"""Waiting for work that the daemon does, and for bytes that we move ourselves.

The daemon holds each question back until the work has ended or a short while is over, so
nothing here sleeps, and all times of its work are the daemon's. What is shown is `sign`'s.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from daemon.answers import BackupDetail, ExportDetail, ProgressView, RestoreDetail
from daemon.answers.comparison import ComparisonDetail
from daemon.cli.desk import Desk, Interrupted
from daemon.cli.rejoin import Gone, Rejoin
from daemon.cli.sign import BAR_STEP_SECONDS, Sign, Standing, sign, told
from daemon.cli.words import elapsed
from daemon.client import path_of
from daemon.errors import Failed, NotFound, Unreachable

__all__ = ["Standing", "Stay", "told"]

SAFETY = "safety backup"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class Stay(Struct, frozen=True):
    """How long somebody waits, for what, and the command that shows how far it is."""

    what: str
    see: str
    timeout_seconds: float | None = None
    left_seconds: float | None = None
    """What is left of the time-out, where several things are waited for; else all of it."""

    @property
    def patience(self) -> float | None:
        """How long this one may still be waited for."""
        return self.timeout_seconds if self.left_seconds is None else self.left_seconds

    def over(self) -> Failed:
        """Said when the time is over."""
        waited = elapsed(self.timeout_seconds or 0.0)
        told = f"{self.what} has not ended within {waited}; it goes on in the daemon."
        return Failed("wait-timeout", told, f"`{self.see}` shows how far it is.")

    def interrupted(self, *, away: bool) -> Interrupted:
        """Said after Ctrl-C; while the daemon is away nothing goes on."""
        when = "goes on when a daemon runs again" if away else "goes on in the daemon"
        return Interrupted(f"{self.what} {when}. See: {self.see}")

    def alone(self, why: str) -> Unreachable:
        """Said when the daemon has gone while it was waited for."""
        told = f"{self.what} was waited for; {why}"
        hint = (
            "What was asked for is in the log: it goes on, or is recorded as interrupted, when a "
            f"daemon runs again. `{self.see}` shows it then."
        )
        return Unreachable("gone", told, hint)


def backup(desk: Desk, backup_id: str, stay: Stay) -> tuple[BackupDetail, bytes]:
    """Wait for a backup's end."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait)

    return _until_ended(desk, asked, of_backup, stay)


def copy(desk: Desk, backup_id: str, stay: Stay) -> tuple[BackupDetail, bytes]:
    """Wait until the copy of a backup that was asked for last is made, or a try has failed."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait, copies=True)

    return _until_ended(desk, asked, _of_copy, stay)


def deletion(desk: Desk, backup_id: str, stay: Stay) -> None:
    """Wait until nothing of a backup is left in its vaults."""

    def asked(wait: float) -> tuple[BackupDetail | None, bytes]:
        try:
            return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait, gone=True)
        except NotFound:
            return None, b""

    _until_ended(desk, asked, _of_deletion, stay)


def deletions(desk: Desk, backup_ids: Sequence[str], stay: Stay) -> None:
    """Wait until nothing of all these is left; the time-out is that of the whole."""
    began = desk.seconds()
    for backup_id in backup_ids:
        timeout = stay.timeout_seconds
        left = None if timeout is None else max(0.0, timeout - (desk.seconds() - began))
        deletion(desk, backup_id, replace(stay, left_seconds=left))


def _of_deletion(detail: BackupDetail | None) -> Standing:
    if detail is None:
        return Standing(ended=True, label="gone", progress=None, now=_EPOCH)
    view = detail.backup
    label = f"deleting {view.cache}/{view.name}"
    if view.waits_for:
        label = f"{label}: waiting, {view.waits_for}"
    return Standing(view.phase != "deleting", label, None, detail.now)


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

    return _until_ended(desk, asked, _of_restore, stay)


def verification(
    desk: Desk, backup_id: str, stay: Stay, vault: str | None = None
) -> tuple[BackupDetail, bytes]:
    """Wait for the end of a backup's verification, or of that of its copy in a vault."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("proofs", backup_id), wait=wait, vault=vault)

    return _until_ended(desk, asked, partial(_of_proof, vault=vault), stay)


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

    return _until_ended(desk, asked, _of_comparison, stay)


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

    return _until_ended(desk, asked, of_export, stay)


def of_export(detail: ExportDetail) -> Standing:
    """What is shown of an export; one that nobody works on yet waits for another."""
    view = detail.export
    return Standing(view.phase != "requested", "waiting", view.progress, detail.now)


@contextmanager
def moving(desk: Desk) -> Iterator[Callable[[ProgressView], None]]:
    """A sign for bytes that we move ourselves: call it with how far they are."""
    shown_on, phase, began, shown_at = screen_of(desk), "", desk.seconds(), 0.0

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


def screen_of(desk: Desk) -> Sign:
    """Where it is told how far work is: see `sign`."""
    return sign(terminal=desk.environment.get("TERM", ""), as_json=desk.as_json)


def _until_ended(
    desk: Desk,
    asked: Callable[[float], tuple[T, bytes]],
    standing_of: Callable[[T], Standing],
    stay: Stay,
) -> tuple[T, bytes]:
    shown_on = screen_of(desk)
    rejoin = Rejoin(desk, shown_on)
    try:
        found, raw = rejoin.ask(asked, 0, stay.patience)
        first = standing_of(found).now
        while not (standing := standing_of(found)).ended:
            shown_on.show(standing)
            left = _left(stay, waited_seconds=(standing.now - first).total_seconds())
            hold = shown_on.step if left is None else min(shown_on.step, max(0.05, left))
            found, raw = rejoin.ask(asked, hold, left)
    except KeyboardInterrupt:
        raise stay.interrupted(away=rejoin.away) from None
    except Gone as gone:
        raise stay.alone(gone.message) from None
    finally:
        shown_on.clear()
    return found, raw


def _left(stay: Stay, *, waited_seconds: float) -> float | None:
    """How long it may still be waited, if there is an end; raises `Failed` when that is over."""
    if stay.patience is None:
        return None
    left = stay.patience - waited_seconds
    if left <= 0:
        raise stay.over()
    return left
