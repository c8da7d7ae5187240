"""Backups that are deleted: the catalog has forgotten them, the history has not.

Reads the log from its beginning for one backup; bytes are compared first, so that few records
are decoded.
"""

import re
from contextlib import aclosing
from datetime import datetime

from msgspec import Struct

from daemon.answers.retention import Retained
from daemon.ledger import Ledger
from events import codec
from events.facts import START
from events.types import (
    BackupDeleted,
    BackupRequested,
    DeletionRequested,
    Event,
    RetentionExpired,
    SnapshotTaken,
)

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")


class _Story(Struct):
    """What is known of one backup so far."""

    asked: BackupRequested
    taken_at: datetime | None = None
    wanted_by: DeletionRequested | None = None
    expired: RetentionExpired | None = None
    deleted_at: datetime | None = None


async def bygone(ledger: Ledger, reference: str, now: datetime) -> Retained | None:
    """Why a deleted backup went, by its whole id or ``CACHE/NAME``; the newest of that name."""
    _, slash, name = reference.partition("/")
    if not slash and not _ID.fullmatch(reference):
        return None
    stories: dict[str, _Story] = {}
    needles = [(name if slash else reference).encode()]
    async with aclosing(ledger.records(START)) as records:
        async for record in records:
            if not any(needle in record.data for needle in needles):
                continue
            event = codec.decode(record.data)
            if isinstance(event, BackupRequested) and reference in (
                event.backup_id,
                f"{event.cache}/{event.name}",
            ):
                stories[event.backup_id] = _Story(event)
                needles.append(event.backup_id.encode())
            else:
                _take(stories, event, record.envelope.at)
    gone = [story for story in stories.values() if story.deleted_at is not None]
    return _answer(gone[-1], now) if gone else None


def _take(stories: dict[str, _Story], event: Event, at: datetime) -> None:
    match event:
        case SnapshotTaken() if story := stories.get(event.backup_id):
            story.taken_at = event.snapshot.taken_at
        case RetentionExpired() if story := stories.get(event.backup_id):
            story.expired = event
        case DeletionRequested() if story := stories.get(event.backup_id):
            story.wanted_by = event
        case BackupDeleted() if story := stories.get(event.backup_id):
            story.deleted_at = at
        case _:
            return


def _answer(story: _Story, now: datetime) -> Retained:
    asked = story.asked
    return Retained(
        now=now,
        backup_id=asked.backup_id,
        cache=asked.cache,
        name=asked.name,
        kind=asked.kind,
        kept=False,
        rule="deleted",
        told=f"It is gone since {story.deleted_at:%Y-%m-%d %H:%M:%SZ}: {_why(story)}.",
        taken_at=story.taken_at,
        retention_days=story.expired.retention_days if story.expired else None,
        changes=(f"valkeep events --cache {asked.cache} tells who and when",),
    )


def _why(story: _Story) -> str:
    if story.expired is not None:
        return f"its retention was over: {story.expired.reason}"
    if story.wanted_by is not None and story.wanted_by.reason == "cache-removed":
        return "its cache was removed"
    return "somebody deleted it"
