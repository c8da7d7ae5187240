"""Vaults as they were found when they were tried out: what each does not let us do.

Knows only what an examination recorded, and those are recorded when the outcome changes: a
vault that is not here was never found at fault.
"""

from datetime import datetime

from immutables import Map
from msgspec import Struct

from events.envelope import Envelope
from events.facts import VaultFault, VaultName
from events.types import VaultExamined


class Health(Struct, frozen=True):
    """The outcome since `since`; no faults: it was at fault before, and all is well again."""

    url: str
    faults: tuple[VaultFault, ...]
    since: datetime


Vaults = Map[VaultName, Health]


def evolve(vaults: Vaults, envelope: Envelope, event: VaultExamined) -> Vaults:
    """The vaults after one more event."""
    return vaults.set(event.vault, Health(event.url, event.faults, envelope.at))


def faults_of(vaults: Vaults, name: VaultName, url: str) -> tuple[VaultFault, ...]:
    """What is known against a vault that is at this URL."""
    health = vaults.get(name)
    return health.faults if health is not None and health.url == url else ()


def kinds(faults: tuple[VaultFault, ...]) -> frozenset[tuple[str, str]]:
    """What makes two outcomes the same: messages may differ in ports and times."""
    return frozenset((fault.deed, fault.failure.code) for fault in faults)
