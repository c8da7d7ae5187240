"""One cache: does it answer, may we do what a backup takes, and what will be done."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from daemon.answers.doctor import Finding
from daemon.errors import BadRequest, Failed
from daemon.ports import Clock
from events.facts import CacheSettings, Probe
from projections.caches import Cache
from projections.local import span

SKEW = timedelta(seconds=30)
"""Clocks that differ by more make a log hard to read beside the server's own."""


class Prober(Protocol):
    """Looks at caches (C2)."""

    async def probe(self, settings: CacheSettings) -> Probe:
        """What was found; raises `BadRequest`, `Transient` or `Permanent` with a hint."""
        ...


class Bedside(Struct, frozen=True):
    """How caches are examined; `server_clock` gives None where a server does not tell."""

    prober: Prober
    server_clock: Callable[[CacheSettings], Awaitable[datetime | None]]
    clock: Clock

    async def examine(self, cache: Cache) -> tuple[Finding, ...]:
        """Every finding on one cache."""
        if cache.suspended is not None:
            told = f"it is suspended, and was not looked at: {cache.suspended}"
            hint = f"`valkeep check {cache.name}` tells how to end that."
            return (Finding("warning", "cache", told, cache.name, hint, "suspended"),)
        try:
            probe = await self.prober.probe(cache.settings)
        except (Failed, BadRequest) as error:
            return (Finding("problem", "cache", error.message, cache.name, error.hint, error.code),)
        theirs = await self.server_clock(cache.settings)
        ahead = None if theirs is None else theirs - self.clock.now()
        return judge(cache, probe, ahead)


def judge(cache: Cache, probe: Probe, ahead: timedelta | None) -> tuple[Finding, ...]:
    """What was found comes to; `ahead` is how far the server's clock is before ours."""
    found = [_rights(cache, probe), *_served(cache, probe)]
    if ahead is not None and abs(ahead) > SKEW:
        told = f"its clock is {span(abs(ahead))} {'ahead of' if ahead > SKEW else 'behind'} ours"
        hint = "Have both hosts' clocks kept by NTP: `timedatectl` shows what is done."
        found.append(Finding("warning", "cache", told, cache.name, hint, "clock-skew"))
    return tuple(found)


def _rights(cache: Cache, probe: Probe) -> Finding:
    server, choice = probe.server, probe.choice
    what = f"{server.engine} {server.version}, {_role(probe)}"
    told = f"{what}; AOF {'on' if server.aof else 'off'}; backups by {choice.source}, because "
    told = f"{told}{choice.reason.rstrip('.')}"
    if probe.node is not None:
        told = f"{told}; from {probe.node.address}: {probe.node.reason.rstrip('.')}"
    if probe.missing_rights is not None:
        told = f"our user lacks rights that a backup by {choice.source} takes ({what})"
        hint = f"On the server: {probe.missing_rights}"
        return Finding("problem", "cache", told, cache.name, hint, "cache-rights")
    return Finding("ok", "cache", told, cache.name, code="cache")


def _served(cache: Cache, probe: Probe) -> tuple[Finding, ...]:
    """What stands in the way of a backup though the server answers."""
    if probe.server.cluster:
        told = "it is a node of a cluster, and backups of clusters are not there yet"
        hint = "One node's data would be a part that looks like a whole: back up by other means."
        return (Finding("problem", "cache", told, cache.name, hint, "topology"),)
    if probe.server.unknown:
        told = f"it does not tell {', '.join(probe.server.unknown)}"
        hint = "Backups are made all the same; a restore then knows less of what it needs."
        return (Finding("warning", "cache", told, cache.name, hint, "cache-reticent"),)
    return ()


def _role(probe: Probe) -> str:
    server = probe.server
    if server.role == "replica":
        return "replica"
    return f"primary with {server.replicas} replica{'s' if server.replicas != 1 else ''}"
