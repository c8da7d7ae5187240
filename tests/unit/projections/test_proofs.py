"""What proofs mean to retention, freshness, `check` and `status`."""

from datetime import datetime, timedelta

from events.facts import BackupId, Failure, Policy, Receipt, VerificationId, Window
from events.proofs import BackupVerified, VerificationFailed, VerificationRequested
from events.types import (
    Event,
    PolicySet,
    RestoreCompleted,
    SnapshotTaken,
)
from projections.assurance import assurance
from projections.check_proofs import Said, proofs
from projections.checks import judge
from projections.freshness import newest_good
from projections.retention import expired
from projections.state import State
from projections.work import VerificationWork, next_instant, outstanding, ready
from tests.support.given import NOON, At, given
from tests.support.samples import (
    B1,
    B2,
    ORDERS,
    R1,
    RESULT,
    SNAPSHOT,
    STARTED,
    complete,
    registered,
    under_way,
)

V1 = VerificationId("v1")
DAY = timedelta(days=1)
LATER = NOON + 3 * DAY
DAMAGE = Failure("block-damaged", "Block 1 of 1 differs.", "Use another one.", permanent=True)
LOADED = Receipt("loaded", 50, 100, 7.0, load_seconds=6.0, engine="valkey 9.1.1", keys=3)
HASHES = Receipt("hashes", 50, 100, 2.0)
POLICY = PolicySet(
    cache=ORDERS, policy=Policy(auto=True, retention_days=1, windows=(Window("02:00", 60),))
)


def asked(backup_id: BackupId = B1) -> VerificationRequested:
    """A verification was asked for."""
    return VerificationRequested(
        cache=ORDERS, backup_id=backup_id, verification_id=V1, cause="policy"
    )


def failed(backup_id: BackupId = B1) -> tuple[Event, ...]:
    """A verification found damage."""
    end = VerificationFailed(
        cache=ORDERS, backup_id=backup_id, verification_id=V1, level="hashes", failure=DAMAGE
    )
    return asked(backup_id), end


def verified(
    receipt: Receipt = LOADED, backup_id: BackupId = B1, at: datetime = NOON
) -> tuple[Event | At, ...]:
    """A verification ended with a receipt."""
    end = BackupVerified(cache=ORDERS, backup_id=backup_id, verification_id=V1, receipt=receipt)
    return asked(backup_id), At(at, end)


def auto(backup_id: BackupId, at: datetime) -> tuple[Event | At, ...]:
    """An auto backup whose snapshot is of this instant."""
    *before, end = complete(backup_id, kind="auto")
    from_now = SnapshotTaken(
        cache=ORDERS,
        backup_id=backup_id,
        snapshot=SNAPSHOT.__class__(
            server=SNAPSHOT.server,
            source=SNAPSHOT.source,
            reason="",
            rdb_version=11,
            taken_at=at,
        ),
    )
    return (*before, At(at, from_now), At(at, end))


TWO = given(
    At(NOON, STARTED), At(NOON, registered()), At(NOON, POLICY), *auto(B1, NOON),
    *auto(B2, NOON + timedelta(hours=1)),
)  # fmt: skip


def said(state: State, now: datetime) -> dict[str, Said]:
    """What is said of the proofs of `orders`."""
    return {one.rule: one for one in proofs(state, state.caches[ORDERS], now)}


def test_keep_last_passes_over_what_is_damaged() -> None:
    """The older good one stays and the newer damaged one goes, when both are old (A11)."""
    later = NOON + 3 * DAY
    assert [B1] == [one.backup_id for one in expired(TWO, ORDERS, later)]
    assert [B2] == [one.backup_id for one in expired(given(*failed(B2), state=TWO), ORDERS, later)]


def test_what_is_being_verified_does_not_expire() -> None:
    """Retention leaves alone what somebody reads (A11)."""
    state = given(asked(B1), state=TWO)
    assert [] == list(expired(state, ORDERS, NOON + 3 * DAY))


def test_damage_makes_the_newest_good_one_another() -> None:
    """Freshness counts good backups only."""
    newest = newest_good(given(*failed(B2), state=TWO), ORDERS, LATER)
    assert newest is not None
    assert B1 == newest.backup_id


