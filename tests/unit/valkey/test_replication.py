"""The replica's side of a synchronisation, fed with what servers send.

The scripts follow Valkey 8.1 and Redis 7.0 word by word; real servers speak for themselves
in `tests/integration/test_sources.py`.
"""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.address import parse
from daemon.valkey.refusal import Asked
from daemon.valkey.replication import (
    WANT_BYTES,
    Chunk,
    End,
    FullResync,
    Payload,
    Phase,
    ReplicaEvent,
    Send,
    Session,
)
from daemon.valkey.resp import encode

ASKED = Asked(parse("valkey://cache"))
MARK = b"0123456789abcdef0123456789abcdef01234567"
RDB = b"REDIS0011" + bytes(range(256)) * 3
RESYNC = b"+FULLRESYNC 76a8a118e52604168ee9cab8be0d9a636e2c337d 56\r\n"
AUTH = encode("AUTH", "backup", "hunter2")
OK = b"+OK\r\n"
OLD = b"-ERR Unrecognized REPLCONF option: rdb-only\r\n"

COMMANDS = {
    encode("PING"): b"+PONG\r\n",
    encode("REPLCONF", "capa", "eof"): OK,
    encode("REPLCONF", "rdb-only", "1"): OK,
}
PSYNC = encode("PSYNC", "?", "-1")


def marked(rdb: bytes) -> bytes:
    """An RDB in ``$EOF:`` framing, with keep-alives where servers send them."""
    return b"\n" + RESYNC + b"\n\n$EOF:" + MARK + b"\r\n" + rdb + MARK


def counted(rdb: bytes) -> bytes:
    """The same in ``$<length>`` framing, with the stream that follows on older servers."""
    return RESYNC + b"\n$%d\r\n" % len(rdb) + rdb + encode("PING")


def converse(
    session: Session, replies: dict[bytes, bytes], steps: Sequence[int] = ()
) -> list[ReplicaEvent]:
    """All events of a session with a server that answers so, in portions of these sizes."""
    sizes = iter(steps)
    seen: list[ReplicaEvent] = []
    todo: list[ReplicaEvent] = list(session.start())
    while todo:
        event = todo.pop(0)
        seen.append(event)
        answer = replies[event.data] if isinstance(event, Send) else b""
        while answer:
            size = next(sizes, len(answer))
            todo += session.feed(answer[:size])
            answer = answer[size:]
    return seen


def payload(events: list[ReplicaEvent]) -> bytes:
    """The RDB's bytes among the events."""
    return b"".join(event.data for event in events if isinstance(event, Chunk))


def test_handshake_waits_for_each_answer() -> None:
    """Commands go one at a time: REPLCONF pipelined with PSYNC would be taken amiss."""
    session = Session(ASKED, ("backup", "hunter2"))
    assert session.start() == [Send(AUTH)]
    assert session.feed(b"+O") == []
    assert session.feed(b"K\r\n") == [Send(encode("PING"))]
    assert session.feed(b"+PONG\r\n") == [Send(encode("REPLCONF", "capa", "eof"))]
    assert session.feed(OK) == [Send(encode("REPLCONF", "rdb-only", "1"))]
    assert session.feed(OK) == [Send(PSYNC)]
    assert session.feed(RESYNC) == [FullResync("76a8a118e52604168ee9cab8be0d9a636e2c337d", 56)]
    assert session.phase is Phase.HEADER


@pytest.mark.parametrize(("framed", "length"), [(marked(RDB), None), (counted(RDB), len(RDB))])
@given(steps=st.lists(st.integers(1, 60), max_size=200))
def test_portions_do_not_matter(framed: bytes, length: int | None, steps: list[int]) -> None:
    """However the stream is cut, the same snapshot comes out of it, in both framings."""
    session = Session(ASKED)
    events = converse(session, COMMANDS | {PSYNC: framed}, steps)
    assert payload(events) == RDB
    assert [type(event) for event in events if not isinstance(event, Send | Chunk)] == [
        FullResync,
        Payload,
        End,
    ]
    assert Payload(length) in events
    assert session.phase is Phase.DONE
    session.closed()


@pytest.mark.parametrize("framed", [marked(RDB), counted(RDB)])
def test_single_bytes_do_not_matter(framed: bytes) -> None:
    """A stream that comes byte by byte is the same stream."""
    events = converse(Session(ASKED), COMMANDS | {PSYNC: framed}, [1] * 4_000)
    assert payload(events) == RDB
    assert events[-1] == End()


@given(st.binary(max_size=200), st.integers(1, 90))
def test_what_looks_like_the_mark_is_data(filler: bytes, step: int) -> None:
    """Pieces of the mark inside the RDB end nothing."""
    rdb = b"REDIS0011" + MARK[:39] + filler + MARK[1:] + b"x"
    assume(MARK not in rdb)  # The server draws the mark so that this cannot be.
    framed = RESYNC + b"$EOF:" + MARK + b"\r\n" + rdb + MARK
    events = converse(Session(ASKED), COMMANDS | {PSYNC: framed}, [step] * 500)
    assert payload(events) == rdb


