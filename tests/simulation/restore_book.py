"""The checker's book on restores: kept from the events and from the servers themselves.

Knows what a target held when each began, and what each replaced; it judges nothing.
"""

from collections import Counter

from msgspec import Struct, field
from msgspec.structs import replace

from events.facts import CacheName, RestoreId
from events.types import Event, RestoreInterrupted, RestoreStarted
from projections.restores import ACTIVE, Restore
from projections.state import State
from tests.simulation.far import Far
from tests.simulation.servers import FarServer


class RestoreBook(Struct):
    """What was seen of each restore.

    `followed` counts how often its target was told to follow us; `began` says which dump that had
    loaded last before, and `replaced` what it served when it loaded ours.
    """

    followed: Counter[RestoreId] = field(default_factory=Counter)
    began: dict[RestoreId, str] = field(default_factory=dict)
    replaced: dict[RestoreId, str] = field(default_factory=dict)
    interrupted: set[RestoreId] = field(default_factory=set)

    def copy(self) -> "RestoreBook":
        """The same, on its own from here on."""
        return replace(
            self,
            followed=Counter(self.followed),
            began=dict(self.began),
            replaced=dict(self.replaced),
            interrupted=set(self.interrupted),
        )

    def event(self, far: Far, state: State, event: Event) -> None:
        """Enter an event."""
        if isinstance(event, RestoreStarted) and event.restore_id not in self.interrupted:
            server = server_of(far, state, event.cache)
            if server is not None:
                self.began[event.restore_id] = server.base
        elif isinstance(event, RestoreInterrupted):
            self.interrupted.add(event.restore_id)

    def effect(self, far: Far, state: State, what: str) -> None:
        """Enter an effect on a server."""
        restore = restore_at(state, what)
        if restore is None:
            return
        if follows(what):
            self.followed[restore.restore_id] += 1
        if what.startswith("target bytes") and far.loadings:
            # A target that comes again loads it again: then it has replaced its own.
            self.replaced.setdefault(restore.restore_id, far.loadings[-1].before)


def follows(what: str) -> bool:
    """Whether a server was told to follow somebody."""
    return what.startswith("target REPLICAOF") and "NO ONE" not in what


def server_of(far: Far, state: State, cache: CacheName) -> FarServer | None:
    """The model of a cache's server, if there is one."""
    known = state.caches.get(cache)
    return None if known is None else far.servers.get(known.settings.url)


def restore_at(state: State, what: str) -> Restore | None:
    """The restore that runs into the server which an effect was on."""
    url = what.removesuffix(", late").rpartition(" at ")[2]
    for cache, restore_id in state.active.items():
        restore = state.restores[restore_id]
        if state.caches[cache].settings.url == url and restore.phase in ACTIVE:
            return restore
    return None
