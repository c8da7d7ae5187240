"""`valkeep usage`: what is printed, how wide, as CSV, and what slips are told (S3)."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from daemon.answers.usage import UsageMonth, UsageMonths
from daemon.cli.usage_page import HEADS, column
from events.copies import CopyCompleted, CopyRequested, CopyStarted
from events.facts import BackupId, BackupKind, CacheName
from events.prices import PricesSet, VaultPrice
from events.types import BackupCompleted, BackupDeleted, CacheRemoved, DeletionRequested, Event
from tests.support.api import serving
from tests.support.given import NOON
from tests.support.samples import (
    B1,
    B2,
    B3,
    MAIN,
    ORDERS,
    SECOND,
    STARTED,
    USERS,
    complete,
    registered,
)

pytestmark = pytest.mark.anyio

GB = 1 << 30
DAY = timedelta(days=1)
PRICES = PricesSet("EUR", {MAIN: VaultPrice("0.744")})
"""A thousandth for each GB-hour of a March."""


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def stored(
    backup_id: BackupId, how_much: int, *, cache: CacheName = ORDERS, kind: BackupKind = "manual"
) -> tuple[Event, ...]:
    """A backup of that size."""
    return tuple(
        replace(event, stored=replace(event.stored, stored_bytes=how_much))
        if isinstance(event, BackupCompleted)
        else event
        for event in complete(backup_id, cache=cache, kind=kind)
    )


def copied(backup_id: BackupId, how_much: int) -> tuple[Event, ...]:
    """A copy of it in another vault."""
    return (
        CopyRequested(ORDERS, backup_id, SECOND, "command"),
        CopyStarted(ORDERS, backup_id, SECOND, 1),
        CopyCompleted(ORDERS, backup_id, SECOND, how_much),
    )


def gone(backup_id: BackupId) -> tuple[Event, ...]:
    """It was deleted."""
    return (
        DeletionRequested(cache=ORDERS, backup_id=backup_id, reason="command"),
        BackupDeleted(cache=ORDERS, backup_id=backup_id),
    )


FLEET: Sequence[Event | Sequence[Event]] = (
    (STARTED, PRICES, registered(), registered(USERS)),
    (*stored(B1, GB), *stored(B2, 2 * GB, kind="auto"), *stored(B3, 3 * GB, cache=USERS)),
    copied(B1, GB),
)
"""At noon, a minute later, and a minute after that."""


async def test_the_page_adds_up() -> None:
    """By cache, kind and vault with totals; a vault without a price has no cost, and says so."""
    async with serving(*FLEET) as api:
        api.clock.instant = NOON + timedelta(minutes=1) + DAY
        printed = await api.type("usage")

    lines = printed.out.splitlines()
    assert [
        "2026-03, until 2026-03-02 12:01:00Z",
        "CACHE   KIND    VAULT    STORED  GB-MONTHS  COST EUR  FORECAST EUR",
        "orders  auto    main    2.0 GiB     0.0645    0.0480        1.4640",
        "orders  manual  main    1.0 GiB     0.0323    0.0240        0.7320",
        "orders  copy    second  1.0 GiB     0.0322         -             -",
        "orders  total           4.0 GiB     0.1290    0.0720        2.1960",
        "users   manual  main    3.0 GiB     0.0968    0.0720        2.1959",
        "total                   7.0 GiB     0.2258    0.1440        4.3919",
    ] == lines[:8]
    assert "Vault second has no price: what it costs is not known, and in no total." in lines
    assert "Forecast: what is stored now, as nothing is to come or to go." in lines
    assert "The log began at 2026-03-01 12:00:00Z." in lines
    assert "Storage only" in printed.out
    assert 0 == printed.code


async def test_a_wide_screen_has_more() -> None:
    """160 columns show GB-hours, and the forecast of GB-months beside that of the cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")
        async with serving(*FLEET) as api:
            printed = await api.type("usage", "--cache", "orders")

    head = printed.out.splitlines()[1]
    assert ["GB-HOURS", "FORECAST GB-MONTHS"] == [
        word for word in ("GB-HOURS", "FORECAST GB-MONTHS") if word in head
    ]
    assert "users" not in printed.out


