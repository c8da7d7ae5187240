"""The replica's side of a full synchronisation, as a state machine without I/O.

Bytes in by `feed`, events out; it never sends, waits or looks at a clock. It speaks as a
replica that wants the RDB alone, and knows no stream after it. ``PSYNC ? -1`` and not ``SYNC``:
servers list both alike, but only ``PSYNC`` is answered with the replication id and offset of
the very snapshot, and when the fork was made, which tells waiting from reading. [tried]
"""

from enum import Enum

from msgspec import Struct

from daemon.errors import Failed, Transient
from daemon.valkey.refusal import Asked, missing_right, not_valkey, printable, refused
from daemon.valkey.resp import Lines, NotResp, encode

MARK_BYTES = 40
WANT_BYTES = 1 << 20


class Send(Struct, frozen=True):
    """These bytes are to be written to the server now."""

    data: bytes


class FullResync(Struct, frozen=True):
    """The snapshot exists from now on: the point of the stream that it was taken at."""

    replication_id: str
    offset: int


class Payload(Struct, frozen=True):
    """The RDB begins; `length_bytes` is known for ``$<length>`` framing, not for ``$EOF:``."""

    length_bytes: int | None


class Chunk(Struct, frozen=True):
    """Bytes of the RDB, never empty."""

    data: bytes


class End(Struct, frozen=True):
    """The RDB is whole as far as its framing tells; the connection can be closed."""


ReplicaEvent = Send | FullResync | Payload | Chunk | End


class Phase(Enum):
    """Where the session stands; the value is for messages."""

    AUTH = "authentication"
    PING = "PING"
    CAPA = "REPLCONF capa eof"
    RDB_ONLY = "REPLCONF rdb-only"
    PSYNC = "PSYNC"
    HEADER = "the wait for the RDB"
    PAYLOAD = "the RDB"
    DONE = "the end"


_NEXT = {Phase.AUTH: Phase.PING, Phase.PING: Phase.CAPA, Phase.CAPA: Phase.RDB_ONLY}
_NEXT |= {Phase.RDB_ONLY: Phase.PSYNC}
_COMMANDS = {
    Phase.PING: encode("PING"),
    Phase.CAPA: encode("REPLCONF", "capa", "eof"),
    Phase.RDB_ONLY: encode("REPLCONF", "rdb-only", "1"),
    Phase.PSYNC: encode("PSYNC", "?", "-1"),
}
_NAMES = {Phase.CAPA: "REPLCONF", Phase.RDB_ONLY: "REPLCONF", Phase.HEADER: "PSYNC"}


