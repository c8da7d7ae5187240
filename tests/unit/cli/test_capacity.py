"""What a backup needs of its target, in lists and on its page."""

import json

import msgspec
import pytest

from events.facts import BackupId
from events.types import BackupCompleted, Event, SnapshotTaken
from tests.support.api import serving
from tests.support.samples import (
    B1,
    B2,
    ORDERS,
    SERVER,
    SNAPSHOT,
    STORED,
    attempted,
    registered,
    requested,
)

pytestmark = pytest.mark.anyio


def backup(backup_id: BackupId, name: str, memory_bytes: int) -> tuple[Event, ...]:
    """A backup of a server that used so much; 0 where nobody knows."""
    server = msgspec.structs.replace(SERVER, used_memory_bytes=memory_bytes)
    snapshot = msgspec.structs.replace(SNAPSHOT, server=server)
    stored = msgspec.structs.replace(STORED, plain_bytes=3 << 30, stored_bytes=1 << 30)
    return (
        requested(backup_id, name=name),
        attempted(backup_id),
        SnapshotTaken(cache=ORDERS, backup_id=backup_id, snapshot=snapshot),
        BackupCompleted(cache=ORDERS, backup_id=backup_id, stored=stored),
    )


@pytest.mark.parametrize(
    ("columns", "told", "left_out"),
    [
        ("80", ["MEMORY", "RDB", "STORED"], ["ID"]),
        ("60", ["MEMORY", "STORED"], ["RDB", "KIND", "KEYS"]),
        ("140", ["MEMORY", "RDB", "STORED", "KIND", "KEYS", "ID"], []),
    ],
)
async def test_a_list_uses_the_width_it_gets(
    monkeypatch: pytest.MonkeyPatch, columns: str, told: list[str], left_out: list[str]
) -> None:
    """At 80 columns an auto backup shows all three sizes; narrower lists leave out the least."""
    monkeypatch.setenv("COLUMNS", columns)
    async with serving(registered(), backup(B1, "auto-20260301-0200", 5 << 30)) as api:
        printed = await api.type("backup", "list")

    heads = printed.out.splitlines()[0].split()
    assert set(told) <= set(heads)
    assert not set(left_out) & set(heads)
    assert "5.0 GiB" in printed.out
    assert all(len(line) <= int(columns) for line in printed.out.splitlines())


async def test_a_guess_is_marked() -> None:
    """Where no source told of its memory it is guessed from the RDB, and marked everywhere."""
    async with serving(registered(), backup(B1, "a", 0), backup(B2, "b", 7)) as api:
        listed = await api.type("backup", "list")
        exact = await api.type("backup", "list", "--json")
        page = await api.type("backup", "show", "orders/a")

    assert "~12.0 GiB" in listed.out
    guessed, known = json.loads(exact.out)["backups"]
    assert (12 << 30, True) == (guessed["memory_bytes"], guessed["memory_estimated"])
    assert (7, None) == (known["memory_bytes"], known.get("memory_estimated"))
    assert "guessed from the size of the RDB" in page.out


async def test_a_page_tells_what_a_target_must_have() -> None:
    """Memory by load mode and disk stand on the page of a backup, within 80 columns."""
    async with serving(registered(), backup(B1, "a", 5 << 30)) as api:
        page = await api.type("backup", "show", "orders/a")

    _, found, rest = page.out.partition("to restore it\n")
    lines = rest.partition("\nproof")[0].splitlines()
    assert found
    assert lines[0].startswith("  memory  5.0 GiB for the data")
    assert any(line.startswith("  disk    3.0 GiB") for line in lines)
    assert all(len(line) <= 80 for line in lines)