async def test_a_month_that_is_over_has_no_forecast() -> None:
    """It is complete, and tells the same again when other months have come and backups gone."""
    async with serving(*FLEET, gone(B1)) as api:
        api.clock.instant = NOON + 40 * DAY
        first = await api.type("usage", "--month", "2026-03")
        raw = await api.type("usage", "--month", "2026-03", "--json")
        api.clock.instant = NOON + 400 * DAY
        second = await api.type("usage", "--month", "2026-03")
        again = await api.type("usage", "--month", "2026-03", "--json")

    found = json.loads(raw.out)
    assert (first.out, raw.out) == (second.out, again.out)
    assert first.out.startswith("2026-03, complete\n")
    assert "FORECAST" not in first.out
    assert [True, "2026-04-01T00:00:00Z"] == [found["complete"], found["until"]]


async def test_without_prices_it_says_how_to_set_them() -> None:
    """Costs are unknown, which is not nothing; byte-hours are known all the same."""
    async with serving((STARTED, registered()), stored(B1, GB)) as api:
        printed = await api.type("usage")
        api.clock.instant = NOON + 100 * DAY
        several = await api.type("usage", "--months", "4")

    assert 1 == several.out.count("No price is known")
    row = printed.out.splitlines()[2]
    assert ["-", "0.9838"] == row.split()[-2:]
    assert "say price_per_gb_month in [vaults.NAME] and currency in [prices]" in " ".join(
        printed.out.split()
    )


async def test_a_price_of_nothing_is_a_price() -> None:
    """A disk of one's own may cost 0: that is known, and told."""
    free = PricesSet("EUR", {MAIN: VaultPrice("0")})
    async with serving((STARTED, free, registered()), stored(B1, GB)) as api:
        printed = await api.type("usage")

    assert ["0.00", "0.00"] == [printed.out.splitlines()[2].split()[n] for n in (-2, -1)]
    assert "price" not in printed.out


async def test_a_removed_cache_can_be_asked_for() -> None:
    """M2: what it used stays in the history, and its manual backups go on counting."""
    async with serving(*FLEET, gone(B2), CacheRemoved(cache=ORDERS)) as api:
        api.clock.instant = NOON + DAY
        printed = await api.type("usage", "--cache", "orders")

    assert 0 == printed.code
    assert "manual" in printed.out


async def test_several_months_are_a_line_each() -> None:
    """With the total below, and the running one as far as it has gone."""
    async with serving(*FLEET, gone(B1)) as api:
        api.clock.instant = NOON + 40 * DAY
        printed = await api.type("usage", "--months", "12")
        found = await api.get(UsageMonths, "/v1/usage/months", {"count": 1})

    lines = printed.out.splitlines()
    assert "2026-03 to 2026-04" == lines[0]
    assert ["MONTH", "STORED", "GB-MONTHS", "COST", "EUR"] == lines[1].split()
    assert ["2026-03", "2026-04", "total"] == [line.split()[0] for line in lines[2:5]]
    assert lines[3].endswith("until 04-10 12:00Z")
    assert ["2026-04"] == [month.month for month in found.months]


async def test_csv_is_for_a_spreadsheet() -> None:
    """RFC 4180: heads, CR and LF, exact figures, and the same order each time."""
    async with serving(*FLEET) as api:
        api.clock.instant = NOON + timedelta(minutes=1) + DAY
        printed = await api.type("usage", "--csv")
        again = await api.type("usage", "--csv")
        several = await api.type("usage", "--months", "3", "--csv")
        answered = await api.get(UsageMonth, "/v1/usage", {"forecast": False})

    rows = list(csv.DictReader(io.StringIO(printed.out, newline="")))
    assert printed.out.count("\r\n") == printed.out.count("\n") == 5
    assert list(HEADS) == list(rows[0])
    assert printed.out == again.out == several.out
    assert ["auto", "manual", "copy", "manual"] == [row["kind"] for row in rows]
    assert str(24 * 2 * GB) + ".000000" == rows[0]["byte_hours"]
    assert ["0.048", "0.024", "", "0.072"] == [row["cost"] for row in rows]
    assert ["EUR", "EUR", "", "EUR"] == [row["currency"] for row in rows]
    assert answered.total_cost == str(sum(Decimal(row["cost"] or 0) for row in rows))


