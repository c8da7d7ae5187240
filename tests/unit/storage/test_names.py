"""Names are folders and ids, and nothing else gets into a path (C1, S1)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import BadRequest
from daemon.storage import names
from daemon.storage.vault import ObjectName
from events.facts import BackupId, CacheName, ShardName

CACHE, ID, SHARD = CacheName("orders"), BackupId("20250101T020304Z-0a1b2c3d"), ShardName("0000")
HOSTILE = st.text(st.sampled_from("./\\\0\n -_aZ0~%:é"), max_size=12) | st.text(max_size=70)


def test_names_are_the_layout_of_the_contract() -> None:
    """A backup is a folder of its cache with shards and a manifest."""
    assert names.backup_folder(CACHE, ID) == f"caches/orders/{ID}/"
    assert names.shard_object(CACHE, ID, SHARD) == f"caches/orders/{ID}/0000.rdb.zst"
    sealed = names.shard_object(CACHE, ID, SHARD, encrypted=True)
    assert sealed == f"caches/orders/{ID}/0000.rdb.zst.age"
    assert names.manifest_object(CACHE, ID) == f"caches/orders/{ID}/manifest.json"
    assert names.manifest_object(CACHE, ID, 2) == f"caches/orders/{ID}.2/manifest.json"
    assert names.OWNER == "valkeep.json"


def test_a_manifest_s_name_tells_its_backup() -> None:
    """The backup can be read off the name of its manifest and of nothing else."""
    assert names.manifest_of(names.manifest_object(CACHE, ID)) == (CACHE, ID, 1)
    assert names.manifest_of(names.manifest_object(CACHE, ID, 12)) == (CACHE, ID, 12)
    for other in (names.OWNER, names.shard_object(CACHE, ID, SHARD), f"x/{ID}/manifest.json"):
        assert names.manifest_of(ObjectName(other)) is None


@given(cache=HOSTILE, backup_id=HOSTILE | st.just(ID), shard=HOSTILE | st.just(SHARD))
def test_no_name_escapes(cache: str, backup_id: str, shard: str) -> None:
    """Whatever is asked for, a name is refused or stays in the folder of its cache."""
    try:
        made = names.shard_object(CacheName(cache), BackupId(backup_id), ShardName(shard))
    except BadRequest:
        return
    assert re.fullmatch(r"caches/[A-Za-z0-9][\w-]*/[0-9TZa-f-]+/[0-9]{4}\.rdb\.zst", made, re.ASCII)
    assert made.split("/")[1:3] == [cache, backup_id]
    assert names.checked_segments(made) == tuple(made.split("/"))


@given(HOSTILE)
def test_no_object_name_leads_elsewhere(name: str) -> None:
    """A checked name has no part that is empty, a dot, hidden, or not plain ASCII."""
    try:
        segments = names.checked_segments(ObjectName(name))
    except ValueError:
        return
    for segment in segments:
        assert segment.isascii()
        assert segment.isprintable()
        assert not segment.startswith((".", "-", " "))
        assert "\\" not in segment


@pytest.mark.parametrize("cache", ["", "-x", "a" * 65, "a/b", "a.b", "a\n", "ä", "..", "a b"])
def test_a_cache_s_name_keeps_its_rule(cache: str) -> None:
    """What is no cache name is no folder."""
    with pytest.raises(BadRequest):
        names.backup_folder(CacheName(cache), ID)
