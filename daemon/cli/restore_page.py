"""A restore in text: its plan before, its result after."""

from collections.abc import Collection, Iterator

from daemon.answers import PlanAnswer, RestoreView, UndoView
from daemon.cli.hook_page import run_lines
from daemon.cli.restore_keys import plan_pairs, refused_lines, result_pairs
from daemon.cli.table import facts
from daemon.cli.wide import wrapped
from daemon.cli.words import elapsed, instant, plural, size
from events.facts import Finding, RestorePlan

_METHODS = {
    "replication": "by replication: the target takes it from us as from a primary",
    "keys": "by keys: each is written to the target like a client's",
}
_MODES = {
    "swapdb": "swapdb: loaded beside the old data, which is kept until all of it is there",
    "disabled": "disabled: taken to the engine's disk whole before the old data goes",
}


def plan_lines(answer: PlanAnswer, forced: Collection[str], width: int) -> Iterator[str]:
    """What will happen, in the order in which a person decides."""
    backup, plan = answer.backup, answer.plan
    yield f"Plan: restore {backup.cache}/{backup.name} into {answer.target}"
    by_keys = plan.method == "keys"
    holds = plural(plan.target_keys, "key")
    if not by_keys:
        holds += ", all of them to be replaced"
    pairs = [
        ("backup", f"taken {instant(backup.taken_at)}, {size(backup.plain_bytes)}"),
        ("target", f"holds {holds}" if plan.target_keys else "empty"),
        ("safety", _safety(answer)),
        ("method", _METHODS[plan.method]),
        ("loading", _MODES[plan.load_mode] if plan.method == "replication" else ""),
        ("memory", f"at most {size(plan.peak_bytes)} of the target's" if plan.peak_bytes else ""),
        ("time", _time(plan)),
        *plan_pairs(plan),
    ]
    yield from facts(pairs, indent="  ", width=width)
    for finding in plan.findings:
        yield from finding_lines(finding, forced, width)
    if plan.consequences:
        yield "  what else comes of it:"
        yield from _listed(plan.consequences, width)
    if plan.clients:
        yield "  what clients will see:"
        yield from _listed(plan.clients, width)
    if plan.by_hand:
        yield "  if Valkeep's host dies in the middle, type on the target:"
        yield from (f"    {line}" for line in plan.by_hand)
    yield "  An RDB holds neither ACL users nor configuration: those of the target stay."


def _safety(answer: PlanAnswer) -> str:
    if answer.plan.safety_backup:
        return "a backup of the target is made first"
    return "NO backup of the target is made first" if answer.plan.target_keys else ""


def _time(plan: RestorePlan) -> str:
    if plan.seconds is None:
        return "not known: nothing of this cache was restored or loaded yet"
    return f"about {elapsed(plan.seconds)}: {plan.seconds_basis}"


def finding_lines(finding: Finding, forced: Collection[str], width: int) -> Iterator[str]:
    """One finding with its figures and what to do; one that is overridden says so."""
    level = finding.level.upper()
    if finding.forcible and finding.code in forced:
        level = "FORCED"
    yield from _wrapped(f"  {level} {finding.code}: {finding.message}", width, indent="    ")
    if finding.hint:
        yield from _wrapped(f"    hint: {finding.hint}", width, indent="      ")


def _listed(lines: Collection[str], width: int) -> Iterator[str]:
    for line in lines:
        yield from _wrapped(f"    - {line}", width, indent="      ")


def _wrapped(text: str, width: int, *, indent: str) -> list[str]:
    return wrapped(text, width, rest=indent)


def undo_command(undo: UndoView | None) -> str:
    """What to type to take a restore back, and until when that can be done."""
    if undo is None:
        return ""
    return undo.command if undo.until is None else f"{undo.command} (until {instant(undo.until)})"


def result_lines(view: RestoreView, width: int) -> Iterator[str]:
    """What a completed restore left."""
    what = f"{view.backup_cache}/{view.backup_name or view.backup_id}"
    yield f"{what} is restored into {view.target} ({view.restore_id})."
    result = view.result
    if result is None:
        return
    keys = ", ".join(f"db{db}: {count:,}" for db, count in sorted(result.keys.items()))
    lost = result.lost_offset_bytes
    pairs = [
        *result_pairs(result),
        ("keys", keys or "none"),
        ("evicted", f"{result.evicted_keys:,} KEYS EVICTED" if result.evicted_keys else "none"),
        ("result", result.durability),
        ("served", f"after {elapsed(result.served_seconds)}"),
        ("in all", elapsed(result.total_seconds)),
        ("not held", f"{size(lost)} of writes since the safety backup" if lost else ""),
        ("safety", f"{view.target}/{view.safety.name}" if view.safety else ""),
        ("to undo", undo_command(view.undo)),
    ]
    yield from facts(pairs, indent="  ", width=width)
    yield from refused_lines(result.moved)
    yield from run_lines(view.hooks, width)
    for warning in result.warnings:
        yield from _wrapped(f"  WARNING {warning}", width, indent="    ")
