"""Hooks, as questions; and running one by hand, which is recorded like any other run."""

from collections.abc import Mapping

import msgspec

from daemon.answers.hooks import HooksAnswer, HookTried, HookView, TryHook
from daemon.api.asked import Asked
from daemon.api.find import cache_named
from daemon.api.hooks_view import run_view
from daemon.api.peer import user_name
from daemon.api.queries import moment_of
from daemon.api.seams import HookDesk
from daemon.errors import NotFound, Rejected
from daemon.near import meant
from events.envelope import Who
from events.hooks import Hook
from projections.hooks import Hooks, is_for, named
from projections.state import State

_try = msgspec.json.Decoder(TryHook)


async def hooks(asked: Asked) -> HooksAnswer:
    """All hooks, with what is wrong with their programs."""
    moment = moment_of(asked)
    known = moment.state.hooks
    desk = asked.outside.hooks
    doubts = await desk.doubts() if desk is not None else {}
    views = tuple(_view(known, hook, doubts) for hook in known.configured)
    return HooksAnswer(now=moment.now, hooks=views, file=known.file)


async def try_out(asked: Asked) -> HookTried:
    """Run one by hand; the answer comes when it has ended."""
    said = asked.read(_try.decode)
    state = asked.outside.ledger.state
    hook = hook_named(state, said.hook)
    cache = cache_named(state, said.cache)
    if not is_for(hook, cache.name):
        patterns = ", ".join(hook.caches)
        raise Rejected(
            "hook-not-for-cache",
            f"Hook {hook.name} is not for cache {cache.name}: its caches are {patterns}.",
            f"Name one that it is for, or widen `caches` in [hooks.{hook.name}].",
        )
    user = await asked.outside.offload(user_name, asked.peer.uid)
    who = Who(kind="user", uid=asked.peer.uid, user=user, pid=asked.peer.pid)
    return await _desk(asked).try_out(said, hook, who)


def hook_named(state: State, name: str) -> Hook:
    """A configured hook, or `NotFound` with the nearest name."""
    hook = named(state.hooks, name)
    if hook is not None:
        return hook
    names = [one.name for one in state.hooks.configured]
    known = f"Hooks: {', '.join(names)}." if names else "No hook is configured: see docs/hooks.md."
    raise NotFound("unknown-hook", f"There is no hook {name!r}.", meant(name, names) or known)


def _desk(asked: Asked) -> HookDesk:
    if asked.outside.hooks is None:
        raise Rejected("no-hooks", "No hook can be run here.", "Ask a running daemon.")
    return asked.outside.hooks


def _view(known: Hooks, hook: Hook, doubts: Mapping[str, tuple[str, ...]]) -> HookView:
    runs = [ran for (_, name), ran in known.last.items() if name == hook.name]
    last = max(runs, key=lambda ran: ran.at, default=None)
    before, of_backup = hook.when.startswith("before"), hook.when.endswith("backup")
    return HookView(
        name=hook.name,
        when=hook.when,
        program=hook.program,
        timeout_seconds=hook.timeout_seconds,
        caches=hook.caches,
        on_failure=hook.on_failure if before else None,
        kinds=hook.kinds if of_backup else (),
        run_on=() if before else hook.run_on,
        running=sum(name == hook.name for _, _, name in known.running),
        due=sum(name == hook.name for _, _, name in known.due),
        last=run_view(last) if last else None,
        last_cache=last.cache if last else None,
        doubts=doubts.get(hook.name, ()),
    )
