"""Logs that hold a history already, as if a daemon of old had written it.

Nothing here is decided: the events are what the test says, whether or not they make sense.
"""

from datetime import UTC, datetime, timedelta

from events import codec
from events.envelope import Commit, Entry, Who
from events.facts import START, CommitId, Position, Stream
from events.log import EventLog
from events.types import Event, stream_of
from tests.support.given import At

LONG_AGO = datetime(2026, 3, 1, 11, tzinfo=UTC)
WHO = Who(kind="daemon")
AT_ONCE = 1_000


async def stock(log: EventLog, *history: Event | At) -> None:
    """Put events into an empty log, each in a commit of its own, a millisecond apart."""
    heads: dict[Stream, Position] = {}
    commits = [_commit(number, item, heads) for number, item in enumerate(history, 1)]
    for first in range(0, len(commits), AT_ONCE):
        await log.append(commits[first : first + AT_ONCE])


def _commit(number: int, item: Event | At, heads: dict[Stream, Position]) -> Commit:
    event = item.event if isinstance(item, At) else item
    at = item.at if isinstance(item, At) else LONG_AGO + timedelta(milliseconds=number)
    stream = stream_of(event)
    relied = {stream: heads.get(stream, START)}
    heads[stream] = Position(number)
    return Commit(
        commit_id=CommitId(f"old-{number}"),
        at=at,
        who=WHO,
        relied=relied,
        entries=(Entry(stream, codec.encode(event)),),
    )
