"""`make bench`: the rows of the budgets that exist so far.

``BENCH_SMALL=1`` runs the same on a tenth of the data, to see that it works. Numbers of rows
after ``python -m benchmarks`` run these only, as in ``python -m benchmarks 7 10``; the word
``clients`` runs what is no row: how long a target's clients are refused by a restore.
"""

import os
import sys

from benchmarks.clients import clients
from benchmarks.idle import idle
from benchmarks.keys import restore_keys
from benchmarks.listing import listing
from benchmarks.log_rows import appends, folds
from benchmarks.restores import restores
from benchmarks.rows import encrypted, memory, to_directory, to_s3
from benchmarks.slow import forks
from benchmarks.stage import Stage, stage

GB = 1_000_000_000
BACKUPS = {"1", "2", "3", "4", "5"}
"""Rows that share one stage: a server with data, a daemon, and S3."""


def main() -> None:
    """Run the rows that are asked for, or all, and print them."""
    scale = 0.1 if os.environ.get("BENCH_SMALL") else 1.0
    wanted = set(sys.argv[1:]) or {*BACKUPS, "6", "7", "8", "9", "10"}
    if wanted & BACKUPS:
        _backups(scale, wanted)
    if "6" in wanted:
        with stage() as made:
            restore_keys(made, keys=int(400_000 * scale), rounds=5)
    if "7" in wanted:
        appends(events=int(64_000 * scale), rounds=3)
    if "8" in wanted:
        folds(events=int(1_000_000 * scale), rounds=3)
    if "9" in wanted:
        with stage() as made:
            listing(made, rounds=31)
    if "10" in wanted:
        idle(caches=int(10_000 * scale), watch_seconds=60)
    if "clients" in wanted:
        clients(int(0.5 * scale * GB))


def _backups(scale: float, wanted: set[str]) -> None:
    with stage() as made:
        url = f"valkey://127.0.0.1:{made.port}"
        print(f"engine {made.engine.label}, {os.cpu_count()} cores; rdbcompression no", flush=True)
        for cache, vault, source in (
            ("replicated", "directory", "replication"),
            ("saved", "directory", "bgsave"),
            ("encrypted", "sealed", "replication"),
            ("in-s3", "s3", "replication"),
            ("in-slow-s3", "slow", "replication"),
        ):
            made.command(type="add-cache", name=cache, url=url, vault=vault, source=source)
        if wanted & {"1", "2", "3"}:
            _paths(made, scale)
        if "5" in wanted:
            made.fill(int(scale * GB))
            restores(made, rounds=5)
        if "4" in wanted:
            made.fill(int(3 * scale * GB))
            forks(made, total_bytes=int(3 * scale * GB), rounds=3)


def _paths(made: Stage, scale: float) -> None:
    print("row 3: peak memory of the daemon over idle (at most 128 MiB, no growth)")
    for size in (0.3, 1.0, 3.0):
        made.fill(int(size * scale * GB))
        memory(made, int(size * scale * GB))
        if size == 1.0:
            to_directory(made, rounds=5)
            encrypted(made, rounds=5)
            to_s3(made, rounds=5)


main()
