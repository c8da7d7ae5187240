"""A server's callers hold back together: no storm, no call in a silence, no endless waiting."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import anyio
import pytest
from botocore.exceptions import ClientError

from daemon.errors import Transient
from daemon.storage.s3_calls import Bucket, Patience, Server, Tools
from daemon.storage.s3_errors import Call, asked_silence
from tests.simulation.virtual import pass_time, virtually
from tests.support.offload import THREADS

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

WRITE = Call("write x", "s3:PutObject", lasting=True)
READ = Call("read x", "s3:GetObject")
PATIENT = Patience(busy_seconds=120.0)


class Down:
    """A server that answers 503 until an instant, and counts when it was asked."""

    def __init__(self, *, until: float, retry_after: str = "") -> None:
        self.asked: list[float] = []
        self._until = until
        self._headers = {"retry-after": retry_after} if retry_after else {}

    async def __call__(self) -> str:
        """One request."""
        self.asked.append(anyio.current_time())
        if anyio.current_time() < self._until:
            raise ClientError(
                {
                    "Error": {"Code": "SlowDown", "Message": "made up"},
                    "ResponseMetadata": {  # type: ignore[typeddict-item]
                        "HTTPStatusCode": 503,
                        "HTTPHeaders": self._headers,
                    },
                },
                "PutObject",
            )
        return "done"


def server(patience: Patience = PATIENT) -> Server:
    """A bucket without a line: what is called here is in this process."""

    async def connect(stack: AsyncExitStack) -> "S3Client":
        return cast("S3Client", object())

    tools = Tools(connect, THREADS, lambda: 0.5)
    return Server(Bucket("b", "", "s3://b"), tools, patience)


def test_a_minute_of_outage_costs_no_attempt() -> None:
    """A write that a server refuses for a minute is done when the minute is over."""

    async def main() -> tuple[float, list[float]]:
        began = anyio.current_time()
        down = Down(until=began + 60)
        assert await server().run(WRITE, down) == "done"
        return anyio.current_time() - began, down.asked

    seconds, asked = virtually(main)
    assert 60 <= seconds < 75
    assert len(asked) < 15


@pytest.mark.parametrize(("call", "at_most"), [(WRITE, 130.0), (READ, 30.0)])
def test_an_endless_outage_is_given_up(call: Call, at_most: float) -> None:
    """A write waits two minutes, and what can be asked again by its caller less."""

    async def main() -> float:
        began = anyio.current_time()
        with pytest.raises(Transient):
            await server().run(call, Down(until=began + 1e6))
        return anyio.current_time() - began

    assert 1 < virtually(main) <= at_most


def test_twenty_caches_make_no_storm() -> None:
    """Eighty parts of twenty caches that fail at once are repeated in one slow rhythm (31)."""

    async def main() -> list[float]:
        shared, down = server(), Down(until=anyio.current_time() + 60)
        async with anyio.create_task_group() as tasks:
            for _ in range(80):
                tasks.start_soon(shared.run, WRITE, down)
        return down.asked

    asked = virtually(main)
    began = asked[0]
    repeated = [at - began for at in asked if at > began]
    assert len(asked) - len(repeated) == 80
    for second in range(60):
        within = [at for at in repeated if second <= at < second + 1]
        assert len(within) <= 12, f"{len(within)} repeated calls in second {second}"
    assert len(repeated) < 60 * 2 + 10 + 80


def test_without_the_rhythm_there_would_be_a_storm() -> None:
    """The test above would see it: without a common rhythm hundreds are repeated in a second."""

    async def main() -> int:
        hasty = Patience(busy_seconds=120.0, retries_per_second=10_000.0)
        shared, down = server(hasty), Down(until=anyio.current_time() + 60)
        async with anyio.create_task_group() as tasks:
            for _ in range(80):
                tasks.start_soon(shared.run, WRITE, down)
        began = down.asked[0]
        return max(
            sum(second <= at - began < second + 1 for at in down.asked) for second in range(1, 60)
        )

    assert virtually(main) > 12


def test_nobody_asks_while_the_server_wants_silence() -> None:
    """``Retry-After`` to one caller holds for the others too, those that have not called yet."""

    async def main() -> list[float]:
        began, shared = anyio.current_time(), server()
        down = Down(until=began + 25, retry_after="30")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shared.run, WRITE, down)
            await pass_time(5)
            for _ in range(10):
                tasks.start_soon(shared.run, WRITE, down)
        return [at - began for at in down.asked]

    asked = virtually(main)
    assert asked[0] == 0
    assert all(at >= 30 for at in asked[1:])
    assert len(asked) == 12


def test_a_mad_silence_is_cut() -> None:
    """A server that asks for a year is asked again after a minute."""

    async def main() -> float:
        began = anyio.current_time()
        down = Down(until=began + 1, retry_after="31536000")
        await server().run(WRITE, down)
        return anyio.current_time() - began

    assert 60 <= virtually(main) < 62


DATE = "Sun, 22 Nov 2026 12:00:00 GMT"
ASKED = [
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "Sun, 22 Nov 2026 12:00:09 GMT", "date": DATE}, 9.0),
    ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT", "date": DATE}, 0.0),
    ({"retry-after": "Sun, 22 Nov 2026 12:00:09 GMT"}, 0.0),
    ({"retry-after": "soon", "date": DATE}, 0.0),
    ({"retry-after": "-3"}, 0.0),
    ({}, 0.0),
]


@pytest.mark.parametrize(("headers", "seconds"), ASKED)
def test_a_silence_is_read_in_both_of_its_forms(headers: dict[str, str], seconds: float) -> None:
    """Seconds, or a date to be held against the answer's own; anything else asks for nothing."""
    error = ClientError(
        {
            "Error": {"Code": "SlowDown"},
            "ResponseMetadata": {"HTTPHeaders": headers},  # type: ignore[typeddict-item]
        },
        "PutObject",
    )
    assert asked_silence(error) == seconds
    assert asked_silence(TimeoutError()) == 0.0
