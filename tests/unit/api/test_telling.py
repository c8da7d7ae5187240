"""Questions that take long: how far they are, the answer, and what they are refused with."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio
import msgspec
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from daemon.answers.doctor import Examined
from daemon.answers.underway import Told, Underway
from daemon.api import telling
from daemon.api.asked import Asked
from daemon.api.routes import ROUTES
from daemon.client import Client
from daemon.errors import BadRequest, NotFound
from daemon.ports import Tell
from tests.support.api import Served, serving

pytestmark = pytest.mark.anyio

WELL = Examined(now=datetime(2026, 3, 1, tzinfo=UTC), seconds=1.0, grade="ok", findings=())
Doctor = Callable[[Tell], Awaitable[Examined]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "BEAT_SECONDS", 0.0)


async def some_beats() -> None:
    """Let the others have many turns: of no time there is a beat in each."""
    for _ in range(200):
        await checkpoint()


def told_of(monkeypatch: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """Have the doctor's route answered by this one."""
    route = next(route for route in ROUTES if route.path == "/v1/doctor")

    async def examined(asked: Asked) -> Examined:
        return await doctor(asked.tell)

    changed = msgspec.structs.replace(route, answer=examined)
    routes = tuple(changed if one is route else one for one in ROUTES)
    monkeypatch.setattr("daemon.api.application.ROUTES", routes)


async def lines(api: Served) -> list[Told]:
    """All that comes of a doctor who is asked to tell."""
    found = await api.lines("/v1/doctor", {"progress": True})
    return [msgspec.json.decode(line, type=Told) for line in found]


async def test_a_long_question_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being done is told now and then while it lasts; the last line is the answer."""
    heard = anyio.Event()

    async def slow(tell: Tell) -> Examined:
        tell("waiting for vault main", 1, 4)
        await heard.wait()
        return WELL

    told_of(monkeypatch, slow)
    async with serving() as api:
        found: list[Told] = []
        client = Client(str(api.path))
        stream = client.lines("/v1/doctor", {"progress": True})
        while not found or not bytes(found[-1].answer):
            line = await to_thread.run_sync(next, stream)
            found.append(msgspec.json.decode(line, type=Told))
            heard.set()
        stream.close()

    *progress, last = found
    assert {Underway("waiting for vault main", 1, 4)} == {one.progress for one in progress}
    assert WELL == msgspec.json.decode(last.answer, type=Examined)


async def test_who_does_not_ask_for_it_hears_the_answer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without `progress` the answer is what it was; a quick one with it is one line."""

    async def quick(tell: Tell) -> Examined:
        tell("nothing much")
        return WELL

    told_of(monkeypatch, quick)
    async with serving() as api:
        plain = await api.get(Examined, "/v1/doctor")
        only = await lines(api)

        for odd in ({"progress": "perhaps"}, {"progress": True, "all": True}):
            with pytest.raises(BadRequest):
                await api.lines("/v1/doctor", odd)

    assert plain == WELL
    assert [None] == [one.progress for one in only]


@pytest.mark.parametrize("late", [False, True])
async def test_a_refusal_keeps_its_kind(monkeypatch: pytest.MonkeyPatch, *, late: bool) -> None:
    """What is refused after lines have been sent is the same error as what is refused at once."""

    async def refusing(tell: Tell) -> Examined:
        tell("looking")
        if late:
            await some_beats()
        raise NotFound("nobody", "There is nobody.", "Ask another.")

    told_of(monkeypatch, refusing)
    async with serving() as api:
        with pytest.raises(NotFound) as refused:
            await lines(api)

    assert ("nobody", "Ask another.") == (refused.value.code, refused.value.hint)


async def test_the_command_line_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`valkeep doctor` says on stderr what it waits for, and with --json nothing but the answer."""

    async def slow(tell: Tell) -> Examined:
        tell("waiting for cache orders", 3, 4)
        await some_beats()
        return WELL

    told_of(monkeypatch, slow)
    async with serving() as api:
        plain = await api.type("doctor")
        programs = await api.type("doctor", "--json")

    assert "[###############.....] 75%  3 of 4  waiting for cache orders\n" == plain.err
    assert "OK in all: 0 problems, 0 warnings, 0 ok" in plain.out
    assert "" == programs.err
    assert WELL == msgspec.json.decode(programs.out, type=Examined)
