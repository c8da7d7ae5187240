"""Deciding on a vault that was tried out: only a changed outcome is worth an event."""

from daemon.commands import ReportVault
from daemon.decide.decision import Decision
from events.types import VaultExamined
from projections.state import State
from projections.vaults import faults_of, kinds


def decide(state: State, command: ReportVault) -> Decision:
    """`VaultExamined` when the outcome is another one; a vault that is well is not worth it."""
    known = state.vaults.get(command.vault)
    before = faults_of(state.vaults, command.vault, command.url)
    if kinds(before) == kinds(command.faults) and (command.faults or not (known and known.faults)):
        return Decision(())
    return Decision((VaultExamined(command.vault, command.url, command.faults),))
