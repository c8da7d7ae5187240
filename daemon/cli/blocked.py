"""A plan that cannot be carried out: the refusal, in the words of every restore."""

from collections.abc import Collection, Sequence

import click

from daemon.cli.desk import F
from daemon.errors import Rejected
from events.facts import Finding

FORCIBLE = ("databases", "disk", "engine-version", "memory", "modules")
"""All that can be overridden by some kind of restore; what stands in the way is in its plan."""
NEVER = (
    "auth",
    "conflict",
    "directory",
    "listener",
    "port",
    "rdb-checksum",
    "rdb-type",
    "rdb-version",
    "replica",
    "topology",
)
"""No slips, but nothing that helps: the plan says why."""


class _Code(click.Choice[str]):
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A code that can be forced, or one that the plan will tell about."""
        return value if value in NEVER else super().convert(value, param, ctx)


def force_option(command: F) -> F:
    """``--force CODE``: a code that there is not is a slip, and is told before the plan."""
    return click.option(
        "--force",
        metavar="CODE",
        multiple=True,
        type=_Code(FORCIBLE),
        help="Override this blocker of the plan; may be repeated.",
    )(command)


def refuse_blocked(findings: Sequence[Finding], blockers: Collection[str]) -> None:
    """Raise `Rejected` with the first blocker and what can be done; nothing where there is none."""
    if not blockers:
        return
    first = next(f for f in findings if f.code in blockers and f.level == "blocker")
    more = f" (and {len(blockers) - 1} more)" if len(blockers) > 1 else ""
    hint = first.hint or "See the plan above."
    if first.forcible:
        hint = f"{hint.rstrip('.')}; or override it with --force {first.code}."
    raise Rejected(first.code, f"The plan has a blocker: {first.message}{more}", hint)
