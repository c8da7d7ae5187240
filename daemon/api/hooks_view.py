"""How hooks went, as a part of the answers about backups and restores. Pure."""

from daemon.answers.hook_runs import HookRunView
from projections.hooks import Ran, runs_for
from projections.state import State


def run_view(ran: Ran) -> HookRunView:
    """One run."""
    return HookRunView(
        hook=ran.hook,
        when=ran.when,
        attempt=ran.attempt,
        result=ran.result,
        at=ran.at,
        seconds=ran.seconds,
        told=ran.told,
        last_words=ran.last_words,
        again=ran.again,
    )


def run_views(state: State, work_id: str) -> tuple[HookRunView, ...]:
    """The runs for a backup or a restore, oldest first."""
    return tuple(run_view(ran) for ran in runs_for(state.hooks, work_id))
