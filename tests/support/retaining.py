"""Caches with backups of given ages, and the golden cases that are written in such words.

A case is folded from events, as a log would tell it; nothing of retention is known here.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from daemon.commands import RemoveCache
from events.facts import BackupId, BackupKind, BackupName, CacheName, Policy, RestoreId
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheSuspended,
    DeletionRequested,
    Event,
    PolicySet,
    RestoreCompleted,
    RestoreRequested,
)
from events.types import SnapshotTaken as Snapshot
from projections.policy import parse_window
from projections.state import State
from tests.support.given import NOON, At, an_id, given, when
from tests.support.samples import (
    MAIN,
    ORDERS,
    OUTSIDE,
    RESULT,
    SETTINGS,
    SNAPSHOT,
    STARTED,
    STORED,
    USERS,
    registered,
)

DATA = Path(__file__).parents[1] / "data" / "retention"
_SPAN = re.compile(r"(-?)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

StateOf = Literal["complete", "running", "snapshot", "failed", "skipped", "deleting"]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One backup of a case, and what retention is to say of it."""

    name: str
    age: str
    says: str
    because: str = ""
    kind: BackupKind = "auto"
    asked: str | None = None
    state: StateOf = "complete"
    read: bool | Literal["before"] = False
    goes: bool | None = None

    @property
    def is_to_go(self) -> bool:
        """Whether a decision is to delete it now."""
        return self.says == "expired" if self.goes is None else self.goes


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """A cache at an instant; `earlier` is a policy that it had before."""

    rule: str
    title: str
    backups: tuple[Line, ...]
    now: datetime = NOON
    policy: dict[str, int | bool | str] | Literal["none"] = {}
    earlier: dict[str, int | bool | str] | None = None
    suspended: bool | Literal["before"] = False
    removed: bool = False
    impossible: bool = False

    def ids(self) -> Mapping[str, BackupId]:
        """The backups' ids by their names."""
        return {line.name: an_id(number) for number, line in enumerate(self.backups, 1)}


def cases() -> Iterator[Case]:
    """All golden cases."""
    for path in sorted(DATA.glob("*.toml")):
        yield from msgspec.convert(tomllib.loads(path.read_text())["case"], list[Case])


def span(text: str) -> timedelta:
    """``6d23h59m59s`` as a span; a minus in front is for what lies ahead."""
    found = _SPAN.fullmatch(text)
    assert found is not None, text
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    size = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -size if found[1] else size


def policy(**settings: int | bool | str) -> Policy:
    """A policy with auto on, without proofs; windows are written ``02:00+2h 14:00+30m``."""
    texts = str(settings.pop("windows", "")).split()
    windows = tuple(window for text in texts if (window := parse_window(text)) is not None)
    assert len(windows) == len(texts), texts
    return msgspec.convert(
        {"auto": True, "verify": "never", **settings, "windows": windows}, Policy
    )


def folded(case: Case) -> State:
    """The state of a case."""
    born = case.now + timedelta(days=1) if case.impossible else case.now - timedelta(days=5_000)
    events: list[Event] = [registered(), registered(USERS)]
    given_policies = [case.earlier, None if isinstance(case.policy, str) else case.policy]
    policies = [policy(**settings) for settings in given_policies if settings is not None]
    events += [PolicySet(cache=ORDERS, policy=one) for one in policies]
    state = given(At(born, STARTED), *(At(born, event) for event in events))
    for line in case.backups:
        state = given(*_backup(case, line), state=state)
    if case.suspended:
        gone = CacheSuspended(cache=ORDERS, reason="it is no longer declared")
        state = given(At(case.now, gone), state=state)
    if case.suspended == "before":
        again = CacheReconfigured(cache=ORDERS, settings=SETTINGS, declared=True)
        state = given(At(case.now, again), state=state)
    return when(state, RemoveCache("orders"), now=case.now).state if case.removed else state


def _backup(case: Case, line: Line) -> Iterator[At]:
    backup_id = case.ids()[line.name]
    taken_at = case.now - span(line.age)
    asked_at = case.now - span(line.asked or line.age)
    told = story(backup_id, taken_at, kind=line.kind, name=line.name)
    ending = _ENDS[line.state]
    yield from (At(asked_at, event) for event in told[: ending.steps])
    yield from (At(asked_at, event) for event in ending.events(backup_id))
    if line.read:
        yield from (
            At(case.now, event) for event in _reading(backup_id, ended=line.read == "before")
        )


def story(
    backup_id: BackupId,
    taken_at: datetime,
    *,
    kind: BackupKind = "auto",
    name: str = "",
    cache: CacheName = ORDERS,
) -> tuple[Event, ...]:
    """The four events of a backup that succeeds."""
    return (
        BackupRequested(
            cache=cache,
            backup_id=backup_id,
            kind=kind,
            name=BackupName(name or f"{kind}-{backup_id[-4:]}"),
            vault=MAIN,
            restore_id=RestoreId("20260301T120000Z-0000000f") if kind == "safety" else None,
        ),
        AttemptStarted(cache=cache, backup_id=backup_id, attempt=1, vault=MAIN),
        Snapshot(cache=cache, backup_id=backup_id, snapshot=replace(SNAPSHOT, taken_at=taken_at)),
        BackupCompleted(cache=cache, backup_id=backup_id, stored=STORED),
    )


class _End(Struct, frozen=True):
    """How many of a backup's four events have happened, and whether another ended it."""

    steps: int
    by: Literal["", "failed", "skipped", "deleting"] = ""

    def events(self, backup_id: BackupId) -> tuple[Event, ...]:
        """What came then."""
        match self.by:
            case "failed":
                failed = BackupFailed(cache=ORDERS, backup_id=backup_id, attempt=1, failure=OUTSIDE)
                return (
                    failed,
                    BackupAbandoned(cache=ORDERS, backup_id=backup_id, reason="no attempt is left"),
                )
            case "skipped":
                return (BackupSkipped(cache=ORDERS, backup_id=backup_id, reason="its window"),)
            case "deleting":
                return (DeletionRequested(cache=ORDERS, backup_id=backup_id, reason="command"),)
            case "":
                return ()


_ENDS: Mapping[StateOf, _End] = {
    "complete": _End(4),
    "running": _End(2),
    "snapshot": _End(3),
    "failed": _End(2, "failed"),
    "skipped": _End(1, "skipped"),
    "deleting": _End(4, "deleting"),
}


def reading(backup_id: BackupId, *, into: CacheName = USERS, number: int = 1) -> RestoreRequested:
    """A restore into another cache, which reads the backup until it ends."""
    return RestoreRequested(
        cache=into,
        restore_id=RestoreId(an_id(0xF00 + number)),
        backup_id=backup_id,
        backup_cache=ORDERS,
        replace=False,
        safety_backup=False,
    )


def _reading(backup_id: BackupId, *, ended: bool) -> Iterable[Event]:
    request = reading(backup_id)
    yield request
    if ended:
        yield RestoreCompleted(cache=USERS, restore_id=request.restore_id, result=RESULT)
