"""How an S3 server is reached: by host or path, under a private authority, with which key."""

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from msgspec import structs

from daemon.errors import Permanent, Transient
from daemon.storage.factory import VaultSettings, open_vault
from daemon.storage.parts import SMALLEST_PART_BYTES
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_calls import Patience
from daemon.storage.settings import S3Keys
from daemon.storage.vault import ObjectName
from tests.support.offload import THREADS
from tests.support.proxy import Fault, proxy_before
from tests.support.s3 import BUCKET, KEY, SECRET, S3Server, rclone_s3
from tests.support.storing import OBJECT
from tests.support.tls import Authority

pytestmark = pytest.mark.anyio

SMALL = ObjectName("valkeep.json")
LARGE = bytes(range(256)) * (SMALLEST_PART_BYTES // 256) + b"more"
QUICK = Patience(attempts=2, first_pause_seconds=0.01)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    """rclone, because it compares signatures."""
    async with rclone_s3(tmp_path_factory.mktemp("rclone")) as running:
        yield running


@asynccontextmanager
async def opened(settings: VaultSettings) -> AsyncIterator[S3Vault]:
    """A vault that is closed again."""
    vault = open_vault(settings, THREADS, lambda: 0.5, QUICK)
    assert isinstance(vault, S3Vault)
    try:
        yield vault
    finally:
        await vault.aclose()


async def used(vault: S3Vault) -> None:
    """Everything that a backup does there."""
    await vault.put(SMALL, b"small")
    async with vault.create(OBJECT) as writer:
        await writer.write(LARGE)
        await writer.commit()
    assert await vault.read(OBJECT, offset=len(LARGE) - 4, length=4) == b"more"
    assert [info.name async for info in vault.list("")] == [OBJECT, SMALL]
    await vault.clear(OBJECT.rpartition("/")[0] + "/")
    await vault.delete(SMALL)
    assert await vault.size(OBJECT) is None


def told(answers: list[str]) -> Callable[..., list[tuple[object, ...]]]:
    """A resolver for ``*.s3.test``, which is here; it remembers what it was asked."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: object, **more: object) -> list[tuple[object, ...]]:
        if str(host).endswith("s3.test"):
            answers.append(str(host))
            host = "127.0.0.1"
        return real(host, *rest, **more)  # type: ignore[arg-type,return-value]

    return getaddrinfo


async def test_a_bucket_can_be_named_by_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With addressing "virtual" every request goes to the bucket's own host name, signed for it."""
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", told(asked))
    async with rclone_s3(tmp_path, "--force-path-style=false") as by_host:
        settings = structs.replace(
            by_host.settings("team"),
            endpoint_url=f"http://s3.test:{by_host.port}",
            addressing="virtual",
        )
        async with opened(settings) as vault:
            await used(vault)
    assert set(asked) == {f"{BUCKET}.s3.test"}


async def test_an_endpoint_of_ones_own_is_asked_by_path(server: S3Server) -> None:
    """Unless it is said otherwise, a server that is not Amazon's is asked by path."""
    async with proxy_before(server.port) as proxy:
        async with opened(server.settings("path", port=proxy.port)) as vault:
            await used(vault)
        assert all(seen.path.startswith(f"/{BUCKET}") for seen in proxy.seen)
        assert {seen.headers["Host"] for seen in proxy.seen} == {f"127.0.0.1:{proxy.port}"}
        scopes = {seen.headers["Authorization"].split("/")[2] for seen in proxy.seen}
        assert scopes == {"us-east-1"}


async def test_the_region_is_what_requests_are_signed_for(server: S3Server) -> None:
    """A region that was set is in every signature."""
    async with proxy_before(server.port) as proxy:
        settings = structs.replace(
            server.settings("region", port=proxy.port), region="eu-central-7"
        )
        async with opened(settings) as vault:
            await vault.put(SMALL, b"x")
        assert all("/eu-central-7/s3/" in seen.headers["Authorization"] for seen in proxy.seen)


@pytest.fixture(scope="module")
async def private(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[S3Server, Authority]]:
    """A server with a certificate of a private authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "ours")
    pair = authority.issue("s3", "127.0.0.1")
    flags = ("--cert", pair.cert_file, "--key", pair.key_file)
    async with rclone_s3(folder / "rclone", *flags) as running:
        yield running, authority


async def test_a_private_authority_is_trusted_when_it_is_named(
    private: tuple[S3Server, Authority],
) -> None:
    """Over TLS under an authority of one's own everything works as without."""
    server, authority = private
    settings = structs.replace(server.settings("team"), ca_file=authority.ca_file)
    async with opened(settings) as vault:
        await used(vault)


def nobody(authority: Authority, folder: Path) -> str | None:
    """No authority is named: those that everybody trusts."""
    return None


def another(authority: Authority, folder: Path) -> str | None:
    """An authority that has not signed it."""
    return Authority(folder / "theirs").ca_file


def absent(authority: Authority, folder: Path) -> str | None:
    """A file that is not there."""
    return str(folder / "none.pem")


def rubbish(authority: Authority, folder: Path) -> str | None:
    """A file with something else in it."""
    (folder / "rubbish.pem").write_text("no certificate")
    return str(folder / "rubbish.pem")


@pytest.mark.parametrize("ca_file", [nobody, another, absent, rubbish])
async def test_a_server_that_is_not_trusted_is_not_spoken_to(
    private: tuple[S3Server, Authority],
    tmp_path: Path,
    ca_file: Callable[[Authority, Path], str | None],
) -> None:
    """Without the right authority nothing is sent, and the setting to mend is named."""
    server, authority = private
    settings = structs.replace(server.settings("x"), ca_file=ca_file(authority, tmp_path))
    async with opened(settings) as vault:
        with pytest.raises(Permanent) as refused:
            await vault.put(SMALL, b"x")
    assert refused.value.code == "vault-tls"
    assert "tls_ca_file" in refused.value.hint


def from_variables(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The key in the environment, with the token of a temporary one."""
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    patch.setenv("AWS_SESSION_TOKEN", "a-token")


def from_a_profile(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The key in the file that the AWS tools share, under a name."""
    file = folder / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = x\naws_secret_access_key = y\n"
        f"[backups]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        f"aws_session_token = a-token\n"
    )
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    patch.setenv("AWS_PROFILE", "backups")


@pytest.mark.parametrize("chain", [from_variables, from_a_profile])
async def test_the_usual_chain_finds_the_key(
    server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chain: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """Without a key of its own a vault takes what the AWS tools would take, token and all."""
    isolate(tmp_path, monkeypatch)
    chain(tmp_path, monkeypatch)
    async with proxy_before(server.port) as proxy:
        async with opened(keyless(server, port=proxy.port)) as vault:
            await used(vault)
        assert {seen.headers["X-Amz-Security-Token"] for seen in proxy.seen} == {"a-token"}


async def test_the_instance_is_asked_for_its_key(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cloud's machine the key of its role is used, as its metadata service tells it."""
    isolate(tmp_path, monkeypatch)
    async with metadata_service() as port:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        async with opened(keyless(server)) as vault:
            await used(vault)


async def test_without_any_key_nothing_is_sent(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the chain finds no key it is said so, and not guessed."""
    isolate(tmp_path, monkeypatch)
    async with opened(keyless(server)) as vault:
        with pytest.raises(Permanent) as refused:
            await vault.put(SMALL, b"x")
    assert refused.value.code == "vault-credentials"


async def test_a_temporary_key_of_ones_own_is_sent_with_its_token(server: S3Server) -> None:
    """Keys that the configuration names may have a token."""
    settings = structs.replace(server.settings("t"), keys=lambda: S3Keys(KEY, SECRET, "token-1"))
    async with proxy_before(server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        async with opened(structs.replace(settings, endpoint_url=endpoint)) as vault:
            await vault.put(SMALL, b"x")
        assert {seen.headers["X-Amz-Security-Token"] for seen in proxy.seen} == {"token-1"}
    assert "token-1" not in f"{settings} {S3Keys(KEY, SECRET, 'token-1')}"


@pytest.mark.parametrize(
    ("code", "told"),
    [("InvalidAccessKeyId", "vault-credentials"), ("ExpiredToken", "vault-credentials-expired")],
)
async def test_a_refused_key_is_read_again_once(server: S3Server, code: str, told: str) -> None:
    """A key that was good and is refused is read again; if it is the same, that is the end."""
    reads: list[int] = []

    def keys() -> S3Keys:
        reads.append(len(reads))
        return S3Keys(KEY, SECRET)

    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_before(server.port))
        settings = structs.replace(server.settings("again", port=proxy.port), keys=keys)
        vault = await stack.enter_async_context(opened(settings))
        await vault.put(SMALL, b"x")
        assert len(reads) == 1
        proxy.faults.append(Fault("get", "refuse", 1, status=403, code=code))
        assert await vault.get(SMALL, 100) == b"x"
        assert len(reads) == 2
        proxy.faults.append(Fault("get", "refuse", 99, status=403, code=code))
        for _ in range(2):
            with pytest.raises(Permanent) as refused:
                await vault.get(SMALL, 100)
            assert refused.value.code == told
        assert proxy.count("get") == 2 + 2 + 1, "a key that was never good is asked once"


async def test_a_line_is_closed_by_its_last_user(server: S3Server) -> None:
    """Connecting anew does not cut what is still under way with the old key."""
    async with (
        proxy_before(server.port) as proxy,
        opened(server.settings("lines", port=proxy.port)) as vault,
    ):
        await vault.put(SMALL, b"x")
        old = vault._server._line
        assert old is not None
        proxy.faults.append(Fault("get", "refuse", 1, status=403, code="InvalidAccessKeyId"))
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(vault.get, SMALL, 100)
        assert old.retired
        assert old.users == 0
        assert vault._server._line is not old


async def test_an_endpoint_that_is_away_is_not_for_good(server: S3Server) -> None:
    """Where nobody listens it may be otherwise in a minute."""
    async with opened(server.settings(port=1)) as vault:
        with pytest.raises(Transient) as failed:
            await vault.put(SMALL, b"x")
    assert failed.value.code == "vault-unreachable"


def keyless(server: S3Server, port: int | None = None) -> VaultSettings:
    """The settings of a vault that says nothing of keys."""
    return structs.replace(
        server.settings("chain", port=port), access_key_id=None, secret_access_key=None
    )


def isolate(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Nothing of this host's own AWS settings, and no service of a cloud."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "nothing"))
    patch.setenv("AWS_CONFIG_FILE", str(folder / "nothing"))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@asynccontextmanager
async def metadata_service() -> AsyncIterator[int]:
    """What a cloud's machine finds at the metadata address: a token, a role, its key."""
    key = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": KEY,
        "SecretAccessKey": SECRET,
        "Token": "of-the-instance",
        "LastUpdated": "2020-01-01T00:00:00Z",
        "Expiration": "2099-01-01T00:00:00Z",
    }

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path.endswith("/api/token"):
            return web.Response(text="t", headers={"x-aws-ec2-metadata-token-ttl-seconds": "60"})
        role = request.path.endswith("/security-credentials/")
        return web.Response(text="backup-role" if role else json.dumps(key))

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
