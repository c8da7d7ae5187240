"""Hooks in the configuration: a command line each, and no setting that would do nothing."""

from pathlib import Path

import pytest

from daemon.config import load
from daemon.config.hooks import hooks_of, seconds_of
from daemon.config.problem import ConfigError

VAULT = '[vaults.main]\nurl = "file:///srv/vault"\n'
HEAD = '[hooks.flush]\nwhen = "before-backup"\ncommand = ["/bin/flush"]\n'
AFTER = '[hooks.flush]\nwhen = "after-restore"\ncommand = ["/bin/flush"]\n'
FILE = Path("v.toml")


def test_a_hook_is_read_with_its_defaults() -> None:
    """A hook needs its time and its command; the rest is what most want."""
    (hook,) = hooks_of(load(VAULT + HEAD, FILE).hooks)
    assert ("flush", "before-backup", "/bin/flush") == (hook.name, hook.when, hook.program)
    assert (60.0, ("*",), "stop") == (hook.timeout_seconds, hook.caches, hook.on_failure)
    assert ("auto", "manual") == hook.kinds


def test_hooks_keep_the_order_of_the_file() -> None:
    """The first one in the file is run first, whatever its name."""
    text = f"{VAULT}{HEAD}" + HEAD.replace("flush]", "a]")
    assert ["flush", "a"] == [hook.name for hook in hooks_of(load(text, FILE).hooks)]


def test_the_log_gets_no_arguments() -> None:
    """What may be a secret stays in the file."""
    text = VAULT + HEAD.replace('"/bin/flush"', '"/bin/flush", "--token=hunter2"')
    assert "hunter2" not in repr(hooks_of(load(text, FILE).hooks))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD.replace("before-b", "befor-b"), "Did you mean 'before-backup'?"),
        (HEAD.replace('["/bin/flush"]', '"/bin/flush"'), "command: is a text"),
        (HEAD.replace('["/bin/flush"]', "[]"), "command: is empty"),
        (HEAD.replace("/bin/flush", "bin/flush"), "command[0]: is not an absolute path"),
        (HEAD.replace("/bin/flush", "flush --now"), "There is no shell"),
        (HEAD.replace("/bin/flush", "/bin/"), "command[0]: is a folder"),
        (HEAD + 'timeout = "3d"\n', 'timeout: is "3d"'),
        (HEAD + 'timeout = "0s"\n', 'timeout: is "0s"'),
        (HEAD + 'tiemout = "3s"\n', "Did you mean 'timeout'?"),
        (HEAD + 'caches = ["a b"]\n', 'caches[0]: has "a b"'),
        (HEAD + "caches = []\n", "caches: is empty"),
        (HEAD + 'kinds = ["saftey"]\n', 'Allowed: a list of these: "auto", "manual", "safety"'),
        (HEAD + 'run_on = ["failed"]\n', "run_on: is for hooks after something"),
        (HEAD + 'on_failure = "continue"\n', 'Allowed: "go-on", "stop"'),
        (AFTER + 'on_failure = "go-on"\n', "what has ended cannot be stopped"),
        (AFTER + 'kinds = ["auto"]\n', "kinds: is for hooks of backups"),
        (AFTER + 'run_on = ["retry"]\n', "which a restore never is"),
        (HEAD.replace("[hooks.flush]", '[hooks."a b"]'), "is not a name"),
    ],
)
def test_a_slip_is_told_with_its_line(text: str, told: str) -> None:
    """Each slip is told with the line and with what is allowed."""
    with pytest.raises(ConfigError) as caught:
        load(VAULT + text, FILE)
    assert told in str(caught.value)
    assert "v.toml:" in str(caught.value)


def test_all_slips_are_told_at_once() -> None:
    """One look at the file is enough to correct all hooks."""
    text = f'{VAULT}{HEAD}timeout = "x"\ncaches = []\n[hooks.b]\nwhen = "never"\n'
    with pytest.raises(ConfigError) as caught:
        load(text, FILE)
    assert 4 == str(caught.value).count("v.toml:")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("24h", 86_400), ("5", None), ("1d", None)]
)
def test_spans(text: str, seconds: int | None) -> None:
    """A span is a number and a unit."""
    assert seconds == seconds_of(text)
