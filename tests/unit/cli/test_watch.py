"""`valkeep status --watch`: what is drawn in its place, and what a pipe gets instead."""

from datetime import timedelta

import pytest

from daemon.cli.watch import Frame, clipped, head, screen
from daemon.errors import Unreachable
from tests.support.api import serving
from tests.support.samples import registered
from tests.support.screens import cache, status

RED = "\x1b[31m\x1b[1mred\x1b[0m"


def test_a_frame_is_drawn_over_the_one_before() -> None:
    """It goes home and clears what is left of each line and below: nothing is cleared first."""
    drawn = screen(["one", "two"], columns=80, rows=24)
    assert drawn.startswith("\x1b[Hone")
    assert 2 == drawn.count("\x1b[K")
    assert drawn.endswith("\x1b[J")
    assert "\x1b[2J" not in drawn
    assert 1 == drawn.count("\n")


@pytest.mark.parametrize("rows", [1, 2, 5, 23, 24, 25])
def test_a_frame_never_scrolls(rows: int) -> None:
    """A page that is higher than the window ends with how much of it is not there."""
    drawn = screen([f"line {n}" for n in range(24)], columns=80, rows=rows)
    assert min(rows, 24) - 1 == drawn.count("\n")
    assert (rows < 24) == (f"… {24 - rows + 1} more lines" in drawn)


@pytest.mark.parametrize(
    ("line", "columns", "kept"),
    [
        ("plain", 10, "plain"),
        ("plain", 3, "pla"),
        (RED, 3, RED),
        (RED + " and more", 7, RED + " and"),
        ("a" + RED, 2, "a\x1b[31m\x1b[1mr\x1b[0m"),
    ],
)
def test_a_line_is_clipped_and_its_colours_end(line: str, columns: int, kept: str) -> None:
    """A line has at most as many characters as the window, and colours take no room."""
    assert kept == clipped(line, columns)


def test_a_daemon_that_does_not_answer_is_told_since_when() -> None:
    """Above the last answer stands when it was given, since when there is none, and why."""
    found = status(cache())
    silent = Unreachable("unreachable", "No daemon can be reached on /s.", "Start it.")
    lines = head(Frame(found, 100.0, silent, 103.0), 148.0)
    since = found.now + timedelta(seconds=3)
    assert lines[0] == f"NO ANSWER since {since:%Y-%m-%d %H:%M:%SZ} (45 s), trying again and again:"
    assert "  No daemon can be reached on /s." == lines[1]
    assert f"{found.now:%Y-%m-%d %H:%M:%SZ}" in lines[2]
    assert all("NO ANSWER" not in line for line in head(Frame(found, 100.0), 148.0))


@pytest.mark.anyio
async def test_a_pipe_is_refused_with_what_to_do() -> None:
    """Without a terminal there is nothing to redraw: exit 2, and the ways that there are."""
    async with serving(registered()) as api:
        printed = await api.type("status", "--watch")
    assert 2 == printed.code
    assert "" == printed.out
    assert "--json" in printed.err
    assert "valkeep events --follow" in printed.err


@pytest.mark.anyio
async def test_an_interval_belongs_to_a_watch() -> None:
    """--interval alone would do nothing: it is refused, with exit 2."""
    async with serving(registered()) as api:
        printed = await api.type("status", "--interval", "5")
    assert (2, True) == (printed.code, "say --watch too" in printed.err)


@pytest.mark.anyio
async def test_one_cache_or_a_slip() -> None:
    """One cache has a page of its own; a slip is told with the nearest name, exit 4."""
    async with serving(registered()) as api:
        one = await api.type("status", "orders")
        none = await api.type("status", "ordres")
    assert (0, 4) == (one.code, none.code)
    assert "\norders  valkey://127.0.0.1:6379\n" in one.out
    assert "Did you mean 'orders'?" in none.err
