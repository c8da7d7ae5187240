"""What is said of hooks: which are configured, that one is about to be run, and how it went."""

from msgspec import Struct

from daemon.commands.asked import (
    RequestAutoBackup,
    RequestBackup,
    RequestRestore,
    UndoRestore,
)
from events.facts import CacheName
from events.hooks import Hook, HookEnding, HookWhen


class ReconcileHooks(Struct, frozen=True):
    """Make the log agree with the hooks that the configuration has, in its order."""

    hooks: tuple[Hook, ...]
    file: str


class StartHook(Struct, frozen=True):
    """A hook is about to be run, for this work and attempt."""

    cache: CacheName
    hook: str
    when: HookWhen
    work_id: str
    attempt: int


class ReportHook(Struct, frozen=True):
    """A hook has ended. `stops`: what it was before fails by it; `by_hand`: it was tried out."""

    run: StartHook
    ending: HookEnding
    stops: bool = False
    by_hand: bool = False


class HookAsks(Struct, frozen=True):
    """What a hook asks for that says it is run for this work; decided as if anybody asked."""

    request: RequestBackup | RequestAutoBackup | RequestRestore | UndoRestore
    hook: str
    work_id: str


HookCommand = ReconcileHooks | StartHook | ReportHook
