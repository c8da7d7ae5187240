"""`valkeep backup show BACKUP --keys` against a real socket: figures, names, roles, growth."""

import json
import os
from base64 import b64encode
from datetime import timedelta
from unicodedata import east_asian_width

import pytest
from msgspec import structs

from daemon.api import Access
from daemon.api.seams import Keyspace
from daemon.cli.key_names import shown
from daemon.cli.keys_growth import gone, percent
from daemon.commands.surveyed import KeyPrefix, KeyspaceBefore, KeyspaceDetail, LargeKey
from events.facts import BackupId, BackupName, CacheName, Failure, Receipt, VerificationId
from events.keyspace import KeyAmount, KeyspaceFacts
from events.proofs import BackupVerified, VerificationAbandoned, VerificationRequested
from events.types import Event
from tests.support.api import serving
from tests.support.given import NOON
from tests.support.samples import B1, B2, ORDERS, complete, registered

pytestmark = pytest.mark.anyio

MIB = 1 << 20
V1 = VerificationId("20260302T021400Z-0000c001")
OPERATOR = Access(users={os.geteuid(): "operator"}, groups={})
FACTS = KeyspaceFacts(
    keys=100_000,
    weighed=100_000,
    seen=100_000,
    seconds=0.8,
    total=KeyAmount(100_000, 200 * MIB, 5_000_000),
    types={
        "hash": KeyAmount(50_000, 150 * MIB, 5_000_000),
        "string": KeyAmount(50_000, 50 * MIB),
    },
    encodings={
        "hash hashtable": KeyAmount(50_000, 150 * MIB, 5_000_000),
        "string raw": KeyAmount(50_000, 50 * MIB),
    },
    databases={0: KeyAmount(100_000, 200 * MIB, 5_000_000)},
    ttls={
        "none": KeyAmount(60_000, 160 * MIB, 5_000_000),
        "1d": KeyAmount(40_000, 40 * MIB),
    },
)
OLD = KeyspaceFacts(
    keys=90_000,
    weighed=90_000,
    seen=90_000,
    seconds=0.7,
    total=KeyAmount(90_000, 160 * MIB),
    types={
        "hash": KeyAmount(45_000, 100 * MIB),
        "string": KeyAmount(45_000, 60 * MIB),
        "set": KeyAmount(1, MIB),
    },
)
DETAIL = KeyspaceDetail(
    engine="valkey 8.1.8",
    facts=FACTS,
    largest=(
        LargeKey(0, "hash", "hashtable", 60 * MIB, 900_000, key="user:1:cart"),
        LargeKey(
            0, "string", "raw", MIB, key_base64=b64encode(b"\xff\0k\n").decode(), name_bytes=9_000
        ),
    ),
    longest=(LargeKey(0, "hash", "hashtable", 60 * MIB, 900_000, key="user:1:cart"),),
    prefixes=(
        KeyPrefix(0, 50_000, 150 * MIB, 150 * MIB, pattern="user:*"),
        KeyPrefix(0, 50_000, 149 * MIB, 149 * MIB, pattern="user:*:cart"),
        KeyPrefix(0, 40_000, 40 * MIB, 4 * MIB, pattern="session:*"),
        KeyPrefix(0, 10_000, 10 * MIB, 10 * MIB, pattern="鍵:*"),
    ),
    least_bytes=MIB // 5,
    before=KeyspaceBefore(
        B1,
        BackupName("one"),
        NOON + timedelta(hours=1),
        "valkey 8.1.8",
        OLD,
        prefixes=(
            KeyPrefix(0, 45_000, 100 * MIB, pattern="user:*:cart"),
            KeyPrefix(0, 40_000, 40 * MIB, pattern="session:*"),
            KeyPrefix(0, 5_000, 20 * MIB, pattern="old:*"),
            KeyPrefix(0, 5_000, 20 * MIB, pattern="old:thing:*"),
        ),
        least_bytes=MIB // 5,
    ),
)
PAGE = """\
orders/two
  keys     100,000, 200.0 MiB, 2.0 KiB each
  expired  7 more had ended before they were loaded
  counted  by valkey 8.1.8 in 0.8 s, 2026-03-01 12:08:00Z
  grown    +10,000 keys (+11 %), +40.0 MiB (+25 %) since orders/one, 2 h ago

type      keys     memory  share     each  elements each      grown      by
hash    50,000  150.0 MiB   75 %  3.1 KiB          100.0  +50.0 MiB   +50 %
string  50,000   50.0 MiB   25 %  1.0 KiB                 -10.0 MiB   -17 %
set          0        0 B    0 %      0 B                  -1.0 MiB  -100 %
"""
PREFIXES = """\
  keys     memory  share  no TTL      grown     by  prefix
50,000  149.0 MiB   74 %   100 %  +49.0 MiB  +49 %  user:*:cart
40,000   40.0 MiB   20 %    10 %          =         session:*
10,000   10.0 MiB  5.0 %   100 %  +10.0 MiB    new  鍵:*
gone: old:* (20.0 MiB before)
"""


