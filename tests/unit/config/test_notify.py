"""``[notify]`` and ``[channels.NAME]``: what they mean, and what is wrong with them."""

from pathlib import Path

import pytest

from daemon.app.messages import notifications
from daemon.config import load
from daemon.config.notify import GROUPS, kinds, seconds
from daemon.config.problem import ConfigError
from events.alarms import DEFAULT_KINDS, KINDS, Channel, ChannelName, Manner

PATH = Path("v.toml")
VAULT = '[vaults.main]\nurl = "file:///b"\n'


def test_a_channel_takes_two_lines() -> None:
    """A name and where its address is kept are enough; the rest is what a person wants at night."""
    config = load(f'{VAULT}[channels.ops]\nurl_file = "/etc/ops.url"\n', PATH)
    told = notifications(config, "backup01")

    assert Manner("backup01", 60, 86_400, "mon 09:00", "UTC") == told.manner
    assert (Channel(ChannelName("ops"), DEFAULT_KINDS),) == told.channels


def test_every_setting_is_taken_over() -> None:
    """What is said in the file is what the ledger is told, but for the addresses."""
    text = f"""{VAULT}
[notify]
name = "east"
group_wait = "30s"
repeat_every = "12h"
weekly = "off"
timezone = "Europe/Paris"
[channels.ops]
url_env = "OPS_URL"
on = ["notices", "vault"]
caches = ["shop-*"]
level = "critical"
recovered = false
weekly = false
"""
    told = notifications(load(text, PATH), "backup01")

    assert Manner("east", 30, 43_200, "", "Europe/Paris") == told.manner
    wanted = ("vault", "restore-started", "restore-completed", "deleted", "removed")
    channel = Channel(
        ChannelName("ops"), wanted, ("shop-*",), "critical", recovered=False, weekly=False
    )
    assert (channel,) == told.channels


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Each mistake has its line and what would be right; no address is ever shown."""
    text = f"""{VAULT}
[notify]
group_wait = "soon"
repeat_every = "5m"
weekly = "monday 9"
timezone = "Europe/Pari"
heartbeat_url_file = "beat.url"
heartbeat_while = "okay"
[channels.ops]
url = "json://host/CANARY"
on = ["abandonned"]
caches = ["shop/*"]
[channels.both]
url_file = "/a"
url_env = "B"
on = []
"""
    with pytest.raises(ConfigError) as wrong:
        load(text, PATH)

    told = wrong.value.message
    assert "CANARY" not in told
    for line in (
        'v.toml:5: notify.group_wait: is "soon"',
        'v.toml:6: notify.repeat_every: is "5m"',
        'v.toml:7: notify.weekly: is "monday 9"',
        "v.toml:8: notify.timezone: there is no time zone",
        "v.toml:9: notify.heartbeat_url_file: is not an absolute path",
        'v.toml:10: notify.heartbeat_while: is "okay"',
        "v.toml:11: channels.ops: has no address",
        "v.toml:12: channels.ops.url: a secret does not belong in this file",
        'v.toml:13: channels.ops.on[0]: has "abandonned"',
        "Did you mean 'abandoned'?",
        'v.toml:14: channels.ops.caches[0]: has "shop/*"',
        "v.toml:17: channels.both.url_env: is set beside url_file",
        "v.toml:18: channels.both.on: is empty",
    ):
        assert line in told, told


@pytest.mark.parametrize(
    ("text", "meant"),
    [("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("5", None), ("-1m", None)],
)
def test_lengths_are_written_with_a_unit(text: str, meant: int | None) -> None:
    """A number alone is no length of time."""
    assert meant == seconds(text)


def test_groups_are_kinds() -> None:
    """Each word for several kinds means kinds that there are, once each."""
    for group, meant in GROUPS.items():
        assert set(meant) <= set(KINDS)
        assert kinds((group, group)) == tuple(kind for kind in KINDS if kind in meant)
