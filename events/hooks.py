"""What happens to hooks: commands of the user's own before and after backups and restores.

Which hooks there are is an event too, so that the log alone says what is owed to whom: a hook
after the end of something is due for what ends while it is configured, and for nothing older.
"""

from typing import Literal

from msgspec import Struct

from events.fact import Fact
from events.facts import BackupKind, CacheName

HookWhen = Literal["before-backup", "after-backup", "before-restore", "after-restore"]
HookOutcome = Literal["completed", "failed", "cancelled", "retry"]
"""How what a hook follows has ended; ``retry`` is an attempt that failed, and another one comes."""
HookResult = Literal["ok", "failed", "killed", "timed-out", "not-started", "cut-off"]
"""``failed`` by its exit code, ``killed`` by a signal not of ours; ``cut-off`` with the daemon."""
OnFailure = Literal["stop", "go-on"]


class Hook(Fact, frozen=True):
    """A hook as far as the log knows it: not its arguments, which may hold what is secret.

    `caches` are names or patterns with ``*``, any of which may fit.
    `name` is the section's, `when` the occasion, `program` an absolute path. It may take
    `timeout_seconds`; `on_failure` says whether its failure stops what it was before. `kinds` of
    backups it is for, and `run_on` the ends that it follows.
    """

    name: str
    when: HookWhen
    program: str
    timeout_seconds: float
    caches: tuple[str, ...] = ("*",)
    on_failure: OnFailure = "stop"
    kinds: tuple[BackupKind, ...] = ("auto", "manual")
    run_on: tuple[HookOutcome, ...] = ("completed", "failed", "cancelled")


class HooksSet(Struct, frozen=True, forbid_unknown_fields=True, tag="hooks-set/1"):
    """These hooks are configured from now on, in this order; of others nothing is due any more.

    `file` is the configuration that says so.
    """

    hooks: tuple[Hook, ...]
    file: str


class _HookEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """`work_id` is the backup's or the restore's; `attempt` that of a backup, 0 before any.

    `hook` is its name, `when` the occasion.
    """

    cache: CacheName
    hook: str
    when: HookWhen
    work_id: str
    attempt: int


class HookStarted(_HookEvent, frozen=True, tag="hook-started/1"):
    """A hook is about to be run, for the `tries`-th time; recorded before it is."""

    tries: int = 1


class HookEnding(Fact, frozen=True):
    """How a hook ended; `error` says why it could not be started, or what went wrong beside it.

    `output` is the end of what it printed, without control characters.
    `result` is how it ended, after `seconds`; `exit_code` or `signal` is there where it had one.
    """

    result: HookResult
    seconds: float
    exit_code: int | None = None
    signal: str | None = None
    error: str = ""
    output: str = ""


class HookRan(_HookEvent, frozen=True, tag="hook-ran/1"):
    """A hook has ended, or could not be started.

    `stops`: what it was before has failed by it. `again`: it is due once more, because its end
    was not its own. `by_hand`: somebody tried it out, and there was no backup or restore.
    """

    ending: HookEnding
    stops: bool = False
    again: bool = False
    by_hand: bool = False


class Passed(Fact, frozen=True):
    """A `hook` that has been run on the way to something, and the `cache` that it was run for."""

    hook: str
    cache: CacheName


class HookAsked(Struct, frozen=True, forbid_unknown_fields=True, tag="hook-asked/1"):
    """A `hook` that was running for `cause_id` has asked for the backup or restore `work_id`.

    `cache` is that of what was asked for. `passed` are the hooks of the whole way that led here,
    each with the cache that it was run for: none of them is run again for it, for such a circle
    would go on for ever.
    """

    cache: CacheName
    hook: str
    cause_id: str
    work_id: str
    passed: tuple[Passed, ...]


HookEvent = HooksSet | HookStarted | HookRan | HookAsked