def test_check_tells_of_damage_until_it_is_disproved() -> None:
    """A backup that failed is CRITICAL with its reason, and OK when a later proof stands."""
    bad = given(*failed(), state=TWO)
    told = said(bad, NOON)["damaged"]
    assert ("critical", "block-damaged") == (told.level, told.code)
    assert "Block 1 of 1 differs" in told.told
    assert f"valkeep backup verify {B1}" in told.hint
    assert "ok" == said(given(*verified(HASHES), state=bad), NOON)["damaged"].level


def test_check_misses_proofs_that_the_policy_wants() -> None:
    """Two days without a proof are a WARNING, from the first backup on or the last proof."""
    two = timedelta(days=2)
    assert "ok" == said(TWO, NOON + two)["proven"].level
    late = said(TWO, NOON + two + timedelta(hours=2))["proven"]
    assert ("warning", "unproven") == (late.level, late.code)
    assert f"valkeep backup verify {B2}" in late.hint

    state = given(*verified(at=NOON + DAY), state=TWO)
    assert "ok" == said(state, NOON + 3 * DAY)["proven"].level
    assert "warning" == said(state, NOON + 3 * DAY + timedelta(minutes=1))["proven"].level


def test_check_asks_for_no_proof_that_nobody_wants() -> None:
    """With verify never, or auto off, nothing is missed."""
    for policy in (
        Policy(auto=True, windows=(Window("02:00", 60),), verify="never"),
        Policy(windows=(Window("02:00", 60),)),
    ):
        state = given(PolicySet(cache=ORDERS, policy=policy), state=TWO)
        assert "proven" not in said(state, NOON + 30 * DAY)


def test_damage_of_a_removed_caches_backup_is_told() -> None:
    """A manual backup outlives its cache, and so does the alarm about it (M2)."""
    from events.types import CacheRemoved  # noqa: PLC0415 - the only test that removes

    state = given(registered(), *complete(), *failed(), CacheRemoved(cache=ORDERS))
    lines = [line for portion in judge(state, NOON) for line in portion]
    assert [("critical", None)] == [
        (line.level, line.cache) for line in lines if line.rule == "damaged"
    ]


def test_status_knows_what_a_restore_takes() -> None:
    """From a load, better than from reading alone; from a restore, if that was later."""
    assert None is assurance(TWO, ORDERS, LATER).guess
    read = assurance(given(*verified(HASHES), state=TWO), ORDERS, LATER).guess
    both = given(*verified(LOADED, B2), *verified(HASHES, at=NOON + DAY), state=TWO)
    loaded = assurance(both, ORDERS, LATER).guess
    done = RestoreCompleted(cache=ORDERS, restore_id=R1, result=RESULT)
    after = given(*under_way(B1), At(NOON + 2 * DAY, done), state=both)
    restored = assurance(after, ORDERS, LATER).guess

    assert read is not None
    assert loaded is not None
    assert restored is not None
    assert (2.0, 7.0, 2.0) == (read.seconds, loaded.seconds, restored.seconds)
    assert (False, True) == (read.whole, loaded.whole)
    assert "valkey 9.1.1" in loaded.source
    assert restored.source.startswith("a restore into orders took 2 s")


def test_a_proof_of_a_clock_that_was_ahead_has_no_age() -> None:
    """What seems to have been proven in the future is no proof of today's backups."""
    ahead = given(*verified(LOADED, B2, at=LATER + 365 * DAY), state=TWO)

    assert assurance(ahead, ORDERS, LATER).proven is None
    assert assurance(ahead, ORDERS, LATER + 366 * DAY).proven is not None


def test_status_knows_what_would_be_lost() -> None:
    """The age of the newest good backup; a damaged one does not count."""
    later = NOON + timedelta(hours=3)
    assert timedelta(hours=2) == assurance(TWO, ORDERS, later).lost(later)
    damaged = given(*failed(B2), state=TWO)
    assert timedelta(hours=3) == assurance(damaged, ORDERS, later).lost(later)
    assert None is assurance(given(registered()), ORDERS, later).lost(later)


def test_a_person_comes_before_the_policy() -> None:
    """Of two that may start the one by command is first; a later try has its instant."""
    by_hand = VerificationRequested(cache=ORDERS, backup_id=B2, verification_id=V1, cause="command")
    state = given(asked(B1), by_hand, state=TWO)
    works = [work for work in outstanding(state) if isinstance(work, VerificationWork)]
    assert [B2, B1] == [work.backup_id for work in works]
    assert all(ready(state, work, NOON) for work in works)
    assert None is next_instant(state, NOON)
