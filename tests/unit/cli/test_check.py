"""`valkeep check`: its lines, and the exit code of every case there is."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from anyio.abc import SocketStream

from daemon.api import Access
from events.types import CacheSuspended
from tests.support.api import Printed, doorway, serving, typed
from tests.support.samples import FOR_GOOD, ORDERS, STARTED, USERS, registered
from tests.support.scheduled import Story

pytestmark = pytest.mark.anyio

OPENS = datetime(2026, 3, 2, 1, tzinfo=UTC)
CLOSES = OPENS + timedelta(hours=2)


async def test_all_ok_is_0() -> None:
    """A healthy cache has an OK line for each rule, a last line that counts them, and exit 0."""
    async with serving(STARTED, registered()) as api:
        story = Story(api)
        await story.policy()
        await story.completed()
        printed = await api.type("check")

    lines = printed.out.splitlines()
    assert (0, "") == (printed.code, printed.err)
    assert "OK daemon: it is up since 2026-03-01 12:00:00Z and its log can be written" == lines[0]
    assert "OK auto orders: auto backups are on: 02:00+2h Europe/Paris" in lines
    assert "OK in all: 0 critical, 0 unknown, 0 warning, 11 ok" == lines[-1]
    assert 12 == len(lines)


async def test_a_warning_is_1() -> None:
    """A failure that will be tried again is a WARNING line with what to do, and exit 1."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.failed(await story.started())
        printed = await api.type("check")

    first, last = printed.out.splitlines()[0], printed.out.splitlines()[-1]
    assert 1 == printed.code
    assert first.startswith("WARNING last-attempt orders: attempt 1 at auto-20260302-0200 failed")
    assert first.endswith(" CET: Nobody listens; start it")
    assert "WARNING in all: 0 critical, 0 unknown, 1 warning, 10 ok" == last


async def test_what_is_critical_is_2_and_comes_first() -> None:
    """An abandoned window is CRITICAL with its reason and hint, before the warnings; exit 2."""
    async with serving(registered(), registered(USERS)) as api:
        story = Story(api)
        await story.policy()
        await story.failed(await story.started(), FOR_GOOD)
        printed = await api.type("check")

    first, second = printed.out.splitlines()[:2]
    assert 2 == printed.code
    assert first.startswith(
        "CRITICAL abandoned orders: auto-20260302-0200 for the window 02:00 of 2026-03-02 was "
        "given up: the failure is permanent: "
    )
    assert "the last failure: Refused; fix it. Make one now: `valkeep backup create" in first
    assert second.startswith("WARNING auto users: auto backups are off, and there is no backup; ")


async def test_what_cannot_be_judged_is_3() -> None:
    """A warning and an unknown make 3; with something critical beside them it is 2."""
    async with serving(registered()) as api:
        await Story(api).policy()
        api.clock.instant = datetime(1970, 1, 1, tzinfo=UTC)
        printed = await api.type("check")

    assert 2 == printed.code
    assert "CRITICAL clock: the clock shows 1970-01-01 00:00:00Z" in printed.out
    assert "UNKNOWN fresh orders: the clock is wrong" in printed.out
    assert printed.out.endswith("CRITICAL in all: 1 critical, 1 unknown, 0 warning, 9 ok\n")


async def test_one_cache_alone() -> None:
    """The exit code is the named cache's: what is wrong with others does not count."""
    gone = CacheSuspended(cache=USERS, reason="it is no longer declared")
    async with serving(registered(), registered(USERS), gone) as api:
        await Story(api).policy()
        well = await api.type("check", "orders")
        bad = await api.type("check", "users")

    assert (0, 2) == (well.code, bad.code)
    assert "users" not in well.out


async def test_quiet_leaves_out_what_is_ok() -> None:
    """With --quiet only what is not OK is told, and the count of all."""
    async with serving(registered(), registered(USERS)) as api:
        await Story(api).policy()
        printed = await api.type("check", "--quiet")

    assert ["WARNING", "WARNING"] == [line.split()[0] for line in printed.out.splitlines()]
    assert 1 == printed.code


