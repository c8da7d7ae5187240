"""Deciding on copies: who gets one, how long it is tried, and in which order all of it goes."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from daemon.commands import (
    Command,
    DeleteBackup,
    ReportCopied,
    ReportCopyFailed,
    ReportCopyGone,
    ReportDeleted,
    ReportSnapshot,
    ReportStored,
    RequestBackup,
    RequestCopy,
    RequestRestore,
    StartAttempt,
    StartCopy,
    StartDaemon,
)
from events.copies import BackupCleared, CopyDeleted, CopyFailed, CopyRequested
from events.facts import BackupKind, VaultName
from events.types import BackupDeleted, CacheReconfigured, CacheRegistered
from projections.copies import Copy
from projections.state import State
from projections.work import CopyWork, DeletionWork, UncopyWork, outstanding, ready
from tests.support.given import NOON, after, an_id, given, refused, when
from tests.support.samples import (
    B1,
    FOR_GOOD,
    HERE,
    ORDERS,
    OUTSIDE,
    SECOND,
    SETTINGS,
    SNAPSHOT,
    STORED,
    running,
)

COPIED = replace(SETTINGS, copy_to=SECOND)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def complete() -> State:
    """A backup of a cache with a second vault is complete, and its copy is asked for."""
    state = given(CacheRegistered(cache=ORDERS, settings=COPIED))
    state = when(state, RequestBackup("orders", "one"), new_id=B1).state
    return after(state, StartAttempt(B1), ReportSnapshot(B1, SNAPSHOT), ReportStored(B1, STORED))


def copy_of(state: State) -> Copy:
    """The only copy there is."""
    (copy,) = state.catalog[ORDERS][B1].copies
    return copy


def test_copy_is_asked_for_with_the_completion() -> None:
    """A complete backup's copy is in the same commit, where `copy_to` says."""
    state = complete()
    assert ("waiting", SECOND, "copy_to") == (
        copy_of(state).phase,
        copy_of(state).vault,
        copy_of(state).wanted_by,
    )
    assert [CopyWork(B1, ORDERS, SECOND)] == list(outstanding(state))


@pytest.mark.parametrize(("kind", "wanted"), [("manual", 1), ("auto", 1), ("safety", 0)])
def test_safety_backups_are_not_copied(kind: BackupKind, wanted: int) -> None:
    """Manual and scheduled backups are copied, and what undoes a restore is not."""
    state = given(CacheRegistered(cache=ORDERS, settings=COPIED), *running(B1, kind=kind))
    state = when(state, ReportSnapshot(B1, SNAPSHOT)).state
    events = when(state, ReportStored(B1, STORED)).events
    assert wanted == sum(isinstance(event, CopyRequested) for event in events)


def test_backup_is_held_while_it_is_copied() -> None:
    """A backup cannot be deleted while a copy reads it, and can before and after."""
    state = complete()
    assert when(state, DeleteBackup(B1)).events
    state = when(state, StartCopy(B1, SECOND)).state
    assert "backup-held" == refused(state, DeleteBackup(B1)).code
    state = when(state, ReportCopied(B1, SECOND, 50)).state
    assert {} == dict(state.held)
    assert [] == list(outstanding(state))


def test_tries_grow_apart_and_become_daily() -> None:
    """A minute, two, four … an hour for a day, and then once a day, for ever."""
    state, now = complete(), NOON + MINUTE
    delays = []
    for _ in range(40):
        state = when(state, StartCopy(B1, SECOND), now=now).state
        failed = when(state, ReportCopyFailed(B1, SECOND, OUTSIDE), now=now)
        (event,) = failed.events
        assert isinstance(event, CopyFailed)
        delays.append(event.retry_at - now)
        assert "not-now" == refused(failed.state, StartCopy(B1, SECOND)).code
        assert not ready(failed.state, CopyWork(B1, ORDERS, SECOND), now)
        state, now = failed.state, event.retry_at
    assert [MINUTE * n for n in (1, 2, 4, 8, 16, 32, 60, 60)] == delays[:8]
    assert {HOUR * 24} == set(delays[-8:])