async def test_nothing_stored_is_a_sentence() -> None:
    """An empty month is no table; as CSV it is the heads alone."""
    async with serving((STARTED, registered())) as api:
        printed = await api.type("usage")
        of_one = await api.type("usage", "--cache", "orders", "--months", "2")
        as_csv = await api.type("usage", "--csv")

    assert "Nothing was stored in 2026-03.\n" == printed.out
    assert "Nothing of orders was stored in 2026-03.\n" == of_one.out
    assert ",".join(HEADS) + "\r\n" == as_csv.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--month", "2026-3"), 2, "Did you mean '2026-03'?"),
        (("--month", "202603"), 2, "Did you mean '2026-03'?"),
        (("--month", "03/2026"), 2, "Did you mean '2026-03'?"),
        (("--month", "2026-03-01"), 2, "Did you mean '2026-03'?"),
        (("--month", "2026-13"), 2, "'2026-13' is not a month."),
        (("--month", "march"), 2, 'Allowed: YYYY-MM, as "2026-03"'),
        (("--month", "2026-04"), 2, "has not begun: it is 2026-03-01 15:00:00Z"),
        (("--month", "2026-02"), 4, "Nothing is known of 2026-02: this log began at 2026-03-01"),
        (("--cache", "ordres"), 4, "Did you mean 'orders'?"),
        (("--cache", "x"), 4, "Known caches: orders, users."),
        (("--csv", "--json"), 2, "name one of them"),
        (("--month", "2026-03", "--months", "2"), 2, "leave out --month"),
        (("--months", "0"), 2, "0 is not from 1 to 120"),
    ],
)
async def test_slips_are_told(arguments: tuple[str, ...], code: int, told: str) -> None:
    """What cannot be answered says what was meant, or what there is."""
    async with serving(*FLEET) as api:
        printed = await api.type("usage", *arguments)

    assert (code, "") == (printed.code, printed.out)
    assert told in printed.err


async def test_two_currencies_are_never_added_up() -> None:
    """In the month of the change no line has a cost; the parts have it, each in its own."""
    dollars = PricesSet("USD", {MAIN: VaultPrice("1")})
    async with serving(*FLEET, dollars) as api:
        api.clock.instant = NOON + DAY
        printed = await api.type("usage")
        found = await api.get(UsageMonth, "/v1/usage", {"cache": "users"})

    (line,) = found.lines
    assert "Prices are in EUR and USD: the costs are in the parts (--json)." in printed.out
    assert (None, None, None) == (found.currency, line.cost, found.total_cost)
    assert ["EUR", "USD"] == [part.currency for part in line.parts]
    assert all(part.cost_exact for part in line.parts)


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        (("0.335", "0.335", "0.33"), ("0.3350", "0.3350", "0.3300")),
        (("3.335", "3.335", "3.335"), ("3.34", "3.33", "3.33")),
        (("100.004", "0.004", "0.004"), ("100.01", "0.00", "0.00")),
        (("0.0000004", "0.0000004", "0"), ("0.000001", "<0.000001", "0.000000")),
        (("0", "0"), ("0.00", "0.00")),
        (("1234567.891", "1"), ("1,234,567.89", "1.00")),
    ],
)
def test_what_is_shown_adds_up(figures: tuple[str, ...], shown: tuple[str, ...]) -> None:
    """Rounded figures are those of their rounded sum, each no more than a unit away."""
    found = column([Decimal(figure) for figure in figures])
    texts = [found.text(row) for row in range(len(figures))]
    total = found.total(range(len(figures))).replace(",", "")

    assert list(shown) == texts
    known = [Decimal(text.replace(",", "")) for text in texts if not text.startswith("<")]
    assert Decimal(total) == sum(known)


async def test_what_goes_too_soon_is_told() -> None:
    """A vault that charges for least days costs more than its GB-months, and the page says so."""
    cold = PricesSet("EUR", {MAIN: VaultPrice("0.744", 30)})
    async with serving((STARTED, cold, registered()), stored(B1, GB), gone(B1)) as api:
        api.clock.instant = NOON + 40 * DAY
        printed = await api.type("usage", "--month", "2026-03")
        found = await api.get(UsageMonth, "/v1/usage", {"month": "2026-03"})

    (line,) = found.lines
    told = "Of the cost in vault main, 0.719983 is for what went before its least days were over."
    assert told in " ".join(printed.out.split())
    assert ("0.72", "0.719983333333") == (line.cost_exact, line.early_cost_exact)


async def test_a_change_of_the_price_is_told() -> None:
    """The page names both prices and the instant; the answer has a part for each."""
    dearer = PricesSet("EUR", {MAIN: VaultPrice("7.44")})
    async with serving((STARTED, PRICES, registered()), stored(B1, GB), dearer) as api:
        printed = await api.type("usage")
        found = await api.get(UsageMonth, "/v1/usage", {"forecast": False})

    (line,) = found.lines
    told = "A GB-month in vault main: 0.744 EUR, from 2026-03-01 12:02:00Z on 7.44 EUR."
    assert told in printed.out
    assert ["0.744", "7.44"] == [part.price_per_gb_month for part in line.parts]
    assert () == found.forecast
