"""GET /v1/check: the verdicts over the socket, and a status that says the same."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from daemon.answers import Status
from daemon.answers.check import Checked
from daemon.api import Access
from daemon.errors import Forbidden, NotFound
from tests.support.api import serving
from tests.support.samples import STARTED, USERS, registered
from tests.support.scheduled import Story

pytestmark = pytest.mark.anyio

CLOSES = datetime(2026, 3, 2, 3, tzinfo=UTC)


async def test_an_empty_daemon_is_well() -> None:
    """A daemon without caches has its own lines, all of them OK."""
    async with serving(STARTED) as api:
        checked = await api.get(Checked, "/v1/check")

    assert "ok" == checked.level
    assert ["daemon", "clock"] == [line.rule for line in checked.lines]
    assert checked.now == api.clock.instant


async def test_verdicts_come_worst_first() -> None:
    """What is critical comes before what is a warning, and the whole has the worst level."""
    async with serving(registered(), registered(USERS)) as api:
        story = Story(api)
        await story.policy()
        await story.moved(CLOSES + timedelta(hours=1))
        checked = await api.get(Checked, "/v1/check")

    assert [("critical", "fresh"), ("warning", "missed"), ("warning", "auto")] == [
        (line.level, line.rule) for line in checked.lines[:3]
    ]
    assert "critical" == checked.level


async def test_one_cache_is_judged_with_the_daemon() -> None:
    """Asked for one cache, the others are not judged and the daemon is; a near miss is named."""
    async with serving(registered(), registered(USERS)) as api:
        checked = await api.get(Checked, "/v1/check", {"cache": "users"})
        with pytest.raises(NotFound) as unknown:
            await api.get(Checked, "/v1/check", {"cache": "user"})

    assert {None, "users"} == {line.cache for line in checked.lines}
    assert "users" in unknown.value.hint


async def test_a_status_has_the_same_problems() -> None:
    """The problems of a status are the lines that are not OK, in their order, with their hints."""
    async with serving(registered(), registered(USERS)) as api:
        story = Story(api)
        await story.policy()
        await story.failed(await story.started())
        checked = await api.get(Checked, "/v1/check")
        status = await api.get(Status, "/v1/status")

    bad = [line for line in checked.lines if line.level != "ok"]
    assert ["last-attempt", "auto"] == [line.rule for line in bad]
    assert [(line.code, line.hint) for line in bad] == [
        (problem.code, problem.hint) for problem in status.problems
    ]
    assert all(
        f"{line.cache}: {line.message}" == problem.message
        for line, problem in zip(bad, status.problems, strict=True)
    )


async def test_a_viewer_may_check() -> None:
    """Monitoring needs no more than the role of a viewer, and a stranger is turned away."""
    mine = os.geteuid()
    async with serving(STARTED, access=Access(users={mine: "viewer"}, groups={})) as api:
        seen = await api.get(Checked, "/v1/check")
    async with serving(STARTED, access=Access(users={}, groups={})) as api:
        with pytest.raises(Forbidden):
            await api.get(Checked, "/v1/check")

    assert "ok" == seen.level


async def test_what_is_well_again_is_ok() -> None:
    """A window that was missed is critical until the next one has left its backup."""
    async with serving(registered()) as api:
        story = Story(api)
        await story.policy()
        await story.moved(CLOSES + timedelta(hours=1))
        before = await api.get(Checked, "/v1/check")
        await story.completed()
        after = await api.get(Checked, "/v1/check")

    assert ("critical", "ok") == (before.level, after.level)
