"""A server's child that saves: waiting for it with signs of life, and calling ours off.

Believes what ``INFO`` says. A save of others is waited for, but not for ever; one of ours is
alive as long as its count of keys goes on, where the server gives one.
"""

from collections.abc import Callable
from contextlib import suppress

import anyio

from daemon.errors import Failed, Transient
from daemon.ports import Progress
from daemon.valkey.connection import Node, open_node
from daemon.valkey.info import Saving, fields, saving
from daemon.valkey.occasion import Occasion

FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.1
FOREIGN_SECONDS = 3600.0
"""How long we wait for another's save, or rewrite, before ours can begin."""
CALL_OFF_SECONDS = 2.0
GOES_ON = "the server's save goes on by itself: this server cannot cancel one"
CALLED_OFF = "the server's save was cancelled (BGSAVE CANCEL)"
_KEYS = "current_save_keys_processed"


async def idle(node: Node, progress: Progress) -> tuple[Saving, str]:
    """Wait until no child of the server runs; the state then, and which run of the server it is.

    Raises `Transient("bgsave-busy")` when that lasts for an hour.
    """
    with anyio.move_on_after(FOREIGN_SECONDS):
        return await until(
            node,
            lambda state: not state.child,
            lambda: progress.phase("waiting for another save"),
            lambda _: progress.advance(0),
        )
    raise Transient(
        "bgsave-busy",
        f"{node.login.address} has been busy with another save, rewrite or module for "
        f"{FOREIGN_SECONDS:,.0f} s",
        "see rdb_bgsave_in_progress and aof_rewrite_in_progress in its INFO persistence; if it "
        "hangs, its log and its disk say more",
    )


async def saved(node: Node, progress: Progress) -> Saving:
    """Wait until the server's save has ended, however long it takes while it gets on."""
    seen: str | None = ""

    def sign(info: dict[str, str]) -> None:
        nonlocal seen
        before, seen = seen, info.get(_KEYS)
        if seen is None or seen != before:
            progress.advance(0)

    state, _ = await until(node, lambda state: not state.running, lambda: None, sign)
    return state


async def until(
    node: Node,
    done: Callable[[Saving], bool],
    waits: Callable[[], None],
    sign: Callable[[dict[str, str]], None],
) -> tuple[Saving, str]:
    """Wait until the server's saves are so; the state then, and which run of the server it is.

    `waits` is called once if it is not so already, and `sign` with each answer to ``INFO``.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        info = fields(await node.text("INFO"))
        state = saving(info)
        if done(state):
            return state, info.get("run_id", "")
        if pause == FIRST_PAUSE_SECONDS:
            waits()
        sign(info)
        await anyio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def call_off(occasion: Occasion, before: Saving, run_id: str) -> None:
    """We were cancelled while the server saves for us: have it stop, where it can.

    Valkey can since 8.1 (``BGSAVE CANCEL``), Redis cannot. [tried] Only if the save that runs is
    ours: the one that has begun since `before`, in the same run of the server. Raises nothing.
    """
    occasion.progress.phase(GOES_ON)
    with anyio.move_on_after(CALL_OFF_SECONDS, shield=True), suppress(Failed):
        async with open_node(occasion.login, occasion.timeouts) as node:
            info = fields(await node.text("INFO"))
            now = saving(info)
            same = info.get("run_id") == run_id and before.saves is not None
            if same and now.running and now.saves == (before.saves or 0) + 1:
                await node.call("BGSAVE", "CANCEL")
                occasion.progress.phase(CALLED_OFF)
