"""Row 9: what it takes to type `valkeep backup list`, against Python itself.

Both are processes from their start to their end, in turn, on a real daemon that has some backups
to list; theirs is the interpreter that the command runs on, doing nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.stage import Stage, seconds

BACKUPS = 20
MB = 1_000_000


def listing(stage: Stage, rounds: int) -> None:
    """Make some backups, list them so many times, and print the medians and their ratio."""
    print("row 9: valkeep backup list / python -c pass (at most 6x the time)", flush=True)
    stage.fill(MB)
    url = f"valkey://127.0.0.1:{stage.port}"
    stage.command(type="add-cache", name="listed", url=url, vault="directory")
    for number in range(BACKUPS):
        _made(stage, name=f"one-{number}")
    valkeep = Path(sys.executable).parent / "valkeep"
    ours = [str(valkeep), "--socket", stage.client.path, "backup", "list", "listed"]
    theirs = [sys.executable, "-c", "pass"]
    assert _listed(ours) == BACKUPS, "the list is not whole"
    _took(theirs)
    times = [(_took(ours), _took(theirs)) for _ in range(rounds)]
    ratios = sorted(own / other for own, other in times)
    own, other = (1000 * median(each) for each in zip(*times, strict=True))
    spread = f"from {ratios[0]:.1f} to {ratios[-1]:.1f}, {rounds} pairs"
    told = f"{median(ratios):.1f}x ({spread}, load {os.getloadavg()[0]:.1f})"
    print(f"    ours {own:.0f} ms, theirs {other:.0f} ms: {told}", flush=True)


def _made(stage: Stage, *, name: str) -> None:
    made = stage.command(type="request-backup", cache="listed", name=name)
    route = f"/v1/backups/{made['backup_id']}"
    while json.loads(stage.client.get(route, {"wait": 60}))["backup"]["phase"] != "complete":
        pass


def _listed(command: list[str]) -> int:
    """How many backups it lists: all lines but the heads and the sum."""
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return len(told.stdout.splitlines()) - 2


def _took(command: list[str]) -> float:
    began = seconds()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return seconds() - began