def verified(receipt: Receipt, backup_id: BackupId = B2) -> tuple[Event, ...]:
    """A verification from its request to its receipt."""
    asked = VerificationRequested(
        cache=ORDERS, backup_id=backup_id, verification_id=V1, cause="command"
    )
    told = BackupVerified(cache=ORDERS, backup_id=backup_id, verification_id=V1, receipt=receipt)
    return asked, told


LOADED = Receipt("loaded", 50, 100, 1.0, engine="valkey 8.1.8", expired=7, keyspace=FACTS)
HISTORY = (registered(), *complete(B1, name="one"), *complete(B2, name="two"))


def known(detail: KeyspaceDetail | None = DETAIL) -> Keyspace:
    """What the files say, of the second backup alone."""

    async def keyspace(cache: CacheName, backup_id: BackupId) -> KeyspaceDetail | None:
        return detail if (cache, backup_id) == (ORDERS, B2) else None

    return keyspace


async def test_page_has_types_ttls_prefixes_keys_and_growth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One page tells what the memory is for, what is large, and what has grown."""
    monkeypatch.setenv("COLUMNS", "80")
    async with serving(*HISTORY, *verified(LOADED), keyspace=known()) as api:
        page = await api.type("backup", "show", "orders/two", "--keys")

    assert 0 == page.code
    assert page.out.startswith(PAGE), page.out
    assert PREFIXES in page.out
    assert "under 1 d     40,000   40.0 MiB   20 %  ██" in page.out
    assert "60.0 MiB   30 %   900,000  hash    hashtable  user:1:cart" in page.out
    assert "\\xff\\x00k\\n (8.8 KiB long)" in page.out
    assert "worth a look  The 2 largest of 100,000 keys hold 30 % of the memory." in page.out
    assert "4.0 MiB under session:* never end, though the other keys there do." in page.out


@pytest.mark.parametrize("columns", [60, 80, 160])
async def test_no_line_is_wider_than_the_screen(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Columns that matter less go, and names are shortened, so that lines fit."""
    monkeypatch.setenv("COLUMNS", str(columns))
    async with serving(*HISTORY, *verified(LOADED), keyspace=known()) as api:
        page = await api.type("backup", "show", "orders/two", "--keys")

    for line in page.out.splitlines():
        wide = sum(2 if east_asian_width(sign) in "WF" else 1 for sign in line)
        assert wide <= columns, line


async def test_names_are_for_admins() -> None:
    """Whoever is no admin gets every sum, no name of a key or prefix, and the reason."""
    async with serving(*HISTORY, *verified(LOADED), keyspace=known(), access=OPERATOR) as api:
        page = await api.type("backup", "show", "orders/two", "--keys")
        raw = await api.type("backup", "show", "orders/two", "--keys", "--json")

    assert "names    not shown: names of keys are data: they are for the role admin" in page.out
    assert "+40.0 MiB (+25 %) since orders/one" in page.out
    for name in ("user:", "session:", "old:", "鍵", "8wBrCg"):
        assert name not in page.out + raw.out
    assert FACTS.total.bytes == json.loads(raw.out)["detail"]["facts"]["total"]["bytes"]


async def test_json_is_exact() -> None:
    """JSON has each name as it is, in base64 where it is no text."""
    async with serving(*HISTORY, *verified(LOADED), keyspace=known()) as api:
        raw = await api.type("backup", "show", "orders/two", "--keys", "--json")

    detail = json.loads(raw.out)["detail"]
    assert {"keys": 100_000, "weighed": 100_000, "seen": 100_000} == {
        name: detail["facts"][name] for name in ("keys", "weighed", "seen")
    }
    assert "/wBrCg==" == detail["largest"][1]["key_base64"]
    assert 9_000 == detail["largest"][1]["name_bytes"]


async def test_a_lost_file_leaves_the_sums() -> None:
    """Without its file a backup still has the sums of its receipt, and says what is missing."""
    async with serving(*HISTORY, *verified(LOADED), keyspace=known(None)) as api:
        page = await api.type("backup", "show", "orders/two", "--keys")

    assert "keys     100,000, 200.0 MiB" in page.out
    assert "names    none are kept" in page.out


PARSED = Receipt("parsed", 50, 100, 1.0, reason="a load takes 9 bytes of memory")
NOTED = Receipt("loaded", 1, 1, 1.0, notes=("its keys were not counted: the engine ended",))
GIVEN_UP = (
    VerificationRequested(cache=ORDERS, backup_id=B2, verification_id=V1, cause="command"),
    VerificationAbandoned(
        cache=ORDERS,
        backup_id=B2,
        verification_id=V1,
        failure=Failure("vault", "The vault is away.", "Mend it."),
    ),
)


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ((), "it was not verified yet"),
        (GIVEN_UP[:1], "it is being verified, or waits for it"),
        (GIVEN_UP, "The last verification was given up: The vault is away."),
        (verified(PARSED), "to the level parsed only: a load takes 9 bytes of memory"),
        (verified(NOTED), "its keys were not counted: the engine ended"),
        (verified(Receipt("loaded", 1, 1, 1.0)), "unless `[engine] census` is off"),
    ],
)
async def test_without_figures_the_page_says_why(events: tuple[Event, ...], why: str) -> None:
    """A backup whose keys were not counted says why, and what to type."""
    async with serving(*HISTORY, *events) as api:
        page = await api.type("backup", "show", "orders/two", "--keys")

    assert 0 == page.code
    assert why in " ".join(page.out.split())
    assert "what to do" in page.out


