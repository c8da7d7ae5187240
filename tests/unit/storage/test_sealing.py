"""Where keys come from: recipients from the configuration, identities from a file, each time."""

import os
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from daemon.errors import Permanent
from daemon.storage.sealing import Keyring, NoKeys, VaultKeys, read_identities
from events.facts import VaultName
from tests.support.keys import (
    BOTH,
    IDENTITY,
    OTHER_IDENTITY,
    OTHER_RECIPIENT,
    RECIPIENT,
    CountedTokens,
)
from tests.support.offload import THREADS

pytestmark = pytest.mark.anyio

MAIN, PLAIN = VaultName("main"), VaultName("plain")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An identity file as it should be."""
    path = tmp_path / "identity"
    path.write_text(f"# public key: {RECIPIENT}\n{IDENTITY}\n")
    path.chmod(0o600)
    return path


def put(file: Path, text: str) -> None:
    """Write another content."""
    file.write_text(text)


def keyring(identity_file: Path | None) -> Keyring:
    """One vault that is encrypted, and one that is not."""
    keys = VaultKeys((RECIPIENT,), str(identity_file) if identity_file else None)
    return Keyring({MAIN: keys, PLAIN: VaultKeys()}, CountedTokens(), THREADS)


async def refused(ring: Keyring | NoKeys) -> Permanent:
    """There are no identities for the vault, and the code says so."""
    with pytest.raises(Permanent) as failed:
        await ring.identities(MAIN)
    assert failed.value.code == "identity"
    assert failed.value.hint
    return failed.value


async def test_a_vault_with_recipients_is_sealed_and_one_without_is_not(file: Path) -> None:
    """New backups are encrypted exactly where recipients are configured."""
    ring = keyring(file)
    sealing = ring.sealing(MAIN)
    assert sealing is not None
    assert sealing.recipients == (RECIPIENT,)
    assert (ring.sealing(PLAIN), ring.sealing(VaultName("unknown"))) == (None, None)


async def test_making_backups_takes_no_identity(tmp_path: Path) -> None:
    """The identity file may be absent or unreadable as long as nothing is read back."""
    sealing = keyring(tmp_path / "absent").sealing(MAIN)
    assert sealing is not None
    assert sealing.stage().finish()


async def test_the_file_is_read_anew_each_time(file: Path) -> None:
    """An identity that was put into the file is there at the next use."""
    ring = keyring(file)
    assert (await ring.identities(MAIN)).recipients == (RECIPIENT,)
    put(file, f"{IDENTITY}\n{OTHER_IDENTITY}\n")
    assert (await ring.identities(MAIN)).recipients == BOTH
    await anyio.Path(file).unlink()
    assert "No such file" in (await refused(ring)).message


async def test_a_configuration_that_was_read_again_counts_from_then_on(file: Path) -> None:
    """After a reload new backups go to the new recipients."""
    ring = keyring(None)
    assert "names no identity" in (await refused(ring)).message
    ring.replace({MAIN: VaultKeys((OTHER_RECIPIENT,), str(file))})
    sealing = ring.sealing(MAIN)
    assert sealing is not None
    assert sealing.recipients == (OTHER_RECIPIENT,)
    assert (await ring.identities(MAIN)).file == str(file)


@pytest.mark.parametrize(
    ("mode", "exposed"), [(0o400, False), (0o640, False), (0o604, True), (0o602, True)]
)
async def test_a_file_that_others_can_read_is_warned_of(
    file: Path, mode: int, *, exposed: bool
) -> None:
    """Rights for other users are told, at each use, without anything of the content."""
    await anyio.Path(file).chmod(mode)
    with capture_logs() as logs:
        found = await keyring(file).identities(MAIN)
    assert found.exposed == exposed
    assert [line["log_level"] for line in logs] == ["warning"] * exposed
    assert IDENTITY not in f"{logs} {found!r}"


async def test_nothing_but_a_small_file_is_read(tmp_path: Path) -> None:
    """A FIFO, a folder or something huge is refused at once."""
    fifo, huge = tmp_path / "fifo", tmp_path / "huge"
    os.mkfifo(fifo)
    put(huge, "#" * (1 << 20))
    for path in (fifo, tmp_path, huge):
        await refused(keyring(path))


async def test_what_is_no_identity_is_never_shown(file: Path) -> None:
    """The message names file and line of a secret that was mistyped, and shows none of it."""
    put(file, f"\n{IDENTITY[:-2]}\n")
    failure = await refused(keyring(file))
    assert "line 2" in failure.message
    assert str(file) in failure.message
    assert IDENTITY[16:40] not in f"{failure.message} {failure.hint} {failure!r}"
    assert failure.__cause__ is None


async def test_without_a_keyring_there_is_no_identity() -> None:
    """Whoever was given no keys says what to configure."""
    assert "[vaults.main]" in (await refused(NoKeys())).hint
    assert NoKeys().sealing(MAIN) is None


def test_windows_line_ends_are_no_trouble(file: Path) -> None:
    """A file that went through another system is read all the same."""
    file.write_bytes(f"# key\r\n{IDENTITY}\r\n".encode())
    assert read_identities(str(file)).recipients == (RECIPIENT,)
