"""`valkeep backup diff` against a real socket: pages, names, roles, and what it exits with."""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from daemon.api import Access
from daemon.cli.difference_page import name_line, quoted
from daemon.commands import DifferingKey, ReportCompared, ReportNotCompared
from daemon.ledger import DAEMON
from events.differences import ComparisonId, ComparisonResult, KeyCounts
from tests.support.api import Served, serving
from tests.support.given import NOON
from tests.support.samples import B1, B2, FOR_GOOD, complete, registered

pytestmark = pytest.mark.anyio

RESULT = ComparisonResult(
    counts=KeyCounts(same=1_000, added=3, removed=2, expired=1, changed=4, ttl=5),
    first_at=NOON,
    second_at=NOON,
    engine="valkey 8.1.8",
    load_seconds=1.5,
    seconds=4.0,
    databases={0: KeyCounts(same=1_000, added=3, changed=4), 9: KeyCounts(removed=2, expired=1)},
    types={"hash": KeyCounts(changed=4), "string": KeyCounts(added=3)},
    functions_differ=True,
    notes=("something was left out",),
)
PAGE = """\
From orders/one to orders/two: 15 keys of 1,015 differ.
  + added    3  only in the second
  - removed  2  only in the first
  x expired  1  only in the first: their TTL ended in between
  ~ changed  4  another value
  t ttl      5  another TTL, or one no more, and the same value
"""
OPERATOR = Access(users={os.geteuid(): "operator"}, groups={})


@asynccontextmanager
async def asked(api: Served) -> AsyncGenerator[ComparisonId, None]:
    """A comparison of two backups that was asked for at the command line."""
    said = await api.type("backup", "diff", "orders/one", "orders/two", "--no-wait")
    assert 0 == said.code, said.err
    (comparison_id,) = api.ledger.state.comparisons
    assert f"valkeep backup diff {comparison_id}" in said.out
    yield comparison_id


HISTORY = (registered(), *complete(B1, name="one"), *complete(B2, name="two"))


async def test_page_has_counts_databases_types_and_notes() -> None:
    """The result is told with counts first, by database and by type; JSON has it exactly."""
    async with serving(*HISTORY) as api, asked(api) as comparison_id:
        early = await api.type("backup", "diff", comparison_id, "--no-wait")
        await api.ledger.execute(ReportCompared(comparison_id, RESULT), DAEMON)
        page = await api.type("backup", "diff", comparison_id[:-2])
        raw = await api.type("backup", "diff", comparison_id, "--json")

    assert "still being compared" in early.out
    assert page.out.startswith(PAGE)
    for words in ("= same     1,000", "functions", "something was left out", "db9", "hash"):
        assert words in page.out
    told = json.loads(raw.out)["comparison"]["result"]
    assert RESULT == msgspec.convert(told, ComparisonResult, strict=False)


async def test_patience_ends_and_the_comparison_goes_on() -> None:
    """With a time-out the caller leaves, and is told how to come back."""
    async with serving(*HISTORY) as api:
        said = await api.type("backup", "diff", "orders/one", "orders/two", "--timeout", "0")
        (comparison_id,) = api.ledger.state.comparisons
        assert "requested" == api.ledger.state.comparisons[comparison_id].phase
    assert (1, True) == (said.code, f"`valkeep backup diff {comparison_id}`" in said.err)


async def test_failure_is_told_with_its_hint() -> None:
    """A comparison that came to nothing ends with 1, what failed, and what to do."""
    async with serving(*HISTORY) as api, asked(api) as comparison_id:
        await api.ledger.execute(ReportNotCompared(comparison_id, FOR_GOOD), DAEMON)
        said = await api.type("backup", "diff", comparison_id)
    assert 1 == said.code
    assert "orders/one and orders/two were not compared: Refused." in said.err
    assert "Fix it." in said.err


async def test_names_are_for_admins() -> None:
    """An operator compares and sees counts; names of keys are data, and take an admin."""
    async with serving(*HISTORY, access=OPERATOR) as api, asked(api) as comparison_id:
        await api.ledger.execute(ReportCompared(comparison_id, RESULT), DAEMON)
        counts = await api.type("backup", "diff", comparison_id)
        asks = await api.type("backup", "diff", "orders/one", "orders/two", "--names")
        reads = await api.type("backup", "diff", comparison_id, "--names")
    assert 0 == counts.code
    assert [3, 3] == [asks.code, reads.code]
    assert "role admin" in asks.err


async def test_near_misses_and_missing_sides() -> None:
    """A side that there is not is refused with the nearest one; a second side must be given."""
    async with serving(*HISTORY) as api:
        typo = await api.type("backup", "diff", "orders/one", "orders/twoo")
        cache = await api.type("backup", "diff", "orders/one", "order")
        alone = await api.type("backup", "diff", "orders/one")
        nobody = await api.type("backup", "diff", "20990101")
        bytes_ = await api.type("backup", "diff", "orders/one", "orders/two", "--keys", "\udcff*")
    assert (4, True) == (typo.code, "Did you mean 'orders/two'?" in typo.err)
    assert (4, True) == (cache.code, "Did you mean 'orders'?" in cache.err)
    assert (2, True) == (alone.code, "name of a cache to look at now" in alone.err)
    assert (2, True) == (bytes_.code, "An argument is no UTF-8 text." in bytes_.err)
    assert (4, True) == (nobody.code, "There is no comparison '20990101'" in nobody.err)


def test_keys_are_shown_as_valkey_cli_shows_them() -> None:
    """What cannot be seen in a key is escaped, and quotes and backslashes too."""
    assert '"a\\"b\\\\\\n\\x00\\xc3\\xa9"' == quoted('a"b\\\n\0é'.encode())
    named = DifferingKey("changed", 3, "hash", key_base64="AP8=")
    assert '~ db3 hash "\\x00\\xff"' == name_line(named)
