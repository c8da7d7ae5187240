"""Deciding on verifications of copies: who gets one, how it ends, and how a copy is mended."""

from datetime import timedelta

import pytest

from daemon.commands import (
    DeleteBackup,
    RemoveCache,
    ReportCopied,
    ReportCopyFailed,
    ReportRefuted,
    ReportUnverified,
    ReportVerified,
    RequestCopy,
    RequestRestore,
    RequestVerification,
    StartCopy,
    StartDaemon,
    StartVerification,
    VerifyCopy,
)
from daemon.decide.verifications import MOST_TRIES
from events.copies import CopyCompleted, CopyDeleted, CopyRequested, CopyStarted
from events.copy_proofs import (
    CopyMendingRequested,
    CopyVerificationAbandoned,
    CopyVerificationFailed,
    CopyVerificationPutOff,
    CopyVerified,
)
from events.facts import BackupKind, Failure, ProofLevel, Receipt, VaultName, VerificationId
from events.proofs import VerificationRequested
from events.types import CacheReconfigured, DeletionRequested, Event
from projections.copies import Copy
from projections.copy_checks import copies as said_of
from projections.proofs import UNPROVEN
from projections.state import State
from projections.work import CopyProofWork, CopyWork, UncopyWork, outstanding, ready
from tests.support.given import NOON, after, given, refused, when
from tests.support.samples import (
    B1,
    FOR_GOOD,
    HERE,
    ORDERS,
    OUTSIDE,
    SECOND,
    SETTINGS,
    complete,
    registered,
)

HASHES = Receipt("hashes", 50, 100, 1.0)
LOADED = Receipt("loaded", 50, 100, 1.0, load_seconds=1.0, engine="valkey 9.1.1", keys=3)
ROTTEN = Failure("block-damaged", "Block 2 does not match.", "Use another.", permanent=True)
BROKEN = Failure("rdb-broken", "An engine cannot read it.", "Use another.", permanent=True)
ASK = RequestVerification(B1, quick=True, vault=SECOND)
START = StartVerification(B1, SECOND)
WORK = CopyProofWork(B1, ORDERS, SECOND)


def copied() -> State:
    """A backup has a copy in the second vault."""
    of = (ORDERS, B1, SECOND)
    return given(
        registered(),
        *complete(B1, name="one"),
        CopyRequested(*of, "command"),
        CopyStarted(*of, 1),
        CopyCompleted(*of, 50),
    )


def copy_of(state: State) -> Copy:
    """The only copy there is."""
    (copy,) = state.catalog[ORDERS][B1].copies
    return copy


def running(state: State | None = None) -> tuple[State, VerificationId]:
    """Its verification runs."""
    state = when(state or copied(), ASK).state
    check = copy_of(state).check
    assert check is not None
    return when(state, START).state, check.verification_id


def refuted(level: ProofLevel = "hashes", failure: Failure = ROTTEN) -> tuple[State, list[Event]]:
    """It was found damaged."""
    state, known = running()
    then = when(state, ReportRefuted(known, B1, level, failure))
    return then.state, list(then.events)


def test_verification_of_a_copy_holds_the_backup() -> None:
    """From the request to the end the backup is held, and what is known of it never changes."""
    state, known = running()
    assert {B1: 1} == dict(state.held)
    assert [WORK] == list(outstanding(state))
    assert "backup-held" == refused(state, DeleteBackup(B1)).code
    then = when(state, ReportVerified(known, B1, HASHES))

    assert [CopyVerified] == [type(event) for event in then.events]
    assert {} == dict(then.state.held)
    assert [] == list(outstanding(then.state))
    assert HASHES == copy_of(then.state).proof.receipt
    assert UNPROVEN == then.state.catalog[ORDERS][B1].proof


@pytest.mark.parametrize(
    ("vault", "code"), [("third", "no-copy"), (SECOND, "verification-running")]
)
def test_impossible_verifications_are_refused(vault: str, code: str) -> None:
    """None where there is no copy, and no second one of the same copy."""
    state = when(copied(), ASK).state
    assert code == refused(state, RequestVerification(B1, vault=vault)).code


def test_copy_that_is_not_made_is_not_verified() -> None:
    """A copy that is still to be made is refused, with how far it is."""
    state = given(
        registered(), *complete(B1, name="one"), CopyRequested(ORDERS, B1, SECOND, "command")
    )
    assert "not complete (waiting)" in refused(state, ASK).message


def test_own_vault_is_the_backup_itself() -> None:
    """`--from` with the backup's own vault verifies the backup."""
    (event,) = when(copied(), RequestVerification(B1, vault="main")).events
    assert isinstance(event, VerificationRequested)


