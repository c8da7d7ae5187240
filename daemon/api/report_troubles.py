"""Troubles as the report tells them: what belongs together is one line, newest first. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from daemon.answers.report import TroubleView
from events.facts import BackupId
from projections.history import History, OfCache, Story
from projections.troubles import Trouble, What

MOST = 200


def troubles_of(
    history: History, *, since: datetime, until: datetime
) -> tuple[tuple[TroubleView, ...], int]:
    """The newest troubles since an instant, and how many older ones were left out."""
    there = [t for _, t in sorted(history.troubles.items()) if since <= t.at <= until]
    told = list(_grouped(_ended(history, there)))
    told.sort(key=lambda one: one.at, reverse=True)
    return tuple(told[:MOST]), max(0, len(told) - MOST)


def _ended(history: History, troubles: list[Trouble]) -> Iterator[Trouble]:
    """Each with its end: a given-up backup is told once, by its last failure."""
    last = {(t.cache, t.of): t for t in troubles if t.what == "attempt"}
    given_up = {(t.cache, t.of): t for t in troubles if t.what == "given-up"}
    for trouble in troubles:
        key = (trouble.cache, trouble.of)
        attempt, end = last.get(key), given_up.get(key)
        match trouble.what:
            case "attempt" if end is None:
                yield _settled(history, trouble)
            case "given-up" if attempt is not None:
                yield replace(attempt, what="given-up", at=trouble.at)
            case "attempt" | "import" if end is not None:
                continue
            case _:
                yield _settled(history, trouble)


def _settled(history: History, trouble: Trouble) -> Trouble:
    """What has been made up for since needs nothing to be done."""
    stories = history.caches.get(trouble.cache, OfCache()).stories
    story = stories.get(BackupId(trouble.of))
    told = _made_up_for(trouble.what, story) if story else None
    return replace(trouble, hint=f"Nothing: {told}.") if told else trouble


def _made_up_for(what: What, story: Story) -> str | None:
    """Why there is nothing to do, if there is nothing."""
    gone = "the backup is gone" if story.gone_at else None
    match what:
        case "attempt":
            return "a later attempt succeeded" if story.ending == "complete" else None
        case "damaged":
            return gone or (None if story.refuted else "a later verification found it whole")
        case "suspect":
            return gone or (None if story.suspect else "somebody has acknowledged it")
        case "unproven":
            return gone or ("it was verified later" if story.level else None)
        case _:
            return None


def _grouped(troubles: Iterable[Trouble]) -> Iterator[TroubleView]:
    """The same thing again and again is one line with a count, and the newest's words."""
    groups: dict[tuple[str, ...], list[Trouble]] = {}
    for trouble in troubles:
        key = (trouble.cache, trouble.what, trouble.code, trouble.message, trouble.hint)
        groups.setdefault(key, []).append(trouble)
    for found in groups.values():
        newest, first = found[-1], found[0]
        yield TroubleView(
            at=newest.at,
            cache=newest.cache,
            what=newest.what,
            message=newest.message,
            hint=newest.hint,
            code=newest.code,
            of=newest.of,
            count=len(found),
            first_at=first.at if len(found) > 1 else None,
        )
