"""One connection that was let in: its peer, its role, and what it is doing."""

from asyncio import TimerHandle
from collections.abc import Generator
from contextlib import contextmanager

import anyio

from daemon.answers import Role
from daemon.api.peer import Peer


class Session:
    """Peer and role were read at accept and are fixed from then on."""

    def __init__(self, peer: Peer, role: Role) -> None:
        self.peer = peer
        self.role = role
        self._begun = False
        self._patience: TimerHandle | None = None
        self._asking: anyio.CancelScope | None = None

    def begin(self) -> None:
        """A request has arrived whole up to its body: the peer has shown that it is alive."""
        self._begun = True
        if self._patience is not None:
            self._patience.cancel()

    def limit(self, patience: TimerHandle) -> None:
        """End the connection by this timer, unless a request has arrived before."""
        self._patience = patience
        if self._begun:
            patience.cancel()

    @contextmanager
    def asking(self) -> Generator[None, None, None]:
        """While a question is answered that nobody needs any more when the daemon stops.

        Raises `ConnectionAbortedError` when it stops, so that an answer that was cut short
        cannot be taken for a whole one.
        """
        with anyio.CancelScope() as self._asking:
            yield
        if self._asking.cancelled_caught:
            raise ConnectionAbortedError("the daemon is stopping")

    def stop_asking(self) -> None:
        """The daemon stops: end the question that is being answered, if there is one."""
        if self._asking is not None:
            self._asking.cancel()