def test_both_can_be_verified_at_once() -> None:
    """A verification of the backup and one of its copy are told apart by their reports."""
    state, known = running()
    state = when(state, RequestVerification(B1)).state
    assert {B1: 2} == dict(state.held)
    state = when(state, ReportVerified(known, B1, HASHES)).state
    assert B1 in state.verifications
    assert "superseded" == refused(state, ReportVerified(known, B1, HASHES)).code


def test_damaged_copy_is_made_anew() -> None:
    """Damage in a copy is held against the copy alone, and a new one is outstanding at once."""
    state, events = refuted()
    assert [CopyVerificationFailed, CopyMendingRequested] == [type(event) for event in events]
    backup = state.catalog[ORDERS][B1]
    assert backup.good
    assert [CopyWork(B1, ORDERS, SECOND)] == list(outstanding(state))
    assert "no-copy" == refused(state, RequestRestore(B1, "orders", vault=SECOND)).code
    assert any(said.level == "warning" for said in said_of(state, ORDERS, NOON))

    state = after(state, StartCopy(B1, SECOND), ReportCopied(B1, SECOND, 50))
    copy = copy_of(state)
    assert ("complete", UNPROVEN, False) == (copy.phase, copy.proof, copy.mending)
    assert copy.mend is not None
    assert ROTTEN == copy.mend.found
    told = [said.told for said in said_of(state, ORDERS, NOON + timedelta(hours=23))]
    assert "was made anew" in told[0]
    later = [said.level for said in said_of(state, ORDERS, NOON + timedelta(hours=25))]
    assert ["ok", "ok"] == later


def test_damage_that_copying_cannot_mend_is_looked_for_in_the_backup() -> None:
    """Bytes that match and make no RDB are no better where they came from."""
    state, events = refuted("parsed", BROKEN)
    assert [CopyVerificationFailed, VerificationRequested] == [type(event) for event in events]
    assert not copy_of(state).mending
    assert not state.verifications[B1].quick
    assert not copy_of(state).good


@pytest.mark.parametrize(("failure", "asked"), [(ROTTEN, 1), (OUTSIDE, 0), (FOR_GOOD, 0)])
def test_backup_that_cannot_be_copied_is_looked_at(failure: Failure, asked: int) -> None:
    """A backup that is found damaged while it is read for a copy is verified; once is enough."""
    state, _ = refuted()
    then = when(when(state, StartCopy(B1, SECOND)).state, ReportCopyFailed(B1, SECOND, failure))
    assert asked == sum(isinstance(event, VerificationRequested) for event in then.events)
    assert "failed" == copy_of(then.state).phase


def test_copy_is_mended_as_soon_as_its_backup_is_whole() -> None:
    """When the backup was put right, the copy that waited for that is made at once."""
    state, _ = refuted()
    state = after(state, StartCopy(B1, SECOND), ReportCopyFailed(B1, SECOND, ROTTEN))
    state = when(state, StartVerification(B1)).state
    known = state.verifications[B1].verification_id
    then = when(state, ReportVerified(known, B1, HASHES))
    assert isinstance(then.events[-1], CopyMendingRequested)
    assert ready(then.state, CopyWork(B1, ORDERS, SECOND), NOON)


def test_copy_that_was_put_right_by_hand_is_whole_again() -> None:
    """With the backup lost, a later verification of the copy takes the damage back."""
    state, _ = refuted()
    state = after(state, StartCopy(B1, SECOND), ReportCopyFailed(B1, SECOND, OUTSIDE))
    state, known = running(state)
    assert [WORK] == list(outstanding(state))
    assert not ready(state, CopyWork(B1, ORDERS, SECOND), NOON + timedelta(days=2))
    state = when(state, ReportVerified(known, B1, HASHES)).state
    copy = copy_of(state)
    assert ("complete", True, None) == (copy.phase, copy.good, copy.mend)
    assert [] == list(outstanding(state))


def test_second_look_that_finds_damage_asks_for_nothing_new() -> None:
    """A copy that is to be mended anyway is not asked for again."""
    state, _ = refuted()
    state, known = running(state)
    then = when(state, ReportRefuted(known, B1, "hashes", ROTTEN))
    assert [CopyVerificationFailed] == [type(event) for event in then.events]


def test_copy_is_not_taken_from_its_readers() -> None:
    """While somebody reads the backup, perhaps from this very copy, nothing of it is removed."""
    state, known = running()
    state = when(state, RequestRestore(B1, "orders", replace=True, vault=SECOND)).state
    state = when(state, ReportRefuted(known, B1, "hashes", ROTTEN)).state
    assert copy_of(state).mending
    assert not ready(state, CopyWork(B1, ORDERS, SECOND), NOON)
    assert "not-now" == refused(state, StartCopy(B1, SECOND)).code


