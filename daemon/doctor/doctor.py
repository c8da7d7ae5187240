"""The whole examination: every part at once, each with a time of its own.

Knows the order in which findings are told and what to say of a part that hangs. Nothing that
it asks of the outside changes anything but canaries of its own.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import anyio
from msgspec import Struct

from daemon.actors.bulkhead import contained
from daemon.answers.doctor import Examined, Finding, Grade, Part
from daemon.doctor import channels, engine, host
from daemon.doctor.cache import Bedside
from daemon.doctor.engine import Engines
from daemon.doctor.host import Places
from daemon.doctor.vault import Ward
from daemon.errors import ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Clock, Offload, Tell, untold

GRADES: tuple[Grade, ...] = ("ok", "warning", "problem")
PARTS: tuple[Part, ...] = ("host", "engine", "channel", "vault", "cache", "hook")
NAMED = 3
"""So many of those that are waited for are named."""
Job = Callable[[], Awaitable[Iterable[Finding]]]


class Limits(Struct, frozen=True):
    """How long each part may take, how many caches at a time, and how long all of them."""

    part_seconds: float = 10.0
    vault_seconds: float = 60.0
    all_seconds: float = 90.0
    caches_at_once: int = 16


class Means(Struct, frozen=True):
    """What it is examined with."""

    ledger: Ledger
    clock: Clock
    offload: Offload
    places: Places
    engines: Engines


class Doctor:
    """Examines an installation when asked to."""

    def __init__(
        self, means: Means, ward: Ward, bedside: Bedside, limits: Limits | None = None
    ) -> None:
        self._means = means
        self._ward = ward
        self._bedside = bedside
        self._limits = limits or Limits()

    async def __call__(self, tell: Tell = untold) -> Examined:
        """Every finding, worst first; takes as long as the slowest part may."""
        began = anyio.current_time()
        parts = 1 + len(self._ward.vaults.names) + len(self._means.ledger.state.caches)
        visit = _Visit(self._limits, parts, tell)
        found = visit.findings
        found += engine.judge(self._means.engines)
        found += channels.judge(self._means.ledger.state, self._means.clock.now())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.part, "host", None, self._host)
            for name in self._ward.vaults.names:
                tasks.start_soon(visit.part, "vault", name, partial(self._ward.examine, name))
            tasks.start_soon(self._caches, visit)
        return Examined(
            now=self._means.clock.now(),
            seconds=anyio.current_time() - began,
            grade=max((one.grade for one in found), key=GRADES.index, default="ok"),
            findings=ordered(found),
        )

    async def _host(self) -> list[Finding]:
        means = self._means
        state, now = means.ledger.state, means.clock.now()
        found = [*host.judge_log(means.ledger.trouble), *host.judge_clock(state, now)]
        found += host.judge_zones(state)
        try:
            measured = await means.offload(host.measure, means.places)
        except OSError as error:
            told = f"data_dir {means.places.data_dir} cannot be looked at: {error.strerror}"
            hint = "Look at its disk and at the kernel's log: the event log lives there."
            return [*found, Finding("problem", "host", told, None, hint, "disk")]
        return [*found, *host.judge(means.places, measured)]

    async def _caches(self, visit: "_Visit") -> None:
        caches = [cache for _, cache in sorted(self._means.ledger.state.caches.items())]
        places = anyio.CapacityLimiter(self._limits.caches_at_once)
        seen: list[str] = []

        async def one(name: str, job: Job) -> None:
            async with places:
                await visit.part("cache", name, job)
            seen.append(name)

        with anyio.move_on_after(self._limits.all_seconds):
            async with anyio.create_task_group() as tasks:
                for cache in caches:
                    tasks.start_soon(one, cache.name, partial(self._bedside.examine, cache))
        if len(seen) < len(caches):
            told = f"{len(caches) - len(seen):,} caches were not looked at: there was no time left"
            hint = "`valkeep check` tells what the log knows of them."
            visit.findings.append(Finding("warning", "cache", told, None, hint, "no-time"))


class _Visit:
    """One examination: what was found so far."""

    def __init__(self, limits: Limits, parts: int, tell: Tell) -> None:
        self.findings: list[Finding] = []
        self._limits = limits
        self._parts = parts
        self._tell = tell
        self._asked: dict[str, None] = {}
        self._done = 0

    async def part(self, part: Part, name: str | None, job: Job) -> None:
        """One part's findings, or that it did not answer, or that we failed in looking."""
        what = f"{part} {name or ''}".rstrip()
        self._asked[what] = None
        self._say()
        limits = self._limits
        seconds = limits.vault_seconds if part == "vault" else limits.part_seconds
        with anyio.move_on_after(seconds) as scope:
            await self._look(part, name, job)
        if scope.cancelled_caught:
            told = f"it did not answer in {seconds:g} s"
            hint = "Is its host up, its disk mounted, and the network there?"
            self.findings.append(Finding("problem", part, told, name, hint, f"{part}-hangs"))
        del self._asked[what]
        self._done += 1
        self._say()

    def _say(self) -> None:
        """Whom we wait for."""
        first = list(self._asked)[:NAMED]
        more = f" and {len(self._asked) - NAMED:,} more" if len(self._asked) > NAMED else ""
        if first:
            self._tell(f"waiting for {', '.join(first)}{more}", self._done, self._parts)

    async def _look(self, part: Part, name: str | None, job: Job) -> None:
        async def collect() -> None:
            self.findings += await job()

        try:
            bug = await contained(collect, work=f"the examination of {part} {name or ''}".rstrip())
        except ValkeepError as error:
            failed = Finding("problem", part, error.message, name, error.hint, error.code)
            self.findings.append(failed)
            return
        if bug is not None:
            told = f"Valkeep itself failed in looking at it: {type(bug).__name__}"
            hint = "Please report this with the daemon's log, which has the traceback."
            self.findings.append(Finding("problem", part, told, name, hint, "bug"))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, then the installation's own parts, vaults and caches by name."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (-GRADES.index(one.grade), PARTS.index(one.part), one.name or ""),
        )
    )
