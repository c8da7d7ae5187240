"""A log that went back, and what a vault knows: held, registered, let go (L3, L6)."""

from datetime import timedelta

from daemon.commands import (
    DeleteBackup,
    ExpireBackups,
    FinishRecovery,
    FoundBackup,
    FoundCache,
    FoundDeletion,
    RecoverFound,
    RemoveCache,
    ReportLogWentBack,
)
from events.facts import BackupId, InstallationId, Policy, Position
from events.recoveries import BackupRecovered, LogRecovered, LogWentBack
from events.types import (
    CacheRegistered,
    DeletionRequested,
    PolicySet,
)
from projections import catalog, work
from projections.log_checks import CopyStanding, log_lines
from projections.recovery import REST, retention_rests
from tests.support.given import NOON, after, given, refused, when
from tests.support.samples import (
    B1,
    B2,
    B3,
    HERE,
    MAIN,
    ORDERS,
    OTHER_SETTINGS,
    SNAPSHOT,
    STARTED,
    STORED,
    USERS,
    abandoned,
    complete,
    registered,
)

WENT_BACK = ReportLogWentBack(MAIN, Position(40), Position(9), "backup x")
END = FinishRecovery(MAIN, HERE, backups=1)
LONG_AFTER = NOON + timedelta(days=400)


def found(backup_id: BackupId = B2, name: str = "lost") -> FoundBackup:
    """A backup as its manifest tells of it."""
    return FoundBackup(
        cache=ORDERS,
        backup_id=backup_id,
        kind="auto",
        name=name,
        created_at=NOON,
        snapshot=SNAPSHOT,
        stored=STORED,
        attempt=2,
    )


def test_it_is_told_once() -> None:
    """A vault that is ahead is recorded once, until somebody has decided."""
    state = given(STARTED)
    then = when(state, WENT_BACK)

    assert isinstance(then.events[0], LogWentBack)
    assert () == when(then.state, WENT_BACK).events
    assert when(after(then.state, END), WENT_BACK).events


def test_nothing_is_deleted_while_a_vault_is_ahead() -> None:
    """L3: neither retention nor a command lets anything go, and no deletion is worked on."""
    state = given(STARTED, registered(), *complete(B1, kind="auto"), *complete(B3))
    state = after(state, DeleteBackup(B3), WENT_BACK)

    assert () == when(state, ExpireBackups(ORDERS), now=LONG_AFTER).events
    assert "log-went-back" == refused(state, DeleteBackup(B1)).code
    assert "log-went-back" == refused(state, RemoveCache(ORDERS)).code
    assert not any(work.ready(state, one, LONG_AFTER) for one in work.outstanding(state))


def test_leftovers_of_before_are_not_swept() -> None:
    """L3: an attempt that the log takes for failed may be complete in what it has lost."""
    state = after(given(STARTED, registered(), *abandoned(B1)), WENT_BACK)
    newer = given(*abandoned(B2, name="newer"), state=state)

    ready = [one for one in work.outstanding(newer) if work.ready(newer, one, LONG_AFTER)]
    assert [work.SweepWork(B2, ORDERS)] == ready


def test_all_goes_on_after_a_recovery() -> None:
    """After it commands delete at once, and retention after a day."""
    state = given(STARTED, registered(), *complete(B1, kind="auto"))
    state = after(state, WENT_BACK, END)
    ended = state.recovery.recovered_at
    assert ended is not None

    assert when(state, DeleteBackup(B1)).events
    assert timedelta(0) < retention_rests(state.recovery, ended + REST / 2) < REST
    assert timedelta(0) == retention_rests(state.recovery, ended + REST)


def test_what_the_log_lacks_is_registered_once() -> None:
    """L6: unknown backups and caches are registered, known ones are passed over."""
    state = given(STARTED, registered(), *complete(B1))
    command = RecoverFound(
        MAIN,
        (found(B1), found(B2)),
        (
            FoundCache(ORDERS, OTHER_SETTINGS),
            FoundCache(USERS, OTHER_SETTINGS, Policy(auto=True)),
        ),
    )
    then = when(state, command)
    kinds = [type(event) for event in then.events]
    backup = catalog.get(then.state.catalog, ORDERS, B2)

    assert [CacheRegistered, PolicySet, BackupRecovered] == kinds
    assert backup is not None
    assert ("complete", "auto", "lost", 2, True) == (
        backup.phase,
        backup.kind,
        backup.name,
        backup.attempts,
        backup.recovered,
    )
    assert () == when(then.state, command).events


def test_a_taken_name_gives_way() -> None:
    """M1: a name is unique among living backups, and what is none is replaced."""
    state = given(STARTED, registered(), *complete(B1, name="lost"))
    then = when(state, RecoverFound(MAIN, (found(B2), found(B3, "../x"))))

    names = [event.name for event in then.events if isinstance(event, BackupRecovered)]
    assert [f"recovered-{B2}", f"recovered-{B3}"] == names


def test_what_the_lost_part_deleted_goes_again() -> None:
    """A deletion that the copy tells of is asked for again, for its old reason."""
    state = given(STARTED, registered(), *complete(B1))
    deletion = FoundDeletion(ORDERS, B1, "retention")
    then = when(state, RecoverFound(MAIN, (), deletions=(deletion,)))

    assert (DeletionRequested(cache=ORDERS, backup_id=B1, reason="retention"),) == then.events
    assert () == when(then.state, RecoverFound(MAIN, (), deletions=(deletion,))).events


def test_a_recovered_log_is_this_installations() -> None:
    """S2: after an adoption the log's installation is the one that took the vault over."""
    state = given(STARTED)
    new = InstallationId("installation-2")
    then = when(state, FinishRecovery(MAIN, new, 3, former=HERE, imported=Position(1)))

    assert isinstance(then.events[0], LogRecovered)
    assert new == then.state.installation


def test_check_tells_of_it() -> None:
    """A log that went back is critical; a copy is a warning after an hour, critical after a day."""
    state = after(given(STARTED), WENT_BACK)
    (line,) = log_lines(state, NOON, ())
    assert ("critical", "log-went-back") == (line.level, line.code)
    assert "valkeep recover" in line.hint
    mended = after(state, END)
    (line,) = log_lines(mended, NOON + timedelta(hours=1), ())
    assert "retention deletes nothing" in line.message
    assert () == tuple(log_lines(mended, LONG_AFTER, ()))

    for late, level in ((1, "ok"), (60, "warning"), (1440, "critical")):
        behind = CopyStanding(MAIN, Position(1), NOON, "the disk is full", "make room")
        (line,) = log_lines(given(STARTED), NOON + timedelta(minutes=late), (behind,))
        assert level == line.level
        assert "the disk is full" in line.message
