"""The progress board: lines of running work, in memory only."""

from datetime import UTC, datetime, timedelta

import pytest

from daemon.board import Board

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        """The instant it was moved to."""
        return self.at


def test_line_stands_while_work_runs() -> None:
    """Work has a line from its start to its end, and none before and after."""
    board = Board(HandClock())
    assert board.standing("b1") is None

    with board.line("b1"):
        standing = board.standing("b1")
        assert standing is not None
        assert ("starting", NOON, 0) == (standing.phase, standing.started_at, standing.moved_bytes)
        assert board.standing("b2") is None

    assert board.standing("b1") is None


def test_line_goes_with_its_work() -> None:
    """Work that fails takes its line away too."""
    board = Board(HandClock())

    def crash() -> None:
        with board.line("b1"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert board.standing("b1") is None


def test_bytes_are_those_of_the_phase() -> None:
    """A new phase begins with nothing moved; the start of the work stays what it was."""
    clock = HandClock()
    board = Board(clock)
    with board.line("b1") as progress:
        progress.phase("reading", 100)
        progress.advance(30)
        progress.advance(12)
        standing = board.standing("b1")
        assert standing is not None
        assert (42, 100) == (standing.moved_bytes, standing.total_bytes)

        clock.at += timedelta(minutes=1)
        progress.phase("writing the manifest")

        assert (0, None) == (standing.moved_bytes, standing.total_bytes)
        assert (NOON, clock.at) == (standing.started_at, standing.phase_started_at)


def test_newer_work_keeps_its_line() -> None:
    """Work that ends after newer work of the same id began does not take that one's line."""
    board = Board(HandClock())
    older, newer = board.line("b1"), board.line("b1")
    older.__enter__()
    newer.__enter__()

    older.__exit__(None, None, None)

    assert board.standing("b1") is not None
    newer.__exit__(None, None, None)
    assert board.standing("b1") is None
