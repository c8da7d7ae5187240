"""How far work is: its rate, the time left, one line of it, and what a log gets."""

import io
import itertools
import re
from contextlib import redirect_stderr
from datetime import UTC, datetime, timedelta

import pytest

from daemon.answers import ProgressView
from daemon.cli.bar import line
from daemon.cli.rate import Rate
from daemon.cli.sign import Lines, Silence, Standing, sign, told
from daemon.cli.wide import width

MIB = 1 << 20
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(
    seconds: float, *, moved: float, total: float | None = 1000, phase: str = "storing"
) -> ProgressView:
    """One look at a phase, in MiB."""
    whole = None if total is None else int(total * MIB)
    return ProgressView(phase, seconds, seconds, int(moved * MIB), whole)


def looked(*views: ProgressView) -> Rate:
    """What is known after these looks."""
    rate = Rate()
    for view in views:
        rate = rate.after(view)
    return rate


def test_a_quick_start_is_forgotten() -> None:
    """A burst into buffers at the beginning is not part of the rate a window later."""
    burst = [at(0.5, moved=500)] + [at(n, moved=500 + 2 * n) for n in range(1, 40)]

    pace = looked(*burst).bytes_per_second
    assert pace is not None
    assert pace == pytest.approx(2 * MIB, rel=0.01)


def test_one_look_alone_tells_the_average() -> None:
    """Who looks once hears the average since the phase began."""
    assert 5 * MIB == looked(at(10, moved=50)).bytes_per_second


def test_who_comes_late_hears_the_present_rate() -> None:
    """What was moved before the first look does not count once there are two of them."""
    rate = looked(*(at(3600 + n, moved=500 + n) for n in range(4)))

    assert rate.bytes_per_second == pytest.approx(MIB)


def test_nothing_that_moves_is_told_as_that() -> None:
    """Work that stands still has no time left; for how long is told in place of the rate."""
    views = [at(n, moved=100) for n in range(10, 60, 5)]

    assert looked(*views).quiet_seconds == 45
    assert "nothing for 45 s" in line(views[-1], looked(*views))
    assert "left" not in line(views[-1], looked(*views))


def test_time_left_counts_down_and_never_jumps() -> None:
    """With a pace that swings by half, two looks never differ by more than a third."""
    moved, rate, lefts = 0.0, Rate(), []
    for look in range(1, 120):
        moved += 5 if (look // 4) % 2 else 15
        rate = rate.after(at(look, moved=moved, total=4000))
        if look > 5 and rate.left_seconds is not None:
            lefts.append(rate.left_seconds)

    steps = [abs(b - a) / a for a, b in itertools.pairwise(lefts)]
    assert len(lefts) > 100
    assert max(steps) < 0.33
    assert abs(lefts[-1] - (4000 - moved) / 10) < 0.3 * (4000 - moved) / 10


def test_a_changed_pace_is_followed() -> None:
    """A pace that halves for good is told within a window."""
    slow = [at(n, moved=20 * n, total=10_000) for n in range(60)]
    slow += [at(60 + n, moved=1200 + 10 * n, total=10_000) for n in range(60)]

    left = looked(*slow).left_seconds
    assert left == pytest.approx((10_000 - 1790) / 10, rel=0.1)


def test_a_new_phase_begins_anew() -> None:
    """The rate of one phase says nothing of the next, nor of a second try at the same."""
    other = looked(at(10, moved=900), at(20, moved=950), at(1, moved=0, phase="checking"))
    again = looked(at(10, moved=900), at(20, moved=950), at(4, moved=8))

    assert (None, 0.0) == (other.left_seconds, other.bytes_per_second)
    assert 2 * MIB == again.bytes_per_second


@pytest.mark.parametrize("columns", [20, 40, 60, 79, 119, 159])
@pytest.mark.parametrize("phase", ["storing", "loading a snapshot of " + "n" * 40, "日本" * 20])
@pytest.mark.parametrize("total", [None, 0.0, 100_000.0])
def test_a_line_is_never_wider_than_the_terminal(columns: int, phase: str, total: float) -> None:
    """Whatever is told, it has room on one line, and keeps its phase and the time left."""
    views = [at(600 + n, moved=50_000 + n, total=total, phase=phase) for n in range(20)]
    shown = line(views[-1], looked(*views), columns)

    assert width(shown) <= columns
    assert shown[:3] == phase[:3]
    if total and columns >= 60 and phase == "storing":
        assert shown.endswith("left")


def test_the_bar_grows_with_the_terminal_and_does_not_quiver() -> None:
    """At one width a phase has one length of bar, from its first look to its last."""

    def bars(columns: int) -> set[int]:
        views = [at(n, moved=10 * n) for n in range(1, 100)]
        shown = (line(view, looked(*views[: n + 1]), columns) for n, view in enumerate(views))
        return {len(found[1]) for one in shown if (found := re.search(r"\[([#.]+)\]", one))}

    assert ({10}, {40}) == (bars(79), bars(159))


def test_all_moved_is_not_all_done() -> None:
    """At 100 % nothing is said to be left, and 100 % is only said when all is moved."""
    assert "100%  1000.0 MiB of 1000.0 MiB  finishing" in line(at(9, moved=1000), Rate())
    assert " 99%" in line(at(9, moved=999.99), Rate())


def test_an_unknown_total_is_not_guessed() -> None:
    """Without a total there is the amount and the rate, and neither percent nor time left."""
    assert "storing  50.0 MiB  5.0 MiB/s" == line(
        at(10, moved=50, total=None), looked(at(10, moved=50, total=None))
    )


def test_a_label_is_cut_to_the_terminal() -> None:
    """What is waited for has room on the line, too."""
    waiting = Standing(ended=False, label="waiting: " + "x" * 90, progress=None, now=NOON)
    assert 79 == len(told(waiting, columns=79))


def shown_in_a_log(*standings: Standing) -> list[str]:
    """The lines that a log gets."""
    said, lines = io.StringIO(), Lines()
    with redirect_stderr(said):
        for standing in standings:
            lines.show(standing)
    return said.getvalue().splitlines()


def test_a_log_gets_one_line_a_phase_and_one_each_half_minute() -> None:
    """Looks every five seconds for 70 s make three lines; the second has amount, rate and left."""
    looks = [
        Standing(False, "running", at(n, moved=2 * n), NOON + timedelta(seconds=n))  # noqa: FBT003
        for n in range(0, 71, 5)
    ]
    first, second, third = shown_in_a_log(*looks)

    assert "storing" == first
    assert re.search(r"6%  60.0 MiB of 1000.0 MiB  2.0 MiB/s  8 min left$", second)
    assert "12%" in third
    assert "\x1b" not in first + second + third


def test_figures_in_a_phase_make_no_new_lines() -> None:
    """A phase that counts is one phase; one that waits for long says so now and then."""
    waits = [
        Standing(
            ended=False,
            label=f"waiting for {n} others",
            progress=None,
            now=NOON + timedelta(seconds=5 * n),
        )
        for n in range(80)
    ]

    first, second = shown_in_a_log(*waits)
    assert ("waiting for 0 others", "waiting for 60 others  for 5 min") == (first, second)


def test_programs_hear_nothing_but_errors() -> None:
    """With --json and no terminal nothing is shown; without --json plain lines are."""
    with redirect_stderr(io.StringIO()):
        assert isinstance(sign(terminal="xterm", as_json=True), Silence)
        assert isinstance(sign(terminal="xterm", as_json=False), Lines)
