"""All parts of the daemon, made from a configuration and put together."""

import os
from functools import partial
from pathlib import Path

import structlog
from msgspec import Struct, structs

from daemon.actors import compare, history, restore
from daemon.actors.alarms import Surroundings as AlarmSurroundings
from daemon.actors.backup import BackupActor, Surroundings
from daemon.actors.compare import CompareActor, NameShelf
from daemon.actors.copy import Between, CopyActor
from daemon.actors.export import ExportActor, Exporting, Sources
from daemon.actors.history import Keeper, Recoverer
from daemon.actors.hooks import AfterHooks, BeforeHooks
from daemon.actors.importing import DEFAULT_MAX_BYTES, Importer, Readers, Uploads
from daemon.actors.packing import PipelinePacker
from daemon.actors.removal import RemovalActor
from daemon.actors.restore import (
    KeysRestore,
    KeysVisits,
    KeysWork,
    Listening,
    Planning,
    Relief,
    RestoreActor,
    UndoActor,
    Workshop,
)
from daemon.actors.stocktaker import StockTaker
from daemon.actors.verify import EngineProver, KeyspaceShelf, Proving, VerifyActor
from daemon.actors.worker import Actors, Limits
from daemon.api import Outside, ScrapePort, vital_lines
from daemon.app.census import census_of
from daemon.app.doctor import make_bedside, make_doctor
from daemon.app.exports import Kit, Places
from daemon.app.hooks import HookSeat, Life, with_hooks
from daemon.app.messages import Heralds, beating
from daemon.app.notify import watchdog_seconds
from daemon.app.pulse import Body, Pulse
from daemon.app.real import RandomIds, SystemClock, Threads, password
from daemon.app.rebuilt import Rebuilder
from daemon.app.recovering import Recovery, copies
from daemon.app.room import free_memory_bytes
from daemon.app.state import state_view
from daemon.app.tips import VaultTips
from daemon.app.vaults import Sickroom, openers, periods_of, vault_keys
from daemon.config import Config, size_bytes
from daemon.core import Core, Parts
from daemon.doctor import Doctor, Engines, Outcomes, Rounds
from daemon.frozen import Freezer
from daemon.ledger import Ledger
from daemon.storage import names
from daemon.storage.bandwidth import Bandwidth
from daemon.storage.sealing import Keyring
from daemon.storage.shelf import Shelf
from daemon.storage.sources import Reach
from daemon.storage.spool import Spool
from daemon.valkey.address import parse
from daemon.valkey.caches import ServerCaches
from daemon.valkey.connection import Timeouts
from daemon.valkey.engine import find_engines, sound
from daemon.valkey.loader import sweep
from events.facts import ONLY_SHARD, BackupId, InstallationId, VaultName
from projections.catalog import Backup, stored_in
from projections.checks import Line

log = structlog.get_logger()

ENOUGH_PROCESSORS = 4
"""For the server, its child, our hashing and packing, and the checker to run side by side."""


class Basics(Struct, frozen=True):
    """What every part is made with."""

    ledger: Ledger
    clock: SystemClock
    ids: RandomIds
    offload: Threads
    installation: InstallationId
    version: str
    rebuilder: Rebuilder
    freezer: Freezer
    spool: Spool | None = None


class Undoing(Struct, frozen=True):
    """Who undoes restores, with a log that can be written and without."""

    actor: UndoActor
    relief: Relief


