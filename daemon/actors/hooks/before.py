"""Hooks before a backup or a restore: one after the other, inside the attempt.

Knows what their failure means for what they are before. The place that the attempt has, in all
and on its host, is kept meanwhile: what a hook has paused should not wait for another backup.
"""

from daemon.actors.holding import bounded_elsewhere
from daemon.actors.hooks.turn import Turn
from daemon.errors import Failed, Permanent, Transient
from daemon.hooks import Runner
from daemon.ledger import Ledger
from daemon.ports import Progress
from events.hooks import Hook, HookEnding
from projections.hooks import Occasion, last_words, told, wanted


class BeforeHooks:
    """The `Beforehand` of a daemon with hooks."""

    def __init__(self, ledger: Ledger, runner: Runner) -> None:
        self._ledger = ledger
        self._turn = Turn(ledger, runner)

    async def __call__(self, occasion: Occasion, progress: Progress) -> None:
        """See `Beforehand`: the first hook that fails and may stop it is the last one."""
        for hook in wanted(self._ledger.state.hooks, occasion):
            progress.phase(f"running hook {hook.name}")
            stops = hook.on_failure == "stop"
            async with bounded_elsewhere(progress):
                ending = await self._turn.take(hook.name, occasion, stops=stops)
            if stops and ending.result != "ok":
                raise failure(hook, occasion, ending)


def failure(hook: Hook, occasion: Occasion, ending: HookEnding) -> Failed:
    """What the failure of a hook is for what it is before."""
    words = last_words(ending)
    said = f" Its last words: {words}" if words else ""
    message = f"Hook {hook.name} ({hook.when}) {told(ending)}.{said}"
    what = "restore" if hook.when == "before-restore" else "backup"
    try_it = f"`valkeep hooks run {hook.name} --cache {occasion.cache}` tries it by hand"
    anyway = f'with on_failure = "go-on" the {what} would be made all the same'
    if ending.result == "not-started":
        return Permanent("hook-not-started", message, f"Mend [hooks.{hook.name}]: {try_it}.")
    code = "hook-timed-out" if ending.result == "timed-out" else "hook-failed"
    return Transient(code, message, f"{try_it}; {anyway}.")
