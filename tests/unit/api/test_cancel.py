"""Cancelling and limiting over the socket: who may, what is answered, and near misses."""

import os
from collections.abc import Callable

import anyio
import pytest

from daemon.answers import Accepted, BackupDetail, CacheDetail
from daemon.api import Access
from daemon.api.cancelling import PATIENCE_SECONDS, LastWord
from daemon.board import Board, Entry
from daemon.client import path_of
from daemon.commands import AddCache, CancelBackup, Request, SetCache
from daemon.errors import BadRequest, Forbidden, NotFound, Rejected
from tests.simulation.virtual import VirtualClock, pass_time, virtually
from tests.support.api import Served, serving
from tests.support.samples import B1, ORDERS, SETTINGS, complete, registered, requested

pytestmark = pytest.mark.anyio

OPERATOR = Access(users={os.geteuid(): "operator"}, groups={})
VIEWER = Access(users={os.geteuid(): "viewer"}, groups={})
ONE = (registered(), requested(B1, name="one"))
CANCEL = CancelBackup("orders/one")


async def told(api: Served, request: Request, key: str | None = None) -> Accepted:
    """Give a command."""
    return await api.post(Accepted, "/v1/commands", request, key)


async def test_an_operator_cancels_and_a_viewer_does_not() -> None:
    """DESIGN 8: cancelling takes the role operator."""
    async with serving(*ONE, access=VIEWER) as api:
        with pytest.raises(Forbidden):
            await told(api, CANCEL)
    async with serving(*ONE, access=OPERATOR) as api:
        answer = await told(api, CANCEL)
        shown = await api.get(BackupDetail, path_of("backups", B1))

    assert (ORDERS, B1, None) == (answer.cache, answer.backup_id, answer.cancelled)
    assert "cancelled" == shown.backup.phase
    assert (shown.backup.abandoned or "").startswith("it was cancelled by ")


async def test_a_repeated_cancel() -> None:
    """With its key it gets its first answer again; without one it is refused (L4)."""
    async with serving(*ONE) as api:
        first = await told(api, CANCEL, "k")
        assert first.positions == (await told(api, CANCEL, "k")).positions
        with pytest.raises(Rejected) as again:
            await told(api, CANCEL)

    assert "already-cancelled" == again.value.code


async def test_near_misses_are_named() -> None:
    """A typo gets the nearest backup that can be cancelled; complete ones are refused by name."""
    async with serving(*ONE) as api:
        with pytest.raises(NotFound) as missed:
            await told(api, CancelBackup("orders/onne"))
    async with serving(registered(), *complete(B1, name="one")) as api:
        with pytest.raises(Rejected) as late:
            await told(api, CANCEL)

    assert "Did you mean 'orders/one'?" == missed.value.hint
    assert "backup-complete" == late.value.code


def heard(deed: Callable[[Board, Entry], None], *, seconds: float) -> str | None:
    """The last word of an attempt that does this when it is told to end, and ends then."""

    async def main() -> str | None:
        board, answers = Board(VirtualClock()), list[str | None]()
        over = anyio.Event()

        async def listen() -> None:
            answers.append(await LastWord(board, B1).heard())

        async def attempt() -> None:
            with board.line(B1) as entry:
                entry.phase("saving")
                over.set()
                await pass_time(seconds)
                deed(board, entry)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            await over.wait()
            tasks.start_soon(listen)
        return answers[0]

    return virtually(main)


def test_last_words() -> None:
    """The answer has what the attempt says at its end, if it ends soon and says anything."""
    assert "called off" == heard(lambda _, entry: entry.phase("called off"), seconds=1.0)
    assert heard(lambda *_: None, seconds=1.0) is None
    late = heard(lambda *_: None, seconds=PATIENCE_SECONDS + 1)
    assert late is not None
    assert "has not ended yet" in late


async def test_a_struck_line_is_nobodys_standing() -> None:
    """Work that was given up is off the board, and its end does not take off what came after."""
    board = Board(VirtualClock())
    with board.line(B1) as old:
        board.strike(old)
        assert board.standing(B1) is None
        with board.line(B1) as new:
            board.strike(old)
            assert board.standing(B1) is not None
            new.phase("storing")


async def test_limits_of_bandwidth() -> None:
    """A cache's limit is set, stays when it is not named, and is taken away by nought (V7)."""
    async with serving() as api:
        await told(api, AddCache("orders", SETTINGS.url, bandwidth="20MB", probe=False))
        limits = []
        for change in (None, "12.5MiB/s", "0", ""):
            await told(api, SetCache("orders", source="bgsave", bandwidth=change, probe=False))
            shown = await api.get(CacheDetail, path_of("caches", "orders"))
            limits.append(shown.cache.settings.bandwidth)
        with pytest.raises(BadRequest) as wrong:
            await told(api, SetCache("orders", bandwidth="20", probe=False))

    assert ["20MB", "12.5MiB/s", None, None] == limits
    assert "bandwidth" == wrong.value.code
    assert "100MB" in wrong.value.hint
