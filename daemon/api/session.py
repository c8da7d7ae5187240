"""One connection that was let in: its peer, its role, and whether it has asked anything yet."""

from asyncio import TimerHandle

from daemon.answers import Role
from daemon.api.peer import Peer


class Session:
    """Read at accept and fixed from then on; `patience` runs until the first request."""

    def __init__(self, peer: Peer, role: Role) -> None:
        self.peer = peer
        self.role = role
        self._begun = False
        self._patience: TimerHandle | None = None

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
