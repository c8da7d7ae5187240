"""What the script of a census answers, from its reply to a `Slice`. Pure."""

from typing import NamedTuple

import msgspec

from daemon.errors import Permanent
from daemon.valkey.asking import Reply
from daemon.valkey.census.prefixes import Some
from daemon.valkey.census.tally import Large, Slice, Sum, Sums

_Row = tuple[bytes, int, bytes, bytes, int, int]


class _Sums(NamedTuple):
    kinds: list[tuple[bytes, bytes, int, int, int]]
    spans: list[tuple[int, int, int, int]]
    paths: list[tuple[bytes, int, int, int]]


class Answer(NamedTuple):
    """What the script answers; see there."""

    cursor: bytes
    scanned: int
    gone: int
    name_bytes: int
    weighed: int
    weighed_bytes: int
    ordinary: _Sums
    big: _Sums
    giant: _Sums
    biggest: list[_Row]
    longest: list[_Row]


def read(database: int, reply: Reply) -> tuple[Answer, Slice]:
    """A reply as it is, and as what it comes to; raises `Permanent` for one of another shape."""
    try:
        answer = msgspec.convert(reply, Answer)
    except msgspec.ValidationError as error:
        raise Permanent(
            "engine-answer",
            f"the private engine's answer about its keys is not as expected: {error}",
            "please report this with the version of the engine",
        ) from None
    return answer, Slice(
        scanned=answer.scanned,
        weighed=Sum(answer.weighed, answer.weighed_bytes),
        ordinary=_sums(answer.ordinary),
        big=_sums(answer.big),
        giant=_sums(answer.giant),
        biggest=[_large(database, row) for row in answer.biggest],
        longest=[_large(database, row) for row in answer.longest],
    )


def _sums(found: _Sums) -> Sums:
    return Sums(
        kinds={
            (k.decode(), _full(k, encoding=how)): Sum(n, size, e)
            for k, how, n, size, e in found.kinds
        },
        spans={span: Sum(*amount) for span, *amount in found.spans},
        paths=[(tuple(path.split(b"\0")), Some(*rest)) for path, *rest in found.paths],
    )


def _full(kind: bytes, *, encoding: bytes) -> str:
    """``hash listpack``: the script leaves out the type where the encoding tells it."""
    if b" " in encoding or kind == encoding:
        return encoding.decode()
    return f"{kind.decode()} {encoding.decode()}"


def _large(database: int, row: _Row) -> Large:
    name, name_bytes, kind, encoding, size, elements = row
    return Large(
        size=size,
        elements=elements,
        database=database,
        name=name,
        name_bytes=name_bytes,
        type=kind.decode(),
        encoding=encoding.rpartition(b" ")[2].decode(),
    )
