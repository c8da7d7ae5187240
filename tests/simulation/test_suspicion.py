"""A cache that is emptied, in simulated days: flagged, guarded, and settled by a person's word."""

from collections.abc import Sequence

from daemon.commands import (
    AcknowledgeBackup,
    AddCache,
    PolicyChange,
    RecordCache,
    RequestAutoBackup,
)
from daemon.ledger import KeyedBy
from projections.catalog import Backup
from projections.doubts import suspects
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, World
from tests.support.given import ANNA
from tests.support.samples import ORDERS, SETTINGS

A_DAY = 86_400.0
BY_HAND = PolicyChange(auto=True, retention_days=1, keep_last=1)


async def made(life: Life, keys: Sequence[int]) -> None:
    """A cache, and an auto backup of it for each of these numbers of keys; each is asked for once.

    In its second life the story has been told.
    """
    if life.number > 1:
        return
    await _tell(
        life, RecordCache(AddCache("orders", SETTINGS.url, policy=BY_HAND), SETTINGS), "add"
    )
    for number, keys_now in enumerate(keys):
        life.line.far.keys = keys_now
        await _tell(life, RequestAutoBackup("orders"), f"auto-{number}")
        await life.settled()
        await pass_time(60.0)


async def _tell(life: Life, command: RecordCache | RequestAutoBackup, key: str) -> None:
    await life.ledger.execute(command, ANNA, KeyedBy(1000, key, key.encode()))


async def fallen(life: Life) -> None:
    """A cache is emptied between two backups, and filled again; days pass, and nobody looks."""
    await made(life, (100, 100, 100, 1, 100))
    await pass_time(3 * A_DAY)


async def acknowledged(life: Life) -> None:
    """A cache is emptied for good, and after the first small backup somebody says so."""
    await made(life, (100, 100, 100, 1))
    if life.number == 1:
        await life.ledger.execute(AcknowledgeBackup(_suspect(life).backup_id), ANNA)
        for number in range(4):
            await _tell(life, RequestAutoBackup("orders"), f"then-{number}")
            await life.settled()
    await pass_time(3 * A_DAY)


def _suspect(life: Life) -> Backup:
    return suspects(life.ledger.state, ORDERS)[0]


def left(world: World) -> list[tuple[int, bool]]:
    """Of each backup that there is, oldest first, its keys and whether it is suspect."""
    found = sorted(world.view.state.catalog[ORDERS].items())
    return [
        (sum(backup.snapshot.server.keys.values()), backup.suspect)
        for _, backup in found
        if backup.snapshot is not None and backup.phase == "complete"
    ]


def test_unsettled_suspicion_keeps_both_sides() -> None:
    """Days later the last good one before the fall is there, the fall itself, and the newest."""
    world = World()
    assert world.live(fallen) == "done"

    assert [(100, False), (1, True), (100, False)] == left(world)


def test_a_word_settles_it() -> None:
    """What was acknowledged is good, those like it are not suspect, and the old ones go."""
    world = World()
    assert world.live(acknowledged) == "done"

    assert [(1, False)] == left(world)
