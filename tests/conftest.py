"""What every test shares: the event loop, hypothesis' settings, and which tests can run here.

Knows nothing of servers: those are in `tests.support`.
"""

import gc
import shutil
from collections import Counter
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

MISSING = pytest.StashKey[Counter[str]]()

# Its parent is what hypothesis found fit for this place: in CI that is derandomized.
settings.register_profile("valkeep", deadline=None)
settings.load_profile("valkeep")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The one event loop that the daemon runs on."""
    return "asyncio"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose Debian programs are not installed, and remember which."""
    missing: Counter[str] = Counter()
    unable = []
    for item in items:
        absent = [name for name in _programs(item) if shutil.which(name) is None]
        if absent:
            missing.update(absent)
            unable.append(item)
    config.stash[MISSING] = missing
    if unable:
        config.hook.pytest_deselected(items=unable)
        gone = set(unable)
        items[:] = [item for item in items if item not in gone]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives to the end: meanwhile no time goes into looking for rubbish in it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of several hands over what it could not run."""
    handed_over = getattr(session.config, "workeroutput", None)
    if handed_over is not None:
        missing: Counter[str] = session.config.stash[MISSING]
        handed_over["missing"] = dict(missing)


def pytest_configure(config: pytest.Config) -> None:
    """Where several workers run, the first to end tells for all: they collect the same."""
    config.pluginmanager.register(_Taken(config))


class _Taken:
    """Takes over what a worker could not run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: "WorkerController") -> None:
        """A worker has ended; one that died hands nothing over."""
        told = getattr(node, "workeroutput", {}).get("missing")
        if told is not None:
            self._config.stash[MISSING] = Counter[str](told)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say aloud what could not run, so that nobody takes it for tried."""
    for program, tests in sorted(config.stash.get(MISSING, Counter[str]()).items()):
        terminalreporter.write_line(
            f"NOT RUN: {tests} tests need {program}, which is not installed "
            f"(apt-get install {program})",
            yellow=True,
        )


def _programs(item: pytest.Item) -> Iterable[str]:
    """The programs named by ``@pytest.mark.debian("redis-server", …)`` on a test."""
    for mark in item.iter_markers("debian"):
        if not mark.args:
            raise pytest.UsageError(f"{item.nodeid}: name the program: @pytest.mark.debian(NAME)")
        yield from mark.args
