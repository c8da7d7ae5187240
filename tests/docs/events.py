"""The reference of events: made of their types, their upcasts, and the stored samples of tests."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from msgspec import Struct

from events.codec import UPCASTS
from events.types import Event
from tests.docs.markdown import MADE, anchor, block, table
from tests.docs.words import Field, below, first_sentence, paragraph, told

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "data" / "events"
EVENTS: tuple[type[Struct], ...] = get_args(Event)

INTRO = """\
# Events

The event log is the truth: everything else that Valkeep knows is folded from it. This page lists
every event there is. They are read by `valkeep events`, streamed by `GET /v1/events`, and written
out by `valkeep audit export`, each in an envelope: `position` (dense, from 1), `stream`
(`cache/NAME` for what belongs to a cache, else `installation`), `at` (UTC), `who` (a user with
`uid`, `user` and `pid`, or `scheduler`, `retention`, `daemon`), `commit_id` (events of one commit
were stored together or not at all), and the `hash` that chains it to all before it.

An event is a JSON object whose `type` is its tag: a name and a version. A version that was once
written is read for ever; what changes is a new version, and the old one is brought up to it when it
is read. Fields that hold their default may be left out. The samples are those that the tests
keep of each version. Only the ledger appends; which events a command becomes is decided in the file
that is named with each.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([*MADE, INTRO, *_contents(), *_events(), *_shapes()]).rstrip() + "\n"


def tag(event: type[Struct]) -> str:
    """The newest tag of an event."""
    return str(event.__struct_config__.tag)


def _contents() -> Iterator[str]:
    rows = ([f"[`{tag(one)}`](#{anchor(tag(one))})", first_sentence(one)] for one in EVENTS)
    yield from table(["event", "what it says"], rows)


def _events() -> Iterator[str]:
    yield from ("## Every event", "")
    for event in EVENTS:
        yield from (f"### {tag(event)}", "", paragraph(event), "")
        yield f"Decided in {_decided(event)}. {_versions(event)}"
        yield ""
        yield from fields_table(event)
        sample = json.loads((SAMPLES / f"{_stem(tag(event))}.json").read_text(encoding="utf-8"))
        lines = json.dumps(sample, indent=2, ensure_ascii=False).splitlines()
        yield from ("<details><summary>a sample</summary>", "")
        yield from block("json", *lines)
        yield from ("</details>", "")


def _shapes() -> Iterator[str]:
    yield from ("## Parts of events", "")
    for shape in below(EVENTS):
        yield from (f"### {shape.__name__}", "", paragraph(shape), "")
        yield from fields_table(shape)


def fields_table(shape: type[Struct], elsewhere: Mapping[str, str] | None = None) -> Iterator[str]:
    """The fields of one shape; what its first sentence says of them stands above the table.

    `elsewhere` has words for those that have none of their own.
    """
    rows: list[list[str]] = []
    before = ""
    for field in told(shape):
        words = field.words
        shown = "as above" if words and words == before else _in_the_table(shape, field)
        shown = shown or (elsewhere or {}).get(field.name, "")
        rows.append([f"`{field.name}`", field.kind, field.default, shown])
        before = words
    yield from table(["field", "type", "default", "what it is"], rows)


def _in_the_table(shape: type[Struct], field: Field) -> str:
    """A field's words without what the shape's own paragraph says, and without its own name."""
    rest = field.words.replace(first_sentence(shape), "").strip()
    if field.words and not rest:
        return "as said above"
    return re.sub(rf"^`{field.name}`: (\w)", lambda found: found[1].upper(), rest)


def _versions(event: type[Struct]) -> str:
    """How it was written before."""
    older = [old for old, step in UPCASTS.items() if step.tag == tag(event)]
    while older and (older_still := [old for old, one in UPCASTS.items() if one.tag == older[0]]):
        older = older_still + older
    told_of = ", ".join(f"`{one}`" for one in older)
    return f"Older versions that are read: {told_of}." if older else "Its only version."


def _stem(of: str) -> str:
    return of.replace("/", "-")


def _decided(event: type[Struct]) -> str:
    """The files of decisions that make it; the files of programs that make it, if none does."""
    found = _makers().get(event.__name__, [])
    return ", ".join(f"`{path}`" for path in found) or "no file: it is only read"


@cache
def _makers() -> Mapping[str, list[str]]:
    """By the name of what is called: in which files of ``daemon/decide``."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "daemon" / "decide").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {ast.unparse(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call)}
        for name in calls:
            found.setdefault(name.rpartition(".")[2], []).append(str(path.relative_to(ROOT)))
    return found
