"""`valkeep backup show BACKUP --keys`: what a backup's keys take, on one page."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daemon.answers import BackupDetail
from daemon.answers.keyspace import KeyspaceAnswer
from daemon.cli.desk import Desk
from daemon.cli.key_names import raw, shown
from daemon.cli.keys_growth import Grown, gone, grown, is_below, of_prefix, pattern, percent, signed
from daemon.cli.table import Column, facts, table
from daemon.cli.words import age, elapsed, instant, plural, size
from daemon.client import path_of
from daemon.commands.surveyed import KeyPrefix, KeyspaceBefore, KeyspaceDetail, LargeKey
from events.keyspace import KeyAmount, KeyspaceFacts, TtlSpan

MOST_PREFIXES = 20
MOST_LARGE = 10
BAR = 10
UNSEEN = 0.4
"""The engine uses more than its keys take, for its tables; but hardly by so much."""
LEAST_NAME = 24
"""So many columns a name gets, even if others have to go."""
SPANS: dict[TtlSpan, str] = {
    "none": "never end",
    "1h": "under 1 h",
    "1d": "under 1 d",
    "7d": "under 7 d",
    "30d": "under 30 d",
    "more": "30 d and more",
}


def show_keys(desk: Desk, reference: str) -> None:
    """The page of a backup, or the answer as JSON."""
    found, _ = desk.ask(BackupDetail, path_of("backups", reference))
    own = path_of("backups", found.backup.backup_id)
    answer, raw_answer = desk.ask(KeyspaceAnswer, f"{own}/keyspace")
    desk.show(raw_answer, page(answer, desk.width))


def page(answer: KeyspaceAnswer, width: int) -> Iterator[str]:
    """The whole page, or why there is none."""
    yield f"{answer.cache}/{answer.name}"
    detail = answer.detail
    if detail is None:
        if answer.missing is not None:
            pairs = [("keys", f"not known: {answer.missing.message}")]
            yield from facts(
                [*pairs, ("what to do", answer.missing.hint)], indent="  ", width=width
            )
        return
    yield from facts(list(_about(answer, detail)), indent="  ", width=width)
    if not detail.facts.keys:
        return
    yield from _types(detail, width)
    yield from _spans(detail, width)
    yield from _prefixes(detail, width)
    yield from _large("largest keys", detail.largest, detail, width)
    longest = [one for one in detail.longest if one.elements >= 1_000]
    yield from _large("keys with the most elements", longest, detail, width)
    yield from _look(detail, width)


def _about(answer: KeyspaceAnswer, detail: KeyspaceDetail) -> Iterator[tuple[str, str]]:
    found = detail.facts
    about = "about " if not found.whole else ""
    several = f" in {plural(len(found.databases), 'database')}" if len(found.databases) > 1 else ""
    each = f", {size(found.total.bytes / found.total.keys)} each" if found.total.keys else ""
    yield "keys", f"{found.keys:,}{several}, {about}{size(found.total.bytes)}{each}"
    if answer.expired:
        yield "expired", f"{answer.expired:,} more had ended before they were loaded"
    when = instant(answer.verified_at) if answer.verified_at else "by an earlier verification"
    took = f"by {detail.engine} in {elapsed(found.seconds)}, {when}"
    yield "counted", took
    unseen = _unseen(answer, found)
    yield "ESTIMATES", "" if found.exact else _estimates(found)
    yield "UNSEEN", unseen
    if detail.before is not None and not unseen:
        yield "grown", _growth(answer, detail, detail.before)
    if answer.withheld:
        yield "names", f"not shown: {answer.withheld}"
    elif not detail.named:
        yield "names", "none are kept (`[engine] census`, or a lost file: verify again)"


def _estimates(found: KeyspaceFacts) -> str:
    share = 100 * found.seen / max(1, found.keys)
    told = f"there was time to look at {found.seen:,} keys ({share:.0f} %), which stand for all"
    if found.whole:
        told += "; but all were weighed: memory in all and the largest keys are exact"
    else:
        share = 100 * found.weighed / max(1, found.keys)
        told += f"; {share:.0f} % were weighed, and a larger key may be among the others"
    return f"{told}. For more: a greater `[engine] census_seconds`, then verify again"


def _unseen(answer: KeyspaceAnswer, found: KeyspaceFacts) -> str:
    """What is to be said of keys that nobody has seen and that hold much; often nothing."""
    used, told = answer.used_memory_bytes or 0, found.total.bytes
    if found.whole or used - told <= UNSEEN * told:
        return ""
    return (
        f"the engine used {size(used)} in all, far more than that: large keys are among those "
        "that were not seen, and what has grown is not known"
    )


def _growth(answer: KeyspaceAnswer, detail: KeyspaceDetail, before: KeyspaceBefore) -> str:
    old, new = before.facts, detail.facts
    keys = new.keys - old.keys
    in_keys = f"{keys:+,} keys" + _bracket(percent(new.keys, before=old.keys))
    in_bytes = signed(new.total.bytes - old.total.bytes)
    in_bytes += _bracket(percent(new.total.bytes, before=old.total.bytes))
    since = f"since {answer.cache}/{before.name}, {age(answer.now, before.completed_at)}"
    other = "" if before.engine == detail.engine else f", counted by {before.engine}"
    guess = "" if old.exact else ", which was estimated"
    return f"{in_keys}, {in_bytes} {since}{other}{guess}"


def _bracket(text: str) -> str:
    return f" ({text})" if text else ""


def _types(detail: KeyspaceDetail, width: int) -> Iterator[str]:
    found, before = detail.facts, detail.before
    old = before.facts.types if before else {}
    yield ""
    # A rare type may be missing in an estimate, and be there all the same.
    none = {name: KeyAmount() for name in old} if found.exact else {}
    heavy = sorted({**none, **found.types}.items(), key=lambda one: -one[1].bytes)
    rows = []
    for name, amount in heavy:
        was = old.get(name, KeyAmount()).bytes
        change = grown(amount.bytes, was) if before else Grown()
        per_key = f"{amount.elements / amount.keys:,.1f}" if amount.elements else ""
        cells = _amount(amount, found.total.bytes)
        rows.append((name, *cells, size(amount.bytes / max(1, amount.keys)), per_key, *change))
    columns = [
        Column("type"),
        *_AMOUNT,
        Column("each", rank=2, right=True),
        Column("elements each", rank=4, right=True),
        *_GROWN,
    ]
    yield from table(*_filled(columns, rows), width)
    yield from _encodings(detail, width)


_AMOUNT = (
    Column("keys", right=True),
    Column("memory", right=True),
    Column("share", rank=1, right=True),
    Column("", rank=5),
)
_GROWN = (Column("grown", rank=2, right=True), Column("by", rank=3, right=True))


def _filled(
    columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> tuple[list[Column], list[list[str]]]:
    """The same without columns that have nothing in them."""
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _encodings(detail: KeyspaceDetail, width: int) -> Iterator[str]:
    found = detail.facts
    heavy = sorted(found.encodings.items(), key=lambda one: -one[1].bytes)
    told = [f"{name} {size(amount.bytes)}" for name, amount in heavy]
    yield from facts([("encodings", ", ".join(told))], width=width)
    if len(found.databases) > 1:
        yield ""
        rows = [(f"db{n}", *_amount(one, found.total.bytes)) for n, one in found.databases.items()]
        yield from table([Column("database"), *_AMOUNT], rows, width)


def _spans(detail: KeyspaceDetail, width: int) -> Iterator[str]:
    found = detail.facts
    yield ""
    rows = [
        (SPANS[span], *_amount(found.ttls[span], found.total.bytes))
        for span in SPANS
        if span in found.ttls
    ]
    yield from table([Column("time to live"), *_AMOUNT], rows, width)


def _amount(amount: KeyAmount, of_bytes: int) -> tuple[str, str, str, str]:
    share = amount.bytes / of_bytes if of_bytes else 0.0
    return (
        f"{amount.keys:,}",
        size(amount.bytes),
        _share(share),
        "█" * round(BAR * share) or "▏",
    )


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or not share else f"{100 * share:.1f} %"


class _Row(NamedTuple):
    row: KeyPrefix
    depth: int


def _prefixes(detail: KeyspaceDetail, width: int) -> Iterator[str]:
    rows = _told(detail.prefixes)
    if not rows:
        return
    several = len({one.database for one in detail.prefixes}) > 1
    columns = [
        *([Column("db")] if several else []),
        Column("keys", right=True),
        Column("memory", right=True),
        Column("share", rank=1, right=True),
        Column("no TTL", rank=1, right=True),
        *_GROWN,
        Column("prefix"),
    ]
    cells = []
    for row, _ in rows:
        lasting = f"{100 * row.lasting_bytes / max(1, row.bytes):.0f} %"
        share = _share(row.bytes / max(1, detail.facts.total.bytes))
        change = of_prefix(row, detail.before)
        database = [str(row.database)] if several else []
        cells.append((*database, f"{row.keys:,}", size(row.bytes), share, lasting, *change))
    room = _room(columns, cells, width)
    names = ["  " * depth + shown(pattern(row), room - 2 * depth) for row, depth in rows]
    named = [(*figures, name) for figures, name in zip(cells, names, strict=True)]
    yield ""
    yield from table(*_filled(columns, named), width)
    for lost in gone(detail):
        yield f"gone: {shown(pattern(lost), width - 30)} ({size(lost.bytes)} before)"


def _told(rows: Sequence[KeyPrefix]) -> list[_Row]:
    """The heaviest prefixes, each below the one that it is a part of.

    One that holds little beside a single other one is left out: that one says more.
    """
    heads = [row for i, row in enumerate(rows) if not _says_no_more(row, rows[i + 1 :])]
    heavy = sorted(heads, key=lambda row: -row.bytes)[:MOST_PREFIXES]
    kept = [row for row in heads if any(row is one for one in heavy)]
    return [_Row(row, sum(is_below(row, other=other) for other in kept)) for row in kept]


def _says_no_more(row: KeyPrefix, after: Sequence[KeyPrefix]) -> bool:
    first = after[0] if after else None
    return first is not None and is_below(first, other=row) and first.bytes >= 0.98 * row.bytes


def _large(
    head: str, keys: Sequence[LargeKey], detail: KeyspaceDetail, width: int
) -> Iterator[str]:
    if not keys:
        return
    several = len(detail.facts.databases) > 1
    columns = [
        *([Column("db")] if several else []),
        Column("memory", right=True),
        Column("share", rank=1, right=True),
        Column("elements", right=True),
        Column("type"),
        Column("encoding", rank=2),
        Column(head),
    ]
    cells = []
    for key in keys[:MOST_LARGE]:
        share = _share(key.bytes / max(1, detail.facts.total.bytes))
        elements = f"{key.elements:,}" if key.type != "string" else ""
        figures = (size(key.bytes), share, elements, key.type, key.encoding)
        cells.append((*([str(key.database)] if several else []), *figures))
    room = _room(columns, cells, width)
    named = [(*row, _key(key, room)) for key, row in zip(keys, cells, strict=False)]
    yield ""
    yield from table(*_filled(columns, named), width)


def _key(key: LargeKey, width: int) -> str:
    more = f" ({size(key.name_bytes)} long)" if key.name_bytes else ""
    return shown(raw(key.key, encoded=key.key_base64), width - len(more)) + more


def _room(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> int:
    """The columns that are left for names beside all figures, or at least so many as they need."""
    taken = [max(len(columns[i].head), *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    return max(LEAST_NAME, width - sum(taken) - 2 * len(taken))


def _look(detail: KeyspaceDetail, width: int) -> Iterator[str]:
    """What somebody who looks for memory should look at first."""
    looked = list(_worth_a_look(detail))
    if looked:
        yield ""
        yield from facts(
            [("worth a look", looked[0]), *(("", one) for one in looked[1:])], width=width
        )


def _worth_a_look(detail: KeyspaceDetail) -> Iterator[str]:
    whole = detail.facts.total.bytes
    largest = sum(key.bytes for key in detail.largest)
    if detail.facts.keys > 5 * len(detail.largest) and largest > 0.2 * whole:
        yield (
            f"The {len(detail.largest)} largest of {detail.facts.keys:,} keys hold "
            f"{_share(largest / whole)} of the memory."
        )
    for row, _ in _told(detail.prefixes):
        leaked = row.lasting_bytes
        if 0 < leaked < 0.3 * row.bytes and leaked > 0.005 * whole:
            name = shown(pattern(row), 40)
            yield f"{size(leaked)} under {name} never end, though the other keys there do."
