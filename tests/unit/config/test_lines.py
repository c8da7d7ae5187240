"""The locator of lines, against what `tomllib` reads in the same text."""

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from textwrap import dedent

from hypothesis import given
from hypothesis import strategies as st

from daemon.config.lines import Place, locate


def test_every_way_to_write_a_setting_has_its_line() -> None:
    """Headers, dotted and quoted keys, inline tables and elements of arrays are all found."""
    text = dedent("""\
        # [comment]
        plain = 1
        "quoted . key".'literal' = 2

        [table . "with # hash"]
        dotted.key = { inline = true, "in ] quotes" = [
          "first",  # ] not the end
          [],
          { deep = 1979-05-27 07:32:00 },
        ] }
        [[array]]
        [[array]]
        below = 1
        [array.table]
        last = "x"
        """)

    assert _of(text, tomllib.loads(text)) == {
        ("plain",): 2,
        ("quoted . key",): 3,
        ("quoted . key", "literal"): 3,
        ("table",): 5,
        ("table", "with # hash"): 5,
        ("table", "with # hash", "dotted"): 6,
        ("table", "with # hash", "dotted", "key"): 6,
        ("table", "with # hash", "dotted", "key", "inline"): 6,
        ("table", "with # hash", "dotted", "key", "in ] quotes"): 6,
        ("table", "with # hash", "dotted", "key", "in ] quotes", 0): 7,
        ("table", "with # hash", "dotted", "key", "in ] quotes", 1): 8,
        ("table", "with # hash", "dotted", "key", "in ] quotes", 2): 9,
        ("table", "with # hash", "dotted", "key", "in ] quotes", 2, "deep"): 9,
        ("array",): 11,
        ("array", 0): 11,
        ("array", 1): 12,
        ("array", 1, "below"): 13,
        ("array", 1, "table"): 14,
        ("array", 1, "table", "last"): 15,
    }


def test_what_stands_in_a_text_is_no_setting() -> None:
    """Texts of several lines may hold quotes, headers and settings without being read as such."""
    text = dedent('''\
        basic = """
        [no]
        no = "\\""" ""\\"""
        """""
        literal = \'\'\'
        no = 1 \\\'\'\'\'\'
        windows = 'C:\\'
        after = 1
        ''')

    assert _of(text, tomllib.loads(text)) == {
        ("basic",): 1,
        ("literal",): 5,
        ("windows",): 7,
        ("after",): 8,
    }


def test_lines_that_end_as_on_windows_are_counted_once() -> None:
    """A carriage return before the newline changes nothing."""
    text = "a = 1 # x\r\n[t]\r\nb = [1,\r\n2]\r\nc = 3\r\n"

    found = locate(text)

    assert [found["a",], found["t", "b", 1], found["t", "c"]] == [1, 4, 5]


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12),
    st.text("\"'\\[]{},#=.\n \t", max_size=12),
    st.datetimes(timezones=st.just(UTC)),
)
KEYS = st.one_of(st.text("ab-_1", min_size=1, max_size=3), st.text("\"'\\.#[]={} é", max_size=4))
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.one_of(
        VALUES.filter(lambda value: not isinstance(value, dict)),
        st.dictionaries(KEYS, VALUES, max_size=4),
        st.lists(st.dictionaries(KEYS, VALUES, max_size=2), min_size=1, max_size=3),
    ),
    max_size=4,
)


@given(
    DOCUMENTS, st.sampled_from(["", " ", "\t"]), st.sampled_from(["", " # ] } ''' \"\"\"", "\n"])
)
def test_every_place_of_any_document_is_found(
    document: dict[str, object], space: str, end: str
) -> None:
    """Nothing that `tomllib` reads lacks a line, nothing is invented, and the lines are right."""
    text, lines = _written(document, space=space, end=end)
    assert tomllib.loads(text) == document

    found = locate(text)

    assert set(found) == set(_places(document))
    assert {place: found[place] for place in lines} == lines


def _of(text: str, document: object) -> dict[Place, int]:
    found = dict(locate(text))
    assert set(found) == set(_places(document))
    return found


def _places(value: object, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*place, index))


def _written(document: dict[str, object], *, space: str, end: str) -> tuple[str, dict[Place, int]]:
    """A TOML text of the document, and the lines of what was written line by line."""
    out: list[str] = []
    lines: dict[Place, int] = {}

    def write(line: str, place: Place) -> None:
        lines[place] = sum(text.count("\n") + 1 for text in out) + 1
        out.append(line + end)

    def pairs(table: dict[str, object], place: Place) -> None:
        for key, value in table.items():
            write(f"{space}{_key(key)}{space}={space}{_toml(value, space)}", (*place, key))

    def is_tables(value: object) -> bool:
        return isinstance(value, list) and value != [] and all(isinstance(x, dict) for x in value)

    flat = {k: v for k, v in document.items() if not isinstance(v, dict) and not is_tables(v)}
    pairs(flat, ())
    for key, value in document.items():
        if isinstance(value, dict):
            write(f"[{space}{_key(key)}{space}]", (key,))
            pairs(value, (key,))
        elif is_tables(value):
            assert isinstance(value, list)
            for index, table in enumerate(value):
                write(f"[[{space}{_key(key)}{space}]]", (key, index))
                pairs(table, (key, index))
    return "\n".join(out), lines


def _key(key: str) -> str:
    bare = key != "" and all(char.isascii() and (char.isalnum() or char in "-_") for char in key)
    if bare:
        return key
    return f"'{key}'" if "'" not in key else json.dumps(key)


def _toml(value: object, space: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(sep="T")
        case str():
            return _text(value)
        case list():
            return "[" + f",{space}".join(_toml(inner, space) for inner in value) + "]"
        case dict():
            pairs = (f"{_key(key)}{space}={_toml(inner, space)}" for key, inner in value.items())
            return "{" + ", ".join(pairs) + "}"
        case _:
            return str(value)


def _text(text: str) -> str:
    """The same text as literal, literal of several lines, or basic: whatever can hold it."""
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    if "'''" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
