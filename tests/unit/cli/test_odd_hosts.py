"""What the command line says where the host itself is odd: closed streams, lost folders, bytes."""

import subprocess
import sys
from pathlib import Path

import pytest

CLOSED = {
    "stderr": "import os, sys; os.close(2); os.execv(sys.executable, sys.argv[1:])",
    "all three": (
        "import os, sys; [os.close(n) for n in (0, 1, 2)]; os.execv(sys.executable, sys.argv[1:])"
    ),
}
"""Programs that run another one without some of its standard descriptors, as `>&-` does."""


@pytest.mark.parametrize("closed", CLOSED)
def test_a_closed_stream_is_no_crash(closed: str) -> None:
    """A command whose output nobody wants (`2>&-`) ends as it would with it."""
    command = [sys.executable, "-c", CLOSED[closed], sys.executable, "-m", "daemon.cli"]
    done = subprocess.run([*command, "bakup"], capture_output=True, check=False)

    assert 2 == done.returncode


def test_a_file_of_ours_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Where a descriptor is closed `/dev/null` takes its place: no file is opened on it."""
    script = (
        "import os; from daemon.cli.main import _reopen; _reopen();"
        f"print(os.open({str(tmp_path)!r}, os.O_RDONLY), file=open({str(tmp_path / 'n')!r}, 'w'))"
    )
    launch = [sys.executable, "-c", CLOSED["all three"], sys.executable, "-c", script]
    subprocess.run(launch, check=True)

    assert int(tmp_path.joinpath("n").read_text()) > 2


def test_bytes_that_are_no_text_are_told() -> None:
    """An argument that is no UTF-8 is bad usage, not a crash."""
    words: list[str | bytes] = [sys.executable, "-m", "daemon.cli", "backup", "show", b"\xff\xfe"]
    done = subprocess.run(words, capture_output=True, check=False)

    assert 2 == done.returncode
    assert b"error: An argument is no UTF-8 text." in done.stderr


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """Whoever stands in a folder that was removed is told so, with what to do."""
    here = tmp_path / "here"
    here.mkdir()
    script = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, sys.argv[1:])"
    words = [sys.executable, "-m", "daemon.cli", "restore", "a/b", "--file", "x.rdb"]
    launch = [sys.executable, "-c", script, *words]
    done = subprocess.run(launch, capture_output=True, check=False, cwd=here)

    assert 1 == done.returncode
    assert b"error: The folder that this was typed in is gone." in done.stderr
