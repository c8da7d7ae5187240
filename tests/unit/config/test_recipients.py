"""Encryption in the configuration: recipients are checked when the file is read."""

from pathlib import Path

import pytest

from daemon.config import ConfigError, Problem, load
from events.facts import VaultName
from tests.support.keys import BOTH, IDENTITY, RECIPIENT

FILE = Path("/etc/valkeep/config.toml")
MAIN = VaultName("main")


def vault(*recipients: str, url: str = "file:///var/backups/valkeep") -> str:
    """A configuration with these recipients, each on a line of its own from the fourth on."""
    lines = "".join(f'  "{recipient}",\n' for recipient in recipients)
    return f'[vaults.main]\nurl = "{url}"\nrecipients = [\n{lines}]\n'


def problems(text: str) -> tuple[Problem, ...]:
    """What is wrong with it."""
    with pytest.raises(ConfigError) as refused:
        load(text, FILE)
    assert IDENTITY[16:40] not in refused.value.message.upper()
    return refused.value.problems


@pytest.mark.parametrize("url", ["file:///var/backups/valkeep", "s3://team-bucket/valkeep"])
def test_recipients_are_taken_for_every_kind_of_vault(url: str) -> None:
    """A directory and a bucket may both be encrypted, with or without an identity for reading."""
    config = load(vault(*BOTH, url=url), FILE)
    assert (BOTH, None) == (config.vaults[MAIN].recipients, config.vaults[MAIN].identity_file)
    config = load(vault(*BOTH, url=url) + 'identity_file = "/etc/valkeep/identity"\n', FILE)
    assert "/etc/valkeep/identity" == config.vaults[MAIN].identity_file


def test_without_recipients_nothing_is_encrypted() -> None:
    """No list and an empty list are the same; an identity alone is for reading old backups."""
    for more in ("", "recipients = []\n", 'identity_file = "/i"\n'):
        config = load(f'[vaults.main]\nurl = "file:///v"\n{more}', FILE)
        assert () == config.vaults[MAIN].recipients


WRONG = {
    "a slip": (RECIPIENT[:-1] + "q", "checksum"),
    "a secret": (IDENTITY, "secret"),
    "a secret in lower case": (IDENTITY.lower(), "secret"),
    "an SSH key": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "SSH"),
    "upper case": (RECIPIENT.upper(), "not a recipient"),
    "nothing": ("", "not a recipient"),
    "a plugin": ("age1yubikey1q2w3l07cu0", "recipient"),
    "a space": (f" {RECIPIENT}", "not a recipient"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_recipient_is_refused_with_its_line(case: str) -> None:
    """Each wrong recipient is told with its place in the list and its line, and not shown."""
    text, told = WRONG[case]
    (problem,) = problems(vault(RECIPIENT, text))
    assert ("vaults.main.recipients[1]", 5) == (problem.setting, problem.line)
    assert told in problem.wrong
    assert problem.allowed
    assert not text.strip() or text not in f"{problem}"


def test_a_recipient_twice_is_a_slip() -> None:
    """Two equal lines were meant to be two keys."""
    (problem,) = problems(vault(RECIPIENT, RECIPIENT))
    assert ("vaults.main.recipients[1]", 5) == (problem.setting, problem.line)


def test_an_identity_file_is_named_by_its_whole_path() -> None:
    """A relative path is refused; and the secret itself in its place is not shown."""
    for text in ("identity", IDENTITY):
        (problem,) = problems(f'[vaults.main]\nurl = "file:///v"\nidentity_file = "{text}"\n')
        assert "absolute path" in problem.wrong