class Session:
    """One synchronisation: write what `start` gives, then `feed` whatever arrives.

    A failed session raises once and is of no use afterwards.
    """

    def __init__(self, asked: Asked, auth: tuple[str, ...] = (), *, eof: bool = True) -> None:
        """`auth` holds AUTH's arguments, none for no authentication; `eof` offers that framing."""
        self._asked = asked
        self._auth = auth
        self._eof = eof
        self._lines = Lines()
        self._payload: _Counted | _Marked | None = None
        self._closes = False
        self.phase = Phase.AUTH

    def start(self) -> list[Send]:
        """What to write first."""
        if self._auth:
            return [Send(encode("AUTH", *self._auth))]
        self.phase = Phase.PING
        return [Send(_COMMANDS[Phase.PING])]

    @property
    def want_bytes(self) -> int:
        """How many bytes are sure to come if all is well; waiting for fewer is a waste.

        One, but for an RDB whose end is known or is followed by the end of the connection.
        """
        if isinstance(self._payload, _Counted):
            return min(self._payload.left_bytes, WANT_BYTES)
        return WANT_BYTES if self._payload is not None and self._closes else 1

    def feed(self, data: bytes) -> list[ReplicaEvent]:
        """What these bytes mean. However the stream is cut into portions, it means the same.

        Raises `Transient` or `Permanent` for refusals and for what is not this protocol.
        """
        if self._payload is None:
            return self._handshake(data)
        return self._payload_events(data)

    def closed(self) -> None:
        """The server has closed the connection; raises unless the RDB had ended before."""
        if self.phase is not Phase.DONE:
            raise ended_early(self._asked, self.phase)

    def _handshake(self, data: bytes) -> list[ReplicaEvent]:
        self._lines.feed(data)
        events: list[ReplicaEvent] = []
        for answered in iter(self._next_answer, None):
            events += answered
            if answered and isinstance(answered[-1], Payload):
                return events + self._payload_events(self._lines.rest())
        return events

    def _next_answer(self) -> list[ReplicaEvent] | None:
        """What the next whole line means, or None until there is one."""
        try:
            line = self._lines.next()
        except NotResp as error:
            raise not_valkey(self._asked.address) from error
        if line is None:
            return None
        # A bare newline only says that the server is alive.
        return self._answer(line) if line else []

    def _answer(self, line: bytes) -> list[ReplicaEvent]:
        kind, text = line[:1], line[1:].decode(errors="replace")
        if kind == b"-":
            return self._refusal(text)
        if self.phase is Phase.HEADER and kind == b"$":
            return self._header(text)
        if kind != b"+" or self.phase is Phase.HEADER:
            raise not_valkey(self._asked.address)
        if self.phase is Phase.PSYNC:
            return self._full_resync(text)
        self._closes |= self.phase is Phase.RDB_ONLY
        return self._proceed()

    def _proceed(self) -> list[ReplicaEvent]:
        self.phase = _NEXT[self.phase]
        if self.phase is Phase.CAPA and not self._eof:
            self.phase = _NEXT[self.phase]
        return [Send(_COMMANDS[self.phase])]

    def _refusal(self, text: str) -> list[ReplicaEvent]:
        optional = self.phase in {Phase.CAPA, Phase.RDB_ONLY}
        if optional and text.startswith("ERR ") and "unknown command" not in text:
            # An older server without this option: it frames by length, or never closes.
            return self._proceed()
        if self.phase is Phase.HEADER:
            raise Transient(
                "snapshot-failed",
                f"{self._asked.address} could not make its snapshot: {printable(text)}",
                "its log says why: memory for the fork, or its disk",
            )
        raise self._refused(text)

    def _refused(self, text: str) -> Failed:
        command = _NAMES.get(self.phase, self.phase.name)
        if text.startswith("NOPERM"):
            # All three at once: who grants one of them should not come back for the next.
            return missing_right(self._asked, "PING", "REPLCONF", "PSYNC")
        return refused(self._asked, text, command=command)

    def _full_resync(self, text: str) -> list[ReplicaEvent]:
        match text.split():
            case ["FULLRESYNC", replication_id, offset] if offset.isdecimal():
                self.phase = Phase.HEADER
                return [FullResync(replication_id, int(offset))]
            case _:
                raise Transient(
                    "cache-protocol",
                    f"{self._asked.address} answered PSYNC with {printable(text)!r}",
                    "only a full synchronisation was asked for; try again",
                )

    def _header(self, text: str) -> list[ReplicaEvent]:
        framing, _, mark = text.partition(":")
        if framing == "EOF" and len(mark) == MARK_BYTES:
            self._payload = _Marked(mark.encode())
        elif text.isdecimal() and int(text) > 0:
            self._payload = _Counted(int(text))
        else:
            raise not_valkey(self._asked.address)
        self.phase = Phase.PAYLOAD
        return [Payload(self._payload.length_bytes)]

    def _payload_events(self, data: bytes) -> list[ReplicaEvent]:
        if self._payload is None or self.phase is Phase.DONE:
            return []
        events: list[ReplicaEvent] = [Chunk(part) for part in self._payload.feed(data) if part]
        if self._payload.ended:
            self.phase = Phase.DONE
            events.append(End())
        return events


class _Counted:
    """``$<length>``: so many bytes and no more; what follows is not ours."""

    def __init__(self, length_bytes: int) -> None:
        self.length_bytes: int | None = length_bytes
        self.left_bytes = length_bytes

    @property
    def ended(self) -> bool:
        return self.left_bytes == 0

    def feed(self, data: bytes) -> list[bytes]:
        if len(data) > self.left_bytes:
            data = data[: self.left_bytes]
        self.left_bytes -= len(data)
        return [data]


class _Marked:
    """``$EOF:<mark>``: the mark stands at the end, and nothing is sent after it.

    A server holds the stream back until a replica acknowledges, which we never do, so the
    mark can only be the tail of all that has come: the engines' own replicas look nowhere
    else. The latest portion is held back whole, because the mark may begin in it; so that
    large portions pass through without being copied.
    """

    length_bytes: int | None = None

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._held = b""
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        if len(data) >= MARK_BYTES:
            passed, self._held = [self._held], data
        else:
            # The mark may lie across: keep all that it could cover, hand on what is before.
            joined = self._held + data
            passed, self._held = [joined[:-MARK_BYTES]], joined[-MARK_BYTES:]
        if self._held.endswith(self._mark):
            self.ended = True
            passed.append(self._held[:-MARK_BYTES])
        return passed


def ended_early(asked: Asked, phase: Phase) -> Transient:
    """The connection ended before the RDB did."""
    if phase in {Phase.PAYLOAD, Phase.HEADER, Phase.DONE}:
        hint = (
            "the server's log says why: it ended, its save failed, or we read too slowly "
            "(client-output-buffer-limit replica)"
        )
    else:
        hint = "the server's log may say why; is its maxclients reached?"
    return Transient(
        "source-ended-early", f"{asked.address} closed the connection in {phase.value}", hint
    )
