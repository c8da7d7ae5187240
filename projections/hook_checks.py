"""The verdicts on hooks: one line for each hook that failed for a cache within a day. Pure."""

from collections.abc import Iterator
from datetime import datetime

from events.facts import CacheName
from projections.checks import Line
from projections.hooks import failures
from projections.local import one_line, span
from projections.state import State


def hook_lines(state: State, now: datetime, only: CacheName | None = None) -> Iterator[Line]:
    """A warning for each; what has failed by its hook tells of that itself."""
    for ran in failures(state.hooks, now):
        if ran.cache not in state.caches or only not in (None, ran.cache):
            continue
        last = f": {one_line(ran.last_words)}" if ran.last_words else ""
        place = ran.when.replace("-", " a ")
        told = f"hook {ran.hook} {place} {one_line(ran.told)}{last} ({span(now - ran.at)} ago)"
        hint = (
            f"`valkeep hooks run {ran.hook} --cache {ran.cache}` tries it by hand; "
            f"`valkeep events --cache {ran.cache}` has its runs."
        )
        yield Line("warning", "hook", told, hint, ran.cache, f"hook-{ran.result}")
