"""The far side: what outlives the daemon, and what time it is there.

Knows a bucket with uploads, caches that give snapshots, the log's records, and the wall clock.
What it does is atomic; what takes time is the way there and back, which is the line's. It knows
no rule of the daemon's.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import anycrc
from msgspec import Struct, field
from msgspec.structs import replace

from daemon.errors import Transient
from events.envelope import Record
from tests.simulation.servers import FarServer, Loading
from tests.simulation.virtual import START

_CRC = anycrc.Model("CRC64-REDIS")


class Upload(Struct):
    """An object under way, seen by nobody until it is committed."""

    name: str
    data: bytes = b""


class Landing(Struct):
    """An effect that is still under way: it lands at an instant, or before so many calls more."""

    at: float
    effect: Callable[["Far"], object]
    what: str = "an effect of old"
    calls: int | None = None


class Far(Struct):
    """Everything that a killed daemon leaves behind; `now` is the world's age in seconds.

    `born_at` is what its wall clock would show at age 0: somebody who sets the clock moves it.
    `swept` holds the uploads that the last sweep took away. Caches hold `keys` and give
    snapshots of `body_bytes`; of `vaults` beside the first only objects and uploads are used.
    Of `servers` that can be restored into there is a model; `marks` says of which data a dump
    was taken, and `loadings` what they have loaded since somebody looked. `hooks` are the runs of
    the user's commands that have begun, and `open_hooks` counts those that have not ended.
    `frozen` is the state file beside the log. Copies are to be read back every `reread`, if that
    is configured. A disk that is `full` takes no records.
    """

    now: float = 0.0
    born_at: datetime = START
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[int, Upload] = field(default_factory=dict)
    begun_uploads: int = 0
    records: list[Record] = field(default_factory=list)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    open_snapshots: dict[str, int] = field(default_factory=dict)
    writing: list[str] = field(default_factory=list)
    late: list[Landing] = field(default_factory=list)
    swept: tuple[str, ...] = ()
    body_bytes: int = 512
    keys: int = 3
    vaults: dict[str, "Far"] = field(default_factory=dict)
    servers: dict[str, FarServer] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    loadings: tuple[Loading, ...] = ()
    hooks: list[str] = field(default_factory=list)
    open_hooks: dict[str, int] = field(default_factory=dict)
    frozen: bytes | None = None
    reread: timedelta | None = None
    full: bool = False

    def copy(self) -> "Far":
        """The same world, which the dead cannot touch any more."""
        return replace(
            self,
            objects=dict(self.objects),
            uploads={n: Upload(u.name, u.data) for n, u in self.uploads.items()},
            records=list(self.records),
            snapshots=dict(self.snapshots),
            open_snapshots={},
            writing=[],
            late=[replace(landing) for landing in self.late],
            vaults={name: vault.copy() for name, vault in self.vaults.items()},
            servers={url: server.copy() for url, server in self.servers.items()},
            marks=dict(self.marks),
            hooks=list(self.hooks),
            open_hooks={},
        )

    def vault(self, name: str) -> "Far":
        """The far side of one vault: the first has no name, others are there when asked for."""
        return self.vaults.setdefault(name, Far()) if name else self

    def wall(self, now: float) -> datetime:
        """What the wall clock shows at an age of the world."""
        return self.born_at + timedelta(seconds=now)

    def begin(self, name: str) -> int:
        """Begin an upload."""
        self.begun_uploads += 1
        self.uploads[self.begun_uploads] = Upload(name)
        return self.begun_uploads

    def append(self, number: int, data: bytes) -> None:
        """More bytes of an upload, or the news that it is gone."""
        self._upload(number).data += data

    def commit(self, number: int) -> None:
        """An upload becomes an object."""
        upload = self._upload(number)
        del self.uploads[number]
        self.objects[upload.name] = upload.data

    def abort(self, number: int) -> None:
        """An upload is gone; none there is success."""
        self.uploads.pop(number, None)

    def clear(self, prefix: str) -> None:
        """Every object and upload under a prefix is gone."""
        for name in [name for name in self.objects if name.startswith(prefix)]:
            del self.objects[name]
        doomed = {n: u.name for n, u in self.uploads.items() if u.name.startswith(prefix)}
        for number in doomed:
            del self.uploads[number]
        self.swept = tuple(doomed.values())

    def under(self, prefix: str) -> list[str]:
        """The names of all objects and uploads under a prefix."""
        names = {*self.objects, *(upload.name for upload in self.uploads.values())}
        return sorted(name for name in names if name.startswith(prefix))

    def snapshot_of(self, url: str) -> bytes:
        """What a server holds as a fresh RDB; where there is no model of it, something."""
        rdb = self.snapshot()
        if url in self.servers:
            self.marks[hashlib.sha256(rdb).hexdigest()] = self.servers[url].mark
        return rdb

    def snapshot(self) -> bytes:
        """A fresh RDB, whole and unlike every one before."""
        number, size = len(self.snapshots) + 1, self.body_bytes
        body = b"REDIS0011\xfa\x09redis-ver\x056.2.0\xfa\x03who"
        body += bytes([0x40 | size >> 8, size & 0xFF])
        body += f"snapshot-{number}".encode().ljust(size, b".") + b"\xff"
        rdb = body + int(_CRC.calc(body)).to_bytes(8, "little")
        self.snapshots[hashlib.sha256(rdb).hexdigest()] = rdb
        return rdb

    def _upload(self, number: int) -> Upload:
        if number not in self.uploads:
            raise Transient("upload-lost", f"upload {number} is gone", "send it again")
        return self.uploads[number]
