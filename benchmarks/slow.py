"""Row 4: how long the server's child lives while the vault takes 10 MB/s, against without a limit.

Run as a program, ``python -m benchmarks.slow PORT TARGET``, it is the line with that limit.
"""

import asyncio
import sys
import time
from contextlib import suppress
from statistics import median

from benchmarks.stage import Stage

LIMIT_BYTES = 10_000_000
"""Per second, from the daemon to the vault, over all connections together."""
STEP_BYTES = 64 << 10
MIB = 1 << 20


def forks(stage: Stage, *, total_bytes: int, rounds: int) -> None:
    """Print the lifetimes and their ratio, in pairs that take turns, and the peak of memory."""
    print(
        f"row 4: life of the server's child, vault limited to {LIMIT_BYTES / 1e6:.0f} MB/s / "
        f"unlimited, {total_bytes / 1e9:.1f} GB (at most 1.2x)",
        flush=True,
    )
    stage.backup("in-s3")
    pairs, peaks = [], []
    for _ in range(rounds):
        free = stage.backup("in-s3").fork
        stage.forget_peak()
        idle = stage.memory("VmRSS")
        limited = stage.backup("in-slow-s3")
        peaks.append(stage.memory("VmHWM") - idle)
        pairs.append((free, limited.fork, limited.complete))
    ratios = sorted(slow / free for free, slow, _ in pairs)
    print(
        f"    unlimited {median(p[0] for p in pairs):.2f} s, limited "
        f"{median(p[1] for p in pairs):.2f} s (complete after {median(p[2] for p in pairs):.1f} s):"
        f" {median(ratios):.2f}x (from {ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} pairs)"
    )
    print(f"    peak memory over idle while limited: {max(peaks) / MIB:.0f} MiB", flush=True)


class Bucket:
    """Bytes that may pass now; they come at the limit's rate, and few are saved up."""

    def __init__(self) -> None:
        self._ready = time.monotonic()

    async def take(self, size_bytes: int) -> None:
        """Wait until so many may pass."""
        now = time.monotonic()
        self._ready = max(self._ready, now - 0.05) + size_bytes / LIMIT_BYTES
        await asyncio.sleep(max(0.0, self._ready - now))


async def line(*, port: int, target: int) -> None:
    """Relay for ever, limited on the way there."""
    bucket = Bucket()

    async def relay(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: Bucket | None
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(STEP_BYTES):
                if limit:
                    await limit.take(len(data))
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(relay(reader, far_writer, bucket), relay(far_reader, writer, None))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(line(port=int(sys.argv[1]), target=int(sys.argv[2])))
