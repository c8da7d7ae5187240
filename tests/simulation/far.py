"""The far side: what outlives the daemon, and the line over which it is reached.

Knows a bucket with uploads, a cache that gives snapshots, and the log's records; what it does
is atomic, what takes time is the way there and back, so that a kill can fall on both sides of
every effect. Faults are those of the line. It knows no rule of the daemon's.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import anycrc
import anyio
from msgspec import Struct, field
from msgspec.structs import replace

from daemon.errors import BadRequest, Permanent, Transient, ValkeepError
from events.envelope import Record

T = TypeVar("T")
LATENCY = 0.010
_CRC = anycrc.Model("CRC64-REDIS")


class Upload(Struct):
    """An object under way, seen by nobody until it is committed."""

    name: str
    data: bytes = b""


class Landing(Struct):
    """An effect that is still under way."""

    at: float
    effect: Callable[["Far"], object]


class Far(Struct):
    """Everything that a killed daemon leaves behind; `now` is the world's age in seconds."""

    now: float = 0.0
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[int, Upload] = field(default_factory=dict)
    begun_uploads: int = 0
    records: list[Record] = field(default_factory=list)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    open_snapshots: int = 0
    writing: list[str] = field(default_factory=list)
    late: list[Landing] = field(default_factory=list)

    def copy(self) -> "Far":
        """The same world, which the dead cannot touch any more."""
        return replace(
            self,
            objects=dict(self.objects),
            uploads={n: Upload(u.name, u.data) for n, u in self.uploads.items()},
            records=list(self.records),
            snapshots=dict(self.snapshots),
            open_snapshots=0,
            writing=[],
            late=[Landing(landing.at, landing.effect) for landing in self.late],
        )

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
        for name in self.under(prefix):
            self.objects.pop(name, None)
        for number in [n for n, u in self.uploads.items() if u.name.startswith(prefix)]:
            del self.uploads[number]

    def under(self, prefix: str) -> list[str]:
        """The names of all objects and uploads under a prefix."""
        names = {*self.objects, *(upload.name for upload in self.uploads.values())}
        return sorted(name for name in names if name.startswith(prefix))

    def snapshot(self) -> bytes:
        """A fresh RDB, whole and unlike every one before."""
        number = len(self.snapshots) + 1
        body = b"REDIS0011\xfa\x09redis-ver\x056.2.0\xfa\x03who"
        body += bytes([0x40 | 512 >> 8, 512 & 0xFF]) + f"snapshot-{number}".encode().ljust(
            512, b"."
        )
        body += b"\xff"
        rdb = body + int(_CRC.calc(body)).to_bytes(8, "little")
        self.snapshots[hashlib.sha256(rdb).hexdigest()] = rdb
        return rdb

    def _upload(self, number: int) -> Upload:
        if number not in self.uploads:
            raise Transient("upload-lost", f"upload {number} is gone", "send it again")
        return self.uploads[number]


FaultKind = Literal["before", "after", "late", "permanent", "odd", "short", "flipped"]


class Weather(Struct, frozen=True):
    """What goes wrong on the line: which call, counted from 1 in each life, and how.

    `late_by` is how many seconds after its error a late effect lands. When the weather is
    `stubborn` calls that the daemon gives up land late all the same.
    """

    faults: Mapping[int, FaultKind] = {}
    late_by: float = 0.5
    stubborn: bool = False


CLEAR = Weather()


class Line:
    """The way of one incarnation of the daemon to the far side."""

    def __init__(self, far: Far, weather: Weather, watch: Callable[[str], None]) -> None:
        self.far = far
        self.calls: list[str] = []
        self.hit: list[FaultKind] = []
        self._weather = weather
        self._watch = watch

    def fault(self, what: str) -> FaultKind | None:
        """Count a call; what will go wrong with it."""
        self.calls.append(what)
        kind = self._weather.faults.get(len(self.calls))
        if kind is not None:
            self.hit.append(kind)
        return kind

    async def call(self, what: str, effect: Callable[[Far], T]) -> T:
        """The way there, the effect, the way back; each may be cut off."""
        fault = self.fault(what)
        try:
            await anyio.sleep(LATENCY)
        except anyio.get_cancelled_exc_class():
            if self._weather.stubborn:
                self.land_later(what, effect)
            raise
        if fault == "late":
            self.land_later(what, effect)
        if fault in ("before", "late", "permanent", "odd"):
            raise _error(fault, what)
        result = self.do(what, effect)
        await anyio.sleep(LATENCY)
        if fault == "after":
            raise _error(fault, what)
        return result

    def do(self, what: str, effect: Callable[[Far], T]) -> T:
        """The effect itself, at one instant, under the eyes of the checker."""
        result = effect(self.far)
        self._watch(what)
        return result

    def land_later(self, what: str, effect: Callable[[Far], object]) -> None:
        """The effect is under way, and will come after the news that it has failed."""
        landing = Landing(asyncio.get_running_loop().time() + self._weather.late_by, effect)
        self.far.late.append(landing)
        self.expect(landing, what)

    def expect(self, landing: Landing, what: str) -> None:
        """Have an effect land that is under way, in this incarnation's time or a later one's."""

        def land() -> None:
            self.far.late.remove(landing)
            try:
                self.do(f"{what}, late", landing.effect)
            except Transient:
                return

        loop = asyncio.get_running_loop()
        loop.call_at(max(landing.at, loop.time()), land)


def _error(fault: FaultKind, what: str) -> ValkeepError:
    kinds: dict[str, type[ValkeepError]] = {"permanent": Permanent, "odd": BadRequest}
    return kinds.get(fault, Transient)("simulated", f"{what} went wrong", "try again")
