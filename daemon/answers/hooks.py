"""What the daemon answers about hooks: those that are configured, and how a trial of one went."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from daemon.answers import Answer
from daemon.answers.hook_runs import HookRunView
from events.facts import BackupKind
from events.hooks import HookOutcome, HookResult, HookWhen, OnFailure


class HookView(Answer, frozen=True):
    """One hook as it is configured, without its arguments; `doubts` is what is wrong with it.

    `running` counts what runs now, `due` what is still to be run, `last` is its newest run.
    """

    name: str
    when: HookWhen
    program: str
    timeout_seconds: float
    caches: tuple[str, ...]
    on_failure: OnFailure | None = None
    kinds: tuple[BackupKind, ...] = ()
    run_on: tuple[HookOutcome, ...] = ()
    running: int = 0
    due: int = 0
    last: HookRunView | None = None
    last_cache: str | None = None
    doubts: tuple[str, ...] = ()


class HooksAnswer(Answer, frozen=True):
    """All hooks, in the order of the configuration, which is the one in which they are run."""

    now: datetime
    hooks: tuple[HookView, ...] = ()
    file: str = ""


class TryHook(Struct, frozen=True, forbid_unknown_fields=True):
    """Run a hook by hand, as if for a cache; with `dry_run` only tell what it would be given.

    Who goes away before its end ends it.

    `outcome` is what a hook after something is to be told; by default the first of its `run_on`.
    """

    hook: str
    cache: str
    outcome: HookOutcome | None = None
    dry_run: bool = False


class HookTried(Answer, frozen=True):
    """How a trial went, and what the hook was given; no `result` for one that was only told of."""

    hook: str
    cache: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    given: Mapping[str, str | int]
    result: HookResult | None = None
    told: str = ""
    seconds: float = 0.0
    exit_code: int | None = None
    signal: str | None = None
    error: str = ""
    output: str = ""
