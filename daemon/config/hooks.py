"""What a hook must be: a command line of its own, a bound of time, and settings that are its own.

Pure: whether its program is there is looked at elsewhere. No word of a command is shown, for a
secret may stand there by mistake.
"""

import re
from collections.abc import Iterator, Mapping

from daemon.config.lines import Place
from daemon.config.problem import Wrong
from daemon.config.settings import HookConfig
from events.hooks import Hook

Table = Mapping[str, object]
Own = Iterator[tuple[Place, Wrong]]

LONGEST_SECONDS = 24 * 3600
_SPAN = re.compile(r"([0-9]{1,6})(s|m|h)")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_PATTERN = re.compile(r"[A-Za-z0-9_*-]{1,64}")
_DEFAULTS: Mapping[str, object] = {
    "on_failure": "stop",
    "kinds": ["auto", "manual"],
    "run_on": ["completed", "failed", "cancelled"],
}
"""Of settings that only some hooks have."""
_SPANS = 'Allowed: a time from "1s" to "24h", as "90s" or "5m".'


def seconds_of(text: str) -> int | None:
    """A span as it is written, in seconds; None for what is none."""
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else None


def timeout(text: str) -> Wrong | None:
    """How long a hook may take."""
    seconds = seconds_of(text)
    if seconds is None or not 1 <= seconds <= LONGEST_SECONDS:
        return Wrong(f'is "{text}"', _SPANS)
    return None


def word(text: str) -> Wrong | None:
    """One word of a command line."""
    return Wrong("has a NUL in it", "Take it out.") if "\0" in text else None


def cache_pattern(text: str) -> Wrong | None:
    """The name of a cache, or a pattern of such."""
    if _PATTERN.fullmatch(text):
        return None
    return Wrong(f'has "{text}"', 'Allowed: names of caches, and patterns of them, as "shop-*".')


def of_hooks(hooks: Mapping[str, Table]) -> Own:
    """What the settings of all hooks have against each other."""
    for name, hook in hooks.items():
        for own, wrong in _of_hook(hook):
            yield ("hooks", name, *own), wrong


def _of_hook(hook: Table) -> Own:
    """What its settings have against each other."""
    command = hook.get("command")
    if isinstance(command, list):
        yield from _of_command(command)
    for name in ("caches", "kinds", "run_on"):
        if hook.get(name) == []:
            yield (
                (name,),
                Wrong("is empty: the hook would never run", "Take it out, or fill it."),
            )
    yield from _of_when(hook)


def _of_command(command: list[object]) -> Own:
    if not command:
        yield ("command",), Wrong("is empty", 'Allowed: as ["/usr/local/bin/flush", "--now"].')
        return
    first = command[0]
    if isinstance(first, str) and not (first.startswith("/") and ".." not in first.split("/")):
        allowed = 'Allowed: first an absolute path without "..", and then its arguments.'
        if first != first.strip() or " " in first:
            allowed += " There is no shell: each argument is a text of its own."
        yield ("command", 0), Wrong("is not an absolute path", allowed)
    elif isinstance(first, str) and first.endswith("/"):
        yield ("command", 0), Wrong("is a folder", "Allowed: a program.")


def _of_when(hook: Table) -> Own:
    """A setting that would do nothing is a slip, unless it says what holds without it."""
    when = str(hook.get("when", ""))
    said = {name for name in hook.keys() & _DEFAULTS if hook[name] != _DEFAULTS[name]}
    if when.startswith("before") and "run_on" in said:
        yield ("run_on",), Wrong("is for hooks after something", "Take it out.")
    if when.startswith("after") and "on_failure" in said:
        wrong = "is for hooks before something: what has ended cannot be stopped"
        yield ("on_failure",), Wrong(wrong, "Take it out.")
    if when.endswith("restore") and "kinds" in said:
        yield ("kinds",), Wrong("is for hooks of backups", "Take it out.")
    outcomes = hook.get("run_on")
    if when == "after-restore" and "run_on" in said and isinstance(outcomes, list):
        for index, outcome in enumerate(outcomes):
            if outcome in ("cancelled", "retry"):
                wrong = f'has "{outcome}", which a restore never is'
                yield ("run_on", index), Wrong(wrong, 'Allowed: "completed", "failed".')


def hooks_of(configured: Mapping[str, HookConfig]) -> tuple[Hook, ...]:
    """Hooks as the log takes them, in the order of the file."""
    return tuple(
        Hook(
            name=name,
            when=one.when,
            program=one.command[0],
            timeout_seconds=float(seconds_of(one.timeout) or 60),
            caches=one.caches,
            on_failure=one.on_failure,
            kinds=one.kinds,
            run_on=one.run_on,
        )
        for name, one in configured.items()
    )
