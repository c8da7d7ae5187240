"""What is pure in the moving of keys: slots, temporary names, and names among commands."""

import pytest

from daemon.valkey.keys.big import temporary_name
from daemon.valkey.keys.lane import keys_of
from daemon.valkey.keys.slots import slot_of
from daemon.valkey.resp import encode


@pytest.mark.parametrize(
    ("name", "slot"),
    [(b"foo", 12_182), (b"123456789", 12_739), (b"{foo}bar", 12_182), (b"", 0), (b"\xff", 7_920)],
)
def test_slots_are_the_clusters_own(name: bytes, slot: int) -> None:
    """A key's slot is what `CLUSTER KEYSLOT` says."""
    assert slot == slot_of(name)


@pytest.mark.parametrize("name", [b"k", b"{tag}:k", b"a{b", b"a{}b{c}", b"}", b"a}b", b"{}", b""])
def test_temporary_names_share_the_slot(name: bytes) -> None:
    """A temporary name is in the key's slot, or there is none; outside of clusters there is."""
    temporary = temporary_name(name, in_slot=True)

    assert temporary is None or slot_of(name) == slot_of(temporary)
    assert (temporary is None) == ((b"}" in name and b"{tag}" not in name) or not name)
    assert temporary_name(name, in_slot=False) not in (None, name)


def test_key_is_found_among_commands() -> None:
    """The name in each command of a batch is found, whatever bytes the values have."""
    batch = encode("SET", b"one", b"*2\r\n$3\r\n") + encode(
        "RESTORE", b"t\r\nwo", 0, b"\0", "ABSTTL"
    )

    assert [b"one", b"t\r\nwo"] == keys_of(batch)
    cut = encode("SET", b"long", b"x" * 100)
    assert [b"long"] == keys_of(cut[:40])
    assert [] == keys_of(cut[:20])


def test_names_are_told_of_commands_that_are_still_coming() -> None:
    """Wherever the bytes are cut, the names are those of the commands so far, and no other."""
    whole = encode("SET", "name", "xx") + encode("SET", "another name", "y")
    names = [b"name", b"another name"]

    assert names == keys_of(whole)
    for end in range(len(whole)):
        told = keys_of(whole[:end])
        assert told == names[: len(told)]
