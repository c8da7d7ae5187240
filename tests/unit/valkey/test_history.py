"""What counts as another run, role or history of a node, and what does not."""

import pytest

from daemon.valkey.history import difference, history, unlike

OLD, NEW, NONE = "a" * 40, "b" * 40, "0" * 40
PRIMARY = {
    "run_id": "1",
    "role": "master",
    "master_replid": OLD,
    "master_replid2": NONE,
    "repl_backlog_active": "1",
}
LONE = PRIMARY | {"repl_backlog_active": "0"}
REPLICA = PRIMARY | {"role": "slave"}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (PRIMARY, PRIMARY, None),
        (PRIMARY, PRIMARY | {"run_id": "2"}, "was restarted, or is another server now"),
        (REPLICA, REPLICA | {"role": "master"}, "was promoted"),
        (PRIMARY, REPLICA, "has become a replica"),
        (PRIMARY, PRIMARY | {"master_replid": NEW}, f"changed its replication id from {OLD}"),
        (REPLICA, REPLICA | {"master_replid": NEW}, f"changed its replication id from {OLD}"),
        # Its first replica came.
        (LONE, PRIMARY | {"master_replid": NEW}, None),
        # It was a replica meanwhile, and was promoted again.
        (
            LONE,
            PRIMARY | {"master_replid": NEW, "master_replid2": "c" * 40},
            f"changed its replication id from {OLD}",
        ),
    ],
)
def test_what_has_changed(before: dict[str, str], after: dict[str, str], told: str | None) -> None:
    """Another run, role or id is a fail-over; a primary's first replica is none."""
    found = difference(history(before), after)
    assert found == told or (told is not None and found is not None and found.startswith(told))


def test_the_answer_to_psync_is_of_the_history_that_was_chosen() -> None:
    """Another id in it means another history, but for a primary that had no backlog."""
    assert unlike(history(REPLICA), OLD) is None
    assert unlike(history(REPLICA), NEW) is not None
    assert unlike(history(PRIMARY), NEW) is not None
    assert unlike(history(LONE), NEW) is None
