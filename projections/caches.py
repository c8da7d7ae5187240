"""Caches: which exist, how they are reached, and whether they are in service.

Knows settings and their history's last word. Says nothing about backups.
"""

from datetime import datetime

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import CacheName, CacheSettings, Probe
from events.types import CacheReconfigured, CacheRegistered, CacheRemoved, CacheSuspended


class Cache(Struct, frozen=True):
    """One cache as the log knows it; `suspended` holds the reason (C3)."""

    name: CacheName
    settings: CacheSettings
    declared: bool
    added_at: datetime
    probe: Probe | None = None
    probed_at: datetime | None = None
    suspended: str | None = None


Caches = Map[CacheName, Cache]
CacheEvent = CacheRegistered | CacheReconfigured | CacheSuspended | CacheRemoved


def evolve(caches: Caches, envelope: Envelope, event: CacheEvent) -> Caches:
    """The caches after one more event."""
    match event:
        case CacheRegistered():
            return caches.set(event.cache, _registered(envelope, event))
        case CacheReconfigured():
            old = caches[event.cache]
            new = replace(
                old,
                settings=event.settings,
                declared=event.declared,
                suspended=None,
                probe=event.probe or old.probe,
                probed_at=envelope.at if event.probe else old.probed_at,
            )
            return caches.set(event.cache, new)
        case CacheSuspended():
            return caches.set(event.cache, replace(caches[event.cache], suspended=event.reason))
        case CacheRemoved():
            return caches.delete(event.cache)


def _registered(envelope: Envelope, event: CacheRegistered) -> Cache:
    return Cache(
        name=event.cache,
        settings=event.settings,
        declared=event.declared,
        added_at=envelope.at,
        probe=event.probe,
        probed_at=envelope.at if event.probe else None,
    )
