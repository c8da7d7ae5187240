"""Policies in a running daemon: from its file, by SIGHUP, and by the command line (A1-A4, C3)."""

import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from anyio import to_thread

from daemon.answers import Backups
from daemon.answers.policy import PolicyDetail, PolicyView
from daemon.commands import PolicyChange, SetPolicy
from daemon.errors import NotFound, Rejected
from events.facts import CacheName, Policy, Window
from events.types import (
    BackupDeleted,
    BackupRequested,
    CacheReconfigured,
    CacheSuspended,
    DeletionRequested,
    Event,
    PolicySet,
    RetentionExpired,
)
from projections.state import State
from tests.support.api import Printed, typed
from tests.support.daemon import DaemonProcess, directory_vault
from tests.support.outcome import is_tidy, log_is_sound
from tests.support.poll import until
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

ORDERS = CacheName("orders")
NOBODY = '[caches.orders]\nurl = "valkey://127.0.0.1:1"\n'
"""A declared cache that nobody answers for: no backup of it is begun here."""


def policy_lines(*lines: str) -> str:
    """The section of a policy."""
    return "\n".join(["[caches.orders.policy]", *lines, ""])


def far_window(daemon: DaemonProcess) -> str:
    """The start of a window of an hour that is half a day away."""
    return f"{daemon.clock.now() + timedelta(hours=12):%H}:00"


async def shown(daemon: DaemonProcess) -> PolicyView:
    """The policy as anybody sees it."""
    return (await daemon.get(PolicyDetail, "caches", ORDERS, "policy")).policy


async def cli(daemon: DaemonProcess, *words: str) -> Printed:
    """Type a command against this daemon."""
    return await to_thread.run_sync(lambda: typed("--socket", str(daemon.socket), *words))


async def reloaded(daemon: DaemonProcess, config: str) -> None:
    """Change the file and have it read."""
    daemon.configure(config)
    before = daemon.output().count("configuration reloaded")
    daemon.signal(signal.SIGHUP)

    async def again() -> bool:
        return daemon.output().count("configuration reloaded") > before

    await until(again, "the daemon reloads")


def _is_policy(_state: State, event: Event) -> bool:
    return isinstance(event, PolicySet)


async def test_a_policy_comes_with_the_file_and_goes_with_it(
    daemon: DaemonProcess, vault: Path
) -> None:
    """C3, A1: at start and on SIGHUP the policy is the file's; its section gone, auto is off."""
    start = far_window(daemon)
    on = ("auto = true", f'windows = ["{start}+1h"]', "retries = 1")
    base = directory_vault(vault) + NOBODY
    daemon.configure(base + policy_lines(*on))
    await daemon.start()
    first = await daemon.until(_is_policy)
    window = (Window(start, 60),)
    assert first.caches[ORDERS].policy == Policy(auto=True, windows=window, retries=1)

    await reloaded(daemon, base + policy_lines(*on, "retention_days = 30"))
    changed = await shown(daemon)
    assert changed.settings.retention_days == 30
    assert (changed.declared, changed.file) == (True, str(daemon.config))
    assert changed.next_start is not None

    await reloaded(daemon, base)
    off = await shown(daemon)
    assert not off.settings.auto
    assert off.settings.windows == (f"{start}+1h",)
    assert "kept for later" in off.words[0]
    assert off.next_start is None

    before = len(await daemon.events())
    await reloaded(daemon, base)
    assert await daemon.stop() == 0
    await daemon.start()
    events = await daemon.events()
    assert len([e for e in events if isinstance(e, PolicySet)]) == 3
    assert not any(isinstance(e, PolicySet | CacheReconfigured) for e in events[before:])
    await log_is_sound(daemon)


async def test_a_bad_policy_in_the_file_changes_nothing(daemon: DaemonProcess, vault: Path) -> None:
    """A2, A4: a reload with a policy that cannot be is refused whole, with every line told."""
    base = directory_vault(vault) + NOBODY
    daemon.configure(base + policy_lines("auto = true", "retries = 1"))
    await daemon.start()
    await daemon.until(_is_policy)
    before = len(await daemon.events())

    bad = ("auto = true", "retention_days = 731", 'windows = ["23:00+4h", "02:00+2h"]')
    daemon.configure(base + policy_lines(*bad, 'timezone = "Europe/Pariss"'))
    daemon.signal(signal.SIGHUP)

    async def refused() -> bool:
        return "configuration not reloaded" in daemon.output()

    await until(refused, "the bad file is refused")
    told = daemon.output()
    for words in ("from 1 to 730", "02:00+2h and 23:00+4h overlap", "Did you mean 'Europe/Paris'?"):
        assert words in told
    assert (await shown(daemon)).settings.retries == 1
    assert len(await daemon.events()) == before


async def test_a_daemon_does_not_start_with_a_bad_policy(
    daemon: DaemonProcess, vault: Path
) -> None:
    """A4: what is wrong with a policy is told at the start too, and ends it with bad usage."""
    daemon.configure(directory_vault(vault) + NOBODY + policy_lines('windows = ["2-4"]'))
    daemon.launch()

    assert await daemon.ended() == 2
    assert "Did you mean '02:00+2h'?" in daemon.output()
    assert "Say auto = true" in daemon.output()


