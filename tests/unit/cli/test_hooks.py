"""`valkeep hooks` and what other pages tell of hooks, as it is printed."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.answers.hooks import HooksAnswer, HookTried, HookView
from daemon.cli.hooks import page, trial
from events.hooks import Hook, HookEnding, HookRan, HooksSet
from tests.support.api import serving, typed
from tests.support.given import NOON
from tests.support.samples import B1, FILE, ORDERS, complete, registered

pytestmark = pytest.mark.anyio

PAUSE = Hook("pause", "before-backup", "/usr/local/bin/queue", 30.0)
TELL = Hook("tell", "after-backup", "/usr/local/bin/tell", 90.0, caches=("orders", "shop-*"))
BAD = HookEnding("failed", 0.25, exit_code=3, output="no route\nto the deploys\n")
RAN = HookRan(ORDERS, "tell", "after-backup", B1, 1, BAD)


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


async def test_hooks_are_listed_with_how_they_went() -> None:
    """Each has a line in the order of the file, and what failed is told below."""
    async with serving(registered(), HooksSet((TELL, PAUSE), FILE), complete(), RAN) as api:
        printed = await api.type("hooks", "list")
    heads, tell, pause, *below = printed.out.splitlines()
    assert ["HOOK", "WHEN", "LAST", "RUN", "CACHES", "PROGRAM"] == heads.split()
    assert tell.startswith("tell   after-backup   failed, 3 h ago")
    assert pause.startswith("pause  before-backup  never")
    told = " ".join(" ".join(below).split())
    assert told.startswith("FAILED tell ended with exit code 3: no route / to the deploys (for")
    assert all(len(line) <= 80 for line in printed.out.splitlines())


async def test_no_hooks() -> None:
    """Whoever has none is told how to have one."""
    async with serving() as api:
        printed = await api.type("hooks", "list")
    assert "a section [hooks.NAME] of the configuration makes one" in printed.out


async def test_slips_have_near_misses() -> None:
    """A name that nothing has is answered with the nearest one, and a wrong cache with why."""
    async with serving(registered(), HooksSet((TELL, PAUSE), FILE)) as api:
        slip = await api.type("hooks", "run", "pasue", "--cache", "orders")
        cache = await api.type("hooks", "run", "pause", "--cache", "ordres")
        other = await api.type("hooks", "lst")
    assert (4, "Did you mean 'pause'?" in slip.err) == (slip.code, True)
    assert (4, "Did you mean 'orders'?" in cache.err) == (cache.code, True)
    assert (2, "Did you mean 'list'?" in other.err) == (other.code, True)


async def test_a_hook_is_not_tried_for_a_cache_that_it_is_not_for() -> None:
    """It would never be run for it: that is refused, with the caches that it is for."""
    hooks = HooksSet((replace(TELL, caches=("shop-*",)),), FILE)
    async with serving(registered(), hooks) as api:
        printed = await api.type("hooks", "run", "tell", "--cache", "orders")
    assert 3 == printed.code
    assert "Hook tell is not for cache orders: its caches are shop-*." in printed.err


async def test_a_backup_tells_of_its_hooks() -> None:
    """`backup show` has a line for each run, and `check` and `status` warn of what failed."""
    events = (registered(), HooksSet((TELL,), FILE), complete(name="one"), RAN)
    async with serving(*events) as api:
        shown = await api.type("backup", "show", "orders/one")
        checked = await api.type("check", "--quiet")
        status = await api.type("status")
    told = " ".join(shown.out.split())
    assert "hooks tell after-backup: ended with exit code 3: no route / to the deploys, " in told
    assert "WARNING hook orders: hook tell after a backup ended with exit code 3" in checked.out
    assert "tries it by hand" in " ".join(status.out.split())


def test_a_hook_in_doubt_is_told() -> None:
    """What is wrong with a program stands below the table, and only once."""
    view = HookView(
        name="tell",
        when="after-backup",
        program="/bin/tell",
        timeout_seconds=60.0,
        caches=("*",),
        due=2,
        doubts=("/bin/tell is not there. Put it there",),
    )
    lines = list(page(HooksAnswer(now=NOON, hooks=(view,)), 80))
    assert "2 due" in lines[1]
    assert "WRONG  tell: /bin/tell is not there. Put it there" == lines[2]


def test_a_dry_run_shows_all_that_a_hook_gets() -> None:
    """The command as a shell would take it, the environment, and the input."""
    tried = HookTried(
        hook="tell",
        cache="orders",
        command=("/bin/tell", "a b"),
        environment={"VALKEEP_CACHE": "orders", "PATH": "/bin"},
        given={"cache": "orders"},
    )
    lines = list(trial(tried, 80, dry_run=True))
    assert "  command  /bin/tell 'a b'" in lines
    assert ["  PATH=/bin", "  VALKEEP_CACHE=orders"] == lines[3:5]
    assert '  {"cache":"orders"}' == lines[-1]


def test_a_trial_shows_what_was_printed_and_how_it_ended() -> None:
    """The output comes first, as it was, and the end last."""
    tried = HookTried(
        hook="tell",
        cache="orders",
        command=("/bin/tell",),
        environment={},
        given={},
        result="ok",
        told="went well",
        seconds=0.5,
        output="one\ntwo",
        error="1 process that it had left behind was ended",
    )
    lines = list(trial(tried, 80, dry_run=False))
    last = "tell went well after 0.5 s; 1 process that it had left behind was ended."
    assert ["one", "two", last] == lines


def test_config_check_doubts_programs(tmp_path: Path) -> None:
    """A file in order whose programs are not is told with warnings, the line, and what to do."""
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o757)
    file = tmp_path / "v.toml"
    file.write_text(
        '[vaults.main]\nurl = "file:///srv/v"\n[caches.orders]\nurl = "valkey://h"\n'
        f'[hooks.a]\nwhen = "after-backup"\ncommand = ["{mine}"]\n'
        '[hooks.b]\nwhen = "after-backup"\ncommand = ["/nowhere/b"]\ncaches = ["ordres"]\n'
    )
    printed = typed("config", "check", str(file))
    assert 0 == printed.code
    assert f"warning: {file}:7: hooks.a.command: {mine} can be changed by everybody" in printed.err
    assert f"warning: {file}:10: hooks.b.command: /nowhere/b is not there" in printed.err
    assert f"warning: {file}:11: hooks.b.caches: none of the caches in this file" in printed.err
