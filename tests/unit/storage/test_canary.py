"""The canary on vaults in memory that misbehave: what it finds, and that it leaves nothing."""

import anyio
import pytest

from daemon.errors import Permanent
from daemon.storage import names
from daemon.storage.canary import LARGE_BYTES, Trial, try_out
from daemon.storage.memory import MemoryStore, MemoryVault, MemoryWriter, Upload
from daemon.storage.names import OWNER
from daemon.storage.vault import ObjectName, Vault
from events.facts import InstallationId, VaultFault
from tests.simulation.virtual import virtually

OURS = InstallationId("20260301T120000Z-00000001")
FRESH = "20260302T120000Z-00000002"
FOLDER = names.canary_folder(OURS)
OWNED = f'{{"format":1,"installation":"{OURS}"}}'.encode()


class Deaf(MemoryVault):
    """A vault in which one deed never ends."""

    def __init__(self, store: MemoryStore, deed: str) -> None:
        super().__init__(store)
        self.deed = deed

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        if self.deed == "put":
            await anyio.sleep_forever()
        await super().put(name, data)

    async def size(self, name: ObjectName) -> int | None:
        """See `Vault.size`."""
        if self.deed == "size":
            await anyio.sleep_forever()
        return await super().size(name)


class Forgetful(MemoryVault):
    """A vault that accepts everything and stores nothing."""

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""


class Mangling(MemoryVault):
    """A vault that gives back other bytes."""

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        found = await super().get(name, limit_bytes)
        return found if found is None or name == OWNER else found[::-1]


class Locked(MemoryVault):
    """A vault that takes every deletion and keeps everything."""

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`."""
        raise Permanent("vault-not-clear", f"{prefix} is not empty", "object lock?")


def tried(vault: Vault, *, used: bool = False) -> tuple[VaultFault, ...]:
    """What the canary finds, on virtual time."""
    return virtually(lambda: try_out(vault, Trial(OURS, FRESH, lambda: used, step_seconds=10.0)))


def found(vault: Vault, *, used: bool = False) -> list[tuple[str, str]]:
    """The same, as deeds and codes."""
    return [(fault.deed, fault.failure.code) for fault in tried(vault, used=used)]


def test_a_good_vault_has_no_fault_and_is_as_it_was() -> None:
    """A vault that does everything is found without fault, and holds what it held before."""
    store = MemoryStore({OWNER: OWNED})

    assert () == tried(MemoryVault(store))
    assert {OWNER: OWNED} == store.objects
    assert [] == store.uploads


def test_a_fresh_vault_is_tried_and_not_claimed() -> None:
    """A vault of nobody's is tried out, and is nobody's afterwards: a backup claims it."""
    store = MemoryStore()

    assert () == tried(MemoryVault(store))
    assert {} == store.objects


def test_what_an_earlier_canary_left_is_swept() -> None:
    """Objects and uploads of a canary that was killed go with the next one; others' stay."""
    other = ObjectName("canary-20200101T000000Z-0badcafe/x")
    old, upload = ObjectName(f"{FOLDER}old"), Upload(ObjectName(f"{FOLDER}old.large"))
    store = MemoryStore({old: b"left", other: b"theirs"}, [upload])

    assert () == tried(MemoryVault(store))
    assert {other: b"theirs"} == store.objects
    assert [] == store.uploads


def test_a_foreign_vault_is_not_written_to() -> None:
    """S2: in a vault of another installation nothing is tried, and nothing is left."""
    theirs = OWNED.replace(OURS.encode(), b"20200101T000000Z-0badcafe")
    store = MemoryStore({OWNER: theirs})

    assert [("open", "vault-foreign")] == found(Forgetful(store))
    assert {OWNER: theirs} == store.objects


def test_an_empty_mount_point_is_not_written_to() -> None:
    """S2: a vault that should hold backups and has no owner is told of, and left alone."""
    store = MemoryStore()

    assert [("open", "vault-owner-missing")] == found(MemoryVault(store), used=True)
    assert {} == store.objects


def test_a_vault_that_stores_nothing_is_found_out() -> None:
    """A vault that accepts everything and stores nothing is one fault, of reading."""
    assert [("read", "vault-forgets")] == found(Forgetful())


def test_other_bytes_are_found_out() -> None:
    """Bytes that come back as others are a fault of reading, and the rest is tried all the same."""
    store = MemoryStore()

    fault = tried(Mangling(store))[0]

    assert ("read", "vault-forgets") == (fault.deed, fault.failure.code)
    assert "gives other bytes back" in fault.failure.message
    assert {} == store.objects


def test_a_deletion_that_does_nothing_is_found_out() -> None:
    """A vault that takes a deletion and keeps the object is told once, with the likely reason."""
    faults = tried(Locked())

    assert [("delete", "vault-keeps")] == [(f.deed, f.failure.code) for f in faults]
    assert "object lock" in faults[0].failure.hint


@pytest.mark.parametrize(("deed", "fault"), [("put", "write"), ("size", "delete")])
def test_a_vault_that_hangs_is_given_up_at_once(deed: str, fault: str) -> None:
    """A deed that does not end is a fault after its time, and nothing more is tried."""
    began = []

    async def tried_out() -> tuple[VaultFault, ...]:
        faults = await try_out(Deaf(MemoryStore(), deed), Trial(OURS, FRESH, step_seconds=10.0))
        began.append(anyio.current_time())
        return faults

    faults = virtually(tried_out)

    assert [(fault, "vault-hangs")] == [(f.deed, f.failure.code) for f in faults]
    assert "did not answer in 10 s" in faults[0].failure.message
    assert [10.0] == began


def test_an_upload_is_large_enough_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is uploaded and given up is more than one part of a multipart upload."""
    sizes: list[int] = []
    write = MemoryWriter.write

    async def counted(writer: MemoryWriter, data: bytes) -> None:
        sizes.append(len(data))
        await write(writer, data)

    monkeypatch.setattr(MemoryWriter, "write", counted)

    assert () == tried(MemoryVault())
    assert LARGE_BYTES == sum(sizes)
