"""Our primary's side of the handshake: any order of bytes, any kind of caller, no secrets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.valkey.primary import (
    COMMAND_BYTES,
    LOGIN_BYTES,
    Access,
    Alive,
    Denied,
    Event,
    Loaded,
    Primary,
    SyncWanted,
    Tried,
)
from daemon.valkey.resp import encode

ID = "0123456789" * 4
PASSWORD = "canary-7f3a"

VALKEY_8 = b"".join(
    [
        encode("PING"),
        encode("AUTH", PASSWORD),
        encode("REPLCONF", "listening-port", 6379),
        encode("REPLCONF", "capa", "eof", "capa", "psync2"),
        encode("REPLCONF", "version", "8.1.8"),
        encode("PSYNC", "f" * 40, 4_711),
    ]
)
ANSWERS = (
    b"-NOAUTH Authentication required.\r\n" + b"+OK\r\n" * 4 + b"+FULLRESYNC %s 0\r\n" % ID.encode()
)


def primary(username: str | None = None) -> Primary:
    """A fresh conversation."""
    return Primary(Access(PASSWORD, username), replication_id=ID, marker="mark-9")


def converse(side: Primary, *pieces: bytes) -> tuple[list[Event], bytes]:
    """Everything that came of these pieces."""
    events: list[Event] = []
    answers = b""
    for piece in pieces:
        events += side.receive(piece)
        answers += side.outgoing()
    return events, answers


def known() -> Primary:
    """A conversation whose other side has given the password."""
    side = primary()
    converse(side, encode("AUTH", PASSWORD))
    return side


@given(st.lists(st.integers(min_value=1, max_value=len(VALKEY_8) - 1)))
def test_the_handshake_does_not_depend_on_how_bytes_are_cut(cuts: list[int]) -> None:
    """A replica's handshake gives the same answers and events in any pieces."""
    edges = [0, *sorted(set(cuts)), len(VALKEY_8)]
    pieces = [VALKEY_8[a:b] for a, b in pairwise(edges)]

    events, answers = converse(primary(), *pieces)

    assert [SyncWanted("8.1.8", "f" * 40)] == events
    assert answers == ANSWERS


def test_a_partial_resynchronization_is_never_granted() -> None:
    """Asked to continue our very own history, it still begins from nothing."""
    events, answers = converse(known(), encode("PSYNC", ID, 1))

    assert isinstance(events[0], SyncWanted)
    assert answers.startswith(b"+FULLRESYNC ")


def test_the_dump_is_framed_by_its_length_and_acknowledged_at_once() -> None:
    """Header, dump and the request to acknowledge it make the whole stream."""
    side = known()
    converse(side, encode("PSYNC", "?", -1))

    assert side.header(1_234) == b"$1234\r\n"
    assert side.trailer() == encode("REPLCONF", "GETACK", "*")


def test_only_an_acknowledgement_after_the_end_counts() -> None:
    """Newlines are signs of life; an ACK means "loaded" once all has been sent."""
    side = known()
    converse(side, encode("PSYNC", "?", -1))
    early, _ = converse(side, b"\n\n", encode("REPLCONF", "ACK", 0))
    side.trailer()
    late, answers = converse(side, b"\n", encode("REPLCONF", "ACK", 37))

    assert early == [Alive(), Alive(), Alive()]
    assert late == [Alive(), Loaded(37)]
    assert answers == b""


def test_a_user_may_be_wanted() -> None:
    """With a masteruser both names must be right; the password alone is not enough."""
    assert converse(primary("copier"), encode("AUTH", "copier", PASSWORD)) == ([], b"+OK\r\n")
    events, _ = converse(primary("copier"), encode("AUTH", PASSWORD))
    assert isinstance(events[0], Denied)


@pytest.mark.parametrize(
    "given_words",
    [("wrong",), ("default", "wrong"), ("somebody", PASSWORD), (PASSWORD, "default"), ()],
)
def test_a_wrong_password_ends_the_conversation(given_words: tuple[str, ...]) -> None:
    """One wrong password is the last word, and what follows is not looked at."""
    side = primary()
    events, answers = converse(side, encode("AUTH", *given_words), encode("AUTH", PASSWORD))

    assert [Denied("it gave the wrong password")] == events
    assert answers.startswith(b"-WRONGPASS ")
    assert side.over


@pytest.mark.parametrize(
    "words", [("PSYNC", "?", "-1"), ("REPLCONF", "capa", "eof"), ("SYNC",), ("GET", "/")]
)
def test_nothing_is_done_for_a_stranger(words: tuple[str, ...]) -> None:
    """Without the password every command but PING and AUTH ends the conversation."""
    side = primary()
    events, answers = converse(side, encode(*words))

    assert isinstance(events[0], Denied)
    assert answers == b"-NOAUTH Authentication required.\r\n"
    assert side.over


def test_a_trial_is_answered_with_the_marker() -> None:
    """MIGRATE's three commands at once: the password is right, the rest is our own error."""
    sent = encode("AUTH", PASSWORD) + encode("SELECT", 0) + encode("RESTORE", "k", 0, "payload")
    events, answers = converse(primary(), sent)

    assert [Tried()] == events
    assert answers == b"+OK\r\n-VALKEEP mark-9\r\n-VALKEEP mark-9\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9 + b"\n",
        b"*99999999999\r\n",
        b"*1\r\n$99999999\r\n",
        b"*1\r\n+PING\r\n",
        b"*1\r\n$-1\r\n",
        b"x" * (LOGIN_BYTES + 1),
        b"*2\r\n$4\r\nAUTH\r\n$4096\r\n" + b"x" * LOGIN_BYTES,
    ],
)
def test_foreign_protocols_and_floods_are_ended(data: bytes) -> None:
    """What is no replica's speech, or too much of it, ends the conversation at once."""
    side = primary()
    events, _ = converse(side, data)

    assert isinstance(events[-1], Denied)
    assert side.over


def test_even_a_known_caller_cannot_fill_our_memory() -> None:
    """A command beyond any sense ends the conversation of one with the password, too."""
    side = known()
    events, _ = converse(side, b"*1\r\n$%d\r\n" % (COMMAND_BYTES + 1))

    assert isinstance(events[0], Denied)


@given(data=st.binary(max_size=300), login=st.booleans())
def test_no_bytes_raise(data: bytes, *, login: bool) -> None:
    """Whatever is sent, nothing is raised and no synchronization begins by accident."""
    side = known() if login else primary()
    events, _ = converse(side, data)

    assert login or not any(isinstance(event, SyncWanted) for event in events)


def test_a_dump_needs_somebody_who_wants_it() -> None:
    """No header is made for a conversation that has not asked for the data."""
    with pytest.raises(RuntimeError, match="no replica waits"):
        known().header(1)


def test_the_password_shows_nowhere() -> None:
    """Neither texts of values nor reasons for people hold the password."""
    side = primary()
    events, answers = converse(side, encode("AUTH", PASSWORD + "x"))

    assert PASSWORD not in repr(events) + repr(answers) + repr(Access(PASSWORD)) + str(
        Access(PASSWORD)
    )
