"""`valkeep hooks`: commands of the user's own, before and after backups and restores."""

import shlex
from collections.abc import Iterator

import click
import msgspec

from daemon.answers.hooks import HooksAnswer, HookTried, HookView, TryHook
from daemon.cli.desk import Desk, Interrupted, json_option
from daemon.cli.hook_page import how
from daemon.cli.table import Column, facts, table
from daemon.cli.tree import Tree
from daemon.cli.words import age, duration, elapsed

COLUMNS = (
    Column("HOOK"),
    Column("WHEN"),
    Column("LAST RUN"),
    Column("CACHES", rank=1),
    Column("TIME-OUT", rank=3, right=True),
    Column("ONLY", rank=4),
    Column("PROGRAM", rank=2),
)
PATIENCE_SECONDS = 60.0
"""Beyond the hook's own time-out and its grace."""
USUAL_KINDS = ("auto", "manual")
USUAL_OUTCOMES = ("completed", "failed", "cancelled")
OUTCOMES = ("completed", "failed", "cancelled", "retry")


@click.group(cls=Tree)
def hooks() -> None:
    """List your commands before and after backups and restores, or try one by hand."""


@hooks.command("list")
@json_option
@click.pass_obj
def list_hooks(desk: Desk) -> None:
    """List all hooks in the order in which they are run, and how they went last."""
    found, raw = desk.ask(HooksAnswer, "/v1/hooks")
    desk.show(raw, page(found, desk.width))


def page(found: HooksAnswer, width: int) -> Iterator[str]:
    """The table, and below it what is wrong."""
    if not found.hooks:
        yield "There are no hooks: a section [hooks.NAME] of the configuration makes one."
        return
    yield from table(COLUMNS, [_row(found, hook) for hook in found.hooks], width)
    for hook in found.hooks:
        last = hook.last
        told_below = bool(hook.doubts) and last is not None and last.result == "not-started"
        if last is not None and last.result != "ok" and not told_below:
            told = f"{hook.name} {how(last)} (for {hook.last_cache}, {age(found.now, last.at)})"
            yield from facts([("FAILED", told)], width=width)
        for doubt in hook.doubts:
            yield from facts([("WRONG", f"{hook.name}: {doubt}")], width=width)


def _row(found: HooksAnswer, hook: HookView) -> tuple[str, ...]:
    return (
        hook.name,
        hook.when,
        _last(found, hook),
        ", ".join(hook.caches),
        duration(hook.timeout_seconds),
        _only(hook),
        hook.program,
    )


def _only(hook: HookView) -> str:
    """For what, where that is not what it is by default."""
    kinds = () if hook.kinds in ((), USUAL_KINDS) else hook.kinds
    outcomes = () if hook.run_on in ((), USUAL_OUTCOMES) else hook.run_on
    may_fail = ("may fail",) if hook.on_failure == "go-on" else ()
    return ", ".join((*kinds, *outcomes, *may_fail)) or "-"


def _last(found: HooksAnswer, hook: HookView) -> str:
    if hook.running:
        return "running"
    if hook.due:
        return f"{hook.due} due"
    if hook.last is None:
        return "never"
    return f"{hook.last.result}, {age(found.now, hook.last.at)}"


@hooks.command()
@click.argument("name", metavar="HOOK")
@click.option("--cache", required=True, metavar="CACHE", help="As if it were for this cache.")
@click.option(
    "--outcome",
    type=click.Choice(OUTCOMES),
    help="What a hook after something is told of its end. [default: the first of its run_on]",
)
@click.option("--dry-run", is_flag=True, help="Show what it would be given, and run nothing.")
@json_option
@click.pass_obj
def run(desk: Desk, *, name: str, cache: str, outcome: str | None, dry_run: bool) -> None:
    """Run HOOK by hand, as the daemon would, and show what it prints.

    It is told of the newest backup of CACHE or restore into it, and that this is a trial
    (VALKEEP_TEST=1). The run is recorded. The exit code is 0 when it went well, else 1.
    """
    found, _ = desk.ask(HooksAnswer, "/v1/hooks")
    seconds = max((one.timeout_seconds for one in found.hooks if one.name == name), default=0.0)
    said = {"hook": name, "cache": cache, "outcome": outcome, "dry_run": dry_run}
    request = msgspec.convert(said, TryHook)
    if desk.interactive and not dry_run:
        desk.note(f"Running {name}; it may take {duration(seconds)} …")
    try:
        tried, raw = desk.tell(HookTried, "/v1/hooks/trials", request, PATIENCE_SECONDS + seconds)
    except KeyboardInterrupt:
        raise Interrupted(f"The daemon ends {name}; `valkeep events` will have it.") from None
    desk.show(raw, trial(tried, desk.width, dry_run=dry_run))
    raise click.exceptions.Exit(0 if dry_run or tried.result == "ok" else 1)


def trial(tried: HookTried, width: int, *, dry_run: bool) -> Iterator[str]:
    """What it was given, or what it printed and how it ended."""
    if dry_run:
        yield f"{tried.hook} would be run for {tried.cache}"
        yield from facts([("command", shlex.join(tried.command))], indent="  ", width=width)
        yield "with this environment, and nothing else:"
        yield from (f"  {name}={value}" for name, value in sorted(tried.environment.items()))
        yield "and this on its standard input:"
        yield f"  {msgspec.json.encode(tried.given).decode()}"
        return
    if tried.output:
        yield from tried.output.splitlines()
    also = f"; {tried.error}" if tried.error and tried.error not in tried.told else ""
    yield f"{tried.hook} {tried.told} after {elapsed(tried.seconds)}{also}."
