"""Caches in TLS: both sources give the whole data, and each thing that is wrong is told apart."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import structs

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.connection import Timeouts, login
from daemon.valkey.dial import open_wire
from daemon.valkey.engine import Engine
from daemon.valkey.tls import Tls, server_context
from events.facts import CacheSettings, SourceKind, VaultName
from tests.support.servers import Node, command, digest, fill, start_node
from tests.support.sources import SHORT, Board, caches, loaded, take
from tests.support.tampering import FlipAt, tampered
from tests.support.tls import (
    HERE,
    TLS_ENGINES,
    Authority,
    Pair,
    installed,
    speaking_tls,
    tls_url,
)

pytestmark = pytest.mark.anyio

SOURCES: tuple[SourceKind, ...] = ("bgsave", "replication")
QUICK = Timeouts(connect=0.5, command=5.0, stall=5.0)
LARGE_BYTES = 64 << 20


@pytest.fixture(scope="module", params=TLS_ENGINES)
async def engine(request: pytest.FixtureRequest) -> Engine:
    """Debian's, which speaks TLS."""
    return await installed(request.param)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Ours."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority, which nobody trusts."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    """What we show."""
    return authority.issue("client")


@pytest.fixture(scope="module")
async def strict(
    engine: Engine, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A filled server that wants a certificate of its clients."""
    pair = authority.issue("strict", *HERE)
    settings = speaking_tls(authority, pair, clients="yes")
    async with start_node(engine, tmp_path_factory.mktemp("strict"), **settings) as node:
        filler = node.client()
        await fill(filler)
        await filler.aclose()
        yield node


def cache(node: Node, authority: Authority, pair: Pair | None = None) -> CacheSettings:
    """A cache that is reached in TLS."""
    return CacheSettings(
        url=tls_url(node),
        vault=VaultName("main"),
        source="replication",
        tls_ca_file=authority.ca_file,
        tls_cert_file=pair.cert_file if pair else None,
        tls_key_file=pair.key_file if pair else None,
    )


async def failures(settings: CacheSettings) -> tuple[Failed, Failed]:
    """What a look at it and a snapshot of it fail with."""
    with pytest.raises(Failed) as looked:
        await caches(timeouts=QUICK).probe(settings)
    with pytest.raises(Failed) as taken:
        await take(caches(timeouts=QUICK), settings)
    return looked.value, taken.value


@pytest.mark.parametrize("source", SOURCES)
async def test_both_sources_give_the_whole_data(
    *,
    source: SourceKind,
    engine: Engine,
    strict: Node,
    authority: Authority,
    client: Pair,
    tmp_path: Path,
) -> None:
    """With a private authority and a client's certificate, a snapshot loads to equal data."""
    asked = strict.client()
    expected = await digest(asked)
    await asked.aclose()
    settings = structs.replace(cache(strict, authority, client), source=source)

    snap = await take(caches(), settings)

    assert source == snap.facts.source
    assert expected == await loaded(engine, snap.data, tmp_path / "loaded")


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_both_versions_and_both_framings(
    engine: Engine, authority: Authority, protocol: str, diskless: str, tmp_path: Path
) -> None:
    """TLS 1.2 and 1.3, with the length told and with a mark at the end: the data comes whole."""
    pair = authority.issue("versions", *HERE)
    configured = speaking_tls(authority, pair, tls_protocols=protocol)
    async with start_node(
        engine, tmp_path / "node", repl_diskless_sync=diskless, **configured
    ) as node:
        asked = node.client()
        await command(asked, "DEBUG", "POPULATE", 20_000, "k", 400)
        expected = await digest(asked)
        await asked.aclose()
        snap = await take(caches(), cache(node, authority))
        assert expected == await loaded(engine, snap.data, tmp_path / "loaded")


class Wrong(NamedTuple):
    """Something that is wrong with a cache's TLS, and what it is told as."""

    change: Callable[[CacheSettings, "Things"], CacheSettings]
    code: str
    hint: str
    permanent: bool = True


class Things(NamedTuple):
    """What a cache can be set up wrongly with."""

    node: Node
    authority: Authority
    stranger: Authority
    client: Pair
    folder: Path

    def file(self, name: str, text: str | bytes, mode: int = 0o600) -> str:
        """A file with that in it."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return str(path)


def _pair(settings: CacheSettings, pair: Pair) -> CacheSettings:
    return structs.replace(settings, tls_cert_file=pair.cert_file, tls_key_file=pair.key_file)


def _plain_port(settings: CacheSettings, things: Things) -> CacheSettings:
    return structs.replace(settings, url=f"valkeys://127.0.0.1:{things.node.port}")


def _plain_url(settings: CacheSettings, things: Things) -> CacheSettings:
    return CacheSettings(url=settings.url.replace("valkeys", "valkey"), vault=settings.vault)


def _open_key(settings: CacheSettings, things: Things) -> CacheSettings:
    key = things.file("open.key", Path(things.client.key_file).read_bytes(), mode=0o644)
    return structs.replace(settings, tls_key_file=key)


def _encrypted_key(settings: CacheSettings, things: Things) -> CacheSettings:
    key = load_pem_private_key(Path(things.client.key_file).read_bytes(), None)
    closed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
    )
    return structs.replace(settings, tls_key_file=things.file("encrypted.key", closed))


REPLACE = structs.replace
WRONG = {
    "another authority": Wrong(
        lambda s, t: REPLACE(s, tls_ca_file=t.stranger.ca_file), "tls-untrusted", "does /"
    ),
    "whom the system trusts": Wrong(
        lambda s, _: REPLACE(s, tls_ca_file=None), "tls-untrusted", "set tls_ca_file"
    ),
    "another name": Wrong(
        lambda s, _: REPLACE(s, tls_server_name="elsewhere"), "tls-name", "tls_server_name"
    ),
    "no certificate": Wrong(
        lambda s, _: REPLACE(s, tls_cert_file=None, tls_key_file=None),
        "tls-client-certificate",
        "set tls_cert_file",
    ),
    "a stranger's certificate": Wrong(
        lambda s, t: _pair(s, t.stranger.issue("client")),
        "tls-client-certificate",
        "tls-ca-cert-file",
    ),
    "an expired certificate": Wrong(
        lambda s, t: _pair(s, t.authority.issue("old", expired=True)),
        "tls-client-certificate",
        "renew it",
    ),
    "TLS to a plain port": Wrong(_plain_port, "tls-not-spoken", "tls-port"),
    "plain to a port with TLS": Wrong(_plain_url, "tls-wanted", "valkeys://"),
    "no such file": Wrong(
        lambda s, _: REPLACE(s, tls_ca_file="/nowhere/ca.pem"), "tls-file", "check path"
    ),
    "a folder": Wrong(lambda s, t: REPLACE(s, tls_ca_file=str(t.folder)), "tls-file", "check path"),
    "no certificate in it": Wrong(
        lambda s, t: REPLACE(s, tls_ca_file=t.file("ca", "nothing")), "tls-file", "PEM"
    ),
    "no key in it": Wrong(
        lambda s, t: REPLACE(s, tls_key_file=t.file("k", "nothing")), "tls-file", "PEM"
    ),
    "a key that others may read": Wrong(_open_key, "tls-key-open", "chmod"),
    "an encrypted key": Wrong(_encrypted_key, "tls-file", "openssl pkey"),
    "a key of another certificate": Wrong(
        lambda s, t: REPLACE(s, tls_key_file=t.authority.issue("another").key_file),
        "tls-rotation",
        "put the pair in place",
        permanent=False,
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_told_apart(
    *,
    wrong: Wrong,
    strict: Node,
    authority: Authority,
    stranger: Authority,
    client: Pair,
    tmp_path: Path,
) -> None:
    """Each cause has its code and says what to do; for good, where somebody must act."""
    things = Things(strict, authority, stranger, client, tmp_path)
    settings = wrong.change(cache(strict, authority, client), things)

    for failed in await failures(settings):
        assert (wrong.code, wrong.permanent) == (failed.code, failed.permanent), failed.message
        assert wrong.hint in failed.hint
        assert "PRIVATE KEY" not in f"{failed.message} {failed.hint}"


@pytest.mark.parametrize(
    ("identities", "expired", "code"),
    [
        (HERE, True, "tls-expired"),
        (("cache.example",), False, "tls-name"),
    ],
)
async def test_a_server_with_a_certificate_that_does_not_fit(
    *,
    engine: Engine,
    authority: Authority,
    tmp_path: Path,
    identities: tuple[str, ...],
    expired: bool,
    code: str,
) -> None:
    """An expired certificate and one for another host are refused, by both kinds of connection."""
    pair = authority.issue("misfit", *identities, expired=expired)
    async with start_node(engine, tmp_path, **speaking_tls(authority, pair)) as node:
        settings = cache(node, authority)
        for failed in await failures(settings):
            assert (code, True) == (failed.code, failed.permanent)
        with pytest.raises(Permanent) as wired:
            await open_wire(login(settings, lambda _: None), 5)
        assert code == wired.value.code
        if code == "tls-name":
            named = structs.replace(settings, tls_server_name="cache.example")
            assert (await caches().probe(named)).server.keys == {}
            assert (await take(caches(), named)).data


@asynccontextmanager
async def begun(
    node: Node, settings: CacheSettings, limits: Timeouts = SHORT
) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
    """The rest of a large snapshot, of which the first portion has been read."""
    filler = node.client()
    await filler.config_set("rdbcompression", "no")
    await command(filler, "DEBUG", "POPULATE", 2000, "large", LARGE_BYTES // 2000)
    await filler.aclose()
    async with (
        caches(timeouts=limits).snapshot(settings, Board()) as snapshot,
        aclosing(snapshot.chunks()) as chunks,
    ):
        assert await anext(chunks)
        yield chunks


async def rest_of(chunks: AsyncGenerator[bytes, None]) -> str:
    """The code that reading on fails with, in passing."""
    with pytest.raises(Transient) as raised:
        async for _ in chunks:
            pass
    return raised.value.code


@pytest.fixture
async def easy(engine: Engine, authority: Authority, tmp_path: Path) -> AsyncGenerator[Node, None]:
    """A server of the test's own that wants no certificate of its clients."""
    settings = speaking_tls(authority, authority.issue("easy", *HERE))
    async with start_node(engine, tmp_path / "easy", **settings) as node:
        yield node


async def test_a_server_killed_in_the_middle_is_no_whole_snapshot(
    easy: Node, authority: Authority
) -> None:
    """A stream that ends because the server died is a failed attempt."""
    async with begun(easy, cache(easy, authority)) as chunks:
        await easy.kill()
        assert "source-ended-early" == await rest_of(chunks)


async def test_a_server_that_freezes_is_noticed(easy: Node, authority: Authority) -> None:
    """A stream that stops without ending fails after the stall limit."""
    async with begun(easy, cache(easy, authority)) as chunks:
        easy.pause()
        assert "source-stalled" == await rest_of(chunks)


class CutAt:
    """Ends the connection after so many bytes, without TLS' goodbye."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, data: bytes) -> bytes:
        """The data, while there is some to be handed on."""
        if self._left <= 0:
            raise anyio.BrokenResourceError
        self._left -= len(data)
        return data


async def test_a_cut_without_a_goodbye_is_no_whole_snapshot(
    easy: Node, authority: Authority
) -> None:
    """A connection that ends on the way, as an attacker could end it, is a failed attempt."""
    port = int(easy.settings["tls-port"])
    async with tampered(port, to_client=CutAt(20 << 20)) as way:
        settings = structs.replace(cache(easy, authority), url=f"valkeys://127.0.0.1:{way}")
        async with begun(easy, settings) as chunks:
            assert "source-ended-early" == await rest_of(chunks)


async def test_a_bit_that_was_changed_on_the_way_is_noticed(
    easy: Node, authority: Authority
) -> None:
    """Nothing that was changed on the way comes through."""
    flip = FlipAt(20 << 20)
    flip._begun = True
    async with tampered(int(easy.settings["tls-port"]), to_client=flip) as way:
        settings = structs.replace(cache(easy, authority), url=f"valkeys://127.0.0.1:{way}")
        async with begun(easy, settings) as chunks:
            assert "tls-broken" == await rest_of(chunks)


def test_a_listener_without_a_certificate_cannot_be(authority: Authority, tmp_path: Path) -> None:
    """What the restore listener shows is read when it opens, and refused with the file's name."""
    pair = Pair(str(tmp_path / "gone.pem"), authority.issue("x").key_file)
    with pytest.raises(Permanent, match=r"gone\.pem"):
        server_context(Tls(None, pair.cert_file, pair.key_file))
