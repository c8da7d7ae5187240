"""Events as bytes: every version ever written can be read for ever (DESIGN 3)."""

from pathlib import Path
from typing import get_args

import pytest
from msgspec import Struct, json

from events.codec import UPCASTS, Codec, Plain, Upcast, decode, encode
from events.facts import CacheName, Position, RestoreId, RestoreResult
from events.log import LogCorrupt, UnknownEvent
from events.types import DaemonStopped, Event, RestoreCompleted

DATA = Path(__file__).parents[2] / "data" / "events"
# One stored sample of every event version that was ever written. This list may only grow.
GOLDEN = (
    "daemon-started-1",
    "daemon-stopped-1",
    "vault-examined-1",
    "cache-registered-1",
    "cache-reconfigured-1",
    "cache-suspended-1",
    "cache-removed-1",
    "backup-requested-1",
    "attempt-started-1",
    "snapshot-taken-1",
    "backup-completed-1",
    "backup-failed-1",
    "retry-scheduled-1",
    "backup-abandoned-1",
    "leftovers-swept-1",
    "deletion-requested-1",
    "backup-deleted-1",
    "restore-requested-1",
    "restore-planned-1",
    "restore-started-1",
    "restore-completed-1",
    "restore-interrupted-1",
    "restore-failed-1",
    "cache-registered-2",
    "cache-reconfigured-2",
    "policy-set-1",
    "backup-requested-2",
    "backup-deferred-1",
    "backup-skipped-1",
    "window-missed-1",
    "retention-expired-1",
    "backup-completed-2",
    "cache-registered-3",
    "cache-reconfigured-3",
    "policy-set-2",
    "snapshot-taken-2",
    "backup-cancelled-1",
    "leftovers-stuck-1",
    "leftovers-swept-2",
    "copy-requested-1",
    "copy-started-1",
    "copy-completed-1",
    "copy-failed-1",
    "backup-cleared-1",
    "copy-deleted-1",
    "backup-suspected-1",
    "suspicion-acknowledged-1",
    "restore-requested-2",
    "verification-requested-1",
    "verification-started-1",
    "verification-put-off-1",
    "verification-abandoned-1",
    "backup-verified-1",
    "verification-failed-1",
    "backup-recovered-1",
    "log-went-back-1",
    "log-recovered-1",
    "restore-requested-3",
    "restore-planned-2",
    "restore-completed-2",
    "export-requested-1",
    "export-completed-1",
    "export-failed-1",
    "comparison-requested-1",
    "comparison-completed-1",
    "comparison-failed-1",
    "snapshot-taken-3",
    "backup-recovered-2",
    "import-requested-1",
    "backup-verified-2",
    "import-completed-1",
    "import-failed-1",
    "restore-failed-2",
    "hooks-set-1",
    "hook-started-1",
    "hook-ran-1",
    "backup-verified-3",
    "notifications-set-1",
    "alarm-raised-1",
    "alarm-cleared-1",
    "notification-queued-1",
    "notification-sent-1",
    "notification-failed-1",
    "prices-set-1",
    "hook-asked-1",
    "copy-verification-requested-1",
    "copy-verification-started-1",
    "copy-verification-put-off-1",
    "copy-verification-abandoned-1",
    "copy-verified-1",
    "copy-verification-failed-1",
    "copy-mending-requested-1",
)


class Painted(Struct, frozen=True, tag="painted/3"):
    """A made-up event in its third version."""

    colours: tuple[str, ...]
    coats: int


def _v1_to_v2(old: Plain) -> Plain:
    return {"colours": [old["color"]]}


def _v2_to_v3(old: Plain) -> Plain:
    return {**old, "coats": 1}


PAINTED = Codec(
    (Painted,),
    {"painted/1": Upcast("painted/2", _v1_to_v2), "painted/2": Upcast("painted/3", _v2_to_v3)},
)


def test_golden_samples_are_all_there() -> None:
    """No sample of a written event version has been removed, and none is unlisted."""
    assert set(GOLDEN) == {path.stem for path in DATA.iterdir()}


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_event_has_a_golden_sample(kind: type[Struct]) -> None:
    """An event type without a stored sample of its present version does not exist."""
    assert str(kind.__struct_config__.tag).replace("/", "-") in GOLDEN


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_sample_is_still_read(name: str) -> None:
    """Bytes that any version wrote are read, and those of today are written the same."""
    stored = (DATA / f"{name}.json").read_bytes()
    event = decode(stored)
    tag = json.decode(stored)["type"]

    assert name == tag.replace("/", "-")
    if tag in UPCASTS:
        assert type(event).__struct_config__.tag != tag
    else:
        assert stored == encode(event)


