"""Where metrics may be asked for: the loopback only, and what else is said is refused."""

from pathlib import Path

import pytest

from daemon.config import ConfigError, load
from daemon.config.loopback import loopback

VAULT = '[vaults.main]\nurl = "file:///v"\n'


@pytest.mark.parametrize("text", ["", "127.0.0.1:9464", "127.8.9.1:1", "[::1]:65535"])
def test_a_port_of_the_loopback_is_taken(text: str) -> None:
    """Any address of the loopback with a port, or nothing, is allowed."""
    assert loopback(text) is None
    assert load(f'{VAULT}[metrics]\nlisten = "{text}"\n', Path("f")).metrics.listen == text


@pytest.mark.parametrize("text", ["0.0.0.0:9464", "10.0.0.7:9464", "[::]:9464", "[2001:db8::1]:1"])
def test_what_others_can_reach_is_refused_with_the_reason(text: str) -> None:
    """There are no passwords there, so an address that others can reach is told as that."""
    with pytest.raises(ConfigError) as caught:
        load(f'{VAULT}[metrics]\nlisten = "{text}"\n', Path("f"))
    assert "nobody is asked who he is" in caught.value.message
    assert "f:4: metrics.listen" in caught.value.message
    assert "127.0.0.1:9464" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "9464",
        ":9464",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:http",
        "::1:9464",
        "[127.0.0.1]:9464",
        "[::1]",
        "localhost:9464",
        "http://127.0.0.1:9464",
        " 127.0.0.1:9464",
    ],
)
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    """A name, a missing half and a port that there is not are refused with what is allowed."""
    wrong = loopback(text)
    assert wrong is not None
    assert "127.0.0.1:9464" in wrong.allowed


def test_a_slip_is_told_with_the_nearest_name() -> None:
    """A setting that is nearly one of the section's is told with the line and the right name."""
    with pytest.raises(ConfigError) as caught:
        load(f'{VAULT}[metrics]\nlisen = "127.0.0.1:9464"\n', Path("f"))
    assert "Did you mean 'listen'?" in caught.value.message
