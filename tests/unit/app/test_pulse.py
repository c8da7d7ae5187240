"""The pulse: what is measured when somebody asks, in time whatever hangs."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from daemon.answers.standing import PortView, Vitals
from daemon.app import pulse
from daemon.app.pulse import Body, Pulse
from daemon.errors import Permanent
from daemon.storage.local import DirectoryVault
from daemon.storage.vault import ObjectName, Vault
from daemon.valkey.engine import Engine
from events.facts import VaultName
from tests.support.offload import THREADS
from tests.support.samples import OUTSIDE

pytestmark = pytest.mark.anyio

MAIN, FAR = VaultName("main"), VaultName("far")
ENGINE = Engine("/usr/bin/valkey-server", None, "valkey", "8.1.9", "system")


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        """See `daemon.ports.Clock`."""
        return datetime(2026, 3, 1, 12, tzinfo=UTC)


class Silent(DirectoryVault):
    """A vault on a server that does not answer."""

    def __init__(self) -> None:
        super().__init__("/nowhere", THREADS)
        self.asked = 0

    async def size(self, name: ObjectName) -> int | None:
        """Never answers."""
        assert name
        self.asked += 1
        await anyio.sleep_forever()
        return None


class Room:
    """Vaults by their names; one that is not there cannot be opened."""

    def __init__(self, vaults: dict[VaultName, Vault]) -> None:
        self._vaults = vaults

    @property
    def names(self) -> tuple[VaultName, ...]:
        """See `daemon.doctor.Sickroom`."""
        return tuple(self._vaults)

    async def readable(self, name: VaultName) -> Vault:
        """See `daemon.doctor.Sickroom`."""
        if name not in self._vaults:
            raise Permanent("secret-missing", "The key is not there.", "Set it.")
        return self._vaults[name]


def body(folder: Path, looked_at: Callable[[], float | None] = lambda: None) -> Body:
    """A daemon's parts in a folder with a log of 5 bytes."""
    folder.joinpath("events.db").write_bytes(b"12345")
    return Body(
        data_dir=str(folder),
        clock=Noon(),
        engine=ENGINE,
        spool=None,
        watchdog_seconds=240.0,
        looked_at=looked_at,
        port=lambda: PortView("127.0.0.1:9464"),
    )


async def found(measure: Pulse) -> Vitals:
    """What is measured."""
    vitals = await measure()
    assert vitals is not None
    return vitals


async def test_what_is_measured(tmp_path: Path) -> None:
    """Disk, log, memory, engine and port, when the worker looked last, and each vault's room."""
    vault = tmp_path / "vault"
    vault.mkdir()
    room = Room({MAIN: DirectoryVault(str(vault), THREADS)})
    looked = anyio.current_time()
    measure = Pulse(body(tmp_path, lambda: looked), room, {MAIN: vault.as_uri()})
    vitals = await found(measure)

    host, reach = vitals.host, vitals.vaults[MAIN]
    assert (os.getpid(), 5, "") == (host.pid, host.log_bytes, host.unmeasured)
    assert host.free_bytes is not None
    assert host.total_bytes is not None
    assert 0 < host.free_bytes <= host.total_bytes
    assert host.memory_bytes is not None
    assert host.memory_bytes > 1 << 20
    assert host.engine is not None
    assert ("valkey 8.1.9", True) == (host.engine.label, host.engine.sound)
    assert host.looked_seconds is not None
    assert 0 <= host.looked_seconds < 60
    assert (None, True) == (reach.failure, bool(reach.free_bytes))


async def test_a_vault_that_is_away_is_told(tmp_path: Path) -> None:
    """A folder that is gone and a key that is missing are failures of that vault alone."""
    away = tmp_path / "away"
    room = Room({MAIN: DirectoryVault(str(away), THREADS)})
    vitals = await found(Pulse(body(tmp_path), room, {MAIN: away.as_uri(), FAR: "s3://b/p"}))

    main, far = vitals.vaults[MAIN].failure, vitals.vaults[FAR].failure
    assert main is not None
    assert "No such file" in main.message
    assert far is not None
    assert ("secret-missing", True) == (far.code, far.permanent)
    assert not vitals.host.unmeasured


async def test_what_was_mended_is_seen_at_once(tmp_path: Path) -> None:
    """A vault that refused is asked again by whoever comes next; one that was well is not."""
    away = tmp_path / "away"
    room = Room({MAIN: DirectoryVault(str(away), THREADS)})
    measure = Pulse(body(tmp_path), room, {MAIN: away.as_uri()})
    assert (await found(measure)).vaults[MAIN].failure is not None
    make(away)
    mended = await found(measure)
    assert mended.vaults[MAIN].failure is None
    assert mended is await found(measure)


async def test_what_hangs_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that does not answer costs its patience, once for all who ask within seconds."""
    monkeypatch.setattr(pulse, "PATIENCE_SECONDS", 0.05)
    silent = Silent()
    measure = Pulse(body(tmp_path), Room({FAR: silent}), {FAR: "s3://b/p"})
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(found, measure)
        vitals = await found(measure)

    failure = vitals.vaults[FAR].failure
    assert failure is not None
    assert "has not answered within 0.05 s" in failure.message
    assert 1 == silent.asked
    measure.forget()
    await found(measure)
    assert 2 == silent.asked


async def test_a_reload_that_was_refused_is_told_until_one_is_not(tmp_path: Path) -> None:
    """What a reload has refused is told at once, and no longer when the file was taken over."""
    measure = Pulse(body(tmp_path), Room({}), {})
    assert (await found(measure)).host.configuration is None
    measure.take_reload(OUTSIDE)
    assert OUTSIDE == (await found(measure)).host.configuration
    measure.take_reload(None)
    assert (await found(measure)).host.configuration is None


async def test_a_disk_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    """Without the folder of the log the rest is told all the same, and why that is not."""
    there = body(tmp_path)
    remove(tmp_path)
    host = (await found(Pulse(there, Room({}), {}))).host
    assert (None, "No such file or directory") == (host.free_bytes, host.unmeasured)
    assert host.memory_bytes


def remove(folder: Path) -> None:
    """A disk that is no longer mounted."""
    folder.joinpath("events.db").unlink()
    folder.rmdir()


def make(folder: Path) -> None:
    """It is mounted again."""
    folder.mkdir()
