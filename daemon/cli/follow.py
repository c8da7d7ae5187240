"""Waiting for work that the daemon does: a bar on a terminal, plain lines elsewhere.

The daemon holds each question back until the work has ended or a short while is over, so
nothing here sleeps, and all times are the daemon's.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

import click
from msgspec import Struct

from daemon.answers import BackupDetail, ExportDetail, ProgressView, RestoreDetail
from daemon.answers.comparison import ComparisonDetail
from daemon.cli.desk import Desk, Interrupted
from daemon.cli.words import duration, size
from daemon.client import path_of
from daemon.errors import Failed

BAR_STEP_SECONDS = 0.5
LINE_STEP_SECONDS = 5.0
BAR_WIDTH = 20
_NEVER = datetime.max.replace(tzinfo=UTC)
"""What moves by itself has no clock of the daemon's, and no rate is shown."""

T = TypeVar("T")


class Standing(Struct, frozen=True):
    """What is shown of running work, and whether it has ended."""

    ended: bool
    label: str
    progress: ProgressView | None
    now: datetime


def backup(desk: Desk, backup_id: str, timeout_seconds: float | None) -> tuple[BackupDetail, bytes]:
    """Wait for a backup's end."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait)

    return _until_ended(asked, of_backup, _sign(desk), timeout_seconds)


def copy(desk: Desk, backup_id: str, timeout_seconds: float | None) -> tuple[BackupDetail, bytes]:
    """Wait until the copy of a backup that was asked for last is made, or a try has failed."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("backups", backup_id), wait=wait, copies=True)

    return _until_ended(asked, _of_copy, _sign(desk), timeout_seconds)


def _of_copy(detail: BackupDetail) -> Standing:
    last = next(reversed(detail.backup.copies), None)
    if last is None:
        return Standing(ended=True, label="gone", progress=None, now=detail.now)
    ended = last.phase not in ("waiting", "running")
    return Standing(ended, last.phase, last.progress, detail.now)


def restore(
    desk: Desk, restore_id: str, timeout_seconds: float | None
) -> tuple[RestoreDetail, bytes]:
    """Wait for a restore's end, its undoing included."""

    def asked(wait: float) -> tuple[RestoreDetail, bytes]:
        return desk.ask(RestoreDetail, path_of("restores", restore_id), wait=wait)

    return _until_ended(asked, _of_restore, _sign(desk), timeout_seconds)


def verification(
    desk: Desk, backup_id: str, timeout_seconds: float | None
) -> tuple[BackupDetail, bytes]:
    """Wait for the end of a backup's verification."""

    def asked(wait: float) -> tuple[BackupDetail, bytes]:
        return desk.ask(BackupDetail, path_of("proofs", backup_id), wait=wait)

    return _until_ended(asked, _of_proof, _sign(desk), timeout_seconds)


def _of_proof(detail: BackupDetail) -> Standing:
    proof, label = detail.backup.proof, "verifying"
    under_way = proof.under_way if proof else None
    if under_way is not None and under_way.failure is not None and not under_way.running:
        label = f"try {under_way.tries} failed: {under_way.failure.message}"
    elif under_way is not None and under_way.waits_for:
        label = f"waiting: {under_way.waits_for}"
    return Standing(under_way is None, label, detail.backup.progress, detail.now)


def comparison(
    desk: Desk, comparison_id: str, timeout_seconds: float | None
) -> tuple[ComparisonDetail, bytes]:
    """Wait for a comparison's end."""

    def asked(wait: float) -> tuple[ComparisonDetail, bytes]:
        return desk.ask(ComparisonDetail, path_of("comparisons", comparison_id), wait=wait)

    return _until_ended(asked, _of_comparison, _sign(desk), timeout_seconds)


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
        progress, label = view.safety.progress, "safety backup"
    return Standing(view.phase in ("completed", "failed"), label, progress, detail.now)


