"""New servers that the command line made in a test: asked, and ended by their own pid files."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import redis.asyncio
from msgspec import Struct
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.support.poll import until
from tests.support.servers import command, digest


class New(Struct, frozen=True):
    """The place of one that is to be, or is."""

    directory: Path
    port: int

    @property
    def words(self) -> tuple[str, ...]:
        """How the command line is told of it."""
        return ("--new", str(self.directory), "--port", str(self.port))

    @property
    def pid(self) -> int:
        """Its own word for its process."""
        return int((self.directory / "server.pid").read_text())

    @property
    def conf(self) -> str:
        """Its configuration file."""
        return str(self.directory / "valkey.conf")

    async def asked(self, *words: str) -> object:
        """One command's answer."""
        client = self._client()
        try:
            return await command(client, *words)
        finally:
            await client.aclose()

    async def setting(self, name: str) -> str:
        """One of its settings."""
        answer = await self.asked("CONFIG", "GET", name)
        assert isinstance(answer, dict)
        (value,) = answer.values()
        return bytes(value).decode()

    async def holds(self) -> tuple[str, bytes]:
        """Its digest and its functions, where its start command allows ``DEBUG``."""
        client = self._client()
        try:
            return await digest(client)
        finally:
            await client.aclose()

    async def served(self) -> tuple[str, bytes]:
        """The same, when it has come up and loaded."""
        found: list[tuple[str, bytes]] = []

        async def asked() -> bool:
            with suppress(RedisError, OSError):
                found.append(await self.holds())
            return bool(found)

        await until(asked, f"the server on port {self.port} to serve")
        return found[0]

    def _client(self) -> redis.asyncio.Redis:
        return redis.asyncio.Redis(
            port=self.port, retry=Retry(NoBackoff(), 0), decode_responses=False
        )

    async def kill(self) -> None:
        """``kill -9``, and wait until it is gone; nothing where there is none."""
        with suppress(OSError, ValueError):
            pid = self.pid
            os.kill(pid, signal.SIGKILL)

            async def gone() -> bool:
                return not running(pid)

            await until(gone, f"process {pid} to end")


def running(pid: int) -> bool:
    """Whether a process is there and does something."""
    with suppress(OSError):
        return bool(Path("/proc", str(pid), "cmdline").read_bytes())
    return False
