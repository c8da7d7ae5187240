"""The proof that the rules of copies and of suspicion bite: both are broken on purpose."""

from functools import partial

import pytest

from daemon.actors import copy
from daemon.actors.worker import Worker
from daemon.storage import copying
from daemon.storage.bandwidth import LimitedVault
from daemon.storage.catalog import write_manifest
from daemon.storage.manifest import Manifest
from daemon.storage.vault import ObjectName, Vault
from tests.simulation.breaking import Mutation, Patch, prove
from tests.simulation.copying import copied, copied_and_deleted, deleted_while_copied
from tests.simulation.ports import FarVault
from tests.simulation.test_suspicion import acknowledged, fallen
from tests.simulation.world import Plan, Script
from tests.support.samples import SECOND

KILLED = [Plan(kill_at=step) for step in range(100, 220, 2)]


async def _nothing(*_: object, **__: object) -> None:
    return


def data_is_not_copied(patch: Patch) -> None:
    """The manifest is copied, and nothing that it names."""
    patch.setattr(copying, "_copy_shard", _nothing)


def copies_stay(patch: Patch) -> None:
    """A copy is said to be gone, and nobody has removed it."""
    patch.setattr(copy, "delete_backup", _nothing)


def tries_are_not_cleared(patch: Patch) -> None:
    """A try begins beside what the last one has left."""
    patch.setattr(copying, "clear_copy", _nothing)


def copies_come_before_the_record(patch: Patch) -> None:
    """Something is in the second vault before the log knows of a copy."""

    async def early(vault: Vault, manifest: Manifest) -> str:
        assert isinstance(vault, LimitedVault)
        assert isinstance(vault._vault, FarVault)
        name = ObjectName(f"caches/{manifest.cache}/{manifest.backup_id}/early")
        await FarVault(vault._vault._line, SECOND).put(name, b"")
        return await write_manifest(vault, manifest)

    patch.setattr("daemon.actors.backup.write_manifest", early)


def readers_are_overlooked(patch: Patch) -> None:
    """A backup that is being copied may be deleted, and nobody ends the copy or waits for it."""
    patch.setattr("projections.state._copied", lambda _: 0)
    patch.setattr(Worker, "_busy", lambda self, work: work in self._running)
    patch.setattr(Worker, "_stop_unwanted", lambda *_: None)


def nothing_is_suspect(patch: Patch) -> None:
    """Whatever falls, nobody is told."""
    patch.setattr("daemon.decide.suspicion.suspicion", lambda *_: None)


def words_are_forgotten(patch: Patch) -> None:
    """What was acknowledged is compared with what was before it, as if nobody had said a word."""
    patch.setattr("projections.suspicion._since_a_word", lambda found: found)


def nothing_is_guarded(patch: Patch) -> None:
    """Retention does not care for what is suspect."""
    patch.setattr("projections.retention._guarded", lambda *_: frozenset())


def what_went_is_counted(patch: Patch) -> None:
    """Bytes that are gone from a vault are counted for ever."""
    patch.setattr("projections.usage.gone", lambda usage, *_: usage)


DELETIONS = tuple(partial(deleted_while_copied, seconds=tick / 50) for tick in range(20))
TWICE: tuple[Script, ...] = (copied,)
MUTATIONS = [
    Mutation("copies_are_whole", data_is_not_copied, stories=TWICE),
    Mutation("manifest_of_a_copy_is_last", data_is_not_copied, stories=TWICE),
    Mutation("copies_have_a_record", copies_come_before_the_record, stories=TWICE),
    Mutation("the_read_are_left_alone", readers_are_overlooked, stories=DELETIONS),
    Mutation("usage_is_what_lies_there", what_went_is_counted, stories=(copied_and_deleted,)),
    Mutation("copies_go_with_their_backup", copies_stay, stories=(copied_and_deleted,)),
    Mutation("nothing_lies_beside_copies", tries_are_not_cleared, KILLED, TWICE),
    Mutation("falls_are_suspected", nothing_is_suspect, stories=(fallen,)),
    Mutation("falls_are_suspected", words_are_forgotten, stories=(acknowledged,)),
    Mutation("what_came_before_a_fall_stays", nothing_is_guarded, stories=(fallen,)),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_copies_are_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A program whose copies or suspicion are broken breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
