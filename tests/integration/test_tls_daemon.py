"""A whole daemon with caches in TLS: restores, certificates that are replaced, and `kill -9`."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from daemon.answers import Accepted, PlanAnswer, PlanRequest
from daemon.commands import AddCache
from daemon.valkey.engine import Engine
from events.facts import Finding
from events.types import BackupRequested, RestoreFailed, RestoreStarted
from tests.support.daemon import DEAD, DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, is_tidy, log_is_sound, settings_of
from tests.support.servers import Node, command, fill, start_node
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


@pytest.fixture(scope="module", params=TLS_ENGINES)
async def engine(request: pytest.FixtureRequest) -> Engine:
    """Debian's, which speaks TLS."""
    return await installed(request.param)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Ours."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def daemon(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[DaemonProcess, None]:
    """An installation that has not been started."""
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        yield daemon


@pytest.fixture
def settings(authority: Authority) -> dict[str, str]:
    """A server that speaks TLS with everybody, as it does with its replicas."""
    pair = authority.issue("server", *HERE)
    return speaking_tls(authority, pair, clients="yes", tls_replication="yes")


def showing(daemon: DaemonProcess, pair: Pair, ca_file: str | None = None) -> None:
    """Have the daemon show this to targets, and want one of that authority's from them."""
    lines = [f'tls_cert_file = "{pair.cert_file}"', f'tls_key_file = "{pair.key_file}"']
    if ca_file is not None:
        lines.append(f'tls_ca_file = "{ca_file}"')
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[restore]\n", "\n".join(["[restore]", *lines, ""])))


async def add(daemon: DaemonProcess, name: str, node: Node, authority: Authority) -> Accepted:
    """Put it under backup, by replication, with a certificate of our own."""
    pair = authority.issue("valkeep")
    return await daemon.command(
        AddCache(
            name,
            tls_url(node),
            source="replication",
            tls_ca_file=authority.ca_file,
            tls_cert_file=pair.cert_file,
            tls_key_file=pair.key_file,
        )
    )


async def filled(node: Node, prefix: str) -> tuple[str, bytes]:
    """Fill a server; what it holds then."""
    client = node.client()
    await client.flushall()
    await fill(client, keys=2_000, prefix=prefix)
    await client.aclose()
    return await data_of(node)


async def listener_findings(daemon: DaemonProcess) -> tuple[Finding, ...]:
    """What a plan says of the way back to us."""
    asked = msgspec.json.encode(PlanRequest("orders/nightly", "orders"))
    plan = msgspec.json.decode(await daemon.post("/v1/plans", asked), type=PlanAnswer).plan
    return tuple(finding for finding in plan.findings if finding.code == "listener")


@pytest.mark.parametrize("load_mode", ["swapdb", "disabled"])
@pytest.mark.parametrize("migrates_in_tls", ["yes", "no"])
async def test_a_target_that_replicates_in_tls_is_restored(
    *,
    daemon: DaemonProcess,
    engine: Engine,
    authority: Authority,
    settings: dict[str, str],
    short_path: Path,
    load_mode: str,
    migrates_in_tls: str,
) -> None:
    """Backup, damage and restore in TLS alone, each side showing its certificate to the other.

    The way is tried in TLS before writes are refused: by the plan, or when it has begun.
    """
    showing(daemon, authority.issue("restore", *HERE), authority.ca_file)
    await daemon.start()
    settings |= {"tls_cluster": migrates_in_tls, "repl_diskless_load": load_mode}
    async with start_node(engine, short_path, save="3600 1", **settings) as node:
        held = await filled(node, "new")
        untouched = await settings_of(node)
        await add(daemon, "orders", node, authority)
        backup = await daemon.backup("orders", name="nightly")
        assert backup.phase == "complete", backup.failure
        await filled(node, "rubbish")
        levels = [finding.level for finding in await listener_findings(daemon)]
        assert levels == ([] if migrates_in_tls == "yes" else ["warning"])

        restore = await daemon.restore("orders/nightly", to="orders")

        assert restore.phase == "completed", restore.failure
        assert await data_of(node) == held
        await is_at_rest(node, untouched)
        assert await settings_of(node) == untouched
    started = next(e for e in await daemon.events() if isinstance(e, RestoreStarted))
    assert ("tls-cluster" in started.changes) == (migrates_in_tls == "no")


async def test_without_a_certificate_to_show_the_plan_says_what_to_set(
    daemon: DaemonProcess,
    engine: Engine,
    authority: Authority,
    settings: dict[str, str],
    short_path: Path,
) -> None:
    """A target that replicates in TLS is not touched where we could not answer it."""
    await daemon.start()
    async with start_node(engine, short_path, **settings) as node:
        await filled(node, "new")
        untouched = await settings_of(node)
        await add(daemon, "orders", node, authority)
        await daemon.backup("orders", name="nightly")

        (finding,) = await listener_findings(daemon)
        restore = await daemon.restore("orders/nightly", to="orders")

        assert ("blocker", False) == (finding.level, finding.forcible)
        assert "tls_cert_file and tls_key_file in [restore]" in finding.hint
        assert restore.phase == "failed"
        assert not [e for e in await daemon.events() if isinstance(e, RestoreStarted)]
        await is_at_rest(node, untouched)


