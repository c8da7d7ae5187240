"""Waiting for work that the daemon does: a bar on a terminal, plain lines elsewhere.

The daemon holds each question back until the work has ended or a short while is over, so
nothing here sleeps, and all times are the daemon's.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

import click
from msgspec import Struct

from daemon.answers import BackupDetail, ProgressView, RestoreDetail
from daemon.cli.desk import Desk
from daemon.cli.words import duration, size
from daemon.client import path_of
from daemon.errors import Failed

BAR_STEP_SECONDS = 0.5
LINE_STEP_SECONDS = 5.0
BAR_WIDTH = 20

T = TypeVar("T", BackupDetail, RestoreDetail)


class Interrupted(Exception):  # noqa: N818 - the person did it, nothing failed
    """Ctrl-C while waiting: the work goes on without us."""


class Standing(Struct, frozen=True):
    """What is shown of running work, and whether it has ended."""

    ended: bool
    label: str
    progress: ProgressView | None
    now: datetime


def backup(
    desk: Desk, backup_id: str, timeout_seconds: float | None
) -> tuple[BackupDetail, bytes]:
    """Wait for a backup's end."""
    return _until_ended(desk, _Question(BackupDetail, "backups", backup_id), timeout_seconds)


def restore(
    desk: Desk, restore_id: str, timeout_seconds: float | None
) -> tuple[RestoreDetail, bytes]:
    """Wait for a restore's end, its undoing included."""
    return _until_ended(desk, _Question(RestoreDetail, "restores", restore_id), timeout_seconds)