async def test_json_has_everything_and_the_same_code() -> None:
    """With --json the answer comes as it is, and the exit code stays."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.moved(CLOSES)
        printed = await api.type("check", "--json")

    told = json.loads(printed.out)
    assert (2, "critical") == (printed.code, told["level"])
    assert ["fresh", "missed"] == [one["rule"] for one in told["lines"] if one["level"] != "ok"]
    assert "2026-03-02T03:00:00Z" == told["now"]


def test_an_unreachable_daemon_is_a_critical_line() -> None:
    """A daemon that is not there is CRITICAL on stdout with what to do, and exit 2."""
    with doorway() as path:
        printed = typed("--socket", str(path), "check")
        as_json = typed("--socket", str(path), "check", "--json")

    first, last = printed.out.splitlines()
    assert (2, "") == (printed.code, printed.err)
    assert first.startswith(f"CRITICAL daemon: No daemon can be reached on {path}: there is no ")
    assert "; look with `systemctl status valkeep`" in first
    assert "CRITICAL in all: 1 critical, 0 unknown, 0 warning, 0 ok" == last
    assert (2, "unreachable") == (as_json.code, json.loads(as_json.out)["lines"][0]["code"])


async def test_a_cache_that_is_not_known_is_3() -> None:
    """A name that no cache has is UNKNOWN, with the nearest one."""
    async with serving(registered()) as api:
        printed = await api.type("check", "order")

    assert (3, "") == (printed.code, printed.err)
    assert printed.out.startswith(
        "UNKNOWN daemon: There is no cache 'order'; did you mean 'orders'"
    )


async def test_a_stranger_is_3() -> None:
    """Who may not ask is told so as UNKNOWN: nothing is known of the backups."""
    async with serving(STARTED, access=Access(users={}, groups={})) as api:
        printed = await api.type("check")

    assert (3, "") == (printed.code, printed.err)
    assert "UNKNOWN daemon: The daemon on " in printed.out
    assert "does not know you" in printed.out


async def test_bad_usage_stays_2_on_stderr() -> None:
    """A flag that does not exist is an error of the caller's, told on stderr."""
    printed = await to_thread.run_sync(typed, "check", "--loud")

    assert (2, "") == (printed.code, printed.out)
    assert "--loud" in printed.err


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncGenerator[Path, None]:
    """Something on a socket that gives this answer to everybody, or takes all and says nothing."""

    async def handle(line: SocketStream) -> None:
        async with line:
            await line.receive()
            if answer is None:
                await anyio.sleep_forever()
            else:
                await line.send(answer)

    with doorway() as path:
        listener = await anyio.create_unix_listener(path)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            yield path
            tasks.cancel_scope.cancel()


async def checked(path: Path, *flags: str) -> Printed:
    """What a check of that socket leaves behind."""
    return await to_thread.run_sync(typed, "--socket", str(path), "check", *flags)


async def test_a_daemon_that_hangs_is_critical_in_time() -> None:
    """A daemon that takes the question and does not answer is CRITICAL after --timeout."""
    async with answering(None) as path:
        printed = await checked(path, "--timeout", "0.05")

    assert 2 == printed.code
    assert "has not answered for 0.05 s" in printed.out


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 3, "is not understood"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff{}", 3, "is not understood"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 3, "HTTP 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 2, "in the middle of its answer"),
        (b"220 mail.example ESMTP\r\n", 2, "is no Valkeep daemon"),
        (b"\x15\x03\x01\x00\x02\x02\x16", 2, "is no Valkeep daemon"),
    ],
)
async def test_a_strange_answer_is_a_line_of_its_own(answer: bytes, code: int, told: str) -> None:
    """What is no answer is UNKNOWN, and what is no daemon CRITICAL; never a bare error."""
    async with answering(answer) as path:
        printed = await checked(path)

    assert (code, "") == (printed.code, printed.err)
    assert told in printed.out.splitlines()[0]
    assert 2 == len(printed.out.splitlines())


async def test_what_others_worded_stays_on_its_line() -> None:
    """A failure of several lines is told on one, so that lines can be counted on."""
    trouble = type(FOR_GOOD)(code="odd", message="First.\n  Second.\n", hint="Do\nthis.")
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.failed(await story.started(), trouble)
        printed = await api.type("check", "--quiet")

    assert "First. Second; do this" in printed.out
    assert 2 == len(printed.out.splitlines())


async def test_a_status_tells_the_same() -> None:
    """The first page tells the problems of a check, the retry that waits, and the next start."""
    async with serving(registered()) as api:
        story = Story(api, ORDERS)
        await story.policy()
        await story.failed(await story.started())
        printed = await api.type("status")

    lines = printed.out.splitlines()
    assert "1 problem:" == lines[0]
    assert lines[1].startswith(
        "  WARNING orders: attempt 1 at auto-20260302-0200 failed, another follows"
    )
    told = " ".join(printed.out.split())
    assert "backup orders/auto-20260302-0200: tried again in " in told
    assert "attempt 1 failed: Nobody listens." in told
    assert "NEXT START" in printed.out
    assert "Tue 02:" in printed.out
