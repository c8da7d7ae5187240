"""The socket as strangers, slow peers and a second daemon meet it."""

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio import to_thread
from anyio.abc import SocketStream
from msgspec import Struct
from structlog.testing import capture_logs

from daemon.answers import Accepted, ErrorAnswer, Role, Status
from daemon.api import Access, Limits, Peer, Roles, access_for, listening
from daemon.api.streams import EventLine
from daemon.client import Client
from daemon.commands import AddCache, RemoveCache, RequestBackup
from daemon.errors import BadRequest, Forbidden, Permanent, Unavailable, Unreachable
from tests.support.api import Served, doorway, serving
from tests.support.samples import SETTINGS, STARTED, registered

pytestmark = pytest.mark.anyio

STATUS = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
NOBODY = Access(users={}, groups={})

CALLER = """
import os, socket, sys
path, uid, gid, groups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if os.geteuid() == 0:
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
line = socket.socket(socket.AF_UNIX)
line.connect(path)
try:
    line.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    with line.makefile("rb") as answer:
        sys.stdout.buffer.write(answer.read())
except (BrokenPipeError, ConnectionResetError):
    pass
"""
"""Another process, and as far as we may also another user; prints the daemon's bare answer."""


class Someone(Struct, frozen=True):
    """A user whom the test's own process is not, where it may choose."""

    uid: int
    gid: int
    group: int

    async def calls(self, path: Path) -> bytes:
        """The daemon's answer to a question of this user; nothing where it would not listen."""
        arguments = [str(path), str(self.uid), str(self.gid), str(self.group)]
        command = [sys.executable, "-I", "-S", "-c", CALLER, *arguments]
        done = await anyio.run_process(command, stderr=subprocess.STDOUT)
        return done.stdout


def someone() -> Someone:
    """Another user where we may become one, else ourselves."""
    if os.geteuid() == 0:
        return Someone(uid=54_321, gid=54_322, group=54_323)
    other = [group for group in os.getgroups() if group != os.getegid()]
    return Someone(uid=os.geteuid(), gid=os.getegid(), group=(other or [os.getegid()])[0])


@asynccontextmanager
async def called(api: Served) -> AsyncGenerator[SocketStream, None]:
    """A bare connection to the daemon."""
    async with await anyio.connect_unix(api.path) as stream:
        yield stream


async def everything(stream: SocketStream) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    try:
        async for piece in stream:
            received += piece
    except anyio.BrokenResourceError:
        pass
    return received


def problem_in(answer: bytes) -> str:
    """The code of a bare HTTP answer that is a refusal."""
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=ErrorAnswer).error.code


async def is_alive(api: Served) -> None:
    """Others are still served."""
    await api.get(Status, "/v1/status")


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_a_role_comes_with_a_supplementary_group(role: Role) -> None:
    """A process in a group that has a role is let in with that role."""
    other = someone()
    async with serving(STARTED, access=Access(users={}, groups={other.group: role})) as api:
        answer = await other.calls(api.path)

    assert f'"your_role":"{role}"'.encode() in answer


async def test_a_role_comes_with_the_primary_group() -> None:
    """The primary group counts as every other one."""
    other = someone()
    async with serving(access=Access(users={}, groups={other.gid: "viewer"})) as api:
        answer = await other.calls(api.path)

    assert b'"your_role":"viewer"' in answer


async def test_a_role_comes_with_the_user() -> None:
    """A user who has a role is let in, whatever the groups."""
    other = someone()
    async with serving(access=Access(users={other.uid: "operator"}, groups={})) as api:
        answer = await other.calls(api.path)

    assert b'"your_role":"operator"' in answer


async def test_a_stranger_hears_nothing() -> None:
    """A process whom nothing names is closed at accept, without a word."""
    async with serving(access=NOBODY) as api:
        assert b"" == await someone().calls(api.path)


async def test_a_stranger_is_told_so_by_the_client() -> None:
    """Closed without a word is not unreachable: the client says who is unknown, and where."""
    async with serving(access=NOBODY) as api:
        with pytest.raises(Forbidden) as refused:
            await api.get(Status, "/v1/status")

    assert "unknown-peer" == refused.value.code
    assert "[roles]" in refused.value.hint