def test_large_portions_pass_uncopied() -> None:
    """What is handed on is the very object that came in: copying would cost the server time."""
    session = Session(ASKED)
    converse(session, COMMANDS | {PSYNC: marked(RDB)[: -len(MARK)]})
    portions = [bytes([n]) * 1_000 for n in range(3)]
    passed = [event for portion in portions for event in session.feed(portion)]
    chunks = [event.data for event in passed if isinstance(event, Chunk)]
    assert chunks[-1] is portions[1]
    assert chunks[-2] is portions[0]


def test_older_server_is_read_to_the_end_of_the_rdb() -> None:
    """Without rdb-only the session ends at the RDB's end, though the stream would go on."""
    replies = COMMANDS | {encode("REPLCONF", "rdb-only", "1"): OLD, PSYNC: counted(RDB)}
    events = converse(Session(ASKED), replies)
    assert payload(events) == RDB
    assert events[-1] == End()


def test_offer_of_marked_framing_can_be_left_out() -> None:
    """A session without `eof` never says that it understands that framing."""
    replies = {command: reply for command, reply in COMMANDS.items() if b"capa" not in command}
    assert payload(converse(Session(ASKED, eof=False), replies | {PSYNC: counted(RDB)})) == RDB


def test_waiting_for_many_bytes_only_where_they_must_come() -> None:
    """More than one byte is waited for only if the end of the RDB would wake us."""
    session = Session(ASKED)
    assert session.want_bytes == 1
    converse(session, COMMANDS | {PSYNC: RESYNC + b"$EOF:" + MARK + b"\r\nREDIS"})
    assert session.want_bytes == WANT_BYTES

    counting = Session(ASKED)
    converse(counting, COMMANDS | {PSYNC: RESYNC + b"$700\r\n" + b"x" * 100})
    assert counting.want_bytes == 600

    older = Session(ASKED)
    replies = COMMANDS | {encode("REPLCONF", "rdb-only", "1"): OLD}
    converse(older, replies | {PSYNC: RESYNC + b"$EOF:" + MARK + b"\r\nREDIS"})
    assert older.want_bytes == 1


@pytest.mark.parametrize("framed", [marked(RDB), counted(RDB)[: -len(encode("PING"))]])
def test_every_early_end_is_noticed(framed: bytes) -> None:
    """A connection that ends before the RDB's last byte, wherever that is, fails."""
    for length in range(len(framed)):
        session = Session(ASKED)
        converse(session, COMMANDS | {PSYNC: framed[:length]})
        with pytest.raises(Transient) as refused:
            session.closed()
        assert refused.value.code == "source-ended-early"


@pytest.mark.parametrize(
    ("command", "reply", "kind", "code"),
    [
        (AUTH, b"-WRONGPASS invalid", Permanent, "cache-auth"),
        (encode("PING"), b"-NOAUTH Authentication required.", Permanent, "cache-auth"),
        (encode("PING"), b"-LOADING loading", Transient, "cache-loading"),
        (encode("PING"), b"HTTP/1.1 400 Bad Request", Permanent, "cache-protocol"),
        (encode("PING"), b"-NOPERM no", Permanent, "cache-rights"),
        (encode("REPLCONF", "capa", "eof"), b"-NOPERM no", Permanent, "cache-rights"),
        (PSYNC, b"-NOPERM no", Permanent, "cache-rights"),
        (PSYNC, b"-NOMASTERLINK Can't SYNC", Transient, "replica-unlinked"),
        (PSYNC, b"-ERR unknown command 'PSYNC'", Permanent, "command-unknown"),
        (PSYNC, b"+CONTINUE", Transient, "cache-protocol"),
        (PSYNC, b"+FULLRESYNC x y", Transient, "cache-protocol"),
        (
            PSYNC,
            RESYNC + b"-BGSAVE failed, replication can't continue",
            Transient,
            "snapshot-failed",
        ),
        (PSYNC, RESYNC + b"$EOF:short", Permanent, "cache-protocol"),
        (PSYNC, RESYNC + b"$-1", Permanent, "cache-protocol"),
        (PSYNC, RESYNC + b"+OK", Permanent, "cache-protocol"),
        (PSYNC, b"x" * 20_000, Permanent, "cache-protocol"),
    ],
)
def test_refusals_have_their_meaning(
    command: bytes, reply: bytes, kind: type[Failed], code: str
) -> None:
    """Each refusal becomes the error that says what to do, and never shows the password."""
    replies = {AUTH: OK} | COMMANDS | {PSYNC: RESYNC, command: reply + b"\r\n"}
    with pytest.raises(kind) as refused:
        converse(Session(ASKED, ("backup", "hunter2")), replies)
    assert refused.value.code == code
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"


def test_missing_right_names_all_that_are_needed() -> None:
    """Who grants one right is told of the others as well."""
    with pytest.raises(Permanent) as refused:
        converse(Session(ASKED), COMMANDS | {PSYNC: b"-NOPERM no\r\n"})
    assert "ACL SETUSER default +ping +replconf +psync" in refused.value.hint