OF_TODAY = [name for name in GOLDEN if "/".join(name.rsplit("-", 1)) not in UPCASTS]


@pytest.mark.parametrize("name", OF_TODAY)
def test_golden_sample_shows_every_field(name: str) -> None:
    """A sample leaves no field at its default, so that none can change unseen."""
    event = decode((DATA / f"{name}.json").read_bytes())
    defaults = dict(_defaults(type(event)))

    assert [] == [field for field, value in defaults.items() if getattr(event, field) == value]


def _defaults(kind: type[Struct]) -> list[tuple[str, object]]:
    fields = kind.__struct_fields__
    defaults = kind.__struct_defaults__
    return list(zip(fields[len(fields) - len(defaults) :], defaults, strict=True))


def test_bytes_open_with_the_tag() -> None:
    """The stored bytes are JSON that opens with the event's tag and version."""
    stored = encode(DaemonStopped("SIGTERM"))

    assert b'{"type":"daemon-stopped/1","reason":"SIGTERM"}' == stored


def test_equal_events_have_equal_bytes() -> None:
    """The order in which a mapping was filled leaves no trace in the stored bytes."""
    forth = _restored({0: 1, 2: 3, 10: 4})
    back = _restored({10: 4, 2: 3, 0: 1})

    assert forth == back
    assert encode(forth) == encode(back)
    assert forth == decode(encode(back))


def _restored(keys: dict[int, int]) -> RestoreCompleted:
    result = RestoreResult(keys, 0, "On disk.", 1.0, 2.0)
    return RestoreCompleted(CacheName("orders"), RestoreId("restore-1"), result)


@pytest.mark.parametrize(
    "stored",
    [
        b'{"type":"painted/1","color":"red"}',
        b'{"type":"painted/2","colours":["red"]}',
        b'{"type":"painted/3","colours":["red"],"coats":1}',
    ],
)
def test_old_versions_climb_to_the_newest(stored: bytes) -> None:
    """An event of any older version is read as the newest, one step after the other."""
    assert Painted(("red",), 1) == PAINTED.decode(stored)


@pytest.mark.parametrize("tag", ["backup-requested/9", "moon-landed/1"])
def test_unknown_event_is_refused_by_name(tag: str) -> None:
    """An event of a newer Valkeep is refused with its name, its position, and what to do."""
    with pytest.raises(UnknownEvent) as caught:
        decode(f'{{"type":"{tag}","backup_id":"x"}}'.encode(), Position(7))

    assert tag in caught.value.message
    assert "position 7" in caught.value.message
    assert "newer Valkeep" in caught.value.hint


@pytest.mark.parametrize(
    "stored",
    [
        b'{"type":"daemon-stopped/1"}',
        b'{"type":"daemon-stopped/1","reason":7}',
        b'{"type":"daemon-stopped/1","reason":"x","mood":"fine"}',
    ],
)
def test_other_shape_is_refused(stored: bytes) -> None:
    """A known tag with missing, foreign or mistyped fields is refused, never half read."""
    with pytest.raises(UnknownEvent, match=r"position 9.*shape of daemon-stopped/1"):
        decode(stored, Position(9))


def test_upcast_to_another_shape_is_refused() -> None:
    """What an upcaster makes is checked like what was stored."""
    with pytest.raises(UnknownEvent, match="shape of painted/3"):
        PAINTED.decode(b'{"type":"painted/2","colours":"red"}')


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b"{}", b'{"type":1}', b'{"type":"\xff"}'])
def test_what_is_no_event_is_damage(stored: bytes) -> None:
    """Bytes that are no tagged JSON object are reported as damage, with their position."""
    with pytest.raises(LogCorrupt, match="position 3"):
        decode(stored, Position(3))


@pytest.mark.parametrize(
    "upcasts",
    [
        {"painted/1": Upcast("painted/2", dict)},
        {"painted/1": Upcast("painted/2", dict), "painted/2": Upcast("painted/1", dict)},
        {"painted/3": Upcast("painted/3", dict)},
    ],
)
def test_table_that_leads_nowhere_is_refused(upcasts: dict[str, Upcast]) -> None:
    """A table with a gap, a circle, or a step away from today's type cannot be used."""
    with pytest.raises(ValueError, match="painted"):
        Codec((Painted,), upcasts)
