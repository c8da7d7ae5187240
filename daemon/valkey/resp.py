"""The few words of RESP2 that the replication handshake needs, without I/O.

Knows how a command is written and how a line comes in. Payloads, and what replies mean,
are the business of `replication` and `refusal`.
"""

LINE_LIMIT = 16 << 10


class NotResp(Exception):
    """What came is not this protocol; the message holds nothing of what came."""


def encode(*words: str | bytes | int) -> bytes:
    """One command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Lines:
    """Bytes in, whole lines out; `rest` gives up what came after the last line asked for."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Append bytes as they arrived."""
        self._buffer += data

    def next(self) -> bytes | None:
        r"""The next line without its end, or None until it is whole.

        Ends at ``\n``, with or without ``\r`` before it: keep-alives are bare newlines and so
        come out as empty lines. Raises `NotResp` when a line grows beyond any sense.
        """
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            if len(line) > LINE_LIMIT:
                raise NotResp(f"a line of more than {LINE_LIMIT} bytes")
            return None
        self._buffer = rest
        return line.removesuffix(b"\r")

    def rest(self) -> bytes:
        """Everything not yet taken as a line; it is given away, not kept."""
        rest, self._buffer = self._buffer, b""
        return rest
