"""Row 5: a restore by replication until its data is served, against the engine's own loading.

Both get the very same RDB, both in a fresh process, in pairs that take turns. Ours counts from
the command; theirs is what the engine itself says that it took to load the file.
"""

import json
import re
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import zstandard

from benchmarks.stage import Stage, server

MODES = {"swapdb": 0.95, "disabled": 0.75}
_LOADED = re.compile(r"DB loaded from disk: ([0-9.]+) seconds")
READY_SECONDS = 120.0


def restores(stage: Stage, *, rounds: int) -> None:
    """Print medians, the ratio's median and its spread, for each load mode."""
    backup_id = _backup(stage)
    plain = _plain(stage, backup_id)
    size = plain.stat().st_size / 1e9
    print(f"row 5: restore by replication / the engine loads the file, {size:.2f} GB", flush=True)
    for mode, budget in MODES.items():
        _loaded(stage, plain)
        pairs = [
            (_restored(stage, backup_id, mode=mode), _loaded(stage, plain)) for _ in range(rounds)
        ]
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        print(
            f"    {mode}: ours {median(o for o, _ in pairs):.2f} s, "
            f"theirs {median(t for _, t in pairs):.2f} s: {median(ratios):.2f}x (from "
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} pairs; at least {budget}x)",
            flush=True,
        )
    plain.unlink()
    stage.command(type="delete-backup", backup=backup_id)


def _backup(stage: Stage) -> str:
    made = stage.command(type="request-backup", cache="replicated", name="row-5")
    backup_id: str = made["backup_id"]
    ended = _until(
        stage, f"/v1/backups/{backup_id}", what="backup", going_on=("waiting", "running")
    )
    assert ended["phase"] == "complete", ended
    return backup_id


def _until(stage: Stage, route: str, *, what: str, going_on: tuple[str, ...]) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = json.loads(stage.client.get(route, {"wait": 60}))[what]
        if found["phase"] not in going_on:
            return found


def _plain(stage: Stage, backup_id: str) -> Path:
    """The backup as the engine's own file."""
    (stored,) = stage.folder.glob(f"**/{backup_id}/*.rdb.zst")
    place = stage.folder / "row-5.rdb"
    with stored.open("rb") as source, place.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(source, target)
    return place


def _restored(stage: Stage, backup_id: str, *, mode: str) -> float:
    """Seconds from the command until a fresh target serves the data."""
    folder = stage.folder / "target"
    folder.mkdir()
    with server(stage, folder, {"repl-diskless-load": mode}) as port:
        name = f"target-{port}"
        stage.command(
            type="add-cache", name=name, url=f"valkey://127.0.0.1:{port}", vault="directory"
        )
        asked = stage.command(type="request-restore", backup=backup_id, to=name, replace=True)
        going_on = ("requested", "planned", "started", "undoing")
        route = f"/v1/restores/{asked['restore_id']}"
        ended = _until(stage, route, what="restore", going_on=going_on)
        assert ended["phase"] == "completed", ended
        took = _served(stage, asked["positions"][0], ended["result"]["served_seconds"])
        stage.command(type="remove-cache", name=name)
    shutil.rmtree(folder)
    return took


def _served(stage: Stage, position: int, served_seconds: float) -> float:
    """From the request to the first change, and from there until the data was served."""
    at: dict[str, datetime] = {}
    for line in stage.client.lines("/v1/events", {"after": position - 1}):
        told = json.loads(line)
        at.setdefault(told["event"]["type"].partition("/")[0], datetime.fromisoformat(told["at"]))
    return (at["restore-started"] - at["restore-requested"]).total_seconds() + served_seconds


def _loaded(stage: Stage, plain: Path) -> float:
    """Seconds that the engine says it took to load the file at its start."""
    folder = stage.folder / "own"
    folder.mkdir()
    (folder / "dump.rdb").hardlink_to(plain)
    log = folder / "log"
    with server(stage, folder, {"logfile": str(log)}) as port:
        took = _told(log)
        subprocess.run(
            [stage.cli, "-p", str(port), "SHUTDOWN", "NOSAVE"], check=False, capture_output=True
        )
    shutil.rmtree(folder)
    return took


def _told(log: Path) -> float:
    deadline = time.perf_counter() + READY_SECONDS
    while time.perf_counter() < deadline:
        if found := _LOADED.search(log.read_text()):
            return float(found[1])
        time.sleep(0.05)
    raise TimeoutError(f"{log} does not say that the file was loaded")
