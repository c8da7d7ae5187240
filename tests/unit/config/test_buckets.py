"""The settings of a bucket against each other, and against what retention would do to it."""

from pathlib import Path

import pytest

from daemon.config import ConfigError, load
from events.facts import VaultName

FILE = Path("/etc/valkeep/config.toml")
BUCKET = '[vaults.main]\nurl = "s3://team-bucket/valkeep"\n'
CACHE = '[caches.orders]\nurl = "valkey://127.0.0.1:6379"\n[caches.orders.policy]\nauto = true\n'
LOCK = 'object_lock = "governance"\nobject_lock_days = 30\n'
KEY = 'access_key_id_env = "A"\nsecret_access_key_env = "B"\n'


def told(text: str) -> list[tuple[str, str]]:
    """What is wrong: the setting, and all that is said of it."""
    with pytest.raises(ConfigError) as refused:
        load(text, FILE)
    return [(problem.setting, str(problem)) for problem in refused.value.problems]


def test_everything_that_a_bucket_can_be_told_arrives() -> None:
    """Settings of a bucket that fit together are what the vault is opened with."""
    config = load(
        BUCKET
        + LOCK
        + 'tls_ca_file = "/etc/ca.pem"\nchecksum = "sha256"\nsse = "aws:kms"\n'
        + 'sse_kms_key_id = "arn:aws:kms:eu-west-3:111122223333:alias/backups"\n'
        + 'storage_class = "GLACIER_IR"\n',
        FILE,
    )
    vault = config.vaults[VaultName("main")]
    assert (vault.sse, vault.storage_class, vault.checksum) == ("aws:kms", "GLACIER_IR", "sha256")
    assert (vault.object_lock, vault.object_lock_days) == ("governance", 30)


WRONG = [
    ('object_lock = "governance"\n', "object_lock", "object_lock_days"),
    ("object_lock_days = 3\n", "object_lock_days", "object_lock"),
    ('object_lock = "govern"\nobject_lock_days = 3\n', "object_lock", '"governance"'),
    ('object_lock = "governance"\nobject_lock_days = 0\n', "object_lock_days", "from 1 to"),
    ('sse_kms_key_id = "alias/x"\n', "sse_kms_key_id", 'sse = "aws:kms"'),
    ('sse = "AES256"\nsse_kms_key_id = "alias/x"\n', "sse_kms_key_id", 'sse = "aws:kms"'),
    ('sse = "aws:kms"\nsse_kms_key_id = "a key"\n', "sse_kms_key_id", "alias/NAME"),
    ('sse = "kms"\n', "sse", '"aws:kms"'),
    ('storage_class = "GLACIER"\n', "storage_class", "GLACIER_IR"),
    ('storage_class = "DEEP_ARCHIVE"\n', "storage_class", "restored"),
    ('storage_class = "standard-ia"\n', "storage_class", "STANDARD_IA"),
    ('checksum = "crc64"\n', "checksum", '"crc32c"'),
    ('tls_ca_file = "ca.pem"\n', "tls_ca_file", "absolute"),
    ('endpoint_url = "http://h"\ntls_ca_file = "/ca.pem"\n', "tls_ca_file", "https://"),
    ('session_token_env = "T"\n', "session_token_env", "both halves"),
    (
        f'{KEY}session_token_env = "T"\nsession_token_file = "/t"\n',
        "session_token_env",
        "one of the two",
    ),
]


@pytest.mark.parametrize(("lines", "setting", "part"), WRONG)
def test_settings_that_do_not_fit_are_refused(lines: str, setting: str, part: str) -> None:
    """Each is told where it is to be corrected, with what is allowed."""
    ((where, text),) = told(BUCKET + lines)
    assert where == f"vaults.main.{setting}"
    assert part in text


def test_a_folder_takes_no_settings_of_a_bucket() -> None:
    """What S3 alone can do is refused for a directory."""
    text = '[vaults.main]\nurl = "file:///var/backups"\nstorage_class = "STANDARD_IA"\n'
    ((where, said),) = told(text)
    assert where == "vaults.main.storage_class"
    assert "S3 only" in said


@pytest.mark.parametrize(("days", "fits"), [("", False), ("29", False), ("30", True), ("99", True)])
def test_retention_may_not_end_before_the_lock(days: str, *, fits: bool) -> None:
    """A backup that the bucket holds longer than the policy does is told before it is made."""
    text = BUCKET + LOCK + CACHE + (f"retention_days = {days}\n" if days else "")
    if fits:
        load(text, FILE)
        return
    ((where, said),) = told(text)
    assert where.startswith("caches.orders.policy")
    assert "30 days" in said


def test_a_lock_concerns_the_caches_of_its_vault() -> None:
    """Another vault's caches may keep their backups as long or as short as they like."""
    other = '[vaults.other]\nurl = "file:///var/backups"\n'
    elsewhere = CACHE.replace("6379", "6379", 1).replace(
        "[caches.orders.policy]", 'vault = "other"\n[caches.orders.policy]'
    )
    load(BUCKET + LOCK + other + elsewhere, FILE)
    assert told(BUCKET + LOCK + other + elsewhere.replace('"other"', '"main"'))
