"""A policy in the configuration file: what it may say, what is refused, and with which line."""

from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from daemon.app.settings import Settings
from daemon.config import ConfigError, PolicyConfig, Problem, load
from events.facts import CacheName, Policy, Window

FILE = Path("/etc/valkeep/valkeep.toml")
ORDERS = CacheName("orders")
HEAD = dedent("""\
    [vaults.main]
    url = "file:///var/backups/valkeep"
    [caches.orders]
    url = "valkey://127.0.0.1:6379"
    """)
FIRST = 6
"""The line of the first setting in a policy."""


def test_a_whole_policy_arrives() -> None:
    """What the file says is what the ledger is told, its windows in the order of their starts."""
    config = load(
        HEAD
        + dedent("""\
            [caches.orders.policy]
            auto = true
            retention_days = 14
            retries = 5
            timezone = "Europe/Paris"
            windows = ["14:30+90m", "02:00+2h"]
            keep_last = 2
            """),
        FILE,
    )
    windows = (Window("02:00", 120), Window("14:30", 90))
    policy = Policy(
        auto=True,
        retention_days=14,
        retries=5,
        timezone="Europe/Paris",
        windows=windows,
        keep_last=2,
    )

    (declared,) = Settings(config, FILE).declared().declared
    assert (ORDERS, policy) == (declared.name, declared.policy)
    assert "main" == declared.settings.vault


def test_a_cache_without_a_policy_is_said_to_have_none() -> None:
    """A section that is not there is not a policy with defaults."""
    (declared,) = Settings(load(HEAD, FILE), FILE).declared().declared

    assert declared.policy is None


def test_the_defaults_are_those_of_a_command() -> None:
    """An empty section is the policy that a cache has before anybody sets one."""
    assert {ORDERS: Policy()} == load(HEAD + "[caches.orders.policy]\n", FILE).policies
    assert {field.name for field in fields(Policy)} == set(PolicyConfig.__struct_fields__)


def test_settings_may_stay_when_auto_is_off() -> None:
    """A1: in the file the lines may stay while auto backups are off."""
    text = '[caches.orders.policy]\nauto = false\nwindows = ["02:00+2h"]\nretries = 1\n'

    policy = load(HEAD + text, FILE).policies[ORDERS]

    assert (False, 1, 1) == (policy.auto, policy.retries, len(policy.windows))


def test_auto_may_be_on_without_a_window() -> None:
    """Without windows nothing is made by itself, and that is allowed."""
    policy = load(HEAD + "policy = { auto = true }\n", FILE).policies[ORDERS]

    assert (True, ()) == (policy.auto, policy.windows)


def test_windows_want_a_word_on_auto() -> None:
    """A section with windows and no `auto` is a likely slip, so it has to say which."""
    problem = _problem('windows = ["02:00+2h"]')

    assert ("caches.orders.policy", FIRST - 1) == (problem.setting, problem.line)
    assert "auto = true" in problem.allowed


@pytest.mark.parametrize(
    ("text", "setting", "told"),
    [
        ("retention_days = 0", "retention_days", "1 to 730"),
        ("retention_days = 731", "retention_days", "1 to 730"),
        ("retries = 11", "retries", "0 to 10"),
        ("retries = -1", "retries", "0 to 10"),
        ("keep_last = 731", "keep_last", "0 to 730"),
        ("retention_days = 7.5", "retention_days", "a whole number from 1 to 730"),
        ("retries = true", "retries", "0 to 10"),
        ('auto = "yes"', "auto", "true or false"),
        ('windows = "02:00+2h"', "windows", "a list of texts"),
        ("windows = [2]", "windows", "a list of texts"),
        ('timezone = "Europe/Pariss"', "timezone", "Did you mean 'Europe/Paris'?"),
        ('windows = ["02:00-04:00"]', "windows[0]", "Did you mean '02:00+2h'?"),
        ('windows = ["02:00+10m"]', "windows[0]", "15 minutes to 24 hours"),
        ('window = ["02:00+2h"]', "window", "Did you mean 'windows'?"),
        ('verify = "weekly"', "verify", '"always", "daily"'),
    ],
)
def test_what_a_policy_cannot_be_is_told_with_its_line(text: str, setting: str, told: str) -> None:
    """A2, A3, A4, A11: what is wrong is told with the line and what is allowed instead."""
    problem = _problem(text, auto=True)

    assert (f"caches.orders.policy.{setting}", FIRST + 1) == (problem.setting, problem.line)
    assert told in problem.allowed


def test_an_overlap_names_both_windows() -> None:
    """A4: windows that overlap across midnight are told at once with what else is wrong."""
    problems = _problems(
        'retries = 99\nwindows = [\n  "23:00+4h",\n  "x",\n  "02:00+2h",\n]', auto=True
    )

    assert [(7, "retries"), (8, "windows"), (10, "windows[1]")] == [
        (p.line, p.setting.removeprefix("caches.orders.policy.")) for p in problems
    ]
    assert "02:00+2h and 23:00+4h overlap" in problems[1].wrong


@pytest.mark.parametrize(
    ("text", "setting", "told"),
    [
        ("policy = true\n", "caches.orders.policy", "[caches.orders.policy]"),
        ("retention_days = 7\n", "caches.orders.retention_days", "[caches.orders.policy]"),
        ("[caches.orders.polcy]\n", "caches.orders.polcy", "Did you mean 'policy'?"),
        ("[policies.orders]\n", "policies", "Allowed: vaults, caches"),
    ],
)
def test_a_policy_in_the_wrong_place_is_told_the_right_one(
    text: str, setting: str, told: str
) -> None:
    """A slip in the section's name, or a setting outside of it, is answered with the section."""
    with pytest.raises(ConfigError) as caught:
        load(HEAD + text, FILE)

    (problem,) = caught.value.problems
    assert setting == problem.setting
    assert told in problem.allowed


@given(st.lists(st.one_of(st.text(max_size=9), st.integers(), st.just("02:00+2h")), max_size=4))
def test_no_list_of_windows_breaks_the_reading(windows: list[object]) -> None:
    """Whatever stands among the windows, the file is read or its problems are told."""
    text = ", ".join(_toml(window) for window in windows)
    fits = len(windows) < 2 and all(window == "02:00+2h" for window in windows)

    with nullcontext() if fits else pytest.raises(ConfigError):
        load(f"{HEAD}[caches.orders.policy]\nauto = true\nwindows = [{text}]\n", FILE)


def _toml(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'


def _problem(text: str, *, auto: bool = False) -> Problem:
    (problem,) = _problems(text, auto=auto)
    return problem


def _problems(text: str, *, auto: bool = False) -> tuple[Problem, ...]:
    said = "auto = true\n" if auto and not text.startswith("auto") else "# as it is\n"
    with pytest.raises(ConfigError) as caught:
        load(f"{HEAD}[caches.orders.policy]\n{said if auto else ''}{text}\n", FILE)
    return caught.value.problems
