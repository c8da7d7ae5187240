"""`valkeep demo`: the tour that a newcomer takes first."""

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.answers import Status
from daemon.client import Client

DEMO = [sys.executable, "-m", "daemon.cli", "demo"]


def play(folder: Path, *flags: str) -> str:
    """Play it with its temporary folder here; what it printed."""
    done = subprocess.run(
        [*DEMO, *flags],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.defpath, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"},
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def end(pid: int) -> None:
    """End a process that is not our child, and wait until it is gone."""
    watched = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        gone, _, _ = select.select([watched], [], [], 30)
        assert gone, f"process {pid} goes on"
    finally:
        os.close(watched)


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a path that leaves room for a socket's."""
    return tmp_path_factory.mktemp("d")


def test_demo_restores_what_it_lost_and_leaves_nothing(short: Path) -> None:
    """The tour ends with equal digests, shows each command, and removes its folder."""
    told = play(short)

    assert "The restored data is the lost data" in told
    for command in ("backup create demo by-bgsave", "backup create demo by-replication"):
        assert f"$ valkeep {command} --wait" in told
    assert "The log is whole" in told
    assert [] == list(short.iterdir())


def test_demo_keeps_both_running_when_asked(short: Path) -> None:
    """With --keep the daemon answers afterwards, and the printed pids end everything."""
    told = play(short, "--keep")
    pids = [int(pid) for pid in re.findall(r"kill (\d+) (\d+);", told)[0]]
    path = re.findall(r"VALKEEP_SOCKET=(\S+)", told)[0]
    try:
        status = msgspec.json.decode(Client(path).get("/v1/status"), type=Status)
        assert ["demo"] == [cache.name for cache in status.caches]
    finally:
        for pid in pids:
            end(pid)
