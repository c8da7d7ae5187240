"""Comparisons in simulated worlds: killed anywhere, they end, and hold nothing for ever.

There is no engine here, so that every comparison comes to nothing; what is tried is its end.
"""

from daemon.commands import CancelComparison, DeleteBackup, RequestComparison
from events.comparisons import ComparisonFailed, ComparisonRequested
from tests.simulation.proofs import settled
from tests.simulation.stories import ask, length, one_backup
from tests.simulation.world import Life, World


async def compared(life: Life) -> None:
    """A backup is compared with itself and with its cache, and then it goes."""
    await one_backup(life)
    await settled(life)
    await ask(life, RequestComparison("orders/one", "orders/one"))
    await ask(life, RequestComparison("orders/one", "orders"))
    for comparison_id in life.ledger.state.comparisons:
        await ask(life, CancelComparison(comparison_id))
    await settled(life)
    await ask(life, DeleteBackup("orders/one"))


def test_kills_in_comparisons() -> None:
    """Killed at any step, each comparison ends in the next life, and its backup can go."""
    asked = 0
    whole = length(compared).steps
    for world in World().deaths(compared, first=whole // 3, every=5):
        world.live(compared)
        state, view = world.view.state, world.view
        assert {} == dict(state.held)
        assert {} == world.backups()
        ended = [one.phase for one in state.comparisons.values()]
        assert ["failed"] * len(ended) == ended
        assert len(ended) == sum(view.of(ComparisonFailed).values())
        asked += sum(view.of(ComparisonRequested).values())
    assert asked > whole // 5
