"""Real S3 servers for tests: rclone over a directory, and moto in a process of its own.

Each listens on a free port of 127.0.0.1, is waited for, and is ended by its own pid.
"""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path

import anyio
from anyio.abc import Process
from msgspec import Struct

from daemon.storage.factory import VaultSettings
from tests.support.poll import until

BIN = Path(sys.executable).parent
KEY, SECRET = "AKIAVALKEEPTESTS0001", "valkeep/tests/secret/key/0123456789abcdef"
BUCKET = "backups"


class S3Server(Struct, frozen=True):
    """A running server with one empty bucket."""

    port: int
    pid: int
    scheme: str = "http"

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def settings(
        self, prefix: str = "", *, port: int | None = None, secret: str = SECRET
    ) -> VaultSettings:
        """A vault in its bucket; by another port for a proxy before it."""
        return VaultSettings(
            url=f"s3://{BUCKET}/{prefix}",
            endpoint_url=f"{self.scheme}://127.0.0.1:{port or self.port}",
            region="us-east-1",
            access_key_id=KEY,
            secret_access_key=secret,
        )


@asynccontextmanager
async def rclone_s3(
    directory: Path, *flags: str, keys: str = f"{KEY},{SECRET}"
) -> AsyncIterator[S3Server]:
    """``rclone serve s3``: buckets are folders of a directory."""
    (directory / BUCKET).mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [str(BIN / "rclone"), "serve", "s3", "--auth-key", keys, *flags]
    command += ["--addr", address, "--config", str(directory / "none.conf"), str(directory)]
    async with _running(command, port) as pid:
        yield S3Server(port, pid, "https" if "--cert" in flags else "http")


@asynccontextmanager
async def moto_s3() -> AsyncIterator[S3Server]:
    """Moto's server: everything in memory, a bucket is made by the first request."""
    port = free_port()
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    async with _running(command, port) as pid:
        await anyio.to_thread.run_sync(_make_bucket, port)
        yield S3Server(port, pid)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _running(command: list[str], port: int) -> AsyncIterator[int]:
    process = await anyio.open_process(
        command, stdin=None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await until(lambda: _answers(process, port), f"{command[0]} listens")
        yield process.pid
    finally:
        process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()


async def _answers(process: Process, port: int) -> bool:
    assert process.returncode is None, "the S3 server ended at once"
    try:
        async with await anyio.connect_tcp("127.0.0.1", port):
            return True
    except OSError:
        return False


def _make_bucket(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("PUT", f"/{BUCKET}")
        assert connection.getresponse().status == 200
    finally:
        connection.close()
