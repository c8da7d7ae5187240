"""The report's page: everything of the answer is on it, and nothing of it can do any harm."""

import re
from base64 import b64encode
from datetime import timedelta
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from msgspec.structs import replace

from daemon.answers.check import CheckLine
from daemon.answers.report import Report, RestoreLine, TroubleView
from daemon.answers.usage import UsageLine, UsageMonth
from daemon.cli.report.drawing import ticks_between
from daemon.cli.report.marks import SIGNS
from daemon.cli.report.page import html_of, verdict, words
from tests.support.report_stories import NOW, Fleet, answer

SMALL = answer(Fleet(3, 30))
EMPTY = answer(Fleet(0, 30))
HOSTILE = "<script src=//evil.example/x.js></script>\"'><img onerror=alert(1)> `</code><b>` &amp;"
VOID = {"meta", "link", "br", "hr", "img"}
OPTIONAL = {"tr", "td", "th", "thead", "tbody", "li", "p", "html", "head", "body", "dt", "dd"}


class Outline(HTMLParser):
    """What a page is made of: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See the base."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See the base."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """See the base."""
        if tag not in OPTIONAL:
            assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """See the base."""
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join("".join(self.texts).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all such elements."""
        return [attributes for name, attributes in self.elements if name == tag]


def page(report: Report, usage: UsageMonth | None = None) -> Outline:
    """A page, taken apart; elements that do not close in order fail the test."""
    return Outline(html_of(report, usage))


def month(*, currency: str | None, lines: tuple[UsageLine, ...]) -> UsageMonth:
    """This month's usage so far, which the forecast thinks is all there will be."""
    return UsageMonth(
        month="2026-03",
        until=NOW,
        complete=False,
        currency=currency,
        lines=lines,
        forecast=lines,
    )


@cache
def small() -> str:
    """The page of three caches for a month."""
    return html_of(SMALL, None)


def test_every_day_has_its_mark() -> None:
    """The calendar has one mark for each day of each cache, with words for those who need them."""
    cells = [one for one in Outline(small()).of("i") if one.get("role") == "img"]

    assert [day.state for cache in SMALL.caches for day in cache.days] == [
        one["class"] for one in cells
    ]
    assert all(one.get("title") for one in cells)
    assert len(set(SIGNS.values())) == len(SIGNS)  # told apart without any colour


def test_every_chart_has_its_data() -> None:
    """Each cache has four pictures; sizes have as many dots as there were backups."""
    html = small()
    figures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    backups = [
        [m for m in cache.backups if m.stored_bytes is not None and m.kind != "safety"]
        for cache in SMALL.caches
    ]

    assert 4 * len(SMALL.caches) == len(figures)
    assert [len(made) for made in backups] == [
        figure.count("<circle") for figure in figures if "<b>Sizes</b>" in figure
    ]
    assert [cache.living for cache in SMALL.caches] == [
        len(re.findall(r'<g class="(?:age|stays)"', figure))
        for figure in figures
        if "<b>What retention keeps</b>" in figure
    ]
    assert all("<title>" in figure and "<desc>" in figure for figure in figures)


def test_the_page_asks_for_nothing() -> None:
    """No element names anything outside the page, and its policy forbids all but its own style."""
    html = small()
    found = Outline(html)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    policy = next(m["content"] for m in found.of("meta") if m.get("http-equiv"))
    digest = b64encode(sha256(style.encode()).digest()).decode()

    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _ in found.elements}
    links = [value for _, a in found.elements for k, value in a.items() if k in ("href", "src")]
    assert {link[0] if link else "" for link in links} == {"#", "d"}
    assert {"data:,"} == {link for link in links if link and link.startswith("d")}
    assert "url(" not in style
    assert "@import" not in style
    assert not [a for _, a in found.elements for k in a if k.startswith("on") or k == "style"]


def test_hostile_text_stays_text() -> None:
    """Reasons, hints and names from elsewhere are shown letter by letter and make no element."""
    plain, hostile = SMALL.caches[0], HOSTILE.replace("`", "")
    line = CheckLine("critical", "fresh", HOSTILE, cache=hostile, hint=HOSTILE)
    trouble = TroubleView(NOW, hostile, "attempt", HOSTILE, HOSTILE)
    restore = RestoreLine("r", hostile, hostile, hostile, NOW, hostile, told=HOSTILE, hint=HOSTILE)
    days = (replace(plain.days[0], told=(HOSTILE,)), *plain.days[1:])
    backups = tuple(
        replace(made, name=hostile, kept_because=HOSTILE, kept_by=HOSTILE) for made in plain.backups
    )
    bad = replace(plain, suspended=HOSTILE, timezone=hostile, days=days, backups=backups)
    report = replace(
        SMALL,
        caches=(bad,),
        problems=(line,),
        troubles=(trouble,),
        restores=(restore,),
        version=hostile,
        installation=hostile,
        left_out=(hostile,),
        vaults=(replace(SMALL.vaults[0], name=hostile, url=hostile),),
    )
    tame = replace(
        report,
        problems=(replace(line, message="m", hint="h"),),
        caches=(replace(bad, days=plain.days, backups=plain.backups, suspended="s"),),
    )
    found, other = page(report), page(tame)

    assert "<script src=//evil.example/x.js></script>" in found.text
    assert not {"script", "img"} & {tag for tag, _ in found.elements}
    # Backticks make code of what is between them; nothing else differs from the tame page.
    assert [t for t, _ in other.elements if t not in ("code", "b")] == [
        t for t, _ in found.elements if t not in ("code", "b")
    ]
    assert all(set(a) <= {"id", "class"} for a in found.of("code"))


