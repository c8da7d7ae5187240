"""Where secrets come from, what ids look like, and how tests move the clock."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.app.real import OFFSET_VARIABLE, RandomIds, SystemClock, clock_offset, secret
from daemon.errors import BadRequest, Permanent
from daemon.storage import names
from events.facts import BackupId, CacheName


def test_ids_are_folder_names_that_sort_by_time() -> None:
    """An id is accepted where folders are named, and begins with the time."""
    ids = RandomIds(SystemClock())
    first, second = ids.new(), ids.new()

    assert first != second
    assert first[:16] <= second[:16]
    assert names.backup_folder(CacheName("orders"), BackupId(first)).endswith(f"/{first}/")


@pytest.mark.parametrize("length", [1, 39, 40])
def test_tokens_have_the_length_that_was_asked_for(length: int) -> None:
    """A token is hexadecimal and never the same twice, unless it is too short for that."""
    token = RandomIds(SystemClock()).token(length)

    assert re.fullmatch(f"[0-9a-f]{{{length}}}", token)


def test_a_secret_in_a_file_ends_before_its_last_newline(tmp_path: Path) -> None:
    """Editors end files with a newline, which is no part of a password; inner ones are."""
    file = tmp_path / "password"
    file.write_bytes(b"sesame \n\n")

    assert "sesame \n" == secret(file=str(file), variable=None)


def test_a_relative_name_is_a_credential_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd puts credentials into a folder of its own and names it in the environment."""
    (tmp_path / "orders").write_text("sesame")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert "sesame" == secret(file="orders", variable=None)


def test_a_secret_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable's name is in the configuration, its value only in the environment."""
    monkeypatch.setenv("ORDERS_PASSWORD", "sesame")

    assert "sesame" == secret(file=None, variable="ORDERS_PASSWORD")
    assert secret(file=None, variable=None) is None


def test_a_secret_that_cannot_be_had_says_where_it_should_be(tmp_path: Path) -> None:
    """A missing file and an unset variable are named, each with what to do."""
    with pytest.raises(Permanent, match=r"nowhere.*No such file") as missing:
        secret(file=str(tmp_path / "nowhere"), variable=None)
    with pytest.raises(Permanent, match="UNSET_VARIABLE") as unset:
        secret(file=None, variable="UNSET_VARIABLE")

    assert ("secret-unreadable", "secret-missing") == (missing.value.code, unset.value.code)


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("0", 0), ("-0.5", -0.5), ("1e6", 1e6)])
def test_a_test_may_move_the_clock(text: str, seconds: float) -> None:
    """The wall clock is moved by so many seconds, forwards or back, in fractions too."""
    assert timedelta(seconds=seconds) == clock_offset({OFFSET_VARIABLE: text})


def test_a_moved_clock_shows_another_time() -> None:
    """An offset is in what the clock shows, and without one it shows the host's time."""
    plain, moved = SystemClock(clock_offset({})), SystemClock(timedelta(days=400))

    assert timedelta(days=399) < moved.now() - plain.now() < timedelta(days=401)
    assert plain.now().tzinfo is UTC
    assert plain.now() > datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-inf", "1e12", "12h", "0x10"])
def test_a_clock_offset_that_is_no_number_is_refused(text: str) -> None:
    """What is no number of seconds within a century ends the daemon, and the variable is named."""
    with pytest.raises(BadRequest, match=f"{OFFSET_VARIABLE} is '{text}'") as refused:
        clock_offset({OFFSET_VARIABLE: text})

    assert ("clock-offset", True) == (refused.value.code, bool(refused.value.hint))
