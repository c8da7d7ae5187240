"""The `Offload` port for tests: anyio's worker threads."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import to_thread

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """As the daemon's own, without a limit of its own."""

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `daemon.ports.Offload`."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs))


THREADS = Threads()


async def at_once(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The port where time is virtual or real: runs right here."""
    return function(*args, **kwargs)
