"""Vaults are opened by URL, and keys are never shown."""

import pytest

from daemon.errors import BadRequest
from daemon.storage.factory import VaultSettings, bucket_of, directory_of, open_vault
from daemon.storage.s3_calls import Bucket
from tests.support.offload import THREADS


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///var/backups/valkeep", "/var/backups/valkeep"),
        ("file:///var/backups/", "/var/backups"),
        ("file://localhost/x", "/x"),
        ("file:///with%20space", "/with space"),
    ],
)
def test_a_directory_is_an_absolute_path(url: str, path: str) -> None:
    """A file URL names the directory."""
    assert directory_of(url) == path


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        ("s3://backups", Bucket("backups", "", "s3://backups")),
        ("s3://backups/", Bucket("backups", "", "s3://backups")),
        ("s3://b.c-d/team/a_b", Bucket("b.c-d", "team/a_b/", "s3://b.c-d/team/a_b")),
    ],
)
def test_a_bucket_may_have_a_prefix(url: str, bucket: Bucket) -> None:
    """An s3 URL names bucket and prefix; the prefix is a folder."""
    assert bucket_of(url) == bucket


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/backups",
        "http://x/y",
        "file://host/x",
        "file://relative",
        "file:///x?y",
        "file:///x%00",
        "s3://",
        "s3:///prefix",
        "s3://UPPER",
        "s3://bucket/a/../b",
        "s3://bucket/a//b",
        "s3://bucket/a?versionId=1",
        "s3://key:s3cr3t@bucket/x",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    """A URL that is none is refused with an example, and without what may be a key."""
    with pytest.raises(BadRequest) as refused:
        open_vault(VaultSettings(url), THREADS, lambda: 0.5)
    assert refused.value.hint
    assert "s3cr3t" not in refused.value.message


def test_settings_do_not_show_their_keys() -> None:
    """Neither key appears when settings are printed."""
    settings = VaultSettings("s3://b", access_key_id="AKIA1", secret_access_key="s3cr3t")
    assert "s3cr3t" not in f"{settings!r} {settings}"
    assert "AKIA1" not in f"{settings!r} {settings}"
