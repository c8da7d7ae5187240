"""The user's hooks in a simulated world: each takes its time, and ends as its name says.

A run begins at one instant under the eyes of the checker, and dies with the daemon. Told to end,
it takes a while for that.
"""

from collections.abc import Mapping

import anyio

from daemon.commands import ReconcileHooks
from events.hooks import Hook, HookEnding, HookWhen
from tests.simulation.far import Far
from tests.simulation.line import Line
from tests.simulation.virtual import pass_time

SECONDS, GRACE = 0.05, 0.03
TIMEOUT = 60.0


class FarHooks:
    """The `Runner` of hooks: those called ``fail…`` fail, those called ``hang…`` run into time."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def run(self, hook: str, facts: Mapping[str, str | int]) -> HookEnding:
        """See `daemon.hooks.Runner`."""
        is_restore = str(facts["event"]).endswith("restore")
        work = facts["restore_id"] if is_restore else facts["backup_id"]
        name = f"{hook} {work} {facts.get('attempt', 0)}"
        fault = self._line.fault(f"hook {name}")
        with self._line.doing("hook"):
            await pass_time(min(self._line.seconds("hook"), TIMEOUT))
            if fault in ("before", "permanent", "odd", "late"):
                return HookEnding("not-started", SECONDS, error="it is not there")
            hangs = hook.startswith("hang") or fault in ("hang", "frozen", "stuck")
            await self._running(name, TIMEOUT if hangs else SECONDS)
        if hangs:
            return HookEnding("timed-out", TIMEOUT)
        bad = hook.startswith("fail") or fault == "after"
        return HookEnding("failed" if bad else "ok", SECONDS, exit_code=int(bad))

    async def _running(self, name: str, seconds: float) -> None:
        """It runs; who is told to end it takes a while for that."""

        def begin(far: Far) -> None:
            far.hooks.append(name)
            far.open_hooks[name] = far.open_hooks.get(name, 0) + 1

        self._line.do(f"hook {name}", begin)
        try:
            await pass_time(seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await pass_time(GRACE)
            self._line.far.open_hooks[name] -= 1


def hook(name: str, when: HookWhen) -> Hook:
    """A hook of that name."""
    return Hook(name, when, f"/hooks/{name}", TIMEOUT)


def configured(*hooks: Hook) -> ReconcileHooks:
    """A configuration with these hooks."""
    return ReconcileHooks(hooks, "/etc/valkeep/valkeep.toml")


AROUND_BACKUPS = configured(
    hook("pause", "before-backup"),
    hook("flush", "before-backup"),
    hook("resume", "after-backup"),
    hook("tell", "after-backup"),
)
AROUND_RESTORES = configured(
    hook("close", "before-restore"), hook("open", "after-restore"), hook("tell", "after-backup")
)
