"""One run of one hook, from its start in the log to its end there.

The start is recorded first: a hook that ends the daemon, or the host, is known by name.
"""

from contextlib import suppress

import anyio
import structlog

from daemon.actors.hooks.facts import facts_of
from daemon.commands import ReportHook, StartHook
from daemon.errors import Rejected
from daemon.hooks import Runner
from daemon.ledger import Ledger
from events.hooks import HookEnding
from projections.hooks import Occasion, told

log = structlog.get_logger()

LAST_WORD_SECONDS = 3.0
"""How long the end of a run that we cut off may wait for its record; the next start makes it."""
CUT_OFF = HookEnding("cut-off", 0.0, error="the daemon stopped, or what it was for was cancelled")


class Turn:
    """Runs one hook at a time for whoever asks."""

    def __init__(self, ledger: Ledger, runner: Runner) -> None:
        self._ledger = ledger
        self._runner = runner

    async def take(self, hook: str, occasion: Occasion, *, stops: bool = False) -> HookEnding:
        """Run it; `stops` says that what it is before fails if it fails.

        Raises `Rejected` when it is not its time any more. Cancelled, it has ended.
        """
        run = StartHook(occasion.cache, hook, occasion.when, occasion.work_id, occasion.attempt)
        try:
            await self._ledger.report(run)
            facts = facts_of(self._ledger.state, hook, occasion)
            ending = await self._runner.run(hook, facts)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WORD_SECONDS):
                await self._end(run, CUT_OFF, stops=stops)
            raise
        await self._end(run, ending, stops=stops)
        return ending

    async def _end(self, run: StartHook, ending: HookEnding, *, stops: bool) -> None:
        line = log.info if ending.result == "ok" else log.warning
        line(
            "hook ended",
            hook=run.hook,
            when=run.when,
            work=run.work_id,
            result=ending.result,
            told=told(ending),
            seconds=ending.seconds,
            output=ending.output,
        )
        failed = stops and ending.result != "ok"
        with suppress(Rejected):
            await self._ledger.report(ReportHook(run, ending, stops=failed))