def export(desk: Desk, export_id: str, timeout_seconds: float | None) -> tuple[ExportDetail, bytes]:
    """Wait for an export's end."""

    def asked(wait: float) -> tuple[ExportDetail, bytes]:
        return desk.ask(ExportDetail, path_of("exports", export_id), wait=wait)

    return _until_ended(asked, of_export, _sign(desk), timeout_seconds)


def of_export(detail: ExportDetail) -> Standing:
    """What is shown of an export; one that nobody works on yet waits for another."""
    view = detail.export
    return Standing(view.phase != "requested", "waiting", view.progress, detail.now)


@contextmanager
def moving(desk: Desk) -> Iterator[Callable[[ProgressView], None]]:
    """A sign for bytes that we move ourselves: call it with how far they are."""
    sign, shown = _sign(desk), -1

    def show(progress: ProgressView) -> None:
        nonlocal shown
        percent = 100 * progress.moved_bytes // max(1, progress.total_bytes or 0)
        if percent != shown:
            shown = percent
            sign.show(Standing(False, progress.phase, progress, _NEVER))  # noqa: FBT003

    try:
        yield show
    finally:
        sign.clear()


def _until_ended(
    asked: Callable[[float], tuple[T, bytes]],
    standing_of: Callable[[T], Standing],
    sign: "_Plain",
    timeout_seconds: float | None,
) -> tuple[T, bytes]:
    try:
        found, raw = asked(0)
        standing = standing_of(found)
        first = standing.now
        while not standing.ended:
            sign.show(standing)
            waited = (standing.now - first).total_seconds()
            step = _step(sign.step, timeout_seconds, waited_seconds=waited)
            found, raw = asked(step)
            standing = standing_of(found)
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        sign.clear()
    return found, raw


def _step(usual: float, timeout_seconds: float | None, *, waited_seconds: float) -> float:
    """How long the next question may be held back."""
    if timeout_seconds is None:
        return usual
    left = timeout_seconds - waited_seconds
    if left <= 0:
        raise Failed(
            "wait-timeout",
            f"It has not ended within {timeout_seconds:g} s; it goes on in the daemon.",
            "`valkeep status` shows how far it is.",
        )
    return min(usual, max(0.05, left))


class _Plain:
    """One line for each phase, for logs and pipes."""

    step = LINE_STEP_SECONDS

    def __init__(self) -> None:
        self._last = ""

    def show(self, standing: Standing) -> None:
        phase = standing.progress.phase if standing.progress else standing.label
        if phase != self._last:
            self._last = phase
            click.echo(phase, err=True)

    def clear(self) -> None:
        """Nothing to take away."""


class _Bar(_Plain):
    """One line that changes in its place, and so must not be longer than the terminal."""

    step = BAR_STEP_SECONDS

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def show(self, standing: Standing) -> None:
        click.echo(f"\r\x1b[K{told(standing)[: self._width - 1]}", err=True, nl=False)

    def clear(self) -> None:
        """Take the line away; what follows is the result."""
        click.echo("\r\x1b[K", err=True, nl=False)


def _sign(desk: Desk) -> _Plain:
    return _Bar(desk.width) if sys.stderr.isatty() else _Plain()


def told(standing: Standing) -> str:
    """One line: phase, bar, amount, rate, time left; each as far as it is known."""
    progress = standing.progress
    if progress is None:
        return standing.label
    words = [progress.phase]
    rate = progress.moved_bytes / progress.phase_seconds if progress.phase_seconds > 0 else 0.0
    if progress.total_bytes:
        part = min(1.0, progress.moved_bytes / progress.total_bytes)
        full = round(part * BAR_WIDTH)
        words.append(f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {part:.0%}")
        words.append(f"{size(progress.moved_bytes)} of {size(progress.total_bytes)}")
    elif progress.moved_bytes:
        words.append(size(progress.moved_bytes))
    elif progress.phase_seconds >= 1:
        words.append(duration(progress.phase_seconds))
    if progress.moved_bytes and rate:
        words.append(f"{size(rate)}/s")
    if progress.moved_bytes and progress.total_bytes and rate:
        left = max(0, progress.total_bytes - progress.moved_bytes) / rate
        words.append(f"{duration(left)} left")
    return "  ".join(words)
