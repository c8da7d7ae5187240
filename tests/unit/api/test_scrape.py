"""The port for Prometheus: what it answers, whom it refuses, and what it bears."""

import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import anyio
import pytest
from anyio import to_thread
from prometheus_client.parser import text_string_to_metric_families

from daemon.api import ScrapePort
from daemon.api.scrape import Bounds
from tests.support.addresses import free_address
from tests.support.api import serving
from tests.support.poll import until
from tests.support.samples import complete, registered

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def listening(address: str, bounds: Bounds | None = None) -> AsyncGenerator[ScrapePort, None]:
    """A port that runs beside an API with one backup."""
    port = ScrapePort(bounds=bounds)
    port.listen(address)
    async with serving(registered(), complete()) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(port.run, api.outside)
        yield port
        tasks.cancel_scope.cancel()


def connected(address: str) -> socket.socket:
    """A connection, as soon as there is somebody to take it."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=10)


def said(address: str, request: bytes) -> bytes:
    """All that is answered until the connection ends."""
    answer = b""
    with closing(connected(address)) as line:
        line.sendall(request)
        while piece := line.recv(65536):
            answer += piece
    return answer


async def asked(address: str, request: bytes) -> tuple[bytes, bytes]:
    """The head and the body of an answer; the port may open a moment later."""
    answers: list[bytes] = []

    async def answered() -> bool:
        try:
            answers.append(await to_thread.run_sync(said, address, request))
        except ConnectionRefusedError:
            return False
        return True

    await until(answered, f"somebody listens at {address}")
    head, _, body = answers[-1].partition(b"\r\n\r\n")
    return head, body


GET = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_scrape_over_tcp(host: str) -> None:
    """What the socket tells Prometheus can be had on the loopback, of either kind."""
    address = free_address(host)
    async with listening(address) as port:
        head, body = await asked(address, GET)
        assert port.standing is not None
        assert (address, None) == (port.standing.listen, port.standing.failure)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"text/plain; version=0.0.4" in head
    assert b"Connection: close" in head
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"valkeep_backups_completed", "valkeep_build_info"} <= names


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost:9464\r\n\r\n", b"404"),
        (b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"GET /openapi.json HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", b"404"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", b"404"),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET /metrics HTTP/1.1\r\nHost: [evil\r\n\r\n", b"403"),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", b"403"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"400"),
    ],
)
async def test_nothing_else_is_answered(request_: bytes, status: bytes) -> None:
    """Other paths, methods and hosts are refused, and so is what is no HTTP."""
    address = free_address()
    async with listening(address):
        head, _ = await asked(address, request_)
    assert head.split()[:2] == [head[:8], status], head


async def test_half_open_clients_are_cut_off() -> None:
    """Who says nothing, or half of a request, is cut off; too many at once are told so."""
    address = free_address()
    async with listening(address, Bounds(clients=3, first_seconds=0.5)):
        await asked(address, GET)
        idle = [connected(address) for _ in range(3)]
        idle[0].sendall(b"GET /metrics HT")
        with closing(connected(address)) as one_too_many:
            told = await to_thread.run_sync(one_too_many.recv, 4096)
        assert told.startswith(b"HTTP/1.1 503")
        assert b"too-many-clients" in told
        for line in idle:
            with closing(line):
                assert await to_thread.run_sync(ended, line)
        head, _ = await asked(address, GET)
        assert head.startswith(b"HTTP/1.1 200")


def ended(line: socket.socket) -> bool:
    """Wait until the other end has gone."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_a_connection_has_a_short_life() -> None:
    """It is cut off after its time, whatever it does meanwhile."""
    address = free_address()
    async with listening(address, Bounds(first_seconds=60, life_seconds=0.3)) as port:

        async def is_open() -> bool:
            return port.answering

        await until(is_open, "it listens")
        with closing(connected(address)) as line:
            line.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.")
            assert await to_thread.run_sync(ended, line)


async def test_a_taken_port_is_told_and_tried_again() -> None:
    """A port that somebody has stops nothing: it is told why, and taken as soon as it is free."""
    address = free_address()
    host, _, port = address.rpartition(":")
    async with AsyncExitStack() as stack:
        with socket.create_server((host, int(port))):
            mine = await stack.enter_async_context(listening(address, Bounds(retry_seconds=0.05)))

            async def refused() -> bool:
                return mine.standing is not None and mine.standing.failure is not None

            await until(refused, "the port is told as taken")
            standing = mine.standing
        assert standing is not None
        assert standing.failure is not None
        assert "in use" in standing.failure.message
        assert f"sport = :{port}" in standing.failure.hint
        head, _ = await asked(address, GET)
        assert head.startswith(b"HTTP/1.1 200")
        assert mine.standing is not None
        assert mine.standing.failure is None


async def test_it_is_moved_and_closed_while_it_runs() -> None:
    """Another address takes the place of the first at once, and none closes the port."""
    first, second = free_address(), free_address()
    async with listening(first) as port:
        await asked(first, GET)
        port.listen(second)
        head, _ = await asked(second, GET)
        assert head.startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionRefusedError):
            connected(first)
        port.listen("")
        assert port.standing is None

        async def closed() -> bool:
            try:
                connected(second).close()
            except ConnectionRefusedError:
                return True
            return False

        await until(closed, "nobody listens any more")