async def test_strangers_take_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers who hold on to their connections do not count against any limit."""
    stranger = Peer(uid=4711, pid=1, groups=frozenset())
    async with serving(limits=Limits(clients=1)) as api:
        with monkeypatch.context() as patch:
            patch.setattr("daemon.api.server.peer_of", lambda _: stranger)
            lines = [await anyio.connect_unix(api.path) for _ in range(40)]
            assert b"" == await everything(lines[-1])
        await is_alive(api)
        for line in lines:
            await line.aclose()


async def test_credentials_that_cannot_be_read_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer whose credentials cannot be read is refused, though the user would be admin."""

    def unreadable(_: socket.socket) -> None:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    async with serving() as api:
        await is_alive(api)
        monkeypatch.setattr("daemon.api.server.peer_of", unreadable)
        with pytest.raises(Forbidden):
            await api.get(Status, "/v1/status")


async def test_a_viewer_may_only_ask() -> None:
    """A viewer's commands are refused, naming the role that is needed and how to get it."""
    viewer = Access(users={os.geteuid(): "viewer"}, groups={})
    async with serving(registered(), access=viewer) as api:
        await is_alive(api)
        with pytest.raises(Forbidden) as backup:
            await api.post(Accepted, "/v1/commands", RequestBackup("orders", "x"))

    assert "operator" in backup.value.message
    assert "[roles]" in backup.value.hint


async def test_an_operator_may_back_up_but_not_remove() -> None:
    """An operator makes backups; caches are an admin's."""
    operator = Access(users={os.geteuid(): "operator"}, groups={})
    async with serving(registered(), access=operator) as api:
        await api.post(Accepted, "/v1/commands", RequestBackup("orders", "x"))
        with pytest.raises(Forbidden) as adding:
            await api.post(Accepted, "/v1/commands", AddCache("b", SETTINGS.url))
        with pytest.raises(Forbidden) as removing:
            await api.post(Accepted, "/v1/commands", RemoveCache("orders"))

    assert "admin" in adding.value.message
    assert "admin" in removing.value.message


async def test_root_and_the_own_user_are_admin() -> None:
    """Root and the daemon's own user are admin without being named; a missing name is told."""
    access = access_for(Roles(viewer=("group:no-such-group-here",)), own_uid=4711)

    assert {0: "admin", 4711: "admin"} == access.users
    assert {} == access.groups
    assert ("group:no-such-group-here",) == access.unknown


async def test_one_user_cannot_take_all_places() -> None:
    """A user's ninth connection is turned away with a reason, and the others go on."""
    limits = Limits(clients_per_uid=2)
    async with serving(limits=limits) as api, called(api) as first, called(api) as second:
        await first.send(STATUS)
        assert b"200 OK" in await first.receive()
        with pytest.raises(Unavailable) as refused:
            await api.get(Status, "/v1/status")
        await second.send(STATUS)
        assert b"200 OK" in await second.receive()

    assert "too-many-clients" == refused.value.code


async def test_who_finds_the_house_full_gets_in_when_somebody_leaves() -> None:
    """A command that was turned away is given again by itself, once, when there is a place."""
    async with serving(limits=Limits(clients_per_uid=1)) as api:
        client = Client(str(api.path))
        async with called(api) as first, anyio.create_task_group() as tasks:
            await first.send(STATUS)
            assert b"200 OK" in await first.receive()
            with pytest.raises(Unavailable):
                await api.get(Status, "/v1/status")
            answers: list[bytes] = []

            async def ask() -> None:
                answers.append(await to_thread.run_sync(client.get, "/v1/status"))

            tasks.start_soon(ask)
            await first.aclose()

    assert b'"version"' in answers[0]


