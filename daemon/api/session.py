"""One connection that was let in: its peer, its role, and what it is doing."""

from asyncio import TimerHandle

import anyio
from aiohttp import web

from daemon.answers import Role
from daemon.api.farewell import too_late
from daemon.api.peer import Peer
from daemon.api.rights import Holders

GRACE_SECONDS = 1.5
"""What a command under way has to end when the daemon stops, before it is told that it did not."""


class Session:
    """Peer and role were read at accept and are fixed from then on."""

    def __init__(self, peer: Peer, role: Role, holders: Holders) -> None:
        self.peer = peer
        self.holders = holders
        self.role = role
        self._begun = False
        self._patience: TimerHandle | None = None
        self._asking: anyio.CancelScope | None = None
        self._grace = 0.0
        self._stopped = False
        self.stream: web.StreamResponse | None = None
        """An answer whose status is out, and that goes on line by line."""

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

    def asking(self, *, patient: bool) -> anyio.CancelScope:
        """While something is answered; it is cancelled when the daemon stops.

        A question at once, for nobody needs it any more; what is `patient` a little later.
        Raises `Away` when the daemon has begun to stop before.
        """
        if self._stopped:
            raise too_late()
        self._asking = anyio.CancelScope()
        self._grace = GRACE_SECONDS if patient else 0.0
        return self._asking

    def stop_asking(self) -> None:
        """The daemon stops: what is being answered ends, and nothing new begins."""
        self._stopped = True
        if self._asking is not None:
            self._asking.deadline = anyio.current_time() + self._grace
