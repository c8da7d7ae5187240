"""What is found at the place of a new server: every trouble, before anything is made."""

import os
import socket
from pathlib import Path

import pytest

from daemon.cli.new.site import site_of, start_of
from daemon.cli.new.wish import NewServer
from daemon.errors import BadRequest, Rejected
from tests.support.servers import free_port


def place(directory: Path, port: int | None = None, bind: str = "127.0.0.1") -> NewServer:
    """A new server that is wanted there."""
    return NewServer("orders/nightly", directory, port or free_port(), bind=bind)


def test_a_good_place_is_measured(tmp_path: Path) -> None:
    """A directory to be made in one of ours, a free port: no trouble, and the room is known."""
    site = site_of(place(tmp_path / "new"), None)

    assert ("", "", 0o700) == (site.directory_trouble, site.port_trouble, site.directory_mode)
    assert site.disk_bytes
    assert site.memory_bytes
    assert "this host" in site.where


def test_each_trouble_with_a_directory_has_its_words(tmp_path: Path) -> None:
    """Not empty, no directory at all, no parent: each is told as it is."""
    (tmp_path / "file").touch()
    for directory, told in (
        (tmp_path, "is not empty: it holds file."),
        (tmp_path / "file", "is no directory."),
        (tmp_path / "no" / "new", f"There is no directory {tmp_path}/no to make new in."),
        (tmp_path / "file" / "new", f"There is no directory {tmp_path}/file to make new in."),
    ):
        assert told in site_of(place(directory), None).directory_trouble


def test_a_directory_without_rights_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether we may write is asked of the system, for the directory or for its parent."""
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert f"You may not write into {tmp_path}." == site_of(place(tmp_path), None).directory_trouble
    made = site_of(place(tmp_path / "new"), None).directory_trouble
    assert f"You may not make a directory in {tmp_path}." == made


@pytest.mark.parametrize("bind", ["127.0.0.1", "*"])
def test_a_port_in_use_is_told_of(tmp_path: Path, bind: str) -> None:
    """Whoever listens on it, on one address or on all, is in the way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        site = site_of(place(tmp_path / "new", taken.getsockname()[1], bind), None)

    assert "address already in use" in site.port_trouble


def test_an_address_of_another_host_is_told_of(tmp_path: Path) -> None:
    """192.0.2.0/24 is nobody's (RFC 5737): no server can listen there."""
    site = site_of(place(tmp_path / "new", bind="192.0.2.1"), None)

    assert "on 192.0.2.1 cannot be used" in site.port_trouble


@pytest.mark.anyio
async def test_only_what_is_called_like_an_engine_is_asked(tmp_path: Path) -> None:
    """A start command's program is run for its version only if it is called like an engine."""
    for name, known in (("valkey-server", "8.0.9"), ("start.sh", None)):
        program = tmp_path / name
        program.write_text(
            f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\necho 'Valkey server v=8.0.9'\n"
        )
        program.chmod(0o755)
        wanted = NewServer("b", tmp_path / "n", 6380, command=f"{program} {{conf}}")
        start = await start_of(wanted, None, {"PATH": "/nowhere"})

        assert known == (start.program.version if start.program else None)
        assert (tmp_path / f"ran-{name}").exists() == (known is not None)
        assert (str(program), f"{tmp_path}/n/valkey.conf") == start.words


@pytest.mark.anyio
async def test_a_program_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    """What cannot be found is told before anything is made."""
    wanted = NewServer("b", tmp_path / "n", 6380, command="valkey-sever {conf}")

    with pytest.raises(BadRequest):
        await start_of(wanted, None, {"PATH": os.defpath})


@pytest.mark.anyio
async def test_without_an_engine_nothing_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host without any engine is told what to install, and of --start-command."""
    monkeypatch.setattr("daemon.valkey.engine.importlib.util.find_spec", lambda _: None)

    with pytest.raises(Rejected) as caught:
        await start_of(place(tmp_path / "n"), None, {"PATH": "/nowhere"})
    assert "no-engine" == caught.value.code
    assert "--start-command" in caught.value.hint