async def test_estimates_are_told_as_such() -> None:
    """Where not all keys were looked at the page says how many were, and what is exact."""
    some = KeyspaceDetail("valkey 8.1.8", FACTS_OF_SOME)
    receipt = structs.replace(LOADED, keyspace=FACTS_OF_SOME, used_memory_bytes=900 * MIB)
    async with serving(*HISTORY, *verified(receipt), keyspace=known(some)) as api:
        page = " ".join((await api.type("backup", "show", "orders/two", "--keys")).out.split())

    assert "ESTIMATES there was time to look at 20,000 keys (20 %), which stand for all" in page
    assert "60 % were weighed, and a larger key may be among the others" in page
    assert "about 200.0 MiB" in page
    assert "UNSEEN the engine used 900.0 MiB in all, far more than that: large keys" in page


FACTS_OF_SOME = KeyspaceFacts(
    keys=100_000,
    weighed=60_000,
    seen=20_000,
    seconds=3.0,
    total=FACTS.total,
    types=FACTS.types,
    whole=False,
)


async def test_older_figures_are_told_as_such() -> None:
    """Where the newest verification has not counted, the page has what an earlier one found."""
    async with serving(*HISTORY, *verified(NOTED), keyspace=known()) as api:
        page = await api.type("backup", "show", "orders/two", "--keys")

    assert "counted  by valkey 8.1.8 in 0.8 s, by an earlier verification" in page.out


async def test_the_receipt_tells_what_takes_the_memory() -> None:
    """`backup show` has the types in short, and leads to the page of the keys."""
    async with serving(*HISTORY, *verified(LOADED), keyspace=known()) as api:
        page = " ".join((await api.type("backup", "show", "orders/two")).out.split())

    told = "hash 150.0 MiB, string 50.0 MiB; more: valkeep backup show orders/two --keys"
    assert told in page


async def test_any_reference_will_do() -> None:
    """The beginning of an id is enough, and a backup may be called what a route is called."""
    async with serving(registered(), *complete(B1, name="keyspace")) as api:
        by_id = await api.type("backup", "show", B1[:6], "--keys")
        by_name = await api.type("backup", "show", "orders/keyspace", "--keys")
        itself = await api.type("backup", "show", "orders/keyspace")

    assert by_id.out == by_name.out
    assert by_id.out.startswith("orders/keyspace\n  keys        not known: it was not verified yet")
    assert "proof" in itself.out


async def test_near_misses() -> None:
    """A slip in the option or in the backup's name is answered with the nearest one."""
    async with serving(*HISTORY) as api:
        option = await api.type("backup", "show", "orders/two", "--kes")
        backup = await api.type("backup", "show", "orders/twoo", "--keys")

    assert (2, True) == (option.code, "Did you mean '--keys'?" in option.err)
    assert (4, True) == (backup.code, "Did you mean 'orders/two'?" in backup.err)


@pytest.mark.parametrize(
    ("name", "width", "told"),
    [
        (b"plain:1", 20, "plain:1"),
        (b"", 20, '""'),
        (b"a\0b\x1b[31m\r\n\\", 40, "a\\x00b\\x1b[31m\\r\\n\\\\"),
        (b"\xff\xfeok", 40, "\\xff\\xfeok"),
        ("é\u202e\u00a0".encode(), 40, "é\\xe2\\x80\\xae\\xc2\\xa0"),
        (b"0123456789" * 3, 13, "01234567…6789"),
        (("鍵" * 20).encode(), 11, "鍵鍵鍵鍵…鍵"),
    ],
    ids=["plain", "empty", "controls", "no text", "invisible", "long", "wide"],
)
def test_names_cannot_hurt_a_screen(name: bytes, width: int, told: str) -> None:
    """What moves a cursor or is no text is escaped; long names are shortened in the middle."""
    assert told == shown(name, width)


def test_growth_in_percent() -> None:
    """Small changes have a tenth, huge ones are multiples, and what is the same says nothing."""
    assert ["+0.5 %", "-12 %", "x55", "new", "", ""] == [
        percent(1_005, before=1_000),
        percent(880, before=1_000),
        percent(55_000, before=1_000),
        percent(5, before=0),
        percent(7, before=7),
        percent(1_000_100, before=1_000_000),
    ]


def test_what_is_gone_is_told_once() -> None:
    """Of prefixes that are gone the topmost is told, and none that may be too light now."""
    assert ["old:*"] == [row.pattern for row in gone(DETAIL)]
