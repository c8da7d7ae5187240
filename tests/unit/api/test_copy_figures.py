"""What is answered and exposed of a cache's copies, by the vault in which they lie."""

from daemon.answers.proof import CopiesView
from daemon.api.copy_figures import copy_figures
from daemon.api.proofs_view import copies_views
from events.copies import CopyCompleted, CopyRequested, CopyStarted
from events.copy_proofs import (
    CopyMendingRequested,
    CopyVerificationFailed,
    CopyVerificationRequested,
    CopyVerified,
)
from events.facts import BackupId, Receipt, VerificationId
from events.types import Event
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.samples import B1, B2, FOR_GOOD, ORDERS, SECOND, complete, registered

V = VerificationId("20260301T120000Z-000000d1")


def of(backup_id: BackupId, end: Event) -> State:
    """Two copies, and what was found in one."""
    made: list[Event] = [registered()]
    for one in (B1, B2):
        where = (ORDERS, one, SECOND)
        made += [*complete(one), CopyRequested(*where, "command")]
        made += [CopyStarted(*where, 1), CopyCompleted(*where, 50)]
    asked = CopyVerificationRequested(ORDERS, backup_id, SECOND, V, cause="policy")
    return given(*made, asked, At(NOON, end))


def figures(state: State) -> dict[str, float]:
    """The samples, by their names."""
    return {
        sample.name.removeprefix("valkeep_"): sample.value
        for family in copy_figures(state)
        for sample in family.samples
    }


def test_copy_that_was_read_is_told_with_its_instant() -> None:
    """A copy that was read back gives its vault an instant, and a level."""
    receipt = Receipt("hashes", 50, 100, 1.0)
    state = of(B1, CopyVerified(ORDERS, B1, SECOND, V, receipt=receipt))
    read = {"copy_last_proven_timestamp_seconds": NOON.timestamp()}
    assert {"copies": 2, "copies_damaged": 0, **read} == figures(state)
    assert (CopiesView(SECOND, 2, 0, NOON, "hashes"),) == copies_views(state, ORDERS)


def test_damaged_copy_is_counted_apart() -> None:
    """A damaged copy counts as such until it was made anew."""
    state = of(B2, CopyVerificationFailed(ORDERS, B2, SECOND, V, level="hashes", failure=FOR_GOOD))
    assert {"copies": 1, "copies_damaged": 1} == figures(state)
    where = (ORDERS, B2, SECOND)
    state = given(CopyMendingRequested(*where), CopyStarted(*where, 1), state=state)
    assert {"copies": 1, "copies_damaged": 1} == figures(state)
    assert {"copies": 2, "copies_damaged": 0} == figures(
        given(CopyCompleted(*where, 50), state=state)
    )
