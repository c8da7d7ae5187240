"""Hooks in text: how those of one backup or restore went. Pure."""

from collections.abc import Iterator

from daemon.answers.hook_runs import HookRunView
from daemon.cli.table import facts
from daemon.cli.words import elapsed, instant


def run_lines(runs: tuple[HookRunView, ...], width: int) -> Iterator[str]:
    """A line for each run; nothing where there was none."""
    if not runs:
        return
    yield "hooks"
    yield from facts([(run.hook, _run(run)) for run in runs], indent="  ", width=width)


def _run(run: HookRunView) -> str:
    attempt = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    told = f"{run.when}{attempt}: {how(run)}, {instant(run.at)}"
    return f"{told}; run once more" if run.again else told


def how(run: HookRunView) -> str:
    """How a run went, in words."""
    if run.result == "ok":
        return f"ok in {elapsed(run.seconds)}"
    last = f": {run.last_words}" if run.last_words else ""
    return f"{run.told}{last}"