@pytest.mark.parametrize("migrates_in_tls", ["yes", "no"])
@pytest.mark.parametrize("distrusts", ["the target", "we"])
async def test_a_certificate_that_is_not_trusted_is_found_before_writes_are_refused(
    *,
    daemon: DaemonProcess,
    engine: Engine,
    authority: Authority,
    settings: dict[str, str],
    short_path: Path,
    tmp_path: Path,
    migrates_in_tls: str,
    distrusts: str,
) -> None:
    """Whichever side does not believe the other, no safety backup was begun and all is put back."""
    stranger = Authority(tmp_path / "stranger")
    if distrusts == "we":
        showing(daemon, authority.issue("restore", *HERE), stranger.ca_file)
    else:
        showing(daemon, stranger.issue("restore", *HERE))
    await daemon.start()
    async with start_node(engine, short_path, tls_cluster=migrates_in_tls, **settings) as node:
        held = await filled(node, "new")
        untouched = await settings_of(node)
        await add(daemon, "orders", node, authority)
        await daemon.backup("orders", name="nightly")

        restore = await daemon.restore("orders/nightly", to="orders")

        assert restore.failure is not None
        told = f"{restore.failure.message} {restore.failure.hint}"
        if migrates_in_tls == "yes":
            (finding,) = await listener_findings(daemon)
            told = f"{finding.message} {finding.hint}"
        assert "TLS handshake failed" in told
        assert "tls-ca-cert-file must hold who signed" in told
        await is_at_rest(node, untouched)
        assert await data_of(node) == held
    assert 1 == len([e for e in await daemon.events() if isinstance(e, BackupRequested)])


async def test_a_target_that_replicates_in_the_clear_is_answered_so(
    daemon: DaemonProcess,
    engine: Engine,
    authority: Authority,
    settings: dict[str, str],
    short_path: Path,
) -> None:
    """What counts is how the target replicates, not how we reach it."""
    showing(daemon, authority.issue("restore", *HERE))
    await daemon.start()
    async with start_node(engine, short_path, **settings | {"tls_replication": "no"}) as node:
        held = await filled(node, "new")
        await add(daemon, "orders", node, authority)
        await daemon.backup("orders", name="nightly")
        await filled(node, "rubbish")
        assert () == await listener_findings(daemon)
        restore = await daemon.restore("orders/nightly", to="orders")
        assert restore.phase == "completed", restore.failure
        assert await data_of(node) == held


@pytest.mark.parametrize(
    "point", ["phase trying the way back to us", "bytes 100000 sending", "bytes 100000 storing #2"]
)
async def test_a_restore_in_tls_survives_kill_9(
    *,
    daemon: DaemonProcess,
    engine: Engine,
    authority: Authority,
    settings: dict[str, str],
    short_path: Path,
    tmp_path: Path,
    point: str,
) -> None:
    """Killed on its way, the daemon frees the target at its next start; the old data is there."""
    showing(daemon, authority.issue("restore", *HERE), authority.ca_file)
    async with start_node(engine, short_path, rdbcompression="no", **settings) as node:
        await filled(node, "new")
        untouched = await settings_of(node)
        await daemon.start(doom=point)
        with suppress(*DEAD):
            await add(daemon, "orders", node, authority)
            assert (await daemon.backup("orders", name="nightly")).phase == "complete"
            old = await filled(node, "old")
            await daemon.restore("orders/nightly", to="orders")
        await daemon.died()

        await daemon.start()
        await daemon.settled()

        assert await data_of(node) == old
        await is_at_rest(node, untouched)
    failed = [e for e in await daemon.events() if isinstance(e, RestoreFailed)]
    assert [(True, "interrupted")] == [(e.undone, e.failure.code) for e in failed]
    await is_tidy(daemon, tmp_path / "vault")
    await log_is_sound(daemon)


async def test_what_is_rotated_is_used_without_a_restart(
    *,
    daemon: DaemonProcess,
    engine: Engine,
    authority: Authority,
    settings: dict[str, str],
    short_path: Path,
    tmp_path: Path,
) -> None:
    """A new password, a new authority and new certificates hold from the next backup on."""
    await daemon.start()
    secret, ours = tmp_path / "password", tmp_path / "ca.pem"
    pair = Pair(str(tmp_path / "us.pem"), str(tmp_path / "us.key"))
    before, after = authority, Authority(tmp_path / "after")

    def put(whose: Authority, password: str) -> None:
        issued = whose.issue("valkeep")
        secret.write_text(password + "\n")
        ours.write_bytes(Path(whose.ca_file).read_bytes())
        Path(pair.cert_file).write_bytes(Path(issued.cert_file).read_bytes())
        Path(pair.key_file).touch(mode=0o600)
        Path(pair.key_file).write_bytes(Path(issued.key_file).read_bytes())

    async with start_node(engine, short_path, requirepass="first", **settings) as node:
        put(before, "first")
        tls = (str(ours), pair.cert_file, pair.key_file)
        await daemon.command(
            AddCache(
                "orders",
                tls_url(node),
                password_file=str(secret),
                tls_ca_file=tls[0],
                tls_cert_file=tls[1],
                tls_key_file=tls[2],
            )
        )
        assert (await daemon.backup("orders", name="first")).phase == "complete"
        await rotate(node, after, password="second")
        unready = await daemon.backup("orders", name="unready")
        put(after, "first")
        half = await daemon.backup("orders", name="half")
        put(after, "second")
        ready = await daemon.backup("orders", name="ready")

    assert unready.failure is not None
    assert half.failure is not None
    assert ("tls-untrusted", "cache-auth") == (unready.failure.code, half.failure.code)
    assert ready.phase == "complete", ready.failure


async def rotate(node: Node, authority: Authority, *, password: str) -> None:
    """Give the running server another password, and certificates of another authority."""
    pair = authority.issue("server", *HERE)
    client = node.client()
    for words in (
        ("tls-cert-file", pair.cert_file, "tls-key-file", pair.key_file),
        ("tls-ca-cert-file", authority.ca_file),
        ("requirepass", password),
    ):
        await command(client, "CONFIG", "SET", *words)
    await client.aclose()
