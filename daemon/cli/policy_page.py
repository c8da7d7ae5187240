"""A policy on one page: its settings, the next start, and what comes of it in words. Pure."""

from collections.abc import Iterator
from datetime import datetime

from daemon.answers.policy import PolicyView
from daemon.cli.schedule import exact
from daemon.cli.table import facts
from daemon.cli.wide import wrapped
from daemon.cli.words import duration, plural


def page(view: PolicyView, now: datetime, width: int) -> Iterator[str]:
    """The lines of the page."""
    settings = view.settings
    pairs = [
        ("auto", "on" if settings.auto else "off"),
        ("windows", ", ".join(settings.windows) or "none"),
        ("timezone", settings.timezone),
        ("retries", str(settings.retries)),
        ("retention", plural(settings.retention_days, "day")),
        ("keep last", str(settings.keep_last)),
        ("suspect", _suspect(settings.suspect_drop_percent)),
        ("verify", settings.verify),
        ("set", _origin(view)),
        ("next start", _next(view, now)),
    ]
    yield view.cache
    yield from facts(pairs, indent="  ", width=width)
    yield ""
    yield from in_words(view, width)


def _suspect(percent: int) -> str:
    return f"from a drop of more than {percent} %" if percent else "never"


def in_words(view: PolicyView, width: int) -> Iterator[str]:
    """What comes of a policy, a paragraph for each sentence."""
    for sentence in view.words:
        yield from wrapped(sentence, width, rest="  ")


def _origin(view: PolicyView) -> str:
    if view.declared:
        return f"in {view.file}, and only there"
    return "by command" if view.known else "never: these are the defaults"


def _next(view: PolicyView, now: datetime) -> str:
    start = view.next_start
    if start is None:
        return ""
    ahead = (start.at - now).total_seconds()
    return f"{exact(start)}, {f'in {duration(ahead)}' if ahead > 0 else 'due now'}"
