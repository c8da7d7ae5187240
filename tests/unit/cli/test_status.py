"""`valkeep status` as it is printed: whole screens of many states, at two widths."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.cli import status_cache, status_page
from daemon.cli.status_page import Screen
from tests.support.screens import NOW, STATES, backup, busy, cache, failing, fleet, status, trouble

SCREENS = Path(__file__).parents[2] / "data" / "screens"
ONE = {
    "one-well": status(cache()),
    "one-failing": replace(status(failing()), problems=(trouble(),)),
    "one-new": status(
        replace(cache(), scheduled=None, newest=backup("by-hand"), assurance=None, backups=1)
    ),
}


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", [*STATES, *ONE])
def test_a_screen_looks_as_it_was_looked_at(name: str, width: int) -> None:
    """Each state has a page of its own that somebody has read, at each width."""
    of_one = name in ONE
    made = (status_cache if of_one else status_page).page(
        Screen(width), ONE[name] if of_one else STATES[name]
    )
    wanted = (SCREENS / f"status-{name}.{width}.txt").read_text(encoding="utf-8")
    assert wanted.splitlines() == list(made)


@pytest.mark.parametrize("name", list(STATES))
def test_a_page_fits_eighty_columns(name: str) -> None:
    """No line is longer than the terminal, whatever is told."""
    for line in status_page.page(Screen(80), STATES[name]):
        assert len(line) <= 80, line


def test_a_thousand_caches_fit_a_screen_or_two() -> None:
    """Problems of one kind are told once, and what is well is counted."""
    lines = list(status_page.page(Screen(80), fleet(1000, ill=60)))
    assert len(lines) < 70
    assert any("940 more are well" in line for line in lines)


def test_all_leaves_nothing_out() -> None:
    """With --all every cache, problem and piece of work has its line."""
    found = fleet(1000, ill=60)
    text = "\n".join(status_page.page(Screen(200, everything=True), found))
    assert all(f"\n{view.name} " in text for view in found.caches)
    assert 60 == len(re.findall("CRITICAL ill-", text))
    assert 9 == sum("deletion of" in line for line in status_page.page(Screen(200, True), busy()))  # noqa: FBT003


def test_problems_come_first_and_what_to_type_is_whole() -> None:
    """The worst is on top, and a command is never cut in two by the end of a line."""
    for width in range(40, 120):
        lines = list(status_page.page(Screen(width), STATES["bad"]))
        assert "3 problems, 2 critical:" == lines[0]
        assert any("`valkeep cache set orders --url URL`" in line for line in lines)


def test_colours_say_nothing_that_words_do_not() -> None:
    """With colours the words are the same."""
    for found in STATES.values():
        coloured = "\n".join(status_page.page(Screen(80, colours=True), found))
        plain = "\n".join(status_page.page(Screen(80), found))
        assert plain == re.sub(r"\x1b\[[0-9;]*m", "", coloured)
        assert coloured != plain


def test_a_start_that_is_due_says_so() -> None:
    """An instant that has come is told as due, and not as a number of seconds."""
    due = replace(cache(), next_start=replace(cache().next_start, at=NOW))  # type: ignore[type-var]
    assert "due now" in status_page.next_start(status(due), due)
