"""The history of the last days: what became of backups, also of those that are deleted."""

from datetime import timedelta

from msgspec.structs import replace

from events.facts import BackupId, Receipt, VerificationId
from events.hooks import HookEnding, HookRan
from events.proofs import BackupVerified, VerificationFailed
from events.suspicions import SuspicionAcknowledged
from events.types import BackupCompleted, BackupDeleted, BackupFailed, DeletionRequested, Event
from projections.history import History, Story, evolve, stored
from projections.state import State
from tests.support.given import NOON, At, an_id, envelopes
from tests.support.report_stories import DAMAGED
from tests.support.retaining import story
from tests.support.samples import B1, B2, ORDERS, OUTSIDE, STORED, abandoned, attempted, requested

V1 = VerificationId(an_id(0xE1))


def told(*events: Event | At) -> History:
    """The history that these events make."""
    history = History()
    for envelope, event in envelopes(events, State()):
        history = evolve(history, envelope, event)
    return history


def one(history: History, backup_id: BackupId = B1) -> Story:
    """One story of `orders`."""
    return history.caches[ORDERS].stories[backup_id]


def test_a_deleted_backup_keeps_its_figures() -> None:
    """What the catalog forgets is still told: sizes, snapshot, and since when it is gone."""
    gone = NOON + timedelta(days=3)
    found = one(
        told(
            *story(B1, NOON),
            At(gone, DeletionRequested(cache=ORDERS, backup_id=B1, reason="command")),
            At(gone + timedelta(hours=1), BackupDeleted(cache=ORDERS, backup_id=B1)),
        )
    )

    assert (stored(STORED), NOON, gone) == (found.stored, found.at, found.gone_at)


def test_what_began_earlier_is_left_out() -> None:
    """Records of a backup whose request was not read make no story."""
    done = BackupCompleted(cache=ORDERS, backup_id=B1, stored=STORED)

    assert B1 not in told(done).caches.get(ORDERS, told(requested(B2)).caches[ORDERS]).stories


def test_a_retried_backup_counts_its_failures() -> None:
    """A failed attempt before a good one is remembered, and its reason is not held against it."""
    failed = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
    again = attempted(attempt=2)
    done = BackupCompleted(cache=ORDERS, backup_id=B1, stored=STORED)
    found = one(told(requested(), attempted(), failed, again, done))

    assert ("complete", 1, 2, "") == (
        found.ending,
        found.failures,
        found.attempts,
        found.reason,
    )


def test_a_lower_proof_does_not_take_damage_back() -> None:
    """Damage that loading found is not disproved by reading the blocks, only by loading."""
    damaged = VerificationFailed(ORDERS, B1, V1, level="loaded", failure=DAMAGED)

    def verified(level: str) -> BackupVerified:
        receipt = Receipt("hashes" if level == "hashes" else "loaded", 50, 100, 1.0)
        return BackupVerified(ORDERS, B1, V1, receipt=receipt)

    assert not one(told(*story(B1, NOON), damaged, verified("hashes"))).good
    assert one(told(*story(B1, NOON), damaged, verified("loaded"))).good


def test_an_acknowledged_suspicion_is_over() -> None:
    """A person's word makes a suspect backup good again."""
    history = told(*story(B1, NOON), SuspicionAcknowledged(cache=ORDERS, backup_id=B1))

    assert one(history).good


def test_each_failure_is_a_trouble_with_what_to_do() -> None:
    """A given-up backup leaves its attempt's failure and its end, both with a hint."""
    troubles = [t for _, t in sorted(told(*abandoned()).troubles.items())]

    assert [
        ("attempt", OUTSIDE.message),
        ("given-up", "The backup was given up: one attempt."),
    ] == [(trouble.what, trouble.message) for trouble in troubles]
    assert all(trouble.hint for trouble in troubles)


def test_a_failed_hook_is_a_trouble_unless_it_stopped_something() -> None:
    """A hook that failed by itself is told with its last words; a trial by hand is nobody's."""
    ending = HookEnding("failed", 1.0, exit_code=3, output="one\nno such queue\n")
    ran = HookRan(ORDERS, "pause", "after-backup", B1, 1, ending)
    history = told(*story(B1, NOON), ran, replace(ran, stops=True), replace(ran, by_hand=True))
    (trouble,) = history.troubles.values()

    assert ("hook", "hook-failed", B1) == (trouble.what, trouble.code, trouble.of)
    assert "ended with exit code 3. Its last words: one / no such queue" in trouble.message
    assert "`valkeep hooks run pause --cache orders`" in trouble.hint
