"""Hooks of one daemon: what each name means now, how one is run, and trials by hand."""

import os
from collections.abc import Iterator, Mapping

import anyio
import structlog
from msgspec import Struct, structs

from daemon.actors.hooks import facts_of
from daemon.answers.doctor import Examined, Finding, Grade
from daemon.answers.hooks import HookTried, TryHook
from daemon.api.seams import Doctor
from daemon.app.real import ForsakenThreads
from daemon.commands import ReportHook, StartHook
from daemon.config import Config
from daemon.config.hooks import seconds_of
from daemon.doctor.doctor import GRADES, ordered
from daemon.errors import Rejected
from daemon.hooks import Command, HookRunner, strays
from daemon.hooks.process import LOOK_SECONDS
from daemon.hooks.program import Doubt, listed, myself
from daemon.ledger import Ledger
from daemon.ports import Tell, untold
from events.envelope import Who
from events.facts import BackupId, CacheName
from events.hooks import Hook, HookEnding, HookOutcome
from projections.catalog import Backup
from projections.hooks import Occasion, told
from projections.restores import Restore
from projections.state import State

log = structlog.get_logger()

TRIALS = 4
"""Hooks that people may try at a time."""
LAST_WORD_SECONDS = 3.0
GONE = HookEnding("cut-off", 0.0, error="whoever tried it went away, or the daemon stopped")
NOTHING = BackupId("trial")
"""The id that a hook is told when there is no backup or restore to tell it of."""


class Life(Struct, frozen=True):
    """One run of one installation's daemon; no other has the same `word`."""

    installation: str
    word: str

    @property
    def mark(self) -> str:
        """What all that its hooks start is marked with, before the number of the run."""
        return f"{self.installation}.{self.word}"

    def is_over(self, mark: str) -> bool:
        """Whether a mark is that of an earlier life."""
        is_of_us = mark.startswith(f"{self.installation}.")
        return is_of_us and not mark.startswith(f"{self.mark}.")


class HookSeat:
    """The configured hooks, and the one who runs them; the `HookDesk` of the API."""

    def __init__(self, config: Config, ledger: Ledger, life: Life) -> None:
        self._ledger = ledger
        self._life = life
        self._commands: dict[str, Command] = {}
        self._threads = ForsakenThreads()
        self._trials = anyio.CapacityLimiter(TRIALS)
        own = {
            "PATH": os.environ.get("PATH") or os.defpath,
            "LANG": os.environ.get("LANG") or "C.UTF-8",
            "VALKEEP_SOCKET": config.daemon.socket,
        }
        self.runner = HookRunner(self._commands.get, own, self._threads, life.mark)
        self.replace(config)

    def replace(self, config: Config) -> None:
        """Take a new configuration; what runs goes on as it began."""
        self._commands.clear()
        self._commands.update(
            (name, Command(hook.command, float(seconds_of(hook.timeout) or 60)))
            for name, hook in config.hooks.items()
        )

    async def end_strays(self) -> None:
        """End what hooks of earlier lives have left running, and tell of it."""
        for one in await self._threads(strays.end, self._life.is_over):
            log.warning("hook of an earlier life ended", pid=one.pid, program=one.program)

    async def doubts(self) -> Mapping[str, tuple[str, ...]]:
        """See `HookDesk.doubts`."""
        return {
            name: tuple(f"{one.message}. {one.hint}" for one in found)
            for name, found in (await self.examine()).items()
        }

    async def tell_doubts(self) -> None:
        """Say in the log what is wrong with hooks, before one of them is wanted."""
        for name, found in (await self.examine()).items():
            for doubt in found:
                log.warning("hook in doubt", hook=name, doubt=doubt.message, hint=doubt.hint)

    async def examine(self) -> Mapping[str, tuple[Doubt, ...]]:
        """What is wrong with the program of each hook; a disk that hangs is left behind."""
        return {
            name: await self._looked_at(command.words[0])
            for name, command in sorted(self._commands.items())
        }

    async def _looked_at(self, program: str) -> tuple[Doubt, ...]:
        try:
            with anyio.fail_after(LOOK_SECONDS):
                return tuple(await self._threads(listed, program, myself()))
        except OSError as error:
            told_of = f"{program} cannot be looked at: {error.strerror or 'it hangs'}"
            return (Doubt(told_of, "Look at its disk."),)

    async def try_out(self, said: TryHook, hook: Hook, who: Who) -> HookTried:
        """See `HookDesk.try_out`."""
        occasion = example(self._ledger.state, hook, CacheName(said.cache), said.outcome)
        facts = {**facts_of(self._ledger.state, hook.name, occasion), "test": 1}
        command = self._commands.get(hook.name)
        tried = HookTried(
            hook=hook.name,
            cache=said.cache,
            command=command.words if command else (),
            environment=self.runner.environment(facts),
            given=facts,
        )
        if said.dry_run:
            return tried
        try:
            self._trials.acquire_nowait()
        except anyio.WouldBlock:
            raise Rejected(
                "hooks-busy", f"{TRIALS} hooks are being tried already.", "Wait for their end."
            ) from None
        try:
            return await self._run(tried, occasion, who)
        finally:
            self._trials.release()

    async def _run(self, tried: HookTried, occasion: Occasion, who: Who) -> HookTried:
        run = StartHook(occasion.cache, tried.hook, occasion.when, occasion.work_id, 0)
        try:
            ending = await self.runner.run(tried.hook, tried.given)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WORD_SECONDS):
                await self._ledger.report(ReportHook(run, GONE, by_hand=True), who)
            raise
        await self._ledger.report(ReportHook(run, ending, by_hand=True), who)
        return HookTried(
            hook=tried.hook,
            cache=tried.cache,
            command=tried.command,
            environment=tried.environment,
            given=tried.given,
            result=ending.result,
            told=told(ending),
            seconds=ending.seconds,
            exit_code=ending.exit_code,
            signal=ending.signal,
            error=ending.error,
            output=ending.output,
        )


