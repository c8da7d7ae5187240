"""Verdicts and exports: what a stranger needs to prove a log, and nothing that can lie (L8)."""

import json
from collections.abc import Callable
from contextlib import aclosing
from hashlib import sha256

import pytest
from msgspec import structs

from events.audit import Verdict, export, told, verify, verify_export
from events.chain import EMPTY
from events.envelope import Entry, Head
from events.facts import Position, Stream
from events.log import LogCorrupt, LogError
from events.memory import InMemoryLog
from tests.support.commits import all_of, chain_of, commit

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log() -> InMemoryLog:
    """A log of three records."""
    log = InMemoryLog()
    await log.append([*chain_of(1), commit("b-é\\n", {"b": 0}, size=2)])
    return log


async def lines_of(log: InMemoryLog, after: Head = EMPTY) -> list[bytes]:
    """The export of a log."""
    records = log.read(after.position)
    async with aclosing(records), aclosing(export(records, after)) as lines:
        return [line async for line in lines]


async def test_verdict_names_the_head(log: InMemoryLog) -> None:
    """A sound log is told by the number of its records and the chain's head."""
    head = await log.head()
    async with aclosing(log.read()) as records:
        assert Verdict(3, head.position, head.hash) == await verify(records)


async def test_damage_is_named_by_its_position(log: InMemoryLog) -> None:
    """A record that was changed in place is named by verdict and export alike."""
    log._records[1] = structs.replace(log._records[1], data=b"{}")
    with pytest.raises(LogCorrupt, match="position 2"):
        await all_of(log)
    with pytest.raises(LogCorrupt, match="position 2"):
        await lines_of(log)


async def test_export_is_proven_with_sha256_alone(log: InMemoryLog) -> None:
    """The documented formula over an export's own texts gives each of its hashes."""
    previous = bytes(32)
    for line in await lines_of(log):
        told = json.loads(line)
        envelope = told["envelope"].encode()
        covered = previous + len(envelope).to_bytes(8, "big") + envelope + told["data"].encode()
        assert told["previous_hash"] == previous.hex()
        assert told["hash"] == sha256(covered).hexdigest()
        assert told["event"] == json.loads(told["data"])
        assert told["position"] == json.loads(told["envelope"])["position"]
        previous = bytes.fromhex(told["hash"])
    assert previous == (await log.head()).hash


async def test_whole_export_is_accepted(log: InMemoryLog) -> None:
    """An export that nobody touched is accepted, and its end is told."""
    head = await log.head()
    assert Verdict(3, head.position, head.hash) == verify_export(await lines_of(log))
    assert Verdict(0, Position(0), bytes(32)) == verify_export([])


async def test_part_of_an_export_continues_another(log: InMemoryLog) -> None:
    """A later part is proven from the head where the part before it ended, and only there."""
    lines = await lines_of(log)
    first = verify_export(lines[:1])
    middle = Head(first.head_position, first.head_hash)

    assert lines[1:] == await lines_of(log, middle)
    assert Position(3) == verify_export(lines[1:], middle).head_position
    with pytest.raises(LogCorrupt, match="position 1 is missing"):
        verify_export(lines[1:])
    with pytest.raises(LogCorrupt, match="position 2 does not follow"):
        verify_export(lines[1:], Head(middle.position, bytes(32)))


async def test_flipped_character_anywhere_is_noticed(log: InMemoryLog) -> None:
    """No bit of an export can be turned over unnoticed, in what is hashed or beside it."""
    text = b"".join(await lines_of(log))
    for at in range(len(text)):
        changed = text[:at] + bytes([text[at] ^ 1 << at % 7]) + text[at + 1 :]
        with pytest.raises(LogError):
            verify_export(changed.splitlines(keepends=True))


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [lines[0], *lines],
        lambda lines: [lines[0], lines[1].replace(b'","', b'", "', 1), lines[2]],
        lambda lines: [lines[0], b"\n", lines[1], lines[2]],
        lambda lines: [line.rstrip() for line in lines],
    ],
)
async def test_edited_export_is_refused(
    log: InMemoryLog, edit: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Lines that were dropped, swapped, doubled, added or reformatted are refused."""
    with pytest.raises(LogCorrupt):
        verify_export(edit(await lines_of(log)))


@pytest.mark.parametrize("data", [b"not json", b'{"type":\n"x/1"}', b'"\xff"'])
async def test_what_would_break_the_lines_is_not_exported(log: InMemoryLog, data: bytes) -> None:
    """Stored bytes that are not JSON in one line are named, and make no broken export."""
    odd = structs.replace(commit("odd", {"c": 0}), entries=(Entry(Stream("c"), data),))
    await log.append([odd])
    with pytest.raises(LogCorrupt, match="position 4 is not JSON"):
        await lines_of(log)


async def test_a_line_tells_its_record_and_what_came_before(log: InMemoryLog) -> None:
    """Each line of an export is proven by itself; one that was changed is refused."""
    records, tip = await all_of(log), EMPTY
    for record, line in zip(records, await lines_of(log), strict=True):
        before, found = told(line)
        assert (tip, record) == (before, found)
        tip = Head(record.position, record.hash)
    for bad in (b"", b"{}\n", line.replace(b"b-", b"c-"), line[: len(line) // 2]):
        with pytest.raises(LogError):
            told(bad)