async def test_a_command_against_a_declared_policy_names_the_file(
    daemon: DaemonProcess, vault: Path
) -> None:
    """C3: who would change a declared policy by command is told the file and the section."""
    base = directory_vault(vault)
    daemon.configure(base + NOBODY + policy_lines("auto = true"))
    await daemon.start()
    await daemon.until(_is_policy)

    for words in (("policy",), ("cache",)):
        printed = await cli(daemon, *words, "set", "orders", "--retries", "5")
        assert printed.code == 3
        assert str(daemon.config) in printed.err
        assert "[caches.orders.policy]" in printed.err
    with pytest.raises(Rejected, match="declared in"):
        await daemon.command(SetPolicy(ORDERS, PolicyChange(auto=False)))

    await reloaded(daemon, base)
    await daemon.until(lambda _, event: isinstance(event, CacheSuspended))
    left = await shown(daemon)
    assert left.suspended is not None
    printed = await cli(daemon, "policy", "set", "orders", "--retries", "5")
    assert (printed.code, (await shown(daemon)).settings.retries) == (0, 5)


async def test_a_policy_from_nothing_to_an_auto_backup(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A1, A5b: a cache gets a policy by one command, and `--auto --wait` makes its first backup."""
    await daemon.start()
    added = await cli(daemon, "cache", "add", "orders", "--url", node.url)
    refused = await cli(daemon, "policy", "set", "orders", "--retention-days", "3")
    early = await cli(daemon, "backup", "create", "orders", "--auto")
    assert (added.code, refused.code, early.code) == (0, 3, 3)
    assert "valkeep policy set orders --auto" in refused.err
    assert "valkeep policy set orders --auto" in early.err

    window = f"{far_window(daemon)}+1h"
    done = await cli(daemon, "policy", "set", "orders", "--auto", "--window", window)
    assert (done.code, done.err) == (0, "")
    assert "One backup a day" in done.out
    printed = await cli(daemon, "backup", "create", "orders", "--auto", "--wait")
    assert printed.code == 0, printed.err
    assert "is complete" in printed.out

    (view,) = await daemon.listed()
    assert (view.kind, view.phase) == ("auto", "complete")
    told = json.loads((await cli(daemon, "policy", "show", "orders", "--json")).out)
    assert told["policy"]["settings"]["windows"] == [window]
    both = await cli(daemon, "backup", "create", "orders", "mine", "--auto")
    assert both.code == 2
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_a_shorter_retention_deletes_at_once_after_a_yes(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A2, A11: what a shorter retention no longer covers is named, confirmed, logged, then gone."""
    await daemon.start()
    await cli(daemon, "cache", "add", "orders", "--url", node.url, "--auto")
    for _ in range(2):
        made = await cli(daemon, "backup", "create", "orders", "--auto", "--wait")
        assert made.code == 0, made.err
    await daemon.backup("orders", name="mine")
    old, newest, mine = await daemon.listed()
    await daemon.travel(daemon.clock.now() + timedelta(days=3))

    shorter = ("policy", "set", "orders", "--retention-days", "2")
    piped = await cli(daemon, *shorter)
    assert piped.code == 2
    assert f"will be deleted: orders/{old.name}" in piped.err
    assert newest.backup_id not in piped.err
    assert mine.backup_id not in piped.err
    assert len((await daemon.get(Backups, "backups")).backups) == 3

    assert (await cli(daemon, *shorter, "--yes")).code == 0
    await daemon.until(lambda _, event: isinstance(event, BackupDeleted))
    assert [view.backup_id for view in await daemon.listed()] == [newest.backup_id, mine.backup_id]

    assert (await cli(daemon, "policy", "set", "orders", "--keep-last", "0", "--yes")).code == 0
    await daemon.until(
        lambda _, event: isinstance(event, BackupDeleted) and event.backup_id == newest.backup_id
    )
    assert [view.name for view in await daemon.listed()] == ["mine"]
    kinds = (RetentionExpired, DeletionRequested, BackupDeleted)
    order = [type(event) for event in await daemon.events() if isinstance(event, kinds)]
    assert order == [*kinds, *kinds]
    await is_tidy(daemon, vault)


async def test_a_policy_by_command_outlives_the_daemon(daemon: DaemonProcess, node: Node) -> None:
    """A policy is in the log: a daemon that was killed has it again, and no more than that."""
    await daemon.start()
    await daemon.add("orders", url=node.url)
    change = PolicyChange(auto=True, timezone="Pacific/Apia")
    await daemon.command(SetPolicy(ORDERS, change))
    await daemon.kill()
    await daemon.start()

    assert (await shown(daemon)).settings.timezone == "Pacific/Apia"
    with pytest.raises(NotFound, match="'ordres'"):
        await daemon.command(SetPolicy("ordres", change))
    assert not any(isinstance(event, BackupRequested) for event in await daemon.events())
