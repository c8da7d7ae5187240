"""What a listing has and the log does not, and the other way round (S1)."""

from msgspec.structs import replace

from daemon.doctor.stock import View, compare, manifest_of
from daemon.storage import names
from daemon.storage.vault import ObjectInfo, ObjectName
from events.facts import ONLY_SHARD, InstallationId, VaultName
from events.types import BackupDeleted, DeletionRequested
from projections.state import State
from tests.support.given import given
from tests.support.samples import B1, B2, B3, MAIN, ORDERS, abandoned, complete, registered

OURS = InstallationId("20260301T120000Z-00000001")
ONE = given(registered(), *complete(B1))
FOLDER = names.backup_folder(ORDERS, B1)
WHOLE = (names.OWNER, f"{FOLDER}0000.rdb.zst", f"{FOLDER}manifest.json")


def view(before: State, after: State | None = None, vault: VaultName = MAIN) -> View:
    """A vault as the log knows it."""
    return View(vault, OURS, before, after or before)


def listing(*found: str) -> tuple[ObjectInfo, ...]:
    """Objects of ten bytes."""
    return tuple(ObjectInfo(ObjectName(name), 10) for name in found)


def unknown(state: State, *found: str, after: State | None = None) -> list[str]:
    """What is unknown of these."""
    return [info.name for info in compare(listing(*found), view(state, after)).unknown]


def test_all_that_belongs_to_a_backup_is_known() -> None:
    """The owner's file, data and manifest of a backup, canaries and copies of the log are ours."""
    log, bird = "log/1-9.ndjson.zst", f"canary-{OURS}/x"

    difference = compare(listing(*WHOLE, log, bird), view(ONE))

    assert ((), ()) == (difference.unknown, difference.unlisted)


def test_what_no_event_speaks_of_is_unknown() -> None:
    """Strange files, backups of another log, and attempts that were never made are unknown."""
    strange = (
        "notes.txt",
        "caches/orders/notes.txt",
        f"{names.backup_folder(ORDERS, B3)}manifest.json",
        f"{names.backup_folder(ORDERS, B1, 2)}manifest.json",
        "canary-20200101T000000Z-0badcafe/x",
        f"{names.OWNER}.claim-0badcafe",
    )

    assert list(strange) == unknown(ONE, *WHOLE, *strange)


def test_what_a_failed_attempt_left_is_known() -> None:
    """What lies in the folder of an attempt that the log tells of will be swept: it is known."""
    left = names.shard_object(ORDERS, B2, ONLY_SHARD)

    assert [] == unknown(given(registered(), *abandoned(B2)), left)


def test_what_came_or_went_meanwhile_is_known() -> None:
    """A backup that was begun or deleted while the vault was listed is neither strange nor lost."""
    more = given(*complete(B2), state=ONE)
    asked = DeletionRequested(cache=ORDERS, backup_id=B2, reason="command")
    less = given(asked, BackupDeleted(cache=ORDERS, backup_id=B2), state=more)
    second = f"{names.backup_folder(ORDERS, B2)}manifest.json"

    assert [] == unknown(ONE, *WHOLE, second, after=more)
    assert [] == unknown(more, *WHOLE, second, after=less)
    assert () == compare(listing(*WHOLE), view(ONE, more)).unlisted
    assert () == compare(listing(*WHOLE), view(more, less)).unlisted
    assert [second] == unknown(less, *WHOLE, second)


def test_a_backup_without_a_listed_manifest_is_told() -> None:
    """A complete backup of this vault whose manifest the listing lacks is told; others' are not."""
    assert [B1] == [b.backup_id for b in compare(listing(*WHOLE[:2]), view(ONE)).unlisted]
    elsewhere = view(ONE, vault=VaultName("second"))
    assert () == compare(listing(), elsewhere).unlisted


def test_a_manifest_is_where_its_attempt_was() -> None:
    """The manifest of a backup that took two attempts is that of the second."""
    first = ONE.catalog[ORDERS][B1]

    assert f"{FOLDER}manifest.json" == manifest_of(first)
    assert f"{FOLDER[:-1]}.2/manifest.json" == manifest_of(replace(first, attempts=2))
