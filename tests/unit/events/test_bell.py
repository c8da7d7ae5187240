"""The bell that wakes a log's subscribers."""

from events.bell import Bell


def test_ring_is_for_those_who_waited_before_it() -> None:
    """A ring wakes whoever waited, and leaves the next one to be waited for."""
    bell = Bell()
    early = bell.next_ring()
    bell.ring()

    assert early.is_set()
    assert not bell.next_ring().is_set()
