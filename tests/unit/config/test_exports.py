"""Places for exports in the configuration: as a vault is said, and none that a vault is in."""

from pathlib import Path

import pytest

from daemon.config import load
from daemon.config.problem import ConfigError

VAULT = '[vaults.main]\nurl = "file:///srv/vault"\n'
KEYS = 'access_key_id_env = "K"\nsecret_access_key_file = "/s"\n'


def test_entry_is_read() -> None:
    """An entry has a URL and the settings of S3."""
    text = f'{VAULT}[exports.warehouse]\nurl = "s3://team/rdb"\nregion = "eu-west-3"\n{KEYS}'
    entry = load(text, Path("v.toml")).exports["warehouse"]
    assert ("s3://team/rdb", "eu-west-3") == (entry.url, entry.region)
    assert ("K", "/s") == (entry.access_key_id_env, entry.secret_access_key_file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "url is missing"),
        ('url = "s3://team/rdb"\nregon = "x"\n', "Did you mean 'region'?"),
        ('url = "ftp://team/rdb"\n', "has a scheme that is not known"),
        ('url = "team/rdb"\n', "is not the URL of a place to export to"),
        ('url = "s3://key:word@team/rdb"\n', "holds an access key"),
        ('url = "file:///srv/vault/rdb"\n', "lies in vaults.main"),
        ('url = "file:///srv/rdb"\nregion = "x"\n', "is for S3 only"),
        ('url = "s3://team/rdb"\naccess_key_id_env = "K"\n', "has access_key_id alone"),
        ('url = "s3://team/rdb"\nrecipients = ["age1"]\n', "there is no such setting"),
        ('url = "s3://team/rdb"\nsecret_access_key = "x"\n', "a secret does not belong"),
        ('url = "s3://team/rdb"\nsse_kms_key_id = "k"\n', "that nothing is encrypted with"),
    ],
)
def test_entry_that_cannot_be(text: str, told: str) -> None:
    """Each slip is told with what is allowed, and no secret is shown."""
    with pytest.raises(ConfigError) as caught:
        load(f"{VAULT}[exports.warehouse]\n{text}", Path("v.toml"))
    assert told in str(caught.value)
    assert "word" not in str(caught.value)


def test_all_wrong_entries_are_told_at_once() -> None:
    """One look at the file is enough to correct all entries."""
    text = f'{VAULT}[exports.a]\nurl = "x"\n[exports."b b"]\nurl = "file:///srv/vault"\n'
    with pytest.raises(ConfigError) as caught:
        load(text, Path("v.toml"))
    assert [4, 5, 6] == [problem.line for problem in caught.value.problems]
