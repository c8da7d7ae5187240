"""Failed restores of before it was recorded which data their targets were left with."""

import pytest
from msgspec import json

from events.codec import decode
from events.types import RestoreFailed

OLD = {
    "type": "restore-failed/1",
    "cache": "users",
    "restore_id": "20260301T110000Z-0000f001",
    "failure": {"code": "interrupted", "message": "The daemon ended.", "hint": "Again."},
    "undone": True,
    "command": "valkeep restore x --to users",
}
LOADED = "The daemon ended. The target had loaded the backup by then and serves its data."
RESTARTED = "the target was restarted meanwhile: it serves what its own files held"


@pytest.mark.parametrize(
    ("more", "serves"),
    [
        ({}, "old"),
        ({"failure": {**OLD["failure"], "message": LOADED}}, "new"),  # type: ignore[dict-item]
        ({"by_hand": [RESTARTED]}, "unknown"),
        ({"undone": False}, "unknown"),
    ],
)
def test_what_was_told_in_words_is_known(more: dict[str, object], serves: str) -> None:
    """What a failed restore left its target with is read from the words of an old log."""
    event = decode(json.encode({**OLD, **more}))
    assert isinstance(event, RestoreFailed)
    assert serves == event.serves
