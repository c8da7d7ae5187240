"""Two rules of `check`: no backup was found damaged, and what should be proven is.

Pure. Knows what is said of a cache's proofs; in which form, and beside what else, is the
business of `checks`.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from immutables import Map
from msgspec import Struct

from events.facts import CacheName, Failure
from projections.assurance import newest_proven
from projections.caches import Cache
from projections.catalog import Backup
from projections.local import span
from projections.state import State

UNPROVEN_FOR = timedelta(days=2)
"""A policy that wants proofs and has had none for so long is told of."""


class Said(Struct, frozen=True):
    """One rule's verdict on one cache."""

    level: Literal["ok", "warning", "critical"]
    rule: str
    told: str
    hint: str = ""
    code: str = ""


def proofs(state: State, cache: Cache, now: datetime) -> Iterator[Said]:
    """What is to be said of a living cache's proofs."""
    yield damaged(state, cache.name) or Said("ok", "damaged", "no backup was found damaged")
    policy = cache.scheduled
    if policy is not None and policy.windows and policy.verify != "never":
        yield _unproven(state, cache, now)


def damaged(state: State, name: CacheName) -> Said | None:
    """The newest backup of a cache that was found damaged and still exists."""
    found = [b for b in state.catalog.get(name, Map()).values() if _refuted(b)]
    if not found:
        return None
    newest = max(found, key=lambda b: (b.requested_at, b.backup_id))
    failure = newest.proof.refuted or Failure("", "", "")
    more = f"; {len(found)} in all" if len(found) > 1 else ""
    told = (
        f"backup {newest.name} failed its verification and does not count: "
        f"{_whole(failure.message)}{more}"
    )
    what = newest.backup_id
    hint = (
        f"{_way_out(newest)}Make another one. If the vault was mended: `valkeep backup verify "
        f"{what}`; if not, delete it: `valkeep backup delete {what}`."
    )
    return Said("critical", "damaged", told, hint, failure.code)


def _way_out(backup: Backup) -> str:
    """Where a damaged backup is whole all the same, by what is known."""
    there = [copy.vault for copy in backup.copies if copy.good]
    if not there:
        return ""
    return f"Its copy can be restored: `valkeep restore {backup.backup_id} --from {there[0]}`. "


def _refuted(backup: Backup) -> bool:
    return backup.phase == "complete" and backup.proof.refuted is not None


def _unproven(state: State, cache: Cache, now: datetime) -> Said:
    autos = [
        b
        for b in state.catalog.get(cache.name, Map()).values()
        if b.kind == "auto" and b.phase == "complete"
    ]
    proven = newest_proven([b for b in autos if b.good], now)
    if proven is not None and proven.proof.verified_at is not None:
        since, receipt = proven.proof.verified_at, proven.proof.receipt
        level = receipt.level if receipt else ""
        told = f"{proven.name} was proven {span(now - since)} ago ({level})"
    else:
        since = min((b.completed_at or now for b in autos), default=now)
        told = "no scheduled backup was proven yet"
    if now - max(since, cache.scheduled_since) <= UNPROVEN_FOR:
        return Said("ok", "proven", told)
    why = [b.proof.unproven for b in autos if b.proof.unproven is not None]
    said = f"; the last try: {_whole(why[-1].message)}" if why else ""
    hint = f"{why[-1].hint} " if why else ""
    newest = max(autos, key=lambda b: (b.requested_at, b.backup_id), default=None)
    ask = f"Prove one now: `valkeep backup verify {newest.backup_id}`." if newest else ""
    return Said("warning", "proven", f"{told}{said}", f"{hint}{ask}", "unproven")


def _whole(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
