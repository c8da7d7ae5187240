"""The examination as a whole, on virtual time: parts that hang, crash, or are too many."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
from structlog.testing import capture_logs

from daemon.answers.doctor import Examined, Finding
from daemon.doctor import Bedside, Doctor, Engines, Limits, Means, Outcomes, Places, Rounds, Ward
from daemon.errors import Transient
from daemon.ledger import Ledger
from daemon.storage.memory import MemoryVault
from daemon.storage.vault import Vault
from events.facts import CacheName, CacheSettings, InstallationId, Probe, VaultName
from events.memory import InMemoryLog
from events.types import CacheRegistered, CacheSuspended, Event
from tests.simulation.virtual import CountedIds, VirtualClock, virtually
from tests.support.samples import MAIN, PROBE
from tests.support.stocked import stock

P = ParamSpec("P")
T = TypeVar("T")

OURS = InstallationId("20260301T120000Z-00000001")


class NoDisk:
    """The `Offload` port on a disk that cannot be looked at."""

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Offload`."""
        del function, args, kwargs
        raise OSError(5, "Input/output error")


class Vaults:
    """A sickroom with one vault, or with one that nobody ever gets to."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault

    @property
    def names(self) -> tuple[VaultName, ...]:
        """See `Sickroom.names`."""
        return (MAIN,)

    async def readable(self, name: VaultName) -> Vault:
        """See `Sickroom.readable`."""
        assert name == MAIN
        if self._vault is None:
            await anyio.sleep_forever()
        assert self._vault is not None
        return self._vault


class Prober:
    """Caches that do as their URL says."""

    async def probe(self, settings: CacheSettings) -> Probe:
        """See `Prober`."""
        if "hangs" in settings.url:
            await anyio.sleep_forever()
        if "crashes" in settings.url:
            raise KeyError(settings.url)
        if "dead" in settings.url:
            raise Transient("cache-unreachable", "nobody listens", "start it")
        return PROBE


async def untold(_: CacheSettings) -> None:
    """A server that does not tell its time."""


def added(name: str, *, at: str) -> Event:
    """A cache."""
    settings = CacheSettings(url=f"valkey://{at}:1", vault=MAIN)
    return CacheRegistered(cache=CacheName(name), settings=settings)


def examined(*events: Event, vault: Vault | None, limits: Limits | None = None) -> Examined:
    """What is found in an installation with this history."""

    async def main() -> Examined:
        log, clock = InMemoryLog(), VirtualClock()
        await stock(log, *events)
        ledger = Ledger(log, clock, CountedIds(0))
        await ledger.load()
        vaults = Vaults(vault)
        rounds = Rounds(vaults, Outcomes(ledger, CountedIds(1), OURS, {}))
        means = Means(ledger, clock, NoDisk(), Places("/s", "/data", "events.db"), Engines())
        ward = Ward(rounds, vaults, ledger, OURS)
        return await Doctor(means, ward, Bedside(Prober(), untold, clock), limits)()

    return virtually(main)


def about(found: Examined, part: str) -> list[Finding]:
    """The findings on parts of a kind."""
    return [one for one in found.findings if one.part == part]


def test_every_part_is_told_of() -> None:
    """Host, engine, vault and caches have findings, and the worst decides the whole."""
    found = examined(added("orders", at="well"), vault=MemoryVault())

    assert {"host", "engine", "vault", "cache"} == {one.part for one in found.findings}
    assert "problem" == found.grade == found.findings[0].grade
    assert "disk" == found.findings[0].code
    assert ["ok", "ok"] == [one.grade for one in about(found, "vault")]
    assert 0 == found.seconds


def test_parts_that_hang_are_given_up_together() -> None:
    """However many parts hang, each is told, and all take no longer than the slowest."""
    hanging = [added(f"c{number}", at="hangs") for number in range(10)]
    found = examined(*hanging, added("orders", at="well"), vault=None)

    caches = about(found, "cache")
    assert 10 == len([one for one in caches if one.code == "cache-hangs"])
    assert "it did not answer in 10 s" == caches[0].message
    assert ["vault-hangs"] == [one.code for one in about(found, "vault")]
    assert ["orders"] == [one.name for one in caches if one.grade == "ok"]
    assert 60 == found.seconds


def test_more_caches_than_there_is_time_for() -> None:
    """Caches that nobody had time for are counted, and the examination ends."""
    hanging = [added(f"c{number:03}", at="hangs") for number in range(100)]
    limits = Limits(part_seconds=10, all_seconds=25, caches_at_once=4)
    found = examined(*hanging, vault=MemoryVault(), limits=limits)

    codes = [one.code for one in about(found, "cache")]
    assert 8 == codes.count("cache-hangs")
    (rest,) = [one for one in about(found, "cache") if one.code == "no-time"]
    assert rest.message.startswith("92 caches were not looked at")
    assert 25 == found.seconds


def test_our_own_bug_is_a_finding() -> None:
    """A crash in one part is told as ours, and the others are examined."""
    with capture_logs() as logs:
        crashing, dead = added("orders", at="crashes"), added("users", at="dead")
        found = examined(crashing, dead, vault=MemoryVault())

    codes = {one.name: one.code for one in about(found, "cache")}
    assert {"orders": "bug", "users": "cache-unreachable"} == codes
    assert ["work crashed"] == [entry["event"] for entry in logs]


def test_a_suspended_cache_is_not_asked() -> None:
    """A cache that is out of service is told as such, and left alone."""
    gone = CacheSuspended(cache=CacheName("orders"), reason="it is no longer declared")
    found = examined(added("orders", at="hangs"), gone, vault=MemoryVault())

    (told,) = about(found, "cache")
    assert ("warning", "suspended") == (told.grade, told.code)
    assert 0 == found.seconds
