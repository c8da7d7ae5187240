"""The primary's side of replication, for exactly one dump: bytes in, bytes and events out.

No socket, no clock, no randomness: passwords and ids are handed in. It answers a replica's
handshake (Redis 2.8 to Valkey 9 and Redis 8), always with a full resynchronization, whatever
was asked for; and it recognizes a trial, a `MIGRATE` that only proves the way is open.
"""

import hmac
from typing import Literal

from msgspec import Struct

LOGIN_BYTES = 4 << 10
"""A stranger may send no more than this before it has given the password."""
COMMAND_BYTES = 1 << 20
WORDS = 64
SYNC_OFFSET = 0


class Access(Struct, frozen=True):
    """What whoever connects must give; its text never holds the password."""

    password: str
    username: str | None = None

    def __repr__(self) -> str:
        """For messages and traces."""
        return f"Access(username={self.username!r}, password=…)"

    __str__ = __repr__

    def admits(self, given: list[bytes]) -> bool:
        """Whether the arguments of an AUTH are right; takes as long whether or not they are."""
        user = b"default" if len(given) < 2 else given[0]
        password = hmac.compare_digest(given[-1], self.password.encode()) if given else False
        return password & hmac.compare_digest(user, (self.username or "default").encode())


class SyncWanted(Struct, frozen=True):
    """A replica that gave the password wants the data; `version` is its own, if it said."""

    version: str | None
    asked_id: str


class Loaded(Struct, frozen=True):
    """The replica acknowledges this offset: it has loaded all and follows the stream."""

    offset: int


class Alive(Struct, frozen=True):
    """A sign of life: a loading replica sends bare newlines."""


class Tried(Struct, frozen=True):
    """A trial gave the password and was answered: the target can reach us."""


class Denied(Struct, frozen=True):
    """This connection is to be closed once what is outgoing is sent; the reason is for people."""

    reason: str


Event = SyncWanted | Loaded | Alive | Tried | Denied
State = Literal["stranger", "known", "syncing", "sent", "over"]

_REPLCONF_ACK = (b"REPLCONF", b"ACK")


