"""Data that is neither all zeros nor all noise: what a cache of sessions might look like."""

from collections.abc import Iterator
from random import Random

VALUE_BYTES = 1_000
POOL_BYTES = 8 << 20
CHUNK_COMMANDS = 2_000


def respond(total_bytes: int) -> Iterator[bytes]:
    """SET commands in the engine's protocol for about so many bytes of values.

    A third of each value is drawn from eight mebibytes of noise, the rest repeats: zstd makes
    about a third of it, as it does of real session data.
    """
    noise = Random(7).randbytes(POOL_BYTES)
    shape = (b'{"user": "somebody", "roles": ["reader", "writer"], "cart": [], "seen": ' * 12)[:680]
    width = VALUE_BYTES - len(shape)
    lines: list[bytes] = []
    for number in range(total_bytes // VALUE_BYTES):
        begin = number * 7_919 % (POOL_BYTES - width)
        key = b"session:%012d" % number
        value = shape + noise[begin : begin + width]
        lines.append(
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value)
        )
        if len(lines) == CHUNK_COMMANDS:
            yield b"".join(lines)
            lines.clear()
    yield b"".join(lines)
