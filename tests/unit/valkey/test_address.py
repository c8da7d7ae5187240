"""A cache's URL is read strictly, and a password in it is refused without being repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import BadRequest
from daemon.valkey.address import Address, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("valkey://cache.example", Address("cache.example", 6379)),
        ("valkey://cache.example:7000/", Address("cache.example", 7000)),
        ("redis://10.0.0.7:6380", Address("10.0.0.7", 6380)),
        ("valkey://backup@cache", Address("cache", 6379, user="backup")),
        ("valkey://a%40b@cache", Address("cache", 6379, user="a@b")),
        ("valkey://[2001:db8::7]:6380", Address("2001:db8::7", 6380)),
        ("valkey://[::1]", Address("::1", 6379)),
        ("valkeys://backup@cache:7000", Address("cache", 7000, user="backup", tls=True)),
        ("rediss://[::1]", Address("::1", 6379, tls=True)),
        ("unix:///run/valkey/valkey.sock", Address(socket="/run/valkey/valkey.sock")),
        ("unix:///run/v.sock?user=backup", Address(socket="/run/v.sock", user="backup")),
        ("unix:///run/a%20b.sock", Address(socket="/run/a b.sock")),
    ],
)
def test_url_names_a_node(url: str, expected: Address) -> None:
    """TCP with a name, IPv4 or IPv6, and Unix sockets are understood, each with a user."""
    assert expected == parse(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("valkey://:hunter2@cache", "password_file"),
        ("valkey://backup:hunter2@cache", "password_file"),
        ("redis://backup:@cache", "password_file"),
        ("unix:///run/v.sock?password=hunter2", "password_file"),
        ("valkeys://:hunter2@cache", "password_file"),
        ("rediss://cache/3?x=hunter2", "parameters"),
        ("http://hunter2", "scheme"),
        ("hunter2:6379", "scheme"),
        ("", "scheme"),
        ("valkey://", "no host"),
        ("valkey://hunter2/3", "database"),
        ("valkey://hunter2:99999", "port"),
        ("valkey://hunter2:0", "port"),
        ("valkey://hunter2:x", "port"),
        ("valkey://[hunter2", "host"),
        ("valkey://hunter2?timeout=3", "parameters"),
        ("valkey://hunter2#x", "fragment"),
        ("valkey://hun ter2", "space"),
        ("unix://hunter2/sock", "three slashes"),
        ("unix:///sock?db=hunter2", "other than user"),
        ("unix:///sock?user=", "user name"),
        ("unix:///" + "hunter2" * 20, "107"),
    ],
)
def test_bad_url_is_refused_without_being_repeated(url: str, says: str) -> None:
    """What is wrong is said with what to do, and no part of the URL stands in the message."""
    with pytest.raises(BadRequest) as refused:
        parse(url)
    told = f"{refused.value.message} {refused.value.hint}"
    assert says in told
    assert "hunter2" not in told
    assert refused.value.code == "cache-url"


@given(st.text())
def test_any_text_is_an_address_or_a_bad_request(text: str) -> None:
    """Whatever is given as a URL, no other error than the refusal comes of it."""
    for url in (text, f"valkey://{text}", f"unix://{text}", f"rediss://{text}"):
        try:
            address = parse(url)
        except BadRequest:
            continue
        assert parse(str(address)) == address


def test_loopback_is_told_from_elsewhere() -> None:
    """Unix sockets and 127.0.0.0/8 are on this host, names are taken by their word."""
    assert parse("unix:///run/v.sock").loopback
    assert parse("valkey://127.8.9.1").loopback
    assert parse("valkey://[::1]:1").loopback
    assert not parse("valkey://10.0.0.1").loopback
