"""TLS without a network: two ends that are handed each other's bytes, in portions of any size."""

import ssl
from pathlib import Path

import pytest

from daemon.valkey.tls import Tls, client_context, server_context
from daemon.valkey.tunnel import READ_BYTES, Tunnel
from tests.support.tls import Authority

LARGE = bytes(range(256)) * (READ_BYTES // 128)
"""Twice of what one reading gives."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs."""
    return Authority(tmp_path_factory.mktemp("ca"))


def ends(authority: Authority, *, server_name: str = "cache.example") -> tuple[Tunnel, Tunnel]:
    """A client's and a server's; the server's certificate is for ``cache.example``."""
    pair = authority.issue("server", "cache.example")
    serving = server_context(Tls(cert_file=pair.cert_file, key_file=pair.key_file))
    asking = client_context(Tls(ca_file=authority.ca_file))
    return Tunnel(asking, server_name=server_name), Tunnel(serving)


def carry(source: Tunnel, *, sink: Tunnel, portion_bytes: int) -> list[bytes | None]:
    """Hand on all that is to be sent, and read after each portion of it."""
    data = source.outgoing()
    found = []
    for start in range(0, len(data), portion_bytes):
        sink.take(data[start : start + portion_bytes])
        found.append(sink.read())
    return found


def agree(client: Tunnel, *, server: Tunnel) -> None:
    """The whole handshake, in portions of one byte."""
    turns = [(client, server), (server, client)]
    over = {id(client): False, id(server): False}
    while not all(over.values()):
        for mover, other in turns:
            over[id(mover)] = over[id(mover)] or mover.shake_hands()
            for byte in mover.outgoing():
                other.take(bytes([byte]))


@pytest.mark.parametrize("portion_bytes", [1, 7, 16_401, 1 << 22])
def test_what_goes_in_comes_out(authority: Authority, portion_bytes: int) -> None:
    """However the network cuts it, the other end reads what was written, in both directions."""
    client, server = ends(authority)
    agree(client, server=server)
    said = LARGE if portion_bytes > 7 else LARGE[:40_000]

    for source, sink in ((client, server), (server, client)):
        source.write(said)
        parts = carry(source, sink=sink, portion_bytes=portion_bytes)
        while sink.more:
            parts.append(sink.read())
        assert said == b"".join(part for part in parts if part)


def test_words_that_come_with_the_handshakes_end_are_not_left_lying(authority: Authority) -> None:
    """A client that speaks at once is heard, though nothing comes after its first words."""
    client, server = ends(authority)
    client.shake_hands()
    server.take(client.outgoing())
    server.shake_hands()
    client.take(server.outgoing())
    assert client.shake_hands()
    client.write(b"AUTH secret\r\n")
    server.take(client.outgoing())

    assert server.shake_hands()
    assert server.more
    assert b"AUTH secret\r\n" == server.read()


@pytest.mark.parametrize("goodbye", [True, False])
def test_an_end_is_told_after_the_last_byte(authority: Authority, *, goodbye: bool) -> None:
    """What was sent before the end is read first; with or without a goodbye it is an end."""
    client, server = ends(authority)
    agree(client, server=server)
    server.write(b"last words")
    if goodbye:
        server.goodbye()
    client.take(server.outgoing())
    client.take(b"")

    assert b"last words" == client.read()
    assert b"" == client.read()


def test_a_changed_bit_is_never_read(authority: Authority) -> None:
    """A record that was changed on the way raises; no byte of it comes out."""
    client, server = ends(authority)
    agree(client, server=server)
    server.write(b"x" * 1000)
    sent = bytearray(server.outgoing())
    sent[500] ^= 1
    client.take(bytes(sent))

    with pytest.raises(ssl.SSLError):
        client.read()


def test_the_other_side_is_told_why(authority: Authority) -> None:
    """Who refuses a certificate leaves an alert for the one who showed it."""
    client, server = ends(authority, server_name="other.example")
    client.shake_hands()
    server.take(client.outgoing())
    server.shake_hands()
    client.take(server.outgoing())
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        client.shake_hands()

    server.take(client.outgoing())
    with pytest.raises(ssl.SSLError, match="ALERT"):
        server.shake_hands()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_versions_before_1_2_are_not_spoken(authority: Authority, version: ssl.TLSVersion) -> None:
    """Neither as a client nor as a server do we agree on less than TLS 1.2."""
    pair = authority.issue("server", "cache.example")
    for context in (
        client_context(Tls(ca_file=authority.ca_file)),
        server_context(Tls(cert_file=pair.cert_file, key_file=pair.key_file)),
    ):
        assert context.minimum_version > version


def test_a_client_always_verifies(authority: Authority, tmp_path: Path) -> None:
    """There is no way to a context that takes any certificate or any name."""
    for tls in (Tls(), Tls(ca_file=authority.ca_file), Tls(server_name="x")):
        context = client_context(tls)
        assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)
