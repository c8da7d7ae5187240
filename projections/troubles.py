"""Troubles: each thing that did not go as it should have, in words, with what to do.

Knows one record at a time. Whether it was made up for later is told by what came after it.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.copies import CopyFailed
from events.copy_proofs import CopyVerificationFailed
from events.envelope import Envelope
from events.facts import CacheName, Failure
from events.hooks import HookRan
from events.imports import ImportFailed
from events.proofs import VerificationAbandoned, VerificationFailed
from events.suspicions import BackupSuspected
from events.transfers import ExportFailed
from events.types import (
    BackupAbandoned,
    BackupFailed,
    BackupSkipped,
    Event,
    RestoreFailed,
    WindowMissed,
)
from projections.hooks import last_words, told
from projections.local import one_line

What = Literal[
    "attempt",
    "given-up",
    "skipped",
    "missed",
    "damaged",
    "unproven",
    "suspect",
    "copy",
    "copy-damaged",
    "export",
    "import",
    "restore",
    "hook",
]


class Trouble(Struct, frozen=True):
    """One of them; `of` is the id of the backup or restore that it befell, if there is one."""

    at: datetime
    cache: CacheName
    what: What
    message: str
    hint: str
    code: str = ""
    of: str = ""


def trouble_of(envelope: Envelope, event: Event) -> Trouble | None:
    """What a record tells of a trouble; None for one that tells of none."""
    match event:
        case BackupFailed():
            return _failed(envelope, event, "attempt", of=event.backup_id)
        case VerificationFailed():
            return _failed(envelope, event, "damaged", of=event.backup_id)
        case VerificationAbandoned():
            return _failed(envelope, event, "unproven", of=event.backup_id)
        case CopyFailed() | CopyVerificationFailed():
            return _of_copy(envelope, event)
        case ExportFailed():
            return _failed(envelope, event, "export", of=event.backup_id)
        case ImportFailed():
            return _failed(envelope, event, "import", of=event.backup_id)
        case RestoreFailed():
            return _failed(envelope, event, "restore", of=event.restore_id)
        case HookRan():
            return _of_hook(envelope, event)
        case BackupAbandoned() | BackupSkipped() | WindowMissed() | BackupSuspected():
            return _told(envelope, event)
        case _:
            return None


def _of_copy(envelope: Envelope, event: CopyFailed | CopyVerificationFailed) -> Trouble:
    """A damaged one is made anew by itself: what is to be done is about the vault."""
    if isinstance(event, CopyFailed):
        return _failed(envelope, event, "copy", of=event.backup_id)
    why = one_line(event.failure.message)
    message = f"The copy in {event.vault} was found damaged, and is made anew: {why}."
    hint = f"Look after vault {event.vault}: what took one may have taken others."
    code, of = event.failure.code, event.backup_id
    return Trouble(envelope.at, event.cache, "copy-damaged", message, hint, code=code, of=of)


def _of_hook(envelope: Envelope, event: HookRan) -> Trouble | None:
    """What failed by its hook tells of that itself; a trial is nobody's trouble."""
    if event.ending.result == "ok" or event.stops or event.again or event.by_hand:
        return None
    said = last_words(event.ending)
    last = f" Its last words: {one_line(said)}" if said else ""
    message = f"Hook {event.hook} ({event.when}) {one_line(told(event.ending))}.{last}"
    hint = f"Try it by hand: `valkeep hooks run {event.hook} --cache {event.cache}`."
    code = f"hook-{event.ending.result}"
    return Trouble(envelope.at, event.cache, "hook", message, hint, code=code, of=event.work_id)


_WithFailure = (
    BackupFailed
    | VerificationFailed
    | VerificationAbandoned
    | CopyFailed
    | ExportFailed
    | ImportFailed
    | RestoreFailed
)


def _failed(envelope: Envelope, event: _WithFailure, what: What, *, of: str) -> Trouble:
    failure: Failure = event.failure
    message = " ".join(failure.message.split())
    return Trouble(envelope.at, event.cache, what, message, failure.hint, code=failure.code, of=of)


def _told(
    envelope: Envelope, event: BackupAbandoned | BackupSkipped | WindowMissed | BackupSuspected
) -> Trouble:
    match event:
        case BackupAbandoned():
            what: What = "given-up"
            message = f"The backup was given up: {one_line(event.reason)}."
            hint = f"Mend what made its attempts fail, then `valkeep backup create {event.cache}`."
        case BackupSkipped():
            what, message = "skipped", f"The backup was not begun: {one_line(event.reason)}."
            hint = f"Give the window more room: `valkeep policy set {event.cache} --window`."
        case WindowMissed():
            occurrence = event.occurrence
            what = "missed"
            message = f"The window {occurrence.start} of {occurrence.day} was missed: "
            message += f"{one_line(event.reason)}."
            hint = "Look why Valkeep was not running: `journalctl -u valkeep`."
        case _:
            what, message = "suspect", f"The backup is suspect: {one_line(event.suspicion.reason)}."
            hint = f"If that is as it should be: `valkeep backup ack {event.backup_id}`."
    of = "" if isinstance(event, WindowMissed) else event.backup_id
    return Trouble(envelope.at, event.cache, what, message, hint, code=what, of=of)
