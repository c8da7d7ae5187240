"""Deciding on restores by keys: what is wished, what is overwritten, how one goes on (R3, R7)."""

import shlex

import pytest
from msgspec.structs import replace

from daemon.commands import (
    ReportPlan,
    ReportRestoreFailed,
    RequestRestore,
    StartDaemon,
    StartRestore,
)
from daemon.errors import BadRequest
from events.facts import Finding, InstallationId
from events.moves import KeysMoved, KeysWish
from events.types import RestoreFailed, RestorePlanned, RestoreRequested
from projections.state import State
from tests.support.given import given, refused, when
from tests.support.samples import OUTSIDE, R1, USERS, complete, plan, registered

CACHES = given(registered(), registered(USERS))
BACKED_UP = given(*complete(name="one"), state=CACHES)
WISH = KeysWish(
    patterns=("a'b*", "x"),
    database=2,
    on_conflict="fail",
    ttl="shift",
    rename_prefix="old:",
    keys_per_second=7,
)
START = StartRestore(R1, "r" * 40, {}, {}, "", "")


def asked(wish: KeysWish | None = WISH, *force: str, may_replace: bool = False) -> RequestRestore:
    """The command that restores keys of `orders/one` into `users`."""
    return RequestRestore(
        "orders/one", "users", force=force, replace=may_replace, method="keys", keys=wish
    )


def started(wish: KeysWish) -> State:
    """A restore by keys that has begun to write."""
    state = when(BACKED_UP, asked(wish), new_id=R1).state
    state = when(state, ReportPlan(R1, plan())).state
    return when(state, START).state


def test_wish_is_recorded() -> None:
    """The request holds which keys are wanted, and how; without a word that is all of them."""
    (event,) = when(BACKED_UP, asked(), new_id=R1).events
    assert isinstance(event, RestoreRequested)
    assert ("keys", WISH) == (event.method, event.keys)
    (bare,) = when(BACKED_UP, asked(None), new_id=R1).events
    assert isinstance(bare, RestoreRequested)
    assert KeysWish() == bare.keys


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (asked(KeysWish(patterns=("",))), "keys"),
        (asked(KeysWish(database=-1)), "db"),
        (asked(KeysWish(keys_per_second=-1)), "rate"),
        (asked(WISH, "replica"), "force"),
        (replace(asked(), method="replication"), "keys"),
    ],
)
def test_what_cannot_be_meant_is_refused(command: RequestRestore, code: str) -> None:
    """A wish that contradicts itself is bad usage, and nothing is recorded."""
    error = refused(BACKED_UP, command)
    assert (BadRequest, code) == (type(error), error.code)


@pytest.mark.parametrize("code", ["databases", "modules", "memory"])
def test_more_can_be_forced_with_keys(code: str) -> None:
    """Databases and modules can be forced with keys, and only with keys (R2)."""
    state = when(BACKED_UP, asked(WISH, code), new_id=R1).state
    finding = Finding(code, "blocker", "No.", forcible=True)
    (planned,) = when(state, ReportPlan(R1, plan(finding))).events
    assert isinstance(planned, RestorePlanned)
    assert (code,) == planned.forced


@pytest.mark.parametrize(
    ("mode", "existing", "may_replace", "goes_on"),
    [
        ("replace", 3, False, False),
        ("replace", 3, True, True),
        ("replace", 0, False, True),
        ("skip", 3, False, True),
    ],
)
def test_keys_are_overwritten_only_when_told(
    mode: str, existing: int, *, may_replace: bool, goes_on: bool
) -> None:
    """Existing keys that would be replaced stop a restore that was not told so (R3)."""
    wish = replace(WISH, on_conflict=mode)
    state = when(BACKED_UP, asked(wish, may_replace=may_replace), new_id=R1).state
    counted = replace(plan(target_keys=9), keys=KeysMoved(chosen=5, existing=existing))
    events = when(state, ReportPlan(R1, counted)).events

    assert goes_on == (len(events) == 1)
    if not goes_on:
        assert isinstance(events[-1], RestoreFailed)
        assert "not-empty" == events[-1].failure.code


def test_cut_off_restore_leaves_its_keys_and_says_how_to_go_on() -> None:
    """Nothing is undone; the command has every wish, and skips what may be its own (R7)."""
    (ended,) = when(started(WISH), ReportRestoreFailed(R1, OUTSIDE)).events

    assert isinstance(ended, RestoreFailed)
    words = shlex.split(ended.command)
    flags = words[words.index("--method") :]
    wanted = "--method keys --keys a'b* --keys x --db 2 --on-conflict skip --ttl shift"
    assert f"{wanted} --rename-prefix old: --rate 7".split() == flags
    assert any("stay on the target" in line for line in ended.by_hand)


def test_replacing_goes_on_with_replacing() -> None:
    """One that replaces replaces again: skipping would keep old values that it had not reached."""
    state = started(replace(WISH, on_conflict="replace"))
    (ended,) = when(state, ReportRestoreFailed(R1, OUTSIDE)).events

    assert isinstance(ended, RestoreFailed)
    assert "--on-conflict replace" in ended.command
    assert any("clients have written since" in line for line in ended.by_hand)


def test_end_of_the_daemon_ends_it_at_once() -> None:
    """After a start a restore by keys has failed; there is nothing to undo first (R7)."""
    events = when(started(WISH), StartDaemon(InstallationId("i"), "1.0")).events
    (ended,) = [event for event in events if isinstance(event, RestoreFailed)]
    assert ended.undone
