"""Deciding on imports: manual backups that no server is asked for."""

import pytest
from msgspec.structs import replace

from daemon.commands import (
    CancelBackup,
    OpenImport,
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    RequestImport,
    StartAttempt,
    StartDaemon,
)
from events.facts import BackupName, InstallationId
from events.imports import ImportCompleted, ImportFailed, ImportRequested
from events.moves import ImportedFrom, ImportKind
from events.proofs import VerificationRequested
from events.recoveries import BackupRecovered
from events.types import BackupAbandoned, BackupFailed, CacheRegistered, RetryScheduled
from projections.state import State
from tests.support.given import NOON, after, given, refused, when
from tests.support.samples import (
    B1,
    FOR_GOOD,
    MAIN,
    ORDERS,
    OUTSIDE,
    SETTINGS,
    SNAPSHOT,
    STORED,
)

S3 = RequestImport("orders", "s3://team/orders.rdb", "one")
SENT = OpenImport("orders", "standard input", "one")
START = StartDaemon(InstallationId("i"), "1.0")


def registered() -> State:
    """There is a cache."""
    return given(CacheRegistered(cache=ORDERS, settings=SETTINGS))


def asked(command: RequestImport | OpenImport) -> State:
    """An import of a cache was asked for."""
    return when(registered(), command, new_id=B1).state


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (S3, "s3"),
        (RequestImport("orders", "file:///tmp/dump.rdb", "one"), "file"),
        (RequestImport("orders", "warehouse/orders.rdb", "one"), "entry"),
        (SENT, "client"),
    ],
)
def test_import_is_a_manual_backup_with_an_origin(
    command: RequestImport | OpenImport, kind: ImportKind
) -> None:
    """An import is asked for as a manual backup, and where it comes from is told with it (M2)."""
    backup = asked(command).catalog[ORDERS][B1]
    assert ("manual", "one", "waiting") == (backup.kind, backup.name, backup.phase)
    assert backup.origin is not None
    assert (kind, command.source) == (backup.origin.kind, backup.origin.source)


def test_import_obeys_the_rules_of_names() -> None:
    """A name that is taken, or is none, is refused; without one it gets one (M1)."""
    assert "backup-exists" == refused(asked(S3), S3).code
    assert "backup-name" == refused(registered(), replace(S3, name="1 st")).code
    assert "unknown-cache" == refused(registered(), replace(S3, cache="other")).code
    state = when(registered(), replace(S3, name=None), new_id=B1).state
    assert f"import-{B1}" == state.catalog[ORDERS][B1].name


@pytest.mark.parametrize(
    "source", ["", "orders.rdb", "/srv/x", "./x", "http://host/x", "s3://KEY:SECRET@b/k", "a\nb/c"]
)
def test_source_that_is_none_is_refused(source: str) -> None:
    """What the daemon cannot read from is refused with the forms there are, and never shown."""
    error = refused(registered(), RequestImport("orders", source))
    assert "source" == error.code
    assert "SECRET" not in error.message


def test_kept_import_is_proven() -> None:
    """The end of an import is told with its sum, and a receipt is asked for."""
    state = after(asked(S3), StartAttempt(B1), ReportSnapshot(B1, SNAPSHOT))
    done = when(state, ReportStored(B1, STORED))
    _, come, proof = done.events
    assert come == ImportCompleted(ORDERS, B1, S3.source, STORED.plain_bytes, STORED.sha256)
    assert isinstance(proof, VerificationRequested)
    assert "complete" == done.state.catalog[ORDERS][B1].phase


def test_failed_import_is_told_once() -> None:
    """An import that failed for good is abandoned, told with its reason, and swept (S1)."""
    failed = when(after(asked(S3), StartAttempt(B1)), ReportAttemptFailed(B1, FOR_GOOD))
    kinds = [type(event) for event in failed.events]
    assert [BackupFailed, BackupAbandoned, ImportFailed] == kinds
    assert failed.state.catalog[ORDERS][B1].unswept


def test_cancelled_import_has_failed() -> None:
    """An import that is cancelled is over as one."""
    _, told = when(asked(S3), CancelBackup(B1)).events
    assert isinstance(told, ImportFailed)


def test_daemon_s_end_starts_an_import_again() -> None:
    """What the daemon can read itself is read again from the start when the daemon ended (R7)."""
    started = when(after(asked(S3), StartAttempt(B1)), START)
    assert any(isinstance(event, RetryScheduled) for event in started.events)
    assert "waiting" == started.state.catalog[ORDERS][B1].phase


@pytest.mark.parametrize("begun", [False, True])
def test_daemon_s_end_is_the_end_of_what_was_sent(begun: bool) -> None:  # noqa: FBT001
    """What a client sent cannot be asked for again: that import is over, begun or not."""
    state = after(asked(SENT), *([StartAttempt(B1)] if begun else []))
    started = when(state, START)
    assert any(isinstance(event, ImportFailed) for event in started.events)
    assert "failed" == started.state.catalog[ORDERS][B1].phase
    if begun:
        cut = when(state, ReportAttemptFailed(B1, OUTSIDE, by_daemon=True))
        assert not any(isinstance(event, RetryScheduled) for event in cut.events)


def test_recovered_import_keeps_its_origin() -> None:
    """A log that is rebuilt from the vault still knows where an import came from (L6)."""
    came = ImportedFrom("s3", S3.source)
    event = BackupRecovered(
        cache=ORDERS,
        backup_id=B1,
        kind="manual",
        name=BackupName("one"),
        vault=MAIN,
        created_at=NOON,
        snapshot=replace(SNAPSHOT, source="import", imported=came),
        stored=STORED,
    )
    origin = given(event).catalog[ORDERS][B1].origin
    assert origin is not None
    assert S3.source == origin.source


def test_request_is_told_with_its_source() -> None:
    """The event that a person sees first names the place."""
    events = when(registered(), S3, new_id=B1).events
    assert events[-1] == ImportRequested(ORDERS, B1, "s3", S3.source)
