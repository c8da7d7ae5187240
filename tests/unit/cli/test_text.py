"""Words, tables and the progress line: text from figures, without a daemon."""

from datetime import UTC, datetime, timedelta

import pytest

from daemon.answers import ProgressView
from daemon.cli.follow import Standing, told
from daemon.cli.table import Column, facts, table
from daemon.cli.wide import width
from daemon.cli.words import age, duration, elapsed, plural, sentence, size

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_048_575, "1.0 MiB"),
        (1_288_490_189, "1.2 GiB"),
        (5 * 2**60, "5120.0 PiB"),
    ],
)
def test_sizes_are_for_people(count: int | None, text: str) -> None:
    """A size has one digit after the point and the unit that keeps it short."""
    assert text == size(count)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (2 * 3600, "2 h"),
        (47 * 3600, "2 d"),
        (-5, "0 s"),
    ],
)
def test_durations_have_one_unit(seconds: float, text: str) -> None:
    """A duration is told in the one unit that says enough, and is never negative."""
    assert text == duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1834, "0.18 s"), (0.004, "0.004 s"), (-1, "0 s"), (4.25, "4.2 s"), (61, "61 s")],
)
def test_measured_spans_have_tenths(seconds: float, text: str) -> None:
    """A short span that was measured is not rounded to nothing."""
    assert text == elapsed(seconds)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the disk is full", "The disk is full."),
        ("valkey://h:1 is gone", "valkey://h:1 is gone."),
        ("Type this: `ls`", "Type this: `ls`"),
        ("is it there?", "Is it there?"),
        ("", ""),
    ],
)
def test_errors_are_sentences(text: str, told: str) -> None:
    """Whoever worded it, an error is told with a capital and a full stop, and names stay whole."""
    assert told == sentence(text)


def test_ages_count_from_the_daemons_clock() -> None:
    """An age is told from the instant that the daemon gave."""
    assert "3 h ago" == age(NOW, NOW - timedelta(hours=3))
    assert "just now" == age(NOW, NOW)
    assert "-" == age(NOW, None)


def test_plurals() -> None:
    """One is told without an s."""
    assert ("1 key", "2,000 keys", "0 keys") == tuple(plural(n, "key") for n in (1, 2000, 0))


COLUMNS = (
    Column("NAME"),
    Column("KIND", rank=2),
    Column("SIZE", right=True),
    Column("ID", rank=3),
)
ROWS = [("orders/a", "manual", "1 B", "20260301"), ("b", "auto", "10 KiB", "2")]


def test_a_table_uses_the_width_there_is() -> None:
    """What matters least is left out first, and nothing that is shown is cut off."""
    wide = table(COLUMNS, ROWS, 80)
    middle = table(COLUMNS, ROWS, 26)
    narrow = table(COLUMNS, ROWS, 16)

    assert ["NAME      KIND      SIZE  ID", "orders/a  manual     1 B  20260301"] == wide[:2]
    assert ["NAME      KIND      SIZE", "orders/a  manual     1 B"] == middle[:2]
    assert ["NAME        SIZE", "orders/a     1 B", "b         10 KiB"] == narrow


def test_a_long_name_takes_a_line_of_its_own() -> None:
    """A name that fits beside nothing is not cut: the rest of its row comes below, in its column.

    The names that have room stay beside theirs.
    """
    rows = [("n" * 30, "1 B"), ("short", "2 B")]
    lines = table((Column("NAME"), Column("SIZE")), rows, 32)

    assert ["NAME   SIZE", "n" * 30, "       1 B", "short  2 B"] == lines


def test_wide_letters_and_colours_are_aligned() -> None:
    """A column is as wide as a terminal shows it: CJK letters take two, colours none."""
    columns = (Column("NAME"), Column("SIZE", right=True))
    rows = [("日本語", "1 B"), ("\x1b[31mabc\x1b[0m", "22 B"), ("é" + "e\u0301", "3 B")]
    lines = table(columns, rows, 80)

    assert {12} == {width(line) for line in lines}
    assert "日本語   1 B" == lines[1]


def test_long_values_go_on_below_themselves() -> None:
    """A value breaks between words, never in a command; wide letters count as two columns."""
    told = facts([("hint", "type `valkeep backup list --all` and look")], width=24)
    wide = facts([("key", "日本 語日 本語")], width=14)

    assert ["hint  type", "      `valkeep backup list --all`", "      and look"] == told
    assert ["key  日本 語日", "     本語"] == wide


def test_no_rows_make_no_table() -> None:
    """A table without rows is nothing at all."""
    assert [] == table(COLUMNS, [], 80)


def test_facts_without_a_value_are_left_out() -> None:
    """Only what is known is told, with the values below each other."""
    assert ["  a    1", "  bcd  2"] == facts(
        [("a", "1"), ("long name", ""), ("x", "-"), ("bcd", "2")], indent="  "
    )


def standing(progress: ProgressView | None) -> Standing:
    """Running work."""
    return Standing(ended=False, label="waiting", progress=progress, now=NOW)


def test_progress_has_rate_and_time_left() -> None:
    """With a total there are a bar, the rate and the time left; without, what is known."""
    half = ProgressView("reading", 20, 10, 50 * 2**20, 100 * 2**20)
    unknown = ProgressView("reading", 20, 10, 50 * 2**20)
    fork = ProgressView("waiting for the fork", 3, 3, 0)

    assert (
        "reading  [##########..........] 50%  50.0 MiB of 100.0 MiB  5.0 MiB/s  10 s left"
        == told(standing(half))
    )
    assert "reading  50.0 MiB  5.0 MiB/s" == told(standing(unknown))
    assert "waiting for the fork  3 s" == told(standing(fork))
    assert "waiting" == told(standing(None))


def test_more_than_was_expected_is_not_more_than_all() -> None:
    """A phase that moves more than was expected stays at 100 %, and no time is said to be left."""
    over = ProgressView("storing", 2, 2, 300, 100)

    assert "100%" in told(standing(over))
    assert "left" not in told(standing(over))
