"""The real forms of the ports: clock, ids, threads, and where secrets come from.

Everything here is too thin to be wrong in an interesting way; simulations replace it whole.
"""

import asyncio
import errno
import math
import os
import random
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

import anyio
from anyio import to_thread

from daemon.errors import BadRequest, Permanent
from events.facts import CacheSettings

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 6
"""Blocking calls at a time: two each for the stages of two backups, and two for the rest."""


OFFSET_VARIABLE = "VALKEEP_TEST_CLOCK_OFFSET"
"""Seconds that tests add to the wall clock, to be at a window's start or past a retention."""
MOST_SECONDS = 100 * 366 * 86_400


class SystemClock:
    """The host's wall clock, moved by an offset where a test asks for one."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self.offset = offset

    def now(self) -> datetime:
        """The present instant, UTC."""
        return datetime.now(UTC) + self.offset


def clock_offset(environment: Mapping[str, str]) -> timedelta:
    """How far tests want the wall clock moved; raises `BadRequest` for what is no such number."""
    text = environment.get(OFFSET_VARIABLE, "")
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = math.nan
    if not abs(seconds) <= MOST_SECONDS:
        raise BadRequest(
            "clock-offset",
            f"{OFFSET_VARIABLE} is {text!r}, which is no number of seconds within a century.",
            "It is for tests only: leave it unset, or give seconds, as 3600 or -0.5.",
        )
    return timedelta(seconds=seconds)


class RandomIds:
    """Ids that sort by time, and unguessable tokens."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._spread = random.SystemRandom()

    def new(self) -> str:
        """See `Ids.new`."""
        return f"{self._clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"

    def token(self, length: int) -> str:
        """See `Ids.token`."""
        return secrets.token_hex((length + 1) // 2)[:length]

    def jitter(self) -> float:
        """See `Ids.jitter`."""
        return self._spread.random()


VAULT_THREADS = 4
"""Of each vault, apart: calls to a file system that hangs take no thread from anybody else."""


class Threads:
    """The `Offload` port over anyio's worker threads.

    A call that never returns keeps its thread for good, so whatever may hang has threads of its
    own: when they are used up, its users wait, and their deadline ends them.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._limiter = anyio.CapacityLimiter(threads)

    def apart(self) -> "Threads":
        """Some threads of its own, so that a disk that hangs takes nobody else's."""
        return Threads(VAULT_THREADS)

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Offload`."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._limiter)


class ForsakenThreads:
    """The `Offload` port for calls that may never return, as on a dead mount.

    A caller that is cancelled leaves his thread behind, and until it has come back every other
    call fails at once, as the hanging disk would if it answered: so there is never more than one
    for each that was under way, and nobody closes a file under a write that hangs.
    """

    def __init__(self) -> None:
        self._left: set[object] = set()

    def apart(self) -> "ForsakenThreads":
        """Others, so that what hangs in one place does not count for another."""
        return ForsakenThreads()

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Offload`; cancellation ends the waiting, not the call."""
        if self._left:
            raise OSError(errno.ETIMEDOUT, "a call that was made earlier has not returned yet")
        call = _Call(lambda: function(*args, **kwargs), self._left)
        # Not anyio's worker threads: the interpreter waits for them when it ends.
        threading.Thread(target=call.run, name="forsaken", daemon=True).start()
        try:
            await call.ended.wait()
        except anyio.get_cancelled_exc_class():
            call.forsake()
            raise
        return call.result()


class _Call(Generic[T]):
    """One call in a thread of its own."""

    def __init__(self, function: Callable[[], T], left: set[object]) -> None:
        self.ended = anyio.Event()
        self._function = function
        self._left = left
        # anyio reaches its loop only from threads that it has made itself.
        self._loop = asyncio.get_running_loop()
        self._future: Future[T] = Future()

    def run(self) -> None:
        """In the thread; what is raised is raised again where it is waited for."""
        with self:
            self._future.set_result(self._function())
        self._left.discard(self)
        with suppress(RuntimeError):  # The loop has been closed: nobody waits.
            self._loop.call_soon_threadsafe(self.ended.set)

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep the error for whoever waits."""
        if error is not None:
            self._future.set_exception(error)
        return True

    def forsake(self) -> None:
        """Nobody waits any more; whoever of the two comes last takes it off the list."""
        self._left.add(self)
        if self._future.done():
            self._left.discard(self)

    def result(self) -> T:
        """What it returned or raised."""
        return self._future.result()


def password(settings: CacheSettings) -> str | None:
    """A cache's password as it is now, from its file or its variable; None if it has neither."""
    return secret(file=settings.password_file, variable=settings.password_env)


def secret(*, file: str | None, variable: str | None) -> str | None:
    """A secret from a file (its last newline is not part of it) or an environment variable."""
    if file:
        return _from_file(file)
    if variable:
        return _from_environment(variable)
    return None


def _from_file(file: str) -> str:
    path = Path(file)
    if not path.is_absolute() and (folder := os.environ.get("CREDENTIALS_DIRECTORY")):
        path = Path(folder) / path
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(
            "secret-unreadable",
            f"The secret in {path} cannot be read: {_reason(error)}.",
            "The daemon's user must be able to read that file; check its path, owner and mode.",
        ) from None


def _from_environment(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise Permanent(
            "secret-missing",
            f"The environment variable {variable} is not set for the daemon.",
            "Set it where the daemon is started, or name a file that holds the secret.",
        )
    return value


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "I/O error" if isinstance(error, OSError) else "not UTF-8 text"
