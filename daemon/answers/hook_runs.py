"""How a hook went, as part of what is told of a backup or a restore."""

from datetime import datetime

from msgspec import Struct

from events.hooks import HookResult, HookWhen


class HookRunView(Struct, frozen=True, omit_defaults=True):
    """One run of one hook; `told` is its end in words, `last_words` what a failed one said last.

    `again`: it is run once more. Its whole output is in the history: `valkeep events --json`.
    """

    hook: str
    when: HookWhen
    attempt: int
    result: HookResult
    at: datetime
    seconds: float
    told: str
    last_words: str = ""
    again: bool = False
