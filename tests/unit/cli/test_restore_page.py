"""The page of a restore's plan, from golden plans: it fits a terminal and leaves nothing out."""

from datetime import UTC, datetime

import pytest

from daemon.answers import BackupView, PlanAnswer
from daemon.cli.restore_page import plan_lines
from events.facts import RestorePlan
from tests.support.plans import Case, golden

CASES = [case for _, case in golden()]
TAKEN = datetime(2030, 5, 17, 12, tzinfo=UTC)
BACKUP = BackupView(
    backup_id="20300517T120000Z-00000001",
    cache="shop",
    name="nightly",
    kind="manual",
    phase="complete",
    vault="main",
    requested_at=TAKEN,
    requested_by="anna",
    taken_at=TAKEN,
    plain_bytes=50_000_000,
)


def page(plan: RestorePlan, width: int = 80) -> list[str]:
    """The lines that are shown."""
    return list(plan_lines(PlanAnswer(BACKUP, "shop", plan), (), width))


def words(lines: list[str]) -> str:
    """The text without its line breaks."""
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_page_of_a_plan_fits_80_columns_and_is_whole(case: Case) -> None:
    """Every finding, consequence and line to type is on it, and no line is too long."""
    plan = case.planned()
    lines = page(plan)

    assert max(map(len, lines)) <= 80
    shown = words(lines)
    told = [*(f.message for f in plan.findings), *(f.hint for f in plan.findings)]
    for text in (*told, *plan.consequences, *plan.clients, *plan.by_hand, plan.seconds_basis):
        assert " ".join(text.split()) in shown


def test_time_and_memory_are_told_with_their_reasons() -> None:
    """What is known is told in figures, and what is not known is called so."""
    known = next(case for case in CASES if case.plan.seconds == 5.0).planned()
    lines = words(page(known))

    assert "time about 5.0 s: a restore into shop took 10 s for 95.4 MiB" in lines
    assert "memory at most 95.4 MiB of the target's" in lines
    assert "time not known: nothing of this cache was" in words(page(CASES[0].planned()))