async def test_a_crowd_of_one_user_leaves_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two hundred half-open connections of one user keep nobody else out."""
    crowd = Peer(uid=4711, pid=1, groups=frozenset())
    access = Access(users={os.geteuid(): "viewer", crowd.uid: "viewer"}, groups={})
    async with serving(access=access) as api:
        with monkeypatch.context() as patch:
            patch.setattr("daemon.api.server.peer_of", lambda _: crowd)
            lines = [await anyio.connect_unix(api.path) for _ in range(200)]
            assert b" 503 " in await everything(lines[-1])
        await is_alive(api)
        for line in lines:
            await line.aclose()


async def test_a_place_is_free_again_after_its_connection() -> None:
    """Connections that have ended leave their places to others."""
    async with serving(limits=Limits(clients=1)) as api:
        for _ in range(20):
            await is_alive(api)


async def test_half_open_clients_are_cut() -> None:
    """Who connects and says nothing is cut off after its time, and so is who stops midway."""
    async with serving(limits=Limits(first_request_seconds=0.2)) as api:
        async with called(api) as silent, called(api) as midway:
            await midway.send(STATUS[:20])
            assert b"" == await everything(silent)
            assert b"" == await everything(midway)
        await is_alive(api)


async def test_a_slow_body_is_cut() -> None:
    """A body that does not arrive in its time is refused, and the connection ends."""
    async with serving(registered(), limits=Limits(body_seconds=0.2)) as api:
        async with called(api) as slow:
            head = b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
            await slow.send(head)
            answer = await everything(slow)
        await is_alive(api)

    assert b" 400 " in answer
    assert "slow-body" == problem_in(answer)


async def test_an_idle_connection_is_closed() -> None:
    """A connection that was used and then rests is closed after its time."""
    async with serving(limits=Limits(idle_seconds=0.2)) as api, called(api) as idle:
        await idle.send(STATUS)
        answer = await everything(idle)

    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_body_that_is_too_large_is_refused() -> None:
    """A body above 64 KiB is refused by its size, whatever is in it."""
    async with serving() as api:
        client = Client(str(api.path))
        with pytest.raises(BadRequest) as refused:
            await to_thread.run_sync(client.post, "/v1/commands", b" " * 70_000)
        await is_alive(api)

    assert "too-large" == refused.value.code


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["bytes", "line", "header", "headers", "length"],
)
async def test_garbage_is_refused(garbage: bytes) -> None:
    """What is no HTTP, or too much of it, is answered with 400 and the connection ends."""
    async with serving() as api:
        async with called(api) as line:
            await line.send(garbage)
            answer = await everything(line)
        await is_alive(api)

    assert b" 400 " in answer.split(b"\r\n")[0]


async def test_an_end_in_the_middle_of_a_body_harms_nobody() -> None:
    """A client that leaves in the middle of its body has no effect."""
    async with serving(registered()) as api:
        async with called(api) as leaving:
            head = b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
            await leaving.send(head)
        await is_alive(api)
        assert 1 == api.ledger.state.position


async def test_accept_survives_a_lack_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of descriptors, the daemon waits and then goes on accepting."""
    real = socket.socket.accept
    failures = [errno.EMFILE, errno.ECONNABORTED, errno.ENFILE]

    def scarce(door: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise OSError(failures.pop(), "scarce")
        return real(door)

    monkeypatch.setattr(socket.socket, "accept", scarce)
    async with serving(limits=Limits(retry_seconds=0.01)) as api:
        await is_alive(api)

    assert [] == failures


async def test_a_bug_tells_nothing_of_its_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in a handler is answered as a bug, without its text, and the daemon goes on."""

    def crash(_: object) -> None:
        raise ZeroDivisionError("hunter2")

    async with serving() as api:
        monkeypatch.setattr("daemon.api.queries.moment_of", crash)
        async with called(api) as line:
            await line.send(STATUS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answer = await everything(line)
        monkeypatch.undo()
        await is_alive(api)

    assert "bug" == problem_in(answer)
    assert b"hunter2" not in answer
    assert b"Zero" not in answer


async def test_a_followed_history_grows_and_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A followed history tells each new event at once, and a blank line when it is quiet."""
    monkeypatch.setattr("daemon.api.streams.BEAT_SECONDS", 0.05)
    async with serving(registered()) as api, called(api) as line:
        await line.send(b"GET /v1/events?follow=true&cache=orders HTTP/1.0\r\n\r\n")
        received = b""
        while b"cache-registered" not in received:
            received += await line.receive()
        await api.post(Accepted, "/v1/commands", RequestBackup("orders", "nightly"))
        while b"backup-requested" not in received:
            received += await line.receive()
        quiet = received
        while not quiet.endswith(b"\n\n"):
            quiet += await line.receive()

    body = quiet.partition(b"\r\n\r\n")[2]
    told = [msgspec.json.decode(one, type=EventLine) for one in body.split(b"\n") if one]
    assert [1, 2] == [one.position for one in told]


async def test_who_leaves_a_stream_is_no_failure_of_the_daemon(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that goes away in the middle (`| head -1`) leaves one line in the log, no trace."""

    async def unwritable(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr("daemon.api.application._write", unwritable)
    with capture_logs() as logs:
        async with serving(STARTED, registered()) as api, called(api) as gone:
            await gone.send(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            await everything(gone)
            await is_alive(api)

    assert ["/v1/events"] == [line["path"] for line in logs if line["event"] == "client gone"]
    assert [] == [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_followers_end_with_the_daemon() -> None:
    """A daemon that stops does not wait for those who follow its history."""
    async with anyio.create_task_group() as tasks:
        lines: list[bytes] = []

        async def follow(api: Served) -> None:
            async with called(api) as line:
                await line.send(b"GET /v1/events?follow=true HTTP/1.0\r\n\r\n")
                lines.append(await line.receive())
                following.set()
                await everything(line)
                ended.set()

        following, ended = anyio.Event(), anyio.Event()
        async with serving(registered()) as api:
            tasks.start_soon(follow, api)
            await following.wait()
        with anyio.fail_after(10):
            await ended.wait()

    assert lines


async def test_a_second_daemon_is_refused_by_name() -> None:
    """A socket that a daemon answers on is not taken; the refusal names the daemon's process."""
    async with serving() as api:
        with pytest.raises(Permanent) as refused, listening(api.path):
            pass
        await is_alive(api)

    assert "daemon-running" == refused.value.code
    assert str(os.getpid()) in refused.value.message


async def test_a_dead_daemons_socket_is_replaced() -> None:
    """A socket that nobody answers on any more is taken over."""
    with doorway() as path:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with listening(path) as door, socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            door.accept()[0].close()
        assert not path.exists()


@pytest.mark.parametrize("what", ["file", "folder", "link", "dangling link"])
async def test_nothing_but_a_socket_is_replaced(what: str) -> None:
    """A file, a folder or a link in the way is refused and left as it is."""
    with doorway() as path:
        if what == "folder":
            path.mkdir()
        elif what == "file":
            path.write_text("mine")
        else:
            target = path.with_name("target")
            if what == "link":
                target.write_text("mine")
            path.symlink_to(target)
        before = path.lstat()
        with pytest.raises(Permanent) as refused, listening(path):
            pass
        assert before.st_ino == path.lstat().st_ino

    assert "socket-in-the-way" == refused.value.code


async def test_a_path_that_is_too_long_is_refused() -> None:
    """A path that no socket can have is refused with the limit, before anything is made."""
    path = Path("/tmp") / ("x" * 120) / "s"  # noqa: S108 - nothing is made there
    with pytest.raises(Permanent) as refused, listening(path):
        pass

    assert "107" in refused.value.message
    assert not path.parent.exists()


async def test_permissions_are_in_place_before_anybody_can_connect() -> None:
    """Folder and socket are open to all, by their modes and whatever the mask, from the start."""
    before = os.umask(0o077)
    try:
        with doorway() as path, listening(path.parent / "run" / "s"):
            folder = (path.parent / "run").stat().st_mode
            door = (path.parent / "run" / "s").stat().st_mode
    finally:
        os.umask(before)

    assert 0o755 == stat.S_IMODE(folder)
    assert 0o666 == stat.S_IMODE(door)


async def test_without_a_daemon_the_client_says_where_it_looked() -> None:
    """No socket, and a socket that nobody answers on, are unreachable and name the path."""
    with doorway() as path:
        with pytest.raises(Unreachable) as nothing:
            Client(str(path)).get("/v1/status")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
            with pytest.raises(Unreachable) as silent:
                Client(str(path)).get("/v1/status")

    assert str(path) in nothing.value.message
    assert "valkeep serve" in nothing.value.hint
    assert str(path) in silent.value.message


async def test_an_answer_that_is_cut_short_is_no_answer() -> None:
    """A daemon that dies in the middle of its answer is told of, never half believed."""
    halves = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
    ]
    with doorway() as path, listening(path) as door:
        for half in halves:
            await _is_no_answer(path, door, half)


async def _is_no_answer(path: Path, door: socket.socket, answer: bytes) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_answer_once, door, answer)
        with pytest.raises(Unreachable):
            await to_thread.run_sync(Client(str(path)).get, "/v1/status")


async def _answer_once(door: socket.socket, answer: bytes) -> None:
    await anyio.wait_readable(door)
    connection = door.accept()[0]
    with connection:
        connection.settimeout(5)
        connection.recv(4096)
        connection.sendall(answer)