class Primary:
    """One connection's conversation. `receive` what came, send what `outgoing` gives.

    `marker` is what a trial is answered with: the target repeats it to whoever began the trial.
    """

    def __init__(self, access: Access, *, replication_id: str, marker: str) -> None:
        self._access = access
        self._replication_id = replication_id
        self._marker = marker
        self._buffer = bytearray()
        self._outgoing = bytearray()
        self._version: str | None = None
        self.state: State = "stranger"

    @property
    def over(self) -> bool:
        """Whether the connection is to be closed; nothing that comes now is looked at."""
        return self.state == "over"

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes mean; nothing is raised, whatever they are."""
        if self.over:
            return []
        self._buffer += data
        events: list[Event] = []
        try:
            while (words := self._command()) is not None:
                event = self._answer(words)
                if event is not None:
                    events.append(event)
        except _Malformed as error:
            events.append(self._deny(b"-ERR Protocol error\r\n", str(error)))
        return events

    def outgoing(self) -> bytes:
        """What is to be sent now; each byte is given out once."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def header(self, length: int) -> bytes:
        """What goes before a dump of this length (the form whose end the replica knows)."""
        if self.state != "syncing":
            raise RuntimeError(f"no replica waits for a dump: {self.state}")
        return b"$%d\r\n" % length

    def trailer(self) -> bytes:
        """What goes after the dump's last byte: the request to acknowledge it at once."""
        self.state = "sent"
        return b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"

    def _answer(self, words: list[bytes]) -> Event | None:
        if not words:
            return Alive()
        name = words[0].upper()
        if name == b"AUTH":
            return self._authenticate(words[1:])
        if self.state == "stranger":
            return self._stranger(name)
        if self.state in {"syncing", "sent"}:
            return self._while_syncing(words)
        match name:
            case b"PING":
                self._outgoing += b"+PONG\r\n"
            case b"REPLCONF":
                self._note(words[1:])
                self._outgoing += b"+OK\r\n"
            case b"PSYNC" if len(words) >= 3:
                return self._synchronize(words[1])
            case b"SELECT" | b"RESTORE" | b"RESTORE-ASKING":
                return self._trial(name)
            case _:
                reason = f"it sent {_shown(name)}, which no replica does"
                return self._deny(b"-ERR unknown command\r\n", reason)
        return None

    def _authenticate(self, given: list[bytes]) -> Event | None:
        if not self._access.admits(given):
            reply = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
            return self._deny(reply, "it gave the wrong password")
        if self.state == "stranger":
            self.state = "known"
        self._outgoing += b"+OK\r\n"
        return None

    def _stranger(self, name: bytes) -> Event | None:
        # As a server with a password does: a replica pings first, and goes on after this.
        self._outgoing += b"-NOAUTH Authentication required.\r\n"
        if name == b"PING":
            return None
        self.state = "over"
        return Denied(f"it sent {_shown(name)} without a password")

    def _synchronize(self, asked_id: bytes) -> Event:
        # Never a partial one: what the target holds has nothing to do with the backup.
        self.state = "syncing"
        self._outgoing += b"+FULLRESYNC %s %d\r\n" % (self._replication_id.encode(), SYNC_OFFSET)
        return SyncWanted(self._version, _shown(asked_id))

    def _trial(self, name: bytes) -> Event | None:
        # MIGRATE sends AUTH, SELECT and RESTORE in one go and reads the answers in turn.
        self._outgoing += b"-VALKEEP %s\r\n" % self._marker.encode()
        return Tried() if name != b"SELECT" else None

    def _while_syncing(self, words: list[bytes]) -> Event:
        if (words[0].upper(), *words[1:2]) == _REPLCONF_ACK and self.state == "sent":
            offset = words[2] if len(words) > 2 else b""
            return Loaded(int(offset)) if offset.isdigit() else Alive()
        return Alive()

    def _note(self, options: list[bytes]) -> None:
        for name, value in zip(options[::2], options[1::2], strict=False):
            if name.lower() == b"version":
                self._version = _shown(value)

    def _deny(self, reply: bytes, reason: str) -> Denied:
        self._outgoing += reply
        self.state = "over"
        return Denied(reason)

    def _command(self) -> list[bytes] | None:
        """The whole command at the buffer's head, taken off it; a bare newline is an empty one."""
        if self.state == "over":
            return None
        limit = LOGIN_BYTES if self.state == "stranger" else COMMAND_BYTES
        parsed = _parse(bytes(self._buffer), limit)
        if parsed is None:
            if len(self._buffer) > limit:
                raise _Malformed("it sent too much at once")
            return None
        words, end = parsed
        del self._buffer[:end]
        return words


class _Malformed(Exception):
    """What came is no command."""


def _parse(data: bytes, limit: int) -> tuple[list[bytes], int] | None:
    """The first command and where it ends; None while it is not complete."""
    line, end = _line(data, 0)
    if line is None:
        return None
    if not line.startswith(b"*"):
        return line.split(), end
    words: list[bytes] = []
    for _ in range(_number(line[1:], WORDS)):
        line, end = _line(data, end)
        if line is None:
            return None
        if not line.startswith(b"$"):
            raise _Malformed("it sent something that is no command")
        length = _number(line[1:], limit)
        if len(data) < end + length + 2:
            return None
        words.append(data[end : end + length])
        end += length + 2
    return words, end


def _line(data: bytes, start: int) -> tuple[bytes | None, int]:
    newline = data.find(b"\n", start, start + LOGIN_BYTES)
    if newline < 0:
        if len(data) - start >= LOGIN_BYTES:
            raise _Malformed("it sent a line without an end")
        return None, start
    return data[start:newline].rstrip(b"\r"), newline + 1


def _number(digits: bytes, limit: int) -> int:
    if not digits.isdigit() or len(digits) > 10 or int(digits) > limit:
        raise _Malformed("it sent a length that no replica has")
    return int(digits)


def _shown(data: bytes) -> str:
    """Foreign bytes, fit for a message: short, printable."""
    text = data[:40].decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)
