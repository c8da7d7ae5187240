"""How long a restore will take: what counts, and which of it is used."""

from datetime import timedelta

from msgspec.structs import replace

from events.facts import CacheName, Receipt, VerificationId
from events.proofs import BackupVerified, VerificationRequested
from events.types import Event, RestoreCompleted
from projections.restore_pace import Pace, pace
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.samples import (
    B1,
    ORDERS,
    R1,
    RESULT,
    STORED,
    USERS,
    complete,
    registered,
    under_way,
)

V1 = VerificationId("20260301T130000Z-0000e001")
BACKED_UP = given(registered(), registered(USERS), *complete(name="one"))
LOADED = Receipt(
    level="loaded",
    stored_bytes=STORED.stored_bytes,
    plain_bytes=STORED.plain_bytes,
    read_seconds=4.0,
    load_seconds=3.0,
    engine="valkey 8.1.8",
)
READ = replace(LOADED, level="hashes", load_seconds=None, engine=None, read_seconds=1.0)


def restored(seconds: float) -> tuple[Event, ...]:
    """A restore of the backup into the other cache that took so long."""
    done = replace(RESULT, total_seconds=seconds)
    return (
        *under_way(to=USERS),
        RestoreCompleted(cache=USERS, restore_id=R1, result=done),
    )


def found(*stories: tuple[Event, ...], of: CacheName = ORDERS) -> Pace | None:
    """What is known after these, each of which ends an hour after the one before."""
    state = BACKED_UP
    for hour, (*before, last) in enumerate(stories):
        state = given(*before, At(NOON + timedelta(hours=hour), last), state=state)
    return pace(state, of)


def proven(receipt: Receipt) -> tuple[Event, ...]:
    """The backup was verified."""
    return (
        VerificationRequested(
            cache=ORDERS, verification_id=V1, backup_id=B1, cause="command", quick=False
        ),
        BackupVerified(cache=ORDERS, verification_id=V1, backup_id=B1, receipt=receipt),
    )


def test_nothing_is_known_of_a_cache_that_was_never_timed() -> None:
    """Neither an empty log nor another cache's restores tell anything."""
    assert pace(State(), ORDERS) is None
    assert found() is None
    assert found(restored(5), of=USERS) is None


def test_a_restore_counts_for_the_cache_that_was_backed_up() -> None:
    """Its total time and its backup's plain bytes count, whatever it went into."""
    known = found(restored(5))

    assert known is not None
    assert (known.seconds, known.plain_bytes) == (5, STORED.plain_bytes)
    assert known.basis.startswith("a restore into users took 5 s for")


def test_the_newest_that_was_loaded_counts() -> None:
    """A receipt newer than a restore is used, and the other way round."""
    newer, older = found(restored(5), proven(LOADED)), found(proven(LOADED), restored(5))

    assert [4.0, 5] == [known.seconds for known in (newer, older) if known]


def test_reading_alone_counts_where_nothing_was_loaded() -> None:
    """A receipt of hashes says that loading comes on top; a restore however old is better."""
    read = found(proven(READ))

    assert read is not None
    assert read.basis.endswith("loading comes on top of that")
    assert found(restored(5), proven(READ)) == found(restored(5))
