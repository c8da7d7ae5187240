"""Golden plans: what a backup and a target are, and the plan that must come of them.

A case says what differs from `base.toml`; its tables are laid over those, key by key.
"""

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from events.facts import (
    Finding,
    RdbTotals,
    RestorePlan,
    ServerFacts,
    SnapshotFacts,
    StoredFacts,
    TargetFacts,
)
from projections.restore_identity import Unlocking
from projections.restore_pace import Pace
from projections.restore_plan import Offer, Wishes, restore_plan
from projections.restore_stored import Glance

DATA = Path(__file__).parents[1] / "data" / "plans"
BASE = "base.toml"
Table = dict[str, object]
Shape = TypeVar("Shape")


class Backup(Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan must know of a backup."""

    server: ServerFacts
    rdb_version: int
    plain_bytes: int
    stored_bytes: int
    recipients: tuple[str, ...]
    totals: RdbTotals | None = None
    unread: str | None = None
    unlocking: Unlocking = Unlocking()
    glance: Glance = Glance()
    pace: Pace | None = None

    def offer(self) -> Offer:
        """As the planner takes it."""
        return Offer(
            SnapshotFacts(
                server=self.server,
                source="replication",
                reason="",
                rdb_version=self.rdb_version,
                taken_at=datetime(2030, 5, 17, 12, tzinfo=UTC),
            ),
            StoredFacts(
                plain_bytes=self.plain_bytes,
                stored_bytes=self.stored_bytes,
                sha256="",
                manifest_sha256="",
                blocks=3,
                totals=None if self.unread else self.totals,
                unread=self.unread,
                recipients=self.recipients,
            ),
            unlocking=self.unlocking,
            glance=self.glance,
            pace=self.pace,
        )


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """The plan that must come; what people are told is compared where a case says it."""

    load_mode: str
    findings: tuple[Finding, ...]
    peak_bytes: int | None = None
    seconds: float | None = None
    seconds_basis: str = ""
    safety_backup: bool = True
    target_keys: int = 7
    consequences: tuple[str, ...] | None = None
    clients: tuple[str, ...] | None = None
    by_hand: tuple[str, ...] | None = None

    def seen_in(self, plan: RestorePlan) -> "Expected":
        """The same parts of a plan."""
        names = [name for name in structs.asdict(self) if getattr(self, name) is not None]
        return structs.replace(self, **{name: getattr(plan, name) for name in names})


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """One backup, one target, one plan; `why` is the reason in words."""

    why: str
    plan: Expected
    backup: Table = {}
    target: Table = {}
    safety_backup: bool = True

    def planned(self) -> RestorePlan:
        """The plan that comes."""
        base = tomllib.loads((DATA / BASE).read_text())
        backup = msgspec.convert(over(base["backup"], differing=self.backup), Backup, strict=False)
        target = msgspec.convert(
            over(base["target"], differing=self.target), TargetFacts, strict=False
        )
        return restore_plan(backup.offer(), target, Wishes(safety_backup=self.safety_backup))


def over(base: Table, *, differing: Table) -> Table:
    """One table laid over another; only tables are merged, and an empty one replaces."""
    merged = dict(base)
    for name, value in differing.items():
        below = merged.get(name)
        merge = isinstance(below, dict) and isinstance(value, dict) and value
        merged[name] = over(below, differing=value) if merge else value  # type: ignore[arg-type]
    return merged


def golden() -> Iterator[tuple[str, Case]]:
    """All cases, each with the name of its file."""
    for path in sorted(DATA.glob("*.toml")):
        if path.name != BASE:
            for case in msgspec.convert(tomllib.loads(path.read_text())["case"], list[Case]):
                yield path.stem, case