def test_code_in_sentences_is_code() -> None:
    """What stands between backticks is shown as code, and an odd backtick as it is."""
    assert "Type <code>a &lt;b&gt;</code>." == words("Type `a <b>`.")
    assert "One ` alone" == words("One ` alone")


def test_a_fresh_installation_says_how_to_begin() -> None:
    """With nothing backed up the page is short, and has the command that changes that."""
    found = page(EMPTY)

    assert "Nothing is backed up yet." in found.text
    assert "valkeep cache add NAME" in found.text
    assert not found.of("svg")


def test_a_cache_without_backups_says_so() -> None:
    """Where there is nothing to draw, words stand instead of an empty picture."""
    bare = replace(SMALL.caches[0], backups=(), living=0, stored_bytes=0)
    text = page(replace(SMALL, caches=(bare,))).text

    assert "No backup was completed in these days." in text
    assert "Nothing is stored." in text


@pytest.mark.parametrize(
    ("level", "told"),
    [("ok", "✓ All is well."), ("warning", "! Not all is well: 1 warning.")],
)
def test_the_head_says_whether_all_is_well(level: str, told: str) -> None:
    """One line in words and with a sign, the same as `valkeep status` says."""
    line = CheckLine("warning", "fresh", "m", hint="h")
    problems = () if level == "ok" else (line,)
    head = verdict(replace(SMALL, problems=problems, level="ok" if level == "ok" else "warning"))

    assert (level, told) == (head.level, f"{head.sign} {head.told}")


def test_all_problems_are_counted() -> None:
    """Several problems of a level are told as many."""
    assert "Not all is well: 2 critical, 1 warning." == verdict(SMALL).told


def test_the_head_says_when_and_by_what_it_was_made() -> None:
    """A page that is read years later tells its age and its maker."""
    text = Outline(small()).text

    assert "30 days to 2026-03-31 09:30:00Z" in text
    assert "Made by valkeep 0.1.0." in text


def test_cost_is_told_where_it_is_known() -> None:
    """Each cache has its GB-months, its cost so far, and that of the whole month."""
    lines = tuple(
        UsageLine(
            vault="main",
            cache=cache.name,
            kind=kind,
            stored_bytes=10,
            byte_hours=1.0,
            gb_months=2.5,
            cost=1.25,
        )
        for cache in SMALL.caches
        for kind in ("auto", "manual")
    )
    usage = month(currency="EUR", lines=lines)
    text = page(SMALL, usage).text

    assert "2026-03 until 2026-03-31 09:30:00Z" in text
    assert 6 == text.count("2.50 EUR")
    assert 3 == text.count("5.000")
    assert "7.50 EUR in all" in text


def test_cost_that_is_not_known_is_left_out_with_a_word() -> None:
    """A daemon that knows no usage, and one without prices, are told apart."""
    usage = month(currency=None, lines=())

    assert "The cost is left out" in Outline(small()).text
    assert "no prices are configured" in page(SMALL, usage).text


def test_the_same_answer_makes_the_same_page() -> None:
    """Nothing on the page depends on when or how often it is made."""
    assert small() == html_of(SMALL, None)


@pytest.mark.parametrize("top", [0.0, 0.003, 0.9, 1.0, 2.0, 7.5, 99.0, 100.0, 1023.0])
def test_an_axis_has_few_round_marks(top: float) -> None:
    """From nothing to the largest value, in three to six marks of equal distance."""
    ticks = ticks_between(top)
    steps = {round(b - a, 9) for a, b in pairwise(ticks)}

    assert 1 == len(steps)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert top <= ticks[-1]
    assert ticks[-1] <= max(1.0, 2 * top)


def test_a_young_installation_fills_its_charts() -> None:
    """Charts begin with the first backup of all, but show a week at least."""
    wide = answer(Fleet(1, 5), days=60)
    narrow = answer(Fleet(1, 60), days=60)

    def labels(report: Report) -> int:
        (sizes,) = re.findall(r"<b>Sizes</b>.*?</svg>", html_of(report, None), re.DOTALL)
        return len(re.findall(r"<text[^>]*>\d+ [A-Z][a-z]{2}<", sizes))

    assert 3 <= labels(wide) <= 6
    assert 3 <= labels(narrow) <= 6
    assert timedelta(days=59) > wide.now - wide.caches[0].backups[0].at
