"""`valkeep report`: where the page goes, what it never overwrites, and what slips are told."""

import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest

from daemon.answers.report import Report
from daemon.answers.usage import UsageMonth
from daemon.cli.desk import Desk
from daemon.cli.report import command
from daemon.cli.report.page import GENERATOR
from tests.support.api import Printed, serving, typed
from tests.support.given import NOON
from tests.support.retaining import story
from tests.support.samples import B1, registered

pytestmark = pytest.mark.anyio

MADE = (registered(), story(B1, NOON))


async def make(*arguments: str) -> Printed:
    """One report on a daemon that has a cache with a backup."""
    async with serving(*MADE) as api:
        return await api.type("report", *arguments)


def entries(folder: Path) -> list[Path]:
    """All that is in a folder, hidden files too."""
    return list(folder.iterdir())


async def test_a_new_page_is_its_owner_s_alone(tmp_path: Path) -> None:
    """The page is written whole, nobody else can read it, and one line says how large it is."""
    page = tmp_path / "backups.html"
    printed = await make("--html", str(page))

    assert (0, "") == (printed.code, printed.out)
    assert printed.err.startswith(f"{page}: 1 cache, 30 days, ")
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().endswith("</html>\n")
    assert 0o600 == page.stat().st_mode & 0o777
    assert [page] == entries(tmp_path)


async def test_a_page_that_is_made_again_keeps_its_rights(tmp_path: Path) -> None:
    """Who gave others the right to read it need not do so every night."""
    page = tmp_path / "backups.html"
    await make("--html", str(page))
    page.chmod(0o644)
    inode = page.stat().st_ino
    printed = await make("--html", str(page))

    assert 0 == printed.code
    assert 0o644 == page.stat().st_mode & 0o777
    assert inode != page.stat().st_ino  # replaced in one step, never half written


async def test_another_s_file_is_left_alone(tmp_path: Path) -> None:
    """What is no report is never overwritten: the refusal names it."""
    note = tmp_path / "note.txt"
    note.write_text("mine\n")
    printed = await make("--html", str(note))

    assert 3 == printed.code
    assert f"error: {note} is there and is not a report: it is left as it is." in printed.err
    assert "mine\n" == note.read_text()


async def test_an_empty_file_may_become_a_page(tmp_path: Path) -> None:
    """A file that was made beforehand, to have its rights set, is filled."""
    page = tmp_path / "backups.html"
    page.touch(0o640)

    assert 0 == (await make("--html", str(page))).code
    assert GENERATOR in page.read_text()


async def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A page behind a link is replaced where it lies."""
    (tmp_path / "www").mkdir()
    link = tmp_path / "backups.html"
    link.symlink_to(tmp_path / "www" / "index.html")

    assert 0 == (await make("--html", str(link))).code
    assert link.is_symlink()
    assert GENERATOR in (tmp_path / "www" / "index.html").read_text()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nowhere/x.html", "There is no folder"),
        (".", "is no file"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
async def test_a_place_that_cannot_be_is_refused(tmp_path: Path, target: str, told: str) -> None:
    """A folder that is not there, and a folder instead of a file, are told before any work."""
    printed = await make("--html", str(tmp_path / target))

    assert printed.code in (1, 2)
    assert told in printed.err
    assert "hint: " in printed.err


async def test_a_full_disk_leaves_the_old_page(tmp_path: Path) -> None:
    """Where the new page does not fit, the old one stays whole, and nothing else is left there."""
    page = tmp_path / "backups.html"
    async with serving(*MADE) as api:
        await api.type("report", "--html", str(page))
        before = page.read_bytes()
        line = f"{sys.executable} -m daemon.cli --socket {api.path} report --html {page}"
        done = await anyio.run_process(["sh", "-c", f"ulimit -f 4; exec {line}"], check=False)

    assert (1, f"error: {page} cannot be written: File too large.") == (
        done.returncode,
        done.stderr.decode().splitlines()[0],
    )
    assert before == page.read_bytes()
    assert [page] == entries(tmp_path)


async def test_a_page_goes_to_stdout() -> None:
    """With - the page is all that is printed."""
    printed = await make("--html", "-")

    assert printed.out.startswith("<!doctype html>")
    assert "" == printed.err


async def test_the_data_are_printed_as_json() -> None:
    """With --json the answer is printed, without a file and without the page's libraries."""
    printed = await make("--json", "--days", "3")

    assert [3] == [len(cache["days"]) for cache in json.loads(printed.out)["caches"]]


async def test_both_can_be_had(tmp_path: Path) -> None:
    """The page in a file and its data on stdout are of one answer."""
    page = tmp_path / "backups.html"
    printed = await make("--json", "--html", str(page))

    assert GENERATOR in page.read_text()
    assert json.loads(printed.out)["days"] == 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Say where the page goes"),
        (("--html", "-", "--json"), "both want stdout"),
        (("--htm", "x.html"), "Did you mean '--html'?"),
        (("--html", "x.html", "--days", "0"), "is not from 1 to 366"),
    ],
)
def test_bad_usage_is_told_without_a_daemon(arguments: Sequence[str], told: str) -> None:
    """A slip is told before anybody is asked."""
    printed = typed("--socket", "/nowhere", "report", *arguments)

    assert 2 == printed.code
    assert told in printed.err


async def test_an_unknown_cache_is_told_the_nearest(tmp_path: Path) -> None:
    """A slip in a name leaves no file behind."""
    printed = await make("--html", str(tmp_path / "x.html"), "--cache", "order")

    assert 4 == printed.code
    assert "Did you mean 'orders'?" in printed.err
    assert [] == entries(tmp_path)


def test_without_its_libraries_the_line_to_type_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the extra is not installed, the error has the very line that mends it."""

    def without_pygal(name: str) -> ModuleSpec | None:
        return None if name == "pygal" else find_spec(name)

    monkeypatch.setattr("daemon.cli.report.command.find_spec", without_pygal)
    printed = typed("--socket", "/nowhere", "report", "--html", str(tmp_path / "x.html"))

    assert 1 == printed.code
    assert "The page is made with pygal, which this installation lacks." in printed.err
    assert f"{sys.executable} -m pip install 'pygal>=3.1'" in printed.err


def test_the_cost_comes_from_the_daemon_s_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the daemon answers what this month has cost, the page tells it."""
    month = UsageMonth(
        month="2026-03", until=NOON, complete=False, currency="EUR", lines=(), forecast=()
    )
    asked: list[str] = []

    def answer(_: Desk, shape: type[UsageMonth], route: str, **query: str) -> tuple[object, bytes]:
        asked.append(f"{route} {query['month']}")
        return month, b""

    monkeypatch.setattr(Desk, "ask", answer)
    report = Report(NOON, "0.1.0", NOON.date(), 1, "ok")
    found = command._usage(Desk({}, None), report, None)

    assert month == found
    assert ["/v1/usage 2026-03"] == asked
