"""The events of hooks, each in one English sentence. Pure."""

from events.hooks import HookAsked, HookEvent, HookRan, HooksSet, HookStarted
from projections.hooks import last_words, told


def of_hook(event: HookEvent) -> str:
    """What happened to hooks, without who and when."""
    match event:
        case HooksSet():
            if not event.hooks:
                return "the daemon has no hooks any more"
            names = ", ".join(f"{hook.name} {hook.when}" for hook in event.hooks)
            return f"hooks that the daemon runs: {names}"
        case HookStarted():
            again = ", a second time" if event.tries > 1 else ""
            return f"hook {event.hook} started {_place(event)}{again}"
        case HookRan():
            return _ran(event)
        case HookAsked():
            names = ", ".join(f"{one.hook} for {one.cache}" for one in event.passed)
            return (
                f"hook {event.hook}, run for {event.cause_id}, has asked for {event.work_id} of "
                f"{event.cache}; not run again for that: {names}"
            )


def _place(event: HookStarted | HookRan) -> str:
    when, _, what = event.when.partition("-")
    attempt = f"attempt {event.attempt} at " if when == "before" and event.attempt else ""
    into = "into" if what == "restore" else "of"
    return f"{when} {attempt}{what} {event.work_id} {into} {event.cache}"


def _ran(event: HookRan) -> str:
    ending = event.ending
    by_hand = f"was tried by hand for {event.cache}, and"
    place = by_hand if event.by_hand else _place(event)
    words = last_words(ending)
    last = f": {words}" if words else ""
    also = f"; {ending.error}" if ending.error and ending.result not in _TOLD else ""
    again = "; it is run once more" if event.again else ""
    return f"hook {event.hook} {place} {told(ending)}{last}{also}{again}"


_TOLD = ("not-started", "cut-off")
"""Results whose words have the error in them."""