def with_hooks(doctor: Doctor, seat: HookSeat) -> Doctor:
    """A doctor who also looks at the programs of hooks."""

    async def examined(tell: Tell = untold) -> Examined:
        found = await doctor(tell)
        tell("waiting for the hooks' programs")
        findings = (*found.findings, *_findings(await seat.examine()))
        grade = max((one.grade for one in findings), key=GRADES.index, default=found.grade)
        return structs.replace(found, grade=grade, findings=ordered(findings))

    return examined


def _findings(examined: Mapping[str, tuple[Doubt, ...]]) -> Iterator[Finding]:
    for name, doubts in examined.items():
        for doubt in doubts:
            grade: Grade = "problem" if doubt.refused else "warning"
            yield Finding(grade, "hook", doubt.message, name, doubt.hint, "hook-program")
        if not doubts:
            yield Finding("ok", "hook", "its program can be run", name, code="hook-program")


def example(state: State, hook: Hook, cache: CacheName, outcome: HookOutcome | None) -> Occasion:
    """An occasion as the hook may meet it: the cache's newest backup or restore, if it has one."""
    if hook.when.startswith("before"):
        outcome = None
    elif outcome is None:
        outcome = hook.run_on[0]
    if hook.when.endswith("restore"):
        restores = sorted(_restores(state, cache), key=lambda one: one.restore_id)
        work_id = restores[-1].restore_id if restores else NOTHING
        return Occasion(hook.when, cache, work_id, outcome=outcome)
    backups = sorted(_backups(state, cache), key=lambda one: one.backup_id)
    if not backups:
        return Occasion(hook.when, cache, NOTHING, 1, "manual", outcome)
    newest = backups[-1]
    return Occasion(hook.when, cache, newest.backup_id, newest.attempts, newest.kind, outcome)


def _restores(state: State, cache: CacheName) -> Iterator[Restore]:
    return (one for one in state.restores.values() if one.target == cache)


def _backups(state: State, cache: CacheName) -> Iterator[Backup]:
    of_cache = state.catalog.get(cache)
    found = of_cache.values() if of_cache is not None else ()
    return (one for one in found if one.phase == "complete" and one.origin is None)
