"""A plan that cannot be carried out: the refusal, in the words of every restore. Pure."""

from collections.abc import Collection, Sequence

from daemon.errors import Rejected
from events.facts import Finding


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
