"""What a message about alarms says: what is wrong, where, since when, and what to do.

Pure. Alarms with one cause share a paragraph, with the first few names and the number of the
others: a vault that is down is one message, however many caches use it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from events.alarms import AlarmKey, Manner, MessageLevel, Telling
from projections.alarms import Alarm, Book, Desk, Notice
from projections.local import local_text, one_line, span
from projections.news import FLAPS, News, standing

NAMES = 5
"""So many names are said of those that share a cause."""
PARAGRAPHS = 12
"""So many causes are told in full; chats cut longer messages off."""
LONGEST = 600
"""Characters of one sentence of others."""

PHRASES: Mapping[str, str] = {
    "failed": "a backup failed",
    "abandoned": "a backup was given up",
    "missed": "a window was missed",
    "skipped": "a window was skipped",
    "cancelled": "a backup was cancelled",
    "stale": "the newest backup is too old",
    "damaged": "a backup is damaged",
    "suspect": "a backup is suspect",
    "unproven": "backups are not proven",
    "uncopied": "a copy is not made",
    "copy-damaged": "a copy is damaged",
    "suspended": "no backups: suspended",
    "unscheduled": "nothing is backed up by itself",
    "stuck": "a call hangs",
    "restore": "a restore failed",
    "hook": "a hook failed",
    "vault": "a vault is at fault",
    "disk": "little room is left",
    "log": "the log is in trouble",
    "clock": "the clock is wrong",
    "notify": "a channel does not take messages",
    "heartbeat": "heartbeats do not arrive",
    "other": "a rule of `valkeep check` is not kept",
    "restore-started": "a restore has begun",
    "restore-completed": "a restore is complete",
    "deleted": "a backup was deleted",
    "removed": "a cache was removed",
}


class Words(Struct, frozen=True):
    """How an alarm is worded now; what was said when it was raised may be hours old."""

    message: str
    hint: str


class Message(Struct, frozen=True):
    """One message for one channel."""

    level: MessageLevel
    title: str
    text: str
    tells: tuple[Telling, ...] = ()


class _Part(Struct, frozen=True):
    """Alarms that share a cause and a standing."""

    label: str
    rank: int
    alarms: tuple[Alarm, ...]


class _Case(Struct, frozen=True):
    book: Book
    desk: Desk
    manner: Manner
    now: datetime
    words: Mapping[AlarmKey, Words]

    def at(self, instant: datetime) -> str:
        """An instant on the clocks that messages show."""
        return local_text(instant, self.manner.timezone)


def worded(
    book: Book,
    desk: Desk,
    news: News,
    *,
    now: datetime,
    words: Mapping[AlarmKey, Words] | None = None,
) -> Message:
    """The message that tells a channel its news."""
    manner = book.manner or Manner()
    case = _Case(book, desk, manner, now, words or {})
    parts = sorted(_parts(case, news), key=lambda part: (part.rank, part.alarms[0].key))
    lines: list[str] = []
    for part in parts[:PARAGRAPHS]:
        lines += [*_paragraph(case, part), ""]
    if len(parts) > PARAGRAPHS:
        lines += [f"And {len(parts) - PARAGRAPHS} other causes: `valkeep status` shows all.", ""]
    lines += _notes(case, news.notices)
    lines += _rest(case, news)
    told = [alarm for part in parts for alarm in part.alarms]
    return Message(
        level=_level(parts, news),
        title=_title(parts, news, manner),
        text="\n".join(lines).rstrip(),
        tells=tuple(Telling(alarm.key, alarm.times, alarm.standing) for alarm in told),
    )


def _parts(case: _Case, news: News) -> Iterator[_Part]:
    found: dict[tuple[int, str, str], list[Alarm]] = {}
    again = {alarm.key for alarm in news.repeated}
    for alarm in (*news.alarms, *news.repeated):
        rank, label = _standing(case.desk, alarm, repeated=alarm.key in again)
        found.setdefault((rank, label, alarm.cause), []).append(alarm)
    for (rank, label, _), alarms in found.items():
        yield _Part(label, rank, tuple(alarms))


def _standing(desk: Desk, alarm: Alarm, *, repeated: bool) -> tuple[int, str]:
    grave = alarm.level == "critical"
    if repeated:
        return (2 if grave else 3), f"STILL {alarm.level.upper()}"
    if alarm.standing:
        return (0 if grave else 1), alarm.level.upper()
    told = desk.told.get(alarm.key)
    return (4, "RECOVERED") if told and told.standing else (5, "CAME AND WENT")


def _paragraph(case: _Case, part: _Part) -> Iterator[str]:
    alarms = part.alarms
    first = alarms[0]
    yield f"{part.label}: {_whom(alarms)}: {PHRASES.get(first.kind, first.kind)}{_when(case, part)}"
    known = case.words.get(first.key) if first.standing else None
    message, hint = (known.message, known.hint) if known else (first.message, first.hint)
    example = f"{first.cache}: " if len(alarms) > 1 and first.cache else ""
    yield f"  {example}{_ended(_cut(message))}"
    if first.standing and hint:
        yield f"  What to do: {_ended(_cut(hint))}"
    for alarm in alarms[:NAMES]:
        yield from _flapping(case, alarm)


def _ended(text: str) -> str:
    return text if text.endswith(("?", "!", ".", "…")) else f"{text}."


def _whom(alarms: Sequence[Alarm]) -> str:
    names = [str(alarm.cache) for alarm in alarms if alarm.cache]
    if not names:
        return "Valkeep itself" if len(alarms) == 1 else f"Valkeep itself, {len(alarms)} times"
    return _some(names)


def _some(names: Sequence[str]) -> str:
    if len(names) <= NAMES:
        return ", ".join(names)
    return f"{len(names)} caches ({', '.join(names[:NAMES])} and {len(names) - NAMES} more)"


def _when(case: _Case, part: _Part) -> str:
    first = min(part.alarms, key=lambda alarm: alarm.raised_at)
    if first.standing:
        return f", since {case.at(first.raised_at)}"
    ended = max(alarm.cleared_at or case.now for alarm in part.alarms)
    lasted = span(ended - first.raised_at)
    return f", after {lasted}, at {case.at(ended)}"


def _flapping(case: _Case, alarm: Alarm) -> Iterator[str]:
    told = case.desk.told.get(alarm.key)
    if told is None or told.changes + 1 < FLAPS:
        return
    what = f"{alarm.cache} comes" if alarm.cache else "It comes"
    yield (
        f"  {what} and goes: raised {alarm.times} times since {case.at(alarm.first_at)}. More of "
        f"it is told after {span(_repeat(case))}, or when something worse comes of it."
    )


def _repeat(case: _Case) -> timedelta:
    return timedelta(seconds=case.manner.repeat_every)


def _notes(case: _Case, notices: Sequence[Notice]) -> Iterator[str]:
    kinds: dict[str, list[Notice]] = {}
    for notice in notices:
        kinds.setdefault(notice.kind, []).append(notice)
    for some in kinds.values():
        for notice in some[:NAMES]:
            yield f"NOTE: {_cut(notice.message)}, at {case.at(notice.at)}."
        if len(some) > NAMES:
            yield f"NOTE: and {len(some) - NAMES} more like that; see `valkeep events`."
    if notices:
        yield ""


def _rest(case: _Case, news: News) -> Iterator[str]:
    """What stands beside the news, and where all can be seen."""
    said = {alarm.key for alarm in (*news.alarms, *news.repeated)}
    others = [alarm for alarm in standing(case.book, case.desk) if alarm.key not in said]
    if others:
        many = "1 other problem stands" if len(others) == 1 else f"{len(others)} others stand"
        yield f"{many} as told before."
    host = f" on {case.manner.host}" if case.manner.host else ""
    yield f"Valkeep{host}, {case.at(case.now)}. `valkeep status` shows what is so now."


def _level(parts: Sequence[_Part], news: News) -> MessageLevel:
    ranks = {part.rank for part in parts}
    if ranks & {0, 2}:
        return "critical"
    if ranks & {1, 3}:
        return "warning"
    return "ok" if 4 in ranks or not news.notices else "info"


def _title(parts: Sequence[_Part], news: News, manner: Manner) -> str:
    host = f" [{manner.host}]" if manner.host else ""
    if not parts:
        first = news.notices[0] if news.notices else None
        what = PHRASES.get(first.kind, first.kind) if first else "all is well"
        of = f"{first.cache}: " if first and first.cache else ""
        more = f" (+{len(news.notices) - 1})" if len(news.notices) > 1 else ""
        return f"Valkeep{host}: {of}{what}{more}"
    first_part = parts[0]
    alarm, many = first_part.alarms[0], len(first_part.alarms)
    whom = (str(alarm.cache) if many == 1 else f"{many} caches") if alarm.cache else "Valkeep"
    more = f" (+{len(parts) - 1} more)" if len(parts) > 1 else ""
    phrase = PHRASES.get(alarm.kind, alarm.kind)
    return f"{first_part.label}{host}: {whom}: {phrase}{more}"


def _cut(text: str) -> str:
    flat = one_line(text)
    return flat if len(flat) <= LONGEST else f"{flat[:LONGEST]}…"
