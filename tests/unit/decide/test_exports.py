"""Deciding on exports: who gets one, and that its backup stays until it has ended."""

import pytest

from daemon.commands import (
    DeleteBackup,
    OpenExport,
    ReportExported,
    ReportExportFailed,
    ReportSnapshot,
    ReportStored,
    RequestBackup,
    RequestExport,
    StartAttempt,
    StartDaemon,
)
from events.facts import Failure, InstallationId
from events.moves import ExportedFile, ExportId
from events.transfers import ExportFailed, ExportRequested
from events.types import CacheRegistered
from projections.exports import outstanding
from projections.state import State
from tests.support.given import after, given, refused, when
from tests.support.samples import B1, FOR_GOOD, ORDERS, SETTINGS, SNAPSHOT, STORED

FILE = ExportedFile("0000", "s3://team/rdb/orders.rdb", 100, "ab" * 32)
EXPORT = ExportId("20260301T120000Z-0000e001")


def complete() -> State:
    """A backup of a cache is complete."""
    state = given(CacheRegistered(cache=ORDERS, settings=SETTINGS))
    state = when(state, RequestBackup("orders", "one"), new_id=B1).state
    return after(state, StartAttempt(B1), ReportSnapshot(B1, SNAPSHOT), ReportStored(B1, STORED))


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (RequestExport("orders/one", "s3://team/rdb"), "s3"),
        (RequestExport("orders/one", "file:///srv/rdb"), "directory"),
        (OpenExport("orders/one", "/home/ann/orders.rdb"), "client"),
    ],
)
def test_export_holds_its_backup_until_it_has_ended(
    command: RequestExport | OpenExport, kind: str
) -> None:
    """An export of any kind holds its backup, and lets it go when it has ended."""
    asked = when(complete(), command, new_id=EXPORT)
    (event,) = asked.events
    assert isinstance(event, ExportRequested)
    assert event.kind == kind
    assert {B1: 1} == dict(asked.state.held)

    ended = when(asked.state, ReportExported(EXPORT, (FILE,), 2.5)).state
    assert {} == dict(ended.held)
    assert () == outstanding(ended.exporting)
    assert (FILE,) == ended.exports[EXPORT].files
    assert "superseded" == refused(ended, ReportExportFailed(EXPORT, FOR_GOOD)).code


def test_place_that_is_none_is_refused() -> None:
    """A destination is a place to write to, or the request is refused with the forms there are."""
    assert "destination" == refused(complete(), RequestExport("orders/one", "/srv/rdb")).code


def test_unfinished_backup_is_not_exported() -> None:
    """Only what is complete can be exported."""
    state = given(CacheRegistered(cache=ORDERS, settings=SETTINGS))
    state = when(state, RequestBackup("orders", "one"), new_id=B1).state
    assert "backup-unfinished" == refused(state, RequestExport(B1, "s3://team/rdb")).code


def test_start_ends_exports_to_clients_only() -> None:
    """After a start an export to a client has failed, and one to a place is still wanted (R7)."""
    state = when(complete(), RequestExport(B1, "s3://team/rdb"), new_id=EXPORT).state
    client = ExportId("20260301T120000Z-0000e002")
    state = when(state, OpenExport(B1, "-"), new_id=client).state
    started = when(state, StartDaemon(InstallationId("i"), "1.0"))
    assert [client] == [e.export_id for e in started.events if isinstance(e, ExportFailed)]
    assert [EXPORT] == [export.export_id for export in outstanding(started.state.exporting)]
    assert {B1: 1} == dict(started.state.held)


def test_failed_export_tells_why() -> None:
    """A failed export keeps its reason, and what was asked of it."""
    state = when(complete(), RequestExport(B1, "s3://team/rdb"), new_id=EXPORT).state
    why = Failure("vault-rights", "It may not write.", "Grant s3:PutObject.", permanent=True)
    failed = when(state, ReportExportFailed(EXPORT, why)).state.exports[EXPORT]
    assert ("failed", why, "s3://team/rdb") == (failed.phase, failed.failure, failed.destination)


def test_deleted_backup_stays_while_it_is_exported() -> None:
    """A backup that is being exported cannot be deleted (A11)."""
    state = when(complete(), RequestExport(B1, "s3://team/rdb"), new_id=EXPORT).state
    assert "backup-held" == refused(state, DeleteBackup(B1)).code
