"""Which host a cache's next snapshot will most likely fork on.

A guess, for putting off what would only wait: the node is chosen anew for each snapshot, and
that no two of them run on one host is seen to there.
"""

from urllib.parse import urlsplit

from immutables import Map

from events.facts import CacheName
from projections.state import State

THIS_HOST = "this host"


def expected_host(state: State, name: CacheName) -> str:
    """The host of the node that was chosen last, in a snapshot or a probe; else the URL's."""
    cache = state.caches.get(name)
    if cache is None:
        return name
    of_cache = state.catalog.get(name, Map())
    taken = [b.snapshot for b in of_cache.values() if b.snapshot is not None]
    chosen = [(one.taken_at, one.node.address) for one in taken if one.node is not None]
    if cache.probe is not None and cache.probe.node is not None and cache.probed_at is not None:
        chosen.append((cache.probed_at, cache.probe.node.address))
    if chosen:
        return _named(max(chosen)[1].rpartition(":")[0])
    return _named(urlsplit(cache.settings.url).hostname or "")


def _named(host: str) -> str:
    """One name for this host; an empty one is of a socket."""
    host = host.strip("[]").lower()
    local = host in {"", "localhost", "::1"} or host.startswith(("127.", "/"))
    return THIS_HOST if local else host
