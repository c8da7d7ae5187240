"""Deciding on verifications: who gets one, how often, how it ends, and what is held meanwhile."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from daemon.commands import (
    DeleteBackup,
    RemoveCache,
    ReportRefuted,
    ReportStored,
    ReportUnverified,
    ReportVerified,
    RequestVerification,
    StartDaemon,
    StartVerification,
)
from daemon.decide.verifications import MOST_TRIES
from events.facts import (
    BackupId,
    Failure,
    Policy,
    ProofLevel,
    Receipt,
    VerificationId,
    VerifyWhen,
    Window,
)
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationPutOff,
    VerificationRequested,
    VerificationStarted,
)
from events.types import (
    BackupCompleted,
    DeletionRequested,
    PolicySet,
)
from projections.state import State
from tests.support.given import NOON, At, given, refused, when
from tests.support.samples import (
    B1,
    B2,
    B3,
    FOR_GOOD,
    HERE,
    ORDERS,
    OUTSIDE,
    STARTED,
    STORED,
    complete,
    registered,
    restoring,
    running,
)

V1 = VerificationId("v1")
ASK = RequestVerification(B1)
LOADED = Receipt("loaded", 50, 100, 1.0, load_seconds=1.0, engine="valkey 9.1.1", keys=3)
HASHES = Receipt("hashes", 50, 100, 1.0)
DAMAGE = Failure("block-damaged", "Block 1 of 1 differs.", "Use another one.", permanent=True)
BASE = given(STARTED, registered(), *complete())


def nightly(verify: VerifyWhen = "daily", zone: str = "UTC") -> PolicySet:
    """A policy with two windows."""
    windows = (Window("02:00", 60), Window("14:00", 60))
    policy = Policy(auto=True, windows=windows, verify=verify, timezone=zone)
    return PolicySet(cache=ORDERS, policy=policy)


def under_way(state: State = BASE, backup_id: BackupId = B1, now: datetime | None = None) -> State:
    """A verification that an actor has begun."""
    asked = when(state, RequestVerification(backup_id), new_id="v1", now=now).state
    return when(asked, StartVerification(backup_id), now=now).state


def proven(state: State, receipt: Receipt = LOADED, backup_id: BackupId = B1) -> State:
    """The state after a verification with this receipt."""
    return when(under_way(state, backup_id), ReportVerified(V1, backup_id, receipt)).state


def broken(state: State = BASE, level: ProofLevel = "hashes", backup_id: BackupId = B1) -> State:
    """The state after a verification that found damage."""
    return when(under_way(state, backup_id), ReportRefuted(V1, backup_id, level, DAMAGE)).state


def test_a_verification_is_asked_for_started_and_proven() -> None:
    """From the request to the end the backup is held; then its receipt is known."""
    asked = when(BASE, ASK)
    assert [VerificationRequested] == list(map(type, asked.events))
    assert {B1: 1} == dict(asked.state.held)

    state = under_way()
    assert [VerificationStarted] == list(map(type, when(asked.state, StartVerification(B1)).events))
    then = when(state, ReportVerified(V1, B1, LOADED))
    assert [BackupVerified] == list(map(type, then.events))
    backup = then.state.catalog[ORDERS][B1]
    assert LOADED == backup.proof.receipt
    assert ({}, {}) == (dict(then.state.held), dict(then.state.verifications))


def test_what_is_no_backup_is_not_verified() -> None:
    """A running backup, an unknown one, and one that is being verified already are refused."""
    state = given(*running(B2), state=BASE)
    assert "backup-unfinished" == refused(state, RequestVerification(B2)).code
    assert "unknown-backup" == refused(state, RequestVerification(B3)).code
    assert "verification-running" == refused(when(BASE, ASK).state, ASK).code


def test_damage_ends_goodness_and_a_later_proof_brings_it_back() -> None:
    """The newest verdict counts, if it got as far as the one that found the damage."""
    bad = broken()
    assert not bad.catalog[ORDERS][B1].good
    assert proven(bad, HASHES).catalog[ORDERS][B1].good

    deep = broken(level="parsed")
    assert not proven(deep, HASHES).catalog[ORDERS][B1].good
    assert proven(deep, LOADED).catalog[ORDERS][B1].good


def test_others_faults_are_tried_again_and_then_given_up() -> None:
    """Five tries with growing delays; a permanent failure has one; the backup stays good."""
    state, now, delays = under_way(now=NOON), NOON, []
    for _ in range(MOST_TRIES - 1):
        then = when(state, ReportUnverified(V1, B1, OUTSIDE), now=now)
        (event,) = then.events
        assert isinstance(event, VerificationPutOff)
        delays.append((event.retry_at - now) // timedelta(minutes=1))
        assert "superseded" == refused(then.state, StartVerification(B1)).code
        assert f"the next one is at {event.retry_at:%H:%M:%SZ}" in refused(then.state, ASK).message
        now = event.retry_at
        state = when(then.state, StartVerification(B1), now=now).state
    end = when(state, ReportUnverified(V1, B1, OUTSIDE), now=now)

    assert [1, 4, 16, 60] == delays
    assert [VerificationAbandoned] == list(map(type, end.events))
    assert OUTSIDE == end.state.catalog[ORDERS][B1].proof.unproven
    assert end.state.catalog[ORDERS][B1].good
    at_once = when(under_way(), ReportUnverified(V1, B1, FOR_GOOD))
    assert [VerificationAbandoned] == list(map(type, at_once.events))


def test_a_report_of_an_older_verification_is_too_late() -> None:
    """A verdict counts for the verification that it belongs to, and once."""
    state = under_way()
    other = VerificationId("v0")
    assert "superseded" == refused(state, ReportVerified(other, B1, LOADED)).code
    assert "superseded" == refused(proven(BASE), ReportRefuted(V1, B1, "hashes", DAMAGE)).code


def test_a_start_settles_what_was_cut_off() -> None:
    """A verification that ran when the daemon ended is put off; one that waited still waits."""
    start = StartDaemon(HERE, "0.1.0")
    cut = when(under_way(now=NOON), start, now=NOON)
    assert [NOON] == [e.retry_at for e in cut.events if isinstance(e, VerificationPutOff)]
    assert [VerificationPutOff] == [type(e) for e in cut.events if "ification" in type(e).__name__]
    assert not any(
        "ification" in type(e).__name__ for e in when(when(BASE, ASK).state, start).events
    )


def test_what_is_being_read_is_not_deleted() -> None:
    """A running verification refuses a deletion; one that only waits gives way to it."""
    assert "backup-held" == refused(under_way(), DeleteBackup(B1)).code

    then = when(when(BASE, ASK).state, DeleteBackup(B1))
    assert [VerificationAbandoned, DeletionRequested] == list(map(type, then.events))
    assert {} == dict(then.state.held)


def test_a_restore_still_holds_what_a_verification_has_let_go() -> None:
    """Two readers are counted: the end of one does not free the backup."""
    state = given(restoring(B1), state=when(BASE, ASK).state)
    assert {B1: 2} == dict(state.held)
    assert "backup-held" == refused(state, DeleteBackup(B1)).code


def test_removing_a_cache_ends_verifications_of_what_goes() -> None:
    """An auto backup goes at once; a manual one that is being verified stays, and so does that."""
    state = given(*complete(B2, kind="auto"), state=BASE)
    both = under_way(when(state, ASK).state, B2)
    then = when(both, RemoveCache("orders"))

    ended = [e.backup_id for e in then.events if isinstance(e, VerificationAbandoned)]
    assert [B2] == ended
    assert [B1] == list(then.state.verifications)


@pytest.mark.parametrize(
    ("verify", "wanted"), [("always", [B1, B2]), ("daily", [B1]), ("never", [])]
)
def test_the_policy_wants_proofs(verify: VerifyWhen, wanted: list[BackupId]) -> None:
    """Each auto backup, the first of a day, or none is to be proven when it is complete."""
    state, found = given(STARTED, registered(), nightly(verify)), []
    for number, backup_id in enumerate((B1, B2)):
        now = NOON + timedelta(hours=number)
        state = given(*running(backup_id, kind="auto"), state=state)
        then = when(state, ReportStored(backup_id, STORED), now=now, new_id="v1")
        found += [e.backup_id for e in then.events if isinstance(e, VerificationRequested)]
        state = then.state
        if backup_id in state.verifications:
            state = when(state, StartVerification(backup_id), now=now).state
            state = when(state, ReportVerified(V1, backup_id, HASHES), now=now).state

    assert wanted == found


def stored(state: State, backup_id: BackupId, now: datetime) -> list[type]:
    """What follows from one more auto backup being complete."""
    state = given(*running(backup_id, kind="auto"), state=state)
    return list(map(type, when(state, ReportStored(backup_id, STORED), now=now).events))


def test_a_day_is_one_of_the_policys_zone() -> None:
    """A proof at 23:30 in Paris is not one of the next day, though it is so in UTC."""
    late = datetime.fromisoformat("2026-03-01T22:30:00+00:00")
    wanted = [BackupCompleted, VerificationRequested]
    for zone, followed in (("Europe/Paris", wanted), ("UTC", [BackupCompleted])):
        state = given(STARTED, registered(), nightly(zone=zone), *complete(B1, kind="auto"))
        state = given(
            At(late, when(state, RequestVerification(B1), new_id="v1").events[0]), state=state
        )
        begun = when(state, StartVerification(B1), now=late).state
        done = when(begun, ReportVerified(V1, B1, HASHES), now=late).state
        assert followed == stored(done, B2, late + timedelta(hours=1))


def test_a_damaged_backup_is_no_proof_of_its_day() -> None:
    """When the first one of a day fails, the next one of that day is to be proven."""
    state = given(STARTED, registered(), nightly(), *complete(B1, kind="auto"))
    state = broken(state)
    assert [BackupCompleted, VerificationRequested] == stored(state, B2, NOON)


def test_manual_backups_and_those_without_a_policy_are_left_alone() -> None:
    """Nothing is proven by itself of a manual backup, nor where auto is off."""
    manual = given(*running(B2), state=given(nightly("always"), state=BASE))
    assert [BackupCompleted] == list(map(type, when(manual, ReportStored(B2, STORED)).events))
    off = replace(nightly("always").policy, auto=False)
    state = given(PolicySet(cache=ORDERS, policy=off), state=BASE)
    assert [BackupCompleted] == stored(state, B2, NOON)


def test_one_of_the_policys_waits_for_its_cache() -> None:
    """It does not start while its cache is backed up or restored; one by command does."""
    auto = given(STARTED, registered(), *complete(B1, kind="auto"))
    wanted = VerificationRequested(cache=ORDERS, backup_id=B1, verification_id=V1, cause="policy")
    busy = given(wanted, *running(B2), state=auto)
    assert "superseded" == refused(busy, StartVerification(B1)).code
    asked = when(given(*running(B2), state=auto), ASK).state
    assert [VerificationStarted] == list(map(type, when(asked, StartVerification(B1)).events))


def test_failed_verification_is_told_with_its_level() -> None:
    """What is recorded names the level at which the damage shows."""
    (event,) = when(under_way(), ReportRefuted(V1, B1, "parsed", DAMAGE)).events
    assert isinstance(event, VerificationFailed)
    assert ("parsed", DAMAGE) == (event.level, event.failure)
