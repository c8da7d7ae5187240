"""Calling an S3 server: a deadline on every call, and several tries of it.

Knows when to try again, how long to wait, and when to connect anew; what the calls are is the
business of others.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

import anyio
from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Clock, Offload
from daemon.storage.s3_brake import Brake, Patience
from daemon.storage.s3_errors import RAISED, Call, asked_silence, explain
from daemon.storage.s3_placing import Placing
from daemon.storage.s3_sums import Summing
from daemon.storage.settings import Placement
from daemon.storage.spool import Spool

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

__all__ = ["Bucket", "Patience", "Server", "Tools", "no_upload"]

T = TypeVar("T")

_PASSING = frozenset({"vault-busy", "vault-unreachable", "vault-timeout"})
"""What the server's load or the line is to blame for: worth a longer wait."""
_AT_ONCE = frozenset({"clock-skew", "upload-lost"})
"""Worth another attempt later, but not another try now."""
_ANEW = frozenset({"vault-credentials", "vault-credentials-expired", "vault-tls"})
"""What a new connection may mend: it reads keys and authorities again."""
_CLOSE_SECONDS = 5.0


class Bucket(Struct, frozen=True):
    """Where in S3 a vault is; the prefix is empty or ends with a slash."""

    name: str
    prefix: str
    url: str


class Tools(Struct, frozen=True):
    """What is handed in: how to connect, threads, random numbers (0 <= x < 1), clock, spool.

    The clock is for locks, and to tell by how much it is wrong.
    """

    connect: Callable[[AsyncExitStack], Awaitable["S3Client"]]
    offload: Offload
    jitter: Callable[[], float]
    clock: Clock | None = None
    placement: Placement = Placement()
    summing: Summing = Summing()
    spool: Spool | None = None


class _Line(Struct, eq=False):
    """One client, who uses it at this moment, and since when it has its keys.

    A retired one is closed by its last user.
    """

    client: "S3Client"
    stack: AsyncExitStack
    read_at: float
    users: int = 0
    retired: bool = False


class _StaleError(Exception):
    """A line was refused whose keys were read before the call began: they may be others now."""


class Server:
    """One bucket on one server, called with patience; connects at the first call."""

    def __init__(self, bucket: Bucket, tools: Tools, patience: Patience) -> None:
        self.bucket = bucket
        self.offload = tools.offload
        self.summing = tools.summing
        self.placing = Placing(tools.placement, tools.clock)
        self.spool = tools.spool
        self._tools = tools
        self._patience = patience
        self._brake = Brake(patience.retries_per_second)
        self._connecting = anyio.Lock()
        self._line: _Line | None = None

    @property
    def client(self) -> "S3Client":
        """For the functions given to `run`, which connects before it calls them."""
        if self._line is None:
            raise RuntimeError("the S3 client is used outside `Server.run`")
        return self._line.client

    async def run(self, call: Call, function: Callable[[], Awaitable[T]]) -> T:
        """What the function returns, at last; it may be called several times.

        Raises the last try's error as `Transient` or `Permanent`. The latter is never tried again,
        but when the key was refused and had been read before this call, it is read anew. Any try
        may have had its effect although it failed.
        """
        failures, began = 0, anyio.current_time()
        while True:
            await self._wait_for_silence(call, began)
            try:
                return await self._once(call, function, began)
            except _StaleError:
                continue
            except Transient as error:
                failures += 1
                pause = self._pause(failures)
                if not self._worth_waiting(error, call, failures, began=began, pause=pause):
                    raise
            await anyio.sleep(pause)

    async def _once(self, call: Call, function: Callable[[], Awaitable[T]], began: float) -> T:
        """One try, within its deadline."""
        line: _Line | None = None
        try:
            with anyio.fail_after(self._patience.seconds(call.moved_bytes)):
                line = await self._connected()
                return await function()
        except RAISED as error:
            self._brake.hush(asked_silence(error))
            clock = self._tools.clock
            failure = explain(error, call, self.bucket.url, now=clock.now() if clock else None)
            if line is not None and failure.code in _ANEW:
                self._retire(line)
                if line.read_at < began:
                    raise _StaleError from error
            raise failure from error
        finally:
            if line is not None:
                await self._left(line)

    async def aclose(self) -> None:
        """Give the connections back."""
        if self._line is not None:
            line, self._line = self._line, None
            await line.stack.aclose()

    def _pause(self, failures: int) -> float:
        own = self._patience.pause(failures, self._tools.jitter())
        return max(own, self._brake.wait_for_turn(), self._brake.silence)

    def _worth_waiting(
        self, error: Failed, call: Call, failures: int, *, began: float, pause: float
    ) -> bool:
        if error.code in _AT_ONCE:
            return False
        elapsed = anyio.current_time() - began
        lasting = call.lasting and error.code in _PASSING
        if lasting and elapsed + pause < self._patience.busy_seconds:
            return True
        return failures < self._patience.attempts and pause <= self._longest_wait()

    async def _wait_for_silence(self, call: Call, began: float) -> None:
        """Until the server wants to be asked again; raises where that is too long to wait."""
        while (silence := self._brake.silence) > 0:
            elapsed = anyio.current_time() - began
            lasting = call.lasting and elapsed + silence < self._patience.busy_seconds
            if not lasting and silence > self._longest_wait():
                raise Transient(
                    "vault-busy",
                    f"cannot {call.action} in {self.bucket.url}: the server has asked to be left "
                    f"alone for another {silence:.0f} s",
                    "it is overloaded: look at it, or ask for less at a time",
                )
            await anyio.sleep(silence)

    def _longest_wait(self) -> float:
        return 2 * self._patience.longest_pause_seconds

    async def _connected(self) -> _Line:
        async with self._connecting:
            if self._line is None:
                stack, read_at = AsyncExitStack(), anyio.current_time()
                self._line = _Line(await self._tools.connect(stack), stack, read_at)
            self._line.users += 1
            return self._line

    def _retire(self, line: _Line) -> None:
        line.retired = True
        if self._line is line:
            self._line = None

    async def _left(self, line: _Line) -> None:
        line.users -= 1
        if line.retired and not line.users:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await line.stack.aclose()


def no_upload(url: str, *, name: str, spooled: bool) -> Permanent:
    """More bytes than 10,000 parts can hold."""
    if spooled:
        return Permanent(
            "object-too-large",
            f"{name} in {url} has outgrown what S3 can hold",
            "no object in S3 is larger than 5 TiB; use a directory vault",
        )
    return Permanent(
        "object-too-large",
        f"{name} in {url} has outgrown 10,000 parts of at most 16 MiB, which is 148 GiB",
        "larger parts need a spool: set max_bytes in [spool]",
    )
