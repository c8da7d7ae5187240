"""Caches: which exist, how they are reached, by which policy, and whether they are in service.

Knows settings and their history's last word. Says nothing about backups.
"""

from datetime import datetime

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import START, CacheName, CacheSettings, Policy, Position, Probe, VaultName
from events.types import (
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    PolicySet,
)


class Cache(Struct, frozen=True):
    """One cache as the log knows it; `suspended` holds the reason (C3).

    `configured` is the position of the last change of its settings or policy, and
    `scheduled_since` the instant from which its windows count.
    """

    name: CacheName
    settings: CacheSettings
    declared: bool
    added_at: datetime
    scheduled_since: datetime
    configured: Position = START
    file: str | None = None
    policy: Policy | None = None
    policy_declared: bool = False
    probe: Probe | None = None
    probed_at: datetime | None = None
    suspended: str | None = None

    @property
    def scheduled(self) -> Policy | None:
        """The policy, if auto backups are made by it now (A1, C3)."""
        on = self.policy is not None and self.policy.auto and self.suspended is None
        return self.policy if on else None


def vaults_of(cache: Cache) -> frozenset[VaultName]:
    """Where its backups go, and their copies."""
    second = cache.settings.copy_to
    return frozenset((cache.settings.vault, *((second,) if second else ())))


Caches = Map[CacheName, Cache]
CacheEvent = CacheRegistered | CacheReconfigured | CacheSuspended | CacheRemoved | PolicySet


def evolve(caches: Caches, envelope: Envelope, event: CacheEvent) -> Caches:
    """The caches after one more event."""
    match event:
        case CacheRegistered():
            return caches.set(event.cache, _registered(envelope, event))
        case CacheReconfigured():
            new = _reconfigured(caches[event.cache], envelope, event)
            return caches.set(event.cache, new)
        case PolicySet():
            new = replace(
                caches[event.cache],
                policy=event.policy,
                policy_declared=event.declared,
                configured=envelope.position,
                scheduled_since=envelope.at,
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
        file=event.file,
        added_at=envelope.at,
        scheduled_since=envelope.at,
        configured=envelope.position,
        probe=event.probe,
        probed_at=envelope.at if event.probe else None,
    )


def _reconfigured(old: Cache, envelope: Envelope, event: CacheReconfigured) -> Cache:
    return replace(
        old,
        settings=event.settings,
        declared=event.declared,
        file=event.file,
        suspended=None,
        configured=envelope.position,
        scheduled_since=envelope.at if old.suspended else old.scheduled_since,
        probe=event.probe or old.probe,
        probed_at=envelope.at if event.probe else old.probed_at,
    )
