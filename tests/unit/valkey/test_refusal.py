"""What servers refuse with becomes the right error, with a hint that can be typed in."""

import pytest

from daemon.errors import Permanent, Transient
from daemon.valkey.address import parse
from daemon.valkey.refusal import Asked, acl_line, refused

ASKED = Asked(parse("valkey://backup@cache:6379"), "backup")


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        ("LOADING Valkey is loading the dataset in memory", Transient, "cache-loading"),
        ("BUSY Valkey is busy running a script.", Transient, "cache-busy"),
        ("MASTERDOWN Link with PRIMARY is down", Transient, "replica-unlinked"),
        ("NOMASTERLINK Can't SYNC while not connected", Transient, "replica-unlinked"),
        ("MISCONF Errors writing to disk", Transient, "cache-misconf"),
        ("NOAUTH Authentication required.", Permanent, "cache-auth"),
        ("WRONGPASS invalid username-password pair", Permanent, "cache-auth"),
        ("ERR invalid password", Permanent, "cache-auth"),
        ("ERR AUTH <password> called without any password configured", Permanent, "cache-auth"),
        ("NOPERM this user has no permissions", Permanent, "cache-rights"),
        ("ERR unknown command 'BGSAVE', with args", Permanent, "command-unknown"),
        ("ERR max number of clients reached", Transient, "cache-clients"),
        ("ERR something new", Transient, "cache-refused"),
    ],
)
def test_reply_has_one_meaning(reply: str, kind: type[Exception], code: str) -> None:
    """Each refusal is worth another try or not, and says so with a stable code and a hint."""
    error = refused(ASKED, reply, command="BGSAVE")
    assert isinstance(error, kind)
    assert error.code == code
    assert error.hint
    assert "cache:6379" in error.message


def test_missing_right_names_the_line_that_grants_it() -> None:
    """The hint for NOPERM is the very line to type on the server."""
    error = refused(ASKED, "NOPERM …", command="CONFIG GET")
    assert "ACL SETUSER backup +config|get" in error.hint
    assert "CONFIG GET" in error.message


def test_acl_line_names_each_command_once() -> None:
    """Several missing rights make one line."""
    line = acl_line("b", ("PSYNC", "REPLCONF", "PSYNC", "CLIENT LIST"))
    assert line == "ACL SETUSER b +psync +replconf +client|list"


def test_control_characters_of_a_server_do_not_reach_a_terminal() -> None:
    """A server's words are shown on one line and without escape sequences."""
    assert "\x1b" not in refused(ASKED, "ERR \x1b[2J\nboo", command="PING").message