def test_mending_can_be_hurried() -> None:
    """`backup copy` of a copy that could not be made anew tries it now, and not tomorrow."""
    state, _ = refuted()
    state = after(state, StartCopy(B1, SECOND), ReportCopyFailed(B1, SECOND, FOR_GOOD))
    assert not ready(state, CopyWork(B1, ORDERS, SECOND), NOON)
    state = when(state, RequestCopy(B1, SECOND)).state
    assert ready(state, CopyWork(B1, ORDERS, SECOND), NOON)


def test_mending_goes_on_without_copy_to() -> None:
    """A copy that was made before is mended, whatever `copy_to` says now; its bytes stay known."""
    state, _ = refuted()
    state = given(CacheReconfigured(cache=ORDERS, settings=SETTINGS), state=state)
    assert [CopyWork(B1, ORDERS, SECOND)] == list(outstanding(state))
    assert copy_of(state).completed_at is not None
    state = when(state, DeleteBackup(B1)).state
    assert UncopyWork(B1, ORDERS, SECOND) in list(outstanding(state))


def test_others_faults_are_tried_again_and_given_up() -> None:
    """What says nothing of the copy is tried a few times; then it is told, and nothing is lost."""
    state, known = running()
    for _ in range(MOST_TRIES - 1):
        then = when(state, ReportUnverified(known, B1, OUTSIDE))
        (event,) = then.events
        assert isinstance(event, CopyVerificationPutOff)
        assert not ready(then.state, WORK, event.retry_at - timedelta(seconds=1))
        state = when(then.state, START, now=event.retry_at).state
    then = when(state, ReportUnverified(known, B1, OUTSIDE))
    (last,) = then.events
    assert isinstance(last, CopyVerificationAbandoned)
    copy = copy_of(then.state)
    assert ("complete", OUTSIDE) == (copy.phase, copy.proof.unproven)
    assert {} == dict(then.state.held)
    levels = {said.rule: said.level for said in said_of(then.state, ORDERS, NOON)}
    assert {"copy-damaged": "ok", "copy-proven": "warning"} == levels


def test_cut_off_verification_begins_again() -> None:
    """One that ran when the daemon ended is put off to the next start, for no time."""
    state, _ = running()
    events = when(state, StartDaemon(HERE, "1"), now=NOON + timedelta(days=1)).events
    (event,) = [one for one in events if isinstance(one, CopyVerificationPutOff)]
    assert NOON + timedelta(days=1) == event.retry_at


@pytest.mark.parametrize("command", [DeleteBackup(B1), RemoveCache("orders")])
def test_waiting_verification_goes_with_its_backup(command: DeleteBackup | RemoveCache) -> None:
    """A verification that only waits keeps nobody from deleting its backup."""
    kind: BackupKind = "manual" if isinstance(command, DeleteBackup) else "auto"
    of = (ORDERS, B1, SECOND)
    state = given(
        registered(),
        *complete(B1, name="one", kind=kind),
        CopyRequested(*of, "command"),
        CopyStarted(*of, 1),
        CopyCompleted(*of, 50),
    )
    then = when(when(state, ASK).state, command)
    kinds = [type(event) for event in then.events]
    assert kinds.index(CopyVerificationAbandoned) < kinds.index(DeletionRequested)
    assert {} == dict(then.state.held)
    assert CopyDeleted not in kinds


def test_policy_asks_for_hashes_and_only_once() -> None:
    """The policy reads a copy back by hashes; while that is under way it asks for nothing."""
    state = when(copied(), VerifyCopy(ORDERS, B1, SECOND)).state
    check = copy_of(state).check
    assert check is not None
    assert ("policy", True) == (check.cause, check.quick)
    assert "superseded" == refused(state, VerifyCopy(ORDERS, B1, SECOND)).code
    assert "superseded" == refused(copied(), VerifyCopy(ORDERS, B1, VaultName("third"))).code


def test_person_need_not_wait_for_the_policy() -> None:
    """What the policy wants and has not begun gives way; the backup is held once, as before."""
    state = when(copied(), VerifyCopy(ORDERS, B1, SECOND)).state
    state = when(state, RequestVerification(B1, vault=SECOND)).state
    check = copy_of(state).check
    assert check is not None
    assert ("command", False) == (check.cause, check.quick)
    assert {B1: 1} == dict(state.held)
    assert "verification-running" == refused(when(state, START).state, ASK).code


def test_higher_proof_than_the_damage_takes_it_back() -> None:
    """Hashes that match do not disprove what an engine has found; a load does."""
    state, _ = refuted("parsed", BROKEN)
    state, known = running(state)
    low = when(state, ReportVerified(known, B1, HASHES)).state
    assert not copy_of(low).good
    state, known = running(low)
    assert copy_of(when(state, ReportVerified(known, B1, LOADED)).state).good
