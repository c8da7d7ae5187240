"""Some hundred thousand keys of every type for the demo, in the engine's own protocol."""

import subprocess
from collections.abc import Iterator

FIELDS = 20
STRINGS, OTHERS = 200_000, 6_000
FAR_FUTURE = 4_102_444_800
FUNCTION = "#!lua name=demo\nredis.register_function('hello', function() return 'hi' end)\n"


def load_keys(cli: str, port: int) -> int:
    """Load them into the server on a port of this machine; how many there are then."""
    stream = b"".join(_encode(command) for command in _commands())
    subprocess.run(  # noqa: S603 - the engine's own client
        [cli, "-p", str(port), "--pipe"], input=stream, check=True, capture_output=True
    )
    asked = subprocess.run(  # noqa: S603
        [cli, "-p", str(port), "INFO", "keyspace"], check=True, capture_output=True, text=True
    )
    return sum(
        int(line.partition("keys=")[2].partition(",")[0])
        for line in asked.stdout.splitlines()
        if "keys=" in line
    )


def _commands() -> Iterator[tuple[object, ...]]:
    yield "FUNCTION", "LOAD", "REPLACE", FUNCTION
    for number in range(STRINGS):
        yield "SET", f"user:{number}", f"name-{number}\0with a NUL byte and some more text"
    for number in range(OTHERS):
        members = [f"member-{number}-{field}" for field in range(FIELDS)]
        scored = [word for score, member in enumerate(members) for word in (score, member)]
        yield "RPUSH", f"list:{number}", *members
        yield "SADD", f"set:{number}", *members
        yield "ZADD", f"zset:{number}", *scored
        yield "HSET", f"hash:{number}", *[word for m in members for word in (m, number)]
        yield "XADD", f"stream:{number}", f"{number + 1}-1", "field", members[0]
        yield "SET", f"session:{number}", members[0], "EXAT", FAR_FUTURE + number
    yield "SELECT", 3
    for number in range(OTHERS):
        yield "SET", f"other-database:{number}", "value"


def _encode(words: tuple[object, ...]) -> bytes:
    parts = [str(word).encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)
