"""What the command line says of encrypted backups: which they are, and who can open them."""

import pytest
from msgspec.structs import replace

from events.facts import BackupId
from events.types import BackupCompleted, Event, SnapshotTaken
from tests.support.api import serving
from tests.support.keys import BOTH
from tests.support.samples import (
    B1,
    B2,
    ORDERS,
    SNAPSHOT,
    STORED,
    attempted,
    registered,
    requested,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def made(backup_id: BackupId, name: str, *recipients: str) -> tuple[Event, ...]:
    """A backup, encrypted if there are recipients."""
    stored = replace(STORED, recipients=recipients)
    return (
        requested(backup_id, name=name),
        attempted(backup_id),
        SnapshotTaken(cache=ORDERS, backup_id=backup_id, snapshot=SNAPSHOT),
        BackupCompleted(cache=ORDERS, backup_id=backup_id, stored=stored),
    )


async def test_a_list_marks_what_is_encrypted() -> None:
    """As soon as one backup is encrypted the list says of each whether it is."""
    async with serving(registered(), made(B1, "old"), made(B2, "new", *BOTH)) as api:
        printed = await api.type("backup", "list")

    assert [
        ["BACKUP", "ENCRYPTED"],
        ["orders/old", "no"],
        ["orders/new", "age"],
    ] == [line.split()[:2] for line in printed.out.splitlines()[:-1]]


async def test_a_page_tells_who_can_open_a_backup() -> None:
    """The page names each recipient whole; of a backup that is not encrypted it says so."""
    async with serving(registered(), made(B1, "old"), made(B2, "new", *BOTH)) as api:
        old = await api.type("backup", "show", "orders/old")
        new = await api.type("backup", "show", "orders/new")

    told = [line.split() for line in new.out.splitlines() if "opens to" in line]
    assert [["opens", "to", recipient] for recipient in BOTH] == told
    assert "  opens to  everybody: it is not encrypted" in old.out.splitlines()
