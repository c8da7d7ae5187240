"""A host that is gone with all that was on it: everything comes back from the bucket (L6, S2)."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from anyio import to_thread

from daemon.answers import VerdictView
from daemon.answers.recovery import Recoverable
from events.recoveries import BackupRecovered, LogRecovered
from tests.support.api import typed
from tests.support.autos import typing
from tests.support.daemon import DaemonProcess, installation
from tests.support.keys import IDENTITY, RECIPIENT
from tests.support.nursery import Nursery
from tests.support.places import Place, place_for
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

Install = Callable[[], Awaitable[DaemonProcess]]
DIRECTORY = pytest.mark.parametrize("place", ["directory"], indirect=True)


@pytest.fixture(params=["directory", "rclone"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """A fresh vault."""
    async with place_for(request.param, tmp_path) as place:
        yield place


@pytest.fixture
async def install(nursery: Nursery, place: Place) -> AsyncGenerator[Install, None]:
    """Hosts with the same configuration of the vault, each with a log of its own, and started."""
    async with AsyncExitStack() as stack:

        async def started() -> DaemonProcess:
            daemon = await stack.enter_async_context(
                installation(nursery, place.config, place.environment)
            )
            await daemon.start()
            return daemon

        yield started


async def furnished(daemon: DaemonProcess, node: Node) -> list[str]:
    """A cache with a policy and two backups; their ids."""
    await daemon.add("orders", url=node.url)
    await typing(daemon, "policy", "set", "orders", "--auto", "--retention-days", "9")
    one = await daemon.backup("orders", name="one")
    await typing(daemon, "backup", "create", "orders", "--auto", "--wait")
    (_, two) = await daemon.listed()
    return [one.backup_id, two.backup_id]


async def ids(daemon: DaemonProcess) -> list[str]:
    """The ids of the backups that exist."""
    return [view.backup_id for view in await daemon.listed()]


async def keeps_for(daemon: DaemonProcess, days: int) -> bool:
    """Whether the policy of the cache says so."""
    return f"{days} days" in (await typing(daemon, "policy", "show", "orders")).out


async def test_everything_comes_back(install: Install, place: Place, node: Node) -> None:
    """L6: from the bucket alone come history, caches, policies and backups, and they restore."""
    old = await install()
    backups = await furnished(old, node)
    assert await old.stop() == 0
    history = await old_history(old)

    new = await install()
    refused = await typing(new, "recover", "--yes", code=3)
    planned = await typing(new, "recover", "--plan")
    printed = await typing(new, "recover", "--adopt", "--yes")

    assert "valkeep recover --adopt" in refused.err
    assert "would become the log" in planned.out
    assert "The history is back" in printed.out
    assert backups == await ids(new)
    assert await keeps_for(new, 9)
    assert history == [told.event for told in (await new.history())[: len(history)]]
    assert (await new.get(VerdictView, "audit", "verify")).records > len(history)
    assert "completed" == (await new.restore("orders/one", to="orders")).phase
    assert "complete" == (await new.backup("orders", name="three")).phase
    await typing(new, "check")


async def old_history(daemon: DaemonProcess) -> list[object]:
    """All events of a daemon that has been stopped."""
    await daemon.start()
    events: list[object] = list(await daemon.events())
    assert await daemon.stop() == 0
    return events


@DIRECTORY
async def test_the_old_host_can_no_longer_write(install: Install, node: Node) -> None:
    """S2: a host that comes back after its vault was taken over may read it, and no more."""
    old = await install()
    await furnished(old, node)
    assert await old.stop() == 0
    new = await install()
    words = ("--socket", str(new.socket), "recover", "--adopt")
    declined = await to_thread.run_sync(lambda: typed(*words, keyboard="n\n"))
    assert (3, ()) == (declined.code, await new.listed())
    assert "another installation" not in declined.err
    await typing(new, "recover", "--adopt", code=2)  # nobody can be asked
    agreed = await to_thread.run_sync(lambda: typed(*words, keyboard="y\n"))
    assert agreed.code == 0, agreed

    await old.start()
    refused = await old.backup("orders", name="late")

    assert refused.failure is not None
    assert "vault-foreign" == refused.failure.code
    assert "complete" == (await new.backup("orders", name="more")).phase


async def test_without_a_copy_the_manifests_are_enough(
    install: Install, place: Place, node: Node
) -> None:
    """L6: where no copy of the log is left, every backup comes back by its manifest."""
    old = await install()
    backups = await furnished(old, node)
    await old.kill()
    if place.segments():
        place.without_copies()

    new = await install()
    printed = await typing(new, "recover", "--adopt", "--yes")
    await new.add("target", url=node.url)

    assert "cannot be brought back" in printed.err
    assert backups == await ids(new)
    assert "completed" == (await new.restore("orders/one", to="target")).phase
    recovered = [event for event in await new.events() if isinstance(event, BackupRecovered)]
    assert ["manual", "auto"] == [event.kind for event in recovered]


@DIRECTORY
@pytest.mark.parametrize("harm", ["hole", "damage"])
async def test_a_broken_copy_still_tells_of_the_caches(
    install: Install, place: Place, node: Node, harm: str
) -> None:
    """L6: a hole or damage in the copy costs the history, but no backup, cache or policy."""
    old = await install()
    backups = await furnished(old, node)
    for days in ("10", "11"):
        await old.stop()
        await old.start()
        await typing(old, "policy", "set", "orders", "--retention-days", days)
    await old.stop()
    (_, middle, _) = place.segments()
    broken = place.folder / middle
    if harm == "hole":
        broken.unlink()
    else:
        data = bytearray(broken.read_bytes())
        data[len(data) // 2] ^= 1
        broken.write_bytes(data)

    new = await install()
    look = await new.get(Recoverable, "recovery")
    await typing(new, "recover", "--adopt", "--yes")

    assert look.history is None
    assert look.why_not
    assert backups == await ids(new)
    assert await keeps_for(new, 11)
    assert "completed" == (await new.restore("orders/one", to="orders")).phase


@DIRECTORY
@pytest.mark.parametrize("point", ["before log-recovered", "after log-recovered"])
@pytest.mark.parametrize("copies", [True, False])
async def test_a_recovery_that_was_cut_off_is_repeated(
    install: Install, place: Place, node: Node, *, point: str, copies: bool
) -> None:
    """A daemon killed within a recovery can be told again; each backup comes back once."""
    old = await install()
    backups = await furnished(old, node)
    assert await old.stop() == 0
    if not copies:
        place.without_copies()
    new = await install()
    await new.stop()
    await new.start(doom=point)
    await typing(new, "recover", "--adopt", "--yes", code=5)
    await new.died()

    await new.start()
    if any(not one.ours or one.unknown for one in (await new.get(Recoverable, "recovery")).vaults):
        await typing(new, "recover", "--adopt", "--yes")

    assert backups == await ids(new)
    assert any(isinstance(event, LogRecovered) for event in await new.events())
    assert sorted(backups) == place.manifests()
    await typing(new, "audit", "verify")
    if copies:
        assert "complete" == (await new.backup("orders", name="more")).phase


@DIRECTORY
@pytest.mark.parametrize("identity", [True, False])
async def test_an_encrypted_vault_wants_its_identity(
    nursery: Nursery, place: Place, node: Node, tmp_path: Path, *, identity: bool
) -> None:
    """V2, L6: the copies are sealed like the backups; without the identity manifests are left."""
    file = tmp_path / "identity"
    file.write_text(f"{IDENTITY}\n")
    file.chmod(0o600)
    sealed = f'{place.config}recipients = ["{RECIPIENT}"]\n'
    async with installation(nursery, sealed) as old:
        await old.start()
        backups = await furnished(old, node)
        assert await old.stop() == 0
    assert all(name.endswith(".age") for name in place.segments())

    opened = f'{sealed}identity_file = "{file}"\n' if identity else sealed
    async with installation(nursery, opened) as new:
        await new.start()
        printed = await typing(new, "recover", "--adopt", "--yes")
        there = await ids(new)
        caches = (await typing(new, "cache", "list", "--json")).out

    assert backups == there
    assert identity == ("orders" in caches)
    assert ("identity" in printed.err) is not identity


@DIRECTORY
async def test_there_is_nothing_to_recover(install: Install, node: Node) -> None:
    """Where the log knows all, a recovery is refused and nothing is written."""
    daemon = await install()
    await furnished(daemon, node)
    await daemon.settled()
    before = len(await daemon.history())

    printed = await typing(daemon, "recover", "--yes", code=3)

    assert "There is nothing to do" in printed.err
    assert before == len(await daemon.history())
