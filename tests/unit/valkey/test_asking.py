"""Replies of an engine, however they are cut on the way; and the commands that ask for them."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import Permanent, Transient
from daemon.valkey.asking import Asking, Reply, bulk, each
from daemon.valkey.wire import Wire

pytestmark = pytest.mark.anyio

texts = st.binary(max_size=12) | st.just(b"\r\n$3\r\n")
plain = st.none() | st.integers(-(2**63), 2**63 - 1) | texts
replies = st.recursive(plain, lambda inner: st.lists(inner, max_size=6), max_leaves=12)


def written(reply: Reply) -> bytes:
    """A reply as an engine writes it."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return bulk(reply)
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(written, reply))


@asynccontextmanager
async def line() -> AsyncGenerator[tuple[Asking, socket.socket], None]:
    """A connection whose other end is the test's."""
    ours, theirs = socket.socketpair()
    wire = Wire(ours)
    with theirs:
        yield Asking(wire, "valkey 8.1.8"), theirs
    wire.close()


@given(st.lists(replies, min_size=1, max_size=3), st.integers(1, 9))
async def test_replies_come_whole_however_they_are_cut(said: list[Reply], step: int) -> None:
    """Every reply is what was written, wherever the bytes were cut on the way."""
    data = b"".join(map(written, said))
    async with line() as (asking, engine), anyio.create_task_group() as tasks:

        async def drip() -> None:
            for at in range(0, len(data), step):
                engine.send(data[at : at + step])
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(drip)
        assert said == [await asking.reply() for _ in said]


async def test_lines_are_counted_wherever_they_are_cut() -> None:
    """A number below zero that is cut after its colon is no error."""
    async with line() as (asking, engine), anyio.create_task_group() as tasks:

        async def drip() -> None:
            for piece in (b"*2\r\n+a", b"\r\n+b\r\n:", b"-1\r", b"\n:7\r\n"):
                engine.send(piece)
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(drip)
        assert [b"*2", b"+a", b"+b", b":-1", b":7"] == await asking.lines(5)


@pytest.mark.parametrize("lines", [False, True])
async def test_error_is_told_without_what_it_quotes(lines: bool) -> None:  # noqa: FBT001
    """An error of the engine ends the question; only its code is told, never a key."""
    async with line() as (asking, engine):
        engine.send(b"-WRONGTYPE of key secret\r\n")
        with pytest.raises(Permanent) as caught:
            await (asking.lines(3) if lines else asking.reply())
    assert "engine-refused" == caught.value.code
    assert "WRONGTYPE" in caught.value.message
    assert "secret" not in caught.value.message


async def test_engine_that_is_gone_is_an_error() -> None:
    """The end of the connection in the middle of a reply is an error that says so."""
    async with line() as (asking, engine):
        engine.send(b"*2\r\n:1\r\n")
        engine.close()
        with pytest.raises(Transient) as caught:
            await asking.reply()
    assert "engine-ended" == caught.value.code


def test_commands_hold_each_word_as_it_is() -> None:
    """Each key is asked about in a command of its own."""
    bulks = [bulk(b"a\r\n"), bulk(b"")]
    wanted = b"*2\r\n$4\r\nTYPE\r\n$3\r\na\r\n\r\n*2\r\n$4\r\nTYPE\r\n$0\r\n\r\n"
    assert wanted == each(b"TYPE", bulks)
