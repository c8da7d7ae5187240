"""A full house: the daemon takes no more connections, and has read nothing of what was asked.

Knows that such a refusal may be repeated, commands included, and for how long that is worth
it: whoever waits for a long job lets go of his connection every few seconds.
"""

from collections.abc import Iterator

import msgspec

from daemon.answers import ErrorAnswer

CROWD_SECONDS = 20.0
"""How long a place is asked for: others hold theirs for five seconds at a time."""
FIRST_SECONDS, LONGEST_SECONDS = 0.1, 0.5
_error = msgspec.json.Decoder(ErrorAnswer)


def pauses(crowd_seconds: float) -> Iterator[float]:
    """Seconds to wait before each new try, in all as many as given."""
    pause, left = FIRST_SECONDS, crowd_seconds
    while left > 0:
        yield min(pause, left)
        left, pause = left - pause, min(2 * pause, LONGEST_SECONDS)


def is_full(status: int, said: bytes) -> bool:
    """Whether this refusal came before anything was read."""
    try:
        return status == 503 and _error.decode(said).error.code == "too-many-clients"
    except msgspec.MsgspecError:
        return False
