"""Row 10: what a daemon costs that has nothing to do, with ten thousand caches to remember.

Its log is written beforehand; then the real daemon is started on it, by a wall clock that
stands between all windows, and only watched: its processor time, as the kernel counts it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec

from benchmarks.history import MORNING, fleet, write
from benchmarks.stage import READY_SECONDS, seconds
from daemon.answers import Caches
from daemon.client import Client

TICKS = os.sysconf("SC_CLK_TCK")
QUIET_SECONDS = 3.0
"""Without processor time worth a tick in so long, the daemon has settled."""
CONFIG = """[daemon]
socket = "{folder}/s"
data_dir = "{folder}/data"

[vaults.main]
url = "file://{folder}/vault"
"""


def idle(*, caches: int, watch_seconds: float) -> None:
    """Start the daemon, let it settle, and print what it uses while nothing happens."""
    print(f"row 10: idle daemon with {caches:,} caches of 4 windows (at most 1 % of a core)")
    with tempfile.TemporaryDirectory(prefix="vkb-") as made:
        folder = Path(made)
        (folder / "data").mkdir(mode=0o700)
        (folder / "vault").mkdir(mode=0o700)
        log = folder / "data" / "events.db"
        events = anyio.run(lambda: write(log, fleet(caches), pid=os.getpid()))
        began = seconds()
        with _daemon(folder) as pid:
            ready = seconds() - began
            _settle(pid)
            settled = _processor(pid)
            print(
                f"    {events:,} events: ready in {ready:.1f} s, settled by {settled:.1f} s of CPU"
            )
            known = msgspec.json.decode(Client(str(folder / "s")).get("/v1/caches"), type=Caches)
            assert len(known.caches) == caches
            _settle(pid)
            before, since = _processor(pid), seconds()
            time.sleep(watch_seconds)
            used, watched = _processor(pid) - before, seconds() - since
            share = 100 * used / watched
            print(
                f"    idle for {watched:.0f} s: {used:.2f} s of CPU, {share:.2f} % of a core; "
                f"{_resident(pid) >> 20} MiB resident",
                flush=True,
            )
            _wakes(Client(str(folder / "s")), after=events)


def _wakes(client: Client, *, after: int) -> None:
    """A scheduler that is dead costs nothing either: give it something to do."""
    change = {"type": "set-policy", "cache": "cache-00000", "policy": {"windows": ["08:40+90m"]}}
    client.post("/v1/commands", json.dumps(change).encode())
    deadline = seconds() + READY_SECONDS
    while b"backup-requested" not in b"".join(client.lines("/v1/events", {"after": after})):
        assert seconds() < deadline, "the scheduler does not answer a change"
        time.sleep(0.1)


def _settle(pid: int) -> None:
    """Wait until it uses no processor time any more."""
    before = _processor(pid)
    while True:
        time.sleep(QUIET_SECONDS)
        now = _processor(pid)
        if now - before <= 2 / TICKS:
            return
        before = now


def _processor(pid: int) -> float:
    """Seconds of processor time so far, in user and system mode (proc(5), ``stat``)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident(pid: int) -> int:
    """Bytes of memory that it holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _daemon(folder: Path) -> Iterator[int]:
    """The real daemon, ready, by the clock of that morning."""
    config = folder / "valkeep.toml"
    config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    offset = MORNING.timestamp() - datetime.now(UTC).timestamp()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(folder / "ready"))
        channel.settimeout(4 * READY_SECONDS)
        with (folder / "output.log").open("ab") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "daemon.cli", "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=os.environ
                | {
                    "NOTIFY_SOCKET": str(folder / "ready"),
                    "VALKEEP_TEST_CLOCK_OFFSET": str(offset),
                },
                start_new_session=True,
            )
        try:
            channel.recv(4096)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=READY_SECONDS)
