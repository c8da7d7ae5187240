"""`kill -9` and faults at every step of a backup that is encrypted: the same holds for it."""

from functools import partial

import pytest

from daemon.actors.backup import Surroundings
from daemon.storage.sealing import NoKeys, Sealing
from events.facts import VaultName
from tests.simulation import world as worlds
from tests.simulation.line import FaultKind, Weather
from tests.simulation.stories import Swept, length, one_backup
from tests.simulation.world import Plan, World
from tests.support.keys import sealing


class Sealed(NoKeys):
    """Everything is encrypted; the tokens count, so that equal lives give equal bytes."""

    def sealing(self, vault: VaultName) -> Sealing | None:  # noqa: ARG002 - the same for all
        """See `Keys.sealing`."""
        return sealing()


@pytest.fixture(autouse=True)
def _encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons of this world encrypt."""
    monkeypatch.setattr(worlds, "Surroundings", partial(Surroundings, keys=Sealed()))


def test_kill_at_every_step() -> None:
    """Killed at any step, the daemon makes the backup in its next life, encrypted all the same."""
    swept = Swept()
    for world in World().deaths(one_backup):
        assert world.live(one_backup) == "done"
        assert not any(name.endswith(".zst") for name in world.far.objects)
        swept.count(world)

    assert set(swept.outcomes) == {"one:complete"}


@pytest.mark.parametrize("kind", ["before", "after", "short", "flipped"])
def test_fault_at_every_call(kind: FaultKind) -> None:
    """Whatever call fails or lies, nothing half done is left."""
    for number in range(1, len(length(one_backup).calls) + 1):
        world = World()
        world.live(one_backup, Plan(weather=Weather({number: kind})))
        assert world.hit == [kind]
        world.live(one_backup)
