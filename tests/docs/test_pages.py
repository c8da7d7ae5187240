"""The pages themselves: made ones are current, words are there, links and blocks are sound."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import pytest

from daemon.api.openapi import document
from daemon.api.routes import ROUTES
from daemon.commands import Request
from daemon.config.document import _SECTIONS
from tests.docs import api, configuration, events
from tests.docs.markdown import anchor
from tests.docs.pages import DOCS, GENERATED, ROOT, Block, blocks, headings, paths
from tests.docs.vocabulary import COMMON
from tests.docs.words import below, told

PAGES = {str(path.relative_to(ROOT)): path for path in paths()}
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?^ *```$|`[^`\n]+`(?!\])", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
SHELLS = ("console", "sh", "bash", "shell")


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_made_page_is_what_the_program_says(name: str) -> None:
    """A page that is made of the program is current; if not: `make docs`."""
    written = (DOCS / name).read_text(encoding="utf-8")
    assert GENERATED[name]() == written, f"docs/{name} is not current: run `make docs`"


def test_every_field_of_an_event_has_words() -> None:
    """Whoever reads the log finds out what each field of it is."""
    shapes = (*events.EVENTS, *below(events.EVENTS))
    lacking = [
        f"{one.__name__}.{field.name}" for one in shapes for field in told(one) if not field.words
    ]
    assert not lacking, f"say what they are, in backticks in the docstring or below them: {lacking}"


def test_every_parameter_of_a_route_has_words() -> None:
    """Whoever types a query finds out what its parameters do."""
    lacking = {
        f"{route.query.__name__}.{field.name}"
        for route in ROUTES
        for field in told(route.query)
        if not field.words
    }
    assert not lacking, f"say what they do, in backticks in the docstring or below them: {lacking}"


def test_every_field_of_the_api_has_words() -> None:
    """No row of the page of the API is without words, nor is any for a field that is gone."""
    lacking = [line for line in api.page().splitlines() if line.endswith("| |")]
    assert not lacking, f"say what they are, in backticks in the docstring: {lacking}"
    shapes = (*api.all_shapes(), *get_args(Request))
    assert set(COMMON) <= {field.name for one in shapes for field in told(one)}


def test_every_setting_is_on_the_page_of_settings() -> None:
    """The page has each section of the types, and in it each setting, with words."""
    sections = configuration.sections()
    found = {one.header.split(".")[0] for one in sections}
    assert set(_SECTIONS) == found
    for section in sections:
        rows = {row.name: row for row in section.items if isinstance(row, configuration.Row)}
        assert set(configuration.wanted(configuration.shape_of(section.header))) == set(rows)
        assert all(row.words for row in rows.values()), rows


def test_every_route_is_on_the_page_of_the_api() -> None:
    """The page and `/openapi.json` tell of the same routes."""
    told_of = {
        f"{method.upper()} {path}"
        for path, methods in document(ROUTES, "1").paths.items()
        for method in cast("dict[str, object]", methods)
    }
    page = headings((DOCS / "api.md").read_text(encoding="utf-8"))
    assert told_of == {one for one in page if one.startswith(("GET ", "POST "))}


def links(path: Path) -> Iterator[str]:
    """Where a page's links lead, those to other sites left out."""
    text = _CODE.sub("", path.read_text(encoding="utf-8"))
    yield from (one for one in _LINK.findall(text) if "://" not in one and "mailto:" not in one)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a page finds it, and every link to a section finds the section."""
    for link in links(PAGES[page]):
        where, _, section = link.partition("#")
        target = (PAGES[page].parent / where).resolve() if where else PAGES[page]
        assert target.exists(), f"{page}: {link}"
        if section:
            known = {anchor(one) for one in headings(target.read_text(encoding="utf-8"))}
            assert section in known, f"{page}: {link}"


def test_every_page_is_in_the_index() -> None:
    """The index of the documentation leads to each of its pages."""
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= {
        link.partition("#")[0] for link in links(DOCS / "README.md")
    }


@pytest.mark.parametrize("page", sorted(PAGES))
def test_headings_are_told_apart(page: str) -> None:
    """No two sections of a page have the same anchor."""
    found = [anchor(one) for one in headings(PAGES[page].read_text(encoding="utf-8"))]
    assert len(found) == len(set(found)), sorted(one for one in found if found.count(one) > 1)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_tables_have_as_many_cells_in_each_row(page: str) -> None:
    """A stray bar in a cell would move all that follows it."""
    text = _FENCED.sub("", PAGES[page].read_text(encoding="utf-8"))
    for table in re.findall(r"(?:^ *\|.*\n)+", text, re.MULTILINE):
        rows = table.splitlines()
        assert {_bars(rows[0])} == {_bars(row) for row in rows}, f"{page}: {rows[0]}"


def _bars(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row))


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"docs/commands.md"}))
def test_blocks_for_the_shell_are_run_or_say_why_not(page: str) -> None:
    """What is typed is a console block with prompts, which a test runs, or says why not."""
    for block in _for_the_shell(page):
        begins = block.lines[0].startswith(("$ ", "# "))
        is_file = block.lines[0].startswith("#!")
        typed = block.language == "console" and begins
        assert typed or is_file or block.not_run, block.place


def test_marks_stand_above_blocks() -> None:
    """No mark has lost its block, and none names a test that is not there."""
    for page, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        marked = [block for block in blocks(path) if block.not_run]
        assert text.count("<!-- not run:") - text.count("`<!-- not run:") == len(marked), page
        for name in re.findall(r"tests/[\w/]+\.py", " ".join(one.not_run for one in marked)):
            assert (ROOT / name).exists(), f"{page}: {name}"


def _for_the_shell(page: str) -> list[Block]:
    return [one for one in blocks(PAGES[page]) if one.language in SHELLS]