def test_failure_for_good_is_tried_daily() -> None:
    """What somebody has to mend is tried once a day from the first time on."""
    state = when(complete(), StartCopy(B1, SECOND)).state
    then = when(state, ReportCopyFailed(B1, SECOND, FOR_GOOD), now=NOON)
    (event,) = then.events
    assert isinstance(event, CopyFailed)
    assert timedelta(days=1) == event.retry_at - NOON


def test_cut_off_copy_begins_again_soon() -> None:
    """A copy that ran when the daemon ended is tried again a minute after the next start."""
    state = when(complete(), StartCopy(B1, SECOND)).state
    later = NOON + 60 * HOUR
    events = when(state, StartDaemon(HERE, "1"), now=later).events
    (event,) = [one for one in events if isinstance(one, CopyFailed)]
    assert MINUTE == event.retry_at - later


@pytest.mark.parametrize("copy_first", [True, False])
def test_backup_is_deleted_when_nothing_is_left_anywhere(*, copy_first: bool) -> None:
    """Both vaults confirm, in either order; only the second of them ends the backup."""
    state = after(complete(), StartCopy(B1, SECOND), ReportCopied(B1, SECOND, 50), DeleteBackup(B1))
    assert [DeletionWork(B1, ORDERS), UncopyWork(B1, ORDERS, SECOND)] == list(outstanding(state))
    reports: list[Command] = [ReportDeleted(B1), ReportCopyGone(B1, SECOND)]
    if copy_first:
        reports.reverse()
    first = when(state, reports[0])
    assert {BackupDeleted} != {type(event) for event in first.events}
    assert isinstance(first.events[0], CopyDeleted if copy_first else BackupCleared)
    last = when(first.state, reports[1])
    assert isinstance(last.events[-1], BackupDeleted)
    assert [] == list(outstanding(last.state))
    assert B1 not in last.state.catalog[ORDERS]


def test_repeated_confirmation_is_superseded() -> None:
    """A vault that confirms its deletion twice is heard once."""
    state = after(complete(), DeleteBackup(B1), ReportDeleted(B1))
    assert "superseded" == refused(state, ReportDeleted(B1)).code


def test_unmade_copy_goes_with_its_setting() -> None:
    """A copy that is not made is given up when `copy_to` goes; one by command is not."""
    state = complete()
    gone = given(CacheReconfigured(cache=ORDERS, settings=SETTINGS), state=state)
    assert [UncopyWork(B1, ORDERS, SECOND)] == list(outstanding(gone))
    gone = when(gone, ReportCopyGone(B1, SECOND)).state
    assert () == gone.catalog[ORDERS][B1].copies
    asked = when(gone, RequestCopy(B1, SECOND)).state
    assert [CopyWork(B1, ORDERS, SECOND)] == list(outstanding(asked))


def test_made_copy_stays_without_its_setting() -> None:
    """A copy that is made belongs to its backup, whatever `copy_to` says later."""
    state = after(complete(), StartCopy(B1, SECOND), ReportCopied(B1, SECOND, 50))
    gone = given(CacheReconfigured(cache=ORDERS, settings=SETTINGS), state=state)
    assert [] == list(outstanding(gone))
    third = when(gone, RequestCopy(B1, "third")).state
    assert "superseded" == refused(third, ReportCopyGone(B1, SECOND)).code


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (RequestCopy(B1), "copy-exists"),
        (RequestCopy(B1, "main"), "copy-to"),
        (RequestCopy(an_id(9)), "unknown-backup"),
    ],
)
def test_impossible_copies_are_refused(command: RequestCopy, code: str) -> None:
    """No second copy in a vault, none where the backup is, and none of what there is not."""
    assert code == refused(complete(), command).code


def test_restore_reads_from_where_it_is_told() -> None:
    """A restore from a copy is recorded as such, and only from one that is whole."""
    state = complete()
    wish = RequestRestore(B1, "orders", vault=SECOND)
    assert "no-copy" == refused(state, wish).code
    state = after(state, StartCopy(B1, SECOND), ReportCopied(B1, SECOND, 50))
    then = when(state, wish)
    assert VaultName("second") == next(iter(then.state.restores.values())).vault