class Daemon:
    """The daemon in its parts; `vault_urls` is what the API shows of the vaults."""

    def __init__(self, config: Config, basics: Basics, engines: Engines) -> None:
        self.basics = basics
        self.shelf = Shelf(
            openers(config, basics.offload, basics.ids, basics.clock, basics.spool),
            basics.installation,
            used=lambda name: stored_in(basics.ledger.state.catalog, name),
        )
        self.keyring = Keyring(vault_keys(config), basics.ids.token, basics.offload)
        self.bandwidth = Bandwidth(config.daemon.bandwidth)
        self.vault_urls = _urls(config)
        self._timeouts = Timeouts(
            connect=config.timeouts.connect_seconds, stall=config.timeouts.stall_seconds
        )
        self._caches = _caches(config, basics, self._timeouts)
        self._names = NameShelf(Path(config.daemon.data_dir, "engine"), basics.offload)
        keyspace = Path(config.daemon.data_dir, "keyspace")
        self.keyspace = KeyspaceShelf(keyspace, basics.offload, basics.ledger)
        self._planning = Planning(
            password,
            self._timeouts,
            Listening(**structs.asdict(config.restore)),
            basics.ids,
            restore.Shelf(basics.ledger, self.shelf, self.keyring, basics.offload),
        )
        self._uploads = Uploads()
        self.hooks = HookSeat(config, basics.ledger, Life(basics.installation, basics.ids.token(8)))
        self._before = BeforeHooks(basics.ledger, self.hooks.runner)
        self._by_keys = self._keys_visits(config, engines)
        kept = self._history()
        self.keeper = Keeper(basics.ledger, kept)
        self.recoverer = Recoverer(basics.ledger, kept, basics.rebuilder)
        self.places = self._places(config)
        self.heralds = Heralds(config.channels)
        self.core = Core(basics.ledger, self._at_work(config, engines))
        self.take_notifications(config)
        self._sickroom = Sickroom(self.shelf, basics.ids, basics.clock, config)
        self.doctor, self.rounds = self._doctor(config, engines)
        self.port = ScrapePort(config.metrics.listen)
        self.pulse = self._pulse(config, engines)
        self.outside = self._outside()

    def _at_work(self, config: Config, engines: Engines) -> Parts:
        basics = self.basics
        packer = PipelinePacker(
            offload=basics.offload,
            engine=engines.chosen,
            along=len(os.sched_getaffinity(0)) >= ENOUGH_PROCESSORS,
            level=config.storage.compression_level,
            spool=basics.spool,
        )
        limits = Limits(
            config.daemon.max_backups,
            config.timeouts.job_stall_seconds,
            cleared=self.keeper.clearance,
        )
        importer = self._importer(config, engines)
        undo = UndoActor(basics.ledger, password, self._timeouts)
        relief = Relief(basics.ledger, undo.put_back)
        prover = self._prover(config, engines)
        actors = self._actors(packer, prover, importer, Undoing(undo, relief))
        after = AfterHooks(basics.ledger, self.hooks.runner)
        copied = partial(copies, self.keeper)
        alarms = AlarmSurroundings(self.heralds, self.vault_urls, copied, self._measured)
        self._periods = periods_of(config)
        periods = self._periods.get
        stock = StockTaker(basics.ledger, self.shelf, periods)
        clock, ids, relieve = basics.clock, basics.ids, relief.relieve_all
        return Parts(actors, limits, clock, ids, after, alarms, periods, stock, relieve)

    def _places(self, config: Config) -> Places:
        basics = self.basics
        kit = Kit(basics.offload.apart(), basics.ids, basics.clock, basics.spool)
        return Places(config, kit, Sources(self.shelf, basics.offload, self.keyring))

    def take_vaults(self, config: Config) -> None:
        """Use vaults, exports, hooks and bandwidth of a configuration that was read again."""
        basics = self.basics
        self.bandwidth.set(config.daemon.bandwidth)
        self.shelf.replace(openers(config, basics.offload, basics.ids, basics.clock, basics.spool))
        self.keyring.replace(vault_keys(config))
        self.keeper.forget()
        self.vault_urls.clear()
        self.vault_urls.update(_urls(config))
        self._periods.clear()
        self._periods.update(periods_of(config))
        if self.core.rereader is not None:
            self.core.rereader.forget()
        self._sickroom.replace(config)
        self.places.replace(config)
        self.hooks.replace(config)
        self.rounds.wake()
        self._pulse_room.replace(config)
        self.port.listen(config.metrics.listen)
        self.pulse.forget()

    def take_notifications(self, config: Config) -> None:
        """Use the channels and the heartbeat of a configuration that was read again."""
        self.heralds.replace(config.channels)
        if self.core.alarms is not None:
            self.core.alarms.heart.replace(beating(config))

    def _prover(self, config: Config, engines: Engines) -> EngineProver:
        return EngineProver(
            offload=self.basics.offload,
            keys=self.keyring,
            engines=engines.usable,
            directory=Path(config.daemon.data_dir, "engine"),
            free_bytes=free_memory_bytes,
            census=census_of(config.engine, self.keyspace),
        )

    def _keys_visits(self, config: Config, engines: Engines) -> KeysVisits:
        workshop = Workshop(
            vaults=self.shelf,
            offload=self.basics.offload,
            engines=engines.usable,
            directory=Path(config.daemon.data_dir, "engine"),
            free_bytes=free_memory_bytes,
        )
        clock, timeouts = self.basics.clock, self._timeouts
        return KeysVisits(KeysWork(password, timeouts, clock, self.keyring, workshop))

    def _history(self) -> history.Outside:
        basics = self.basics
        return history.Outside(
            vaults=self.shelf,
            keys=self.keyring,
            clock=basics.clock,
            ids=basics.ids,
            offload=basics.offload,
            installation=basics.installation,
        )

    def _importer(self, config: Config, engines: Engines) -> Importer:
        basics = self.basics
        return Importer(
            readers=Readers(engines.usable, engines.installed),
            uploads=self._uploads,
            reach=Reach(basics.offload.apart(), basics.ids.jitter, self.places.entries),
            clock=basics.clock,
            max_bytes=size_bytes(config.imports.max_bytes) or DEFAULT_MAX_BYTES,
        )

    def _actors(
        self, packer: PipelinePacker, prover: EngineProver, importer: Importer, undoing: Undoing
    ) -> Actors:
        basics = self.basics
        surroundings = Surroundings(
            caches=self._caches,
            vaults=self.shelf,
            pack=packer,
            clock=basics.clock,
            installation=basics.installation,
            keys=self.keyring,
            bandwidth=self.bandwidth,
            imports=importer,
            pack_imports=structs.replace(packer, engine=None),
            before=self._before,
        )
        sources = Sources(self.shelf, basics.offload, self.keyring)
        restoring = restore.Outside(
            self._planning, self.shelf, basics.offload, undoing.relief, self.keyring, self._before
        )
        return Actors(
            backup=BackupActor(basics.ledger, surroundings),
            removal=RemovalActor(basics.ledger, self.shelf),
            copy=CopyActor(
                basics.ledger,
                Between(self.shelf, basics.offload, self.keyring, self.bandwidth),
            ),
            restore=RestoreActor(
                basics.ledger, restoring, KeysRestore(basics.ledger, self._by_keys)
            ),
            undo=undoing.actor,
            verify=VerifyActor(basics.ledger, Proving(self.shelf, prover)),
            export=ExportActor(basics.ledger, Exporting(sources, self.places)),
            compare=CompareActor(basics.ledger, self._comparing(prover), self._names),
        )

    def _comparing(self, prover: EngineProver) -> compare.Outside:
        return compare.Outside(
            vaults=self.shelf,
            caches=self._caches,
            keys=self.keyring,
            offload=prover.offload,
            engines=prover.engines,
            directory=prover.directory,
            free_bytes=prover.free_bytes,
        )

    def _doctor(self, config: Config, engines: Engines) -> tuple[Doctor, Rounds]:
        basics = self.basics
        return make_doctor(
            config,
            self._sickroom,
            Outcomes(basics.ledger, basics.ids, basics.installation, self.vault_urls),
            engines,
            make_bedside(self._caches, basics.clock, self._timeouts),
        )

    async def _measured(self) -> tuple[Line, ...]:
        """Verdicts on what the log does not know: disks, vaults that do not answer, the port."""
        vitals = await self.pulse()
        state = self.core.ledger.state
        return tuple(vital_lines(state, self.vault_urls, vitals)) if vitals else ()

    def _pulse(self, config: Config, engines: Engines) -> Pulse:
        basics = self.basics
        # Of its own: what hangs when somebody looks must not look like a fault to the rounds.
        self._pulse_room = Sickroom(self.shelf, basics.ids, basics.clock, config)
        body = Body(
            data_dir=config.daemon.data_dir,
            clock=basics.clock,
            engine=engines.chosen,
            spool=basics.spool,
            watchdog_seconds=watchdog_seconds(os.environ, os.getpid()),
            looked_at=lambda: self.core.worker.looked_at,
            port=lambda: self.port.standing,
            state=partial(state_view, basics.freezer),
        )
        return Pulse(body, self._pulse_room, self.vault_urls)

    def _outside(self) -> Outside:
        return Outside(
            ledger=self.basics.ledger,
            board=self.core.worker.board,
            clock=self.basics.clock,
            offload=self.basics.offload,
            prober=self._caches,
            planner=self._planning,
            keys_planner=self._by_keys,
            vaults=self.vault_urls,
            check_url=parse,
            locate=self._locate,
            version=self.basics.version,
            started_at=self.basics.clock.now(),
            tips=VaultTips(self.shelf, self.basics.installation, self._recovered),
            doctor=with_hooks(self.doctor, self.hooks),
            encrypted=lambda name: self.keyring.sealing(name) is not None,
            exporter=self.places,
            recovering=Recovery(self.recoverer, self.basics.clock, self.vault_urls),
            log_copies=partial(copies, self.keeper),
            names=self._names.lines,
            keyspace=self.keyspace.get,
            uploads=self._uploads,
            upload_seconds=self._timeouts.stall,
            entries=lambda: tuple(self.places.entries()),
            hooks=self.hooks,
            pulse=self.pulse,
        )

    def _recovered(self) -> frozenset[BackupId]:
        """The backups that the log knows from their manifests alone."""
        catalog = self.basics.ledger.state.catalog
        return frozenset(
            backup_id
            for of_cache in catalog.values()
            for backup_id, backup in of_cache.items()
            if backup.recovered
        )

    def _locate(self, backup: Backup) -> tuple[str, ...]:
        """Where a backup's data lies, as a person would name it."""
        name = names.shard_object(
            backup.cache,
            backup.backup_id,
            ONLY_SHARD,
            max(1, backup.attempts),
            encrypted=bool(backup.stored and backup.stored.recipients),
        )
        return (f"{self.vault_urls.get(backup.vault, backup.vault)}/{name}",)


async def build(config: Config, basics: Basics, search_path: str) -> Daemon:
    """All parts for a configuration, with the best engine that is installed."""
    engines = await find_engines(search_path)
    usable = tuple(one for one in engines if sound(one) or not config.engine.require_sound)
    await basics.offload(sweep, Path(config.daemon.data_dir, "engine"))
    label = usable[0].label if usable else None
    log.info("engine for checking", engine=label, installed=len(engines))
    daemon = Daemon(config, basics, Engines(engines, usable, config.engine.require_sound))
    await daemon.keyspace.load()
    await daemon.hooks.end_strays()
    return daemon


def _caches(config: Config, basics: Basics, timeouts: Timeouts) -> ServerCaches:
    check = config.daemon.check_memory
    # A file that a server saved may lie on a disk that hangs, as a vault may.
    files = basics.offload.apart()
    return ServerCaches(password, files, basics.clock, timeouts, check_memory=check)


def _urls(config: Config) -> dict[VaultName, str]:
    return {name: settings.url.rstrip("/") for name, settings in config.vaults.items()}
