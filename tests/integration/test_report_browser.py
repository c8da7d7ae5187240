"""The report in a real browser: its charts have content, nothing is fetched, all can be read.

Chromium has no network here; what it asks for and complains of is looked at after each page.
"""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from anyio import Path as Async

from daemon.answers.report import Report
from daemon.cli.report.page import html_of
from tests.support.browser import Browser, browsing
from tests.support.report_stories import Fleet, answer

pytestmark = [pytest.mark.anyio, pytest.mark.debian("chromium")]

FLEETS = {"fresh": Fleet(0, 30), "month": Fleet(3, 30), "large": Fleet(20, 90, 30)}
LABELS = """
[...document.querySelectorAll("figure svg")].map(svg => [svg, ...svg.querySelectorAll("text")]
  .map(node => node.getBoundingClientRect())
  .map(box => ({left: box.left, right: box.right, top: box.top, bottom: box.bottom})))
"""
CONTRAST = """
(() => {
  function channels(colour) { return (colour.match(/[0-9.]+/g) || []).map(Number); }
  function light(colour) {
    const [r, g, b] = channels(colour).slice(0, 3).map(one => one / 255)
      .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function behind(node) {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  }
  const worst = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.getClientRects().length) continue;
    const style = getComputedStyle(parent), svg = parent.closest("svg");
    const text = light(svg ? style.fill : style.color), ground = light(behind(parent));
    const found = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    const name = parent.tagName + "." + (parent.getAttribute("class") || "");
    worst[name] = Math.min(worst[name] ?? 99, found);
  }
  return worst;
})()
"""


@pytest.fixture(scope="module", autouse=True)
async def browser() -> AsyncGenerator[Browser, None]:
    """One browser for all tests of this module."""
    async with browsing(240) as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, each in its file."""
    folder = tmp_path_factory.mktemp("pages")
    for name, fleet in FLEETS.items():
        (folder / f"{name}.html").write_text(html_of(answer(fleet), None), encoding="utf-8")
    return folder


@pytest.fixture(params=FLEETS)
async def shown(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Path:
    """Each of the pages in turn, on the screen of a desk."""
    path: Path = folder / f"{request.param}.html"
    await browser.look()
    await browser.open(path)
    return path


@pytest.fixture
async def month(browser: Browser, folder: Path) -> Report:
    """The page of three caches for a month, on the screen of a desk."""
    await browser.look()
    await browser.open(folder / "month.html")
    return answer(FLEETS["month"])


def overlaps(one: dict[str, float], *, other: dict[str, float]) -> bool:
    """Whether two boxes share more than a pixel's breadth."""
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    along = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return across > 1 and along > 3


async def test_nothing_is_fetched_and_nothing_complained_of(browser: Browser, shown: Path) -> None:
    """The page is the only thing that is asked for, and the console stays empty."""
    assert [shown.as_uri()] == browser.requests
    assert [] == browser.complaints
    assert len(await Async(shown).read_bytes()) < 1_000_000


async def test_a_page_that_fetches_something_is_noticed(browser: Browser, folder: Path) -> None:
    """What was looked for above would be seen, and the page's own policy would stop it."""
    outside = "<img src=http://127.0.0.1:9/a.png><script src=http://127.0.0.1:9/b.js></script>"
    bad = folder / "bad.html"
    await Async(bad).write_text(f"<!doctype html><body>{outside}")
    await browser.open(bad)
    assert 3 == len(browser.requests)
    assert browser.complaints

    whole = await Async(folder / "month.html").read_text()
    await Async(bad).write_text(whole.replace("</main>", f"{outside}</main>"))
    await browser.open(bad)
    assert 2 <= sum("Content Security Policy" in said for said in browser.complaints)


async def test_no_screen_is_too_narrow(browser: Browser, shown: Path) -> None:
    """On phones and desks nothing sticks out to the right."""
    for width in (320, 360, 768, 1280):
        await browser.look(width=width)
        # A phone makes its window as wide as what sticks out: both must be as wide as the screen.
        wide = await browser.ask(
            float, "Math.max(document.documentElement.scrollWidth, innerWidth)"
        )
        assert wide == width


async def test_the_charts_have_content(browser: Browser, month: Report) -> None:
    """Each picture has a line of real extent, and a dot on the screen for each backup."""
    drawn = await browser.ask(
        list[list[float]],
        """[...document.querySelectorAll(".charts figure:first-child svg")].map(svg => [
             svg.querySelectorAll("circle").length,
             svg.querySelector(".first path").getTotalLength(),
             svg.querySelector(".second path").getTotalLength(),
             svg.getBoundingClientRect().width,
             [...svg.querySelectorAll("circle")].filter(c => c.getBoundingClientRect().width > 1
               && svg.getBoundingClientRect().left <= c.getBoundingClientRect().left
               && svg.getBoundingClientRect().right >= c.getBoundingClientRect().right).length])""",
    )
    made = [
        [m for m in cache.backups if m.stored_bytes is not None and m.kind != "safety"]
        for cache in month.caches
    ]
    assert [len(backups) for backups in made] == [dots for dots, *_ in drawn]
    for dots, first, second, width, visible in drawn:
        assert min(first, second) > 150
        assert width > 200
        assert visible == dots


async def test_what_is_kept_is_drawn_to_scale(browser: Browser, month: Report) -> None:
    """Each stored backup has a line whose length is the time that it stays."""
    found = await browser.ask(
        list[list[float]],
        """[...document.querySelectorAll(".charts figure:last-child")].map(figure =>
             [...figure.querySelectorAll(".age path")].map(path => path.getTotalLength()))""",
    )
    for cache, lengths in zip(month.caches, found, strict=True):
        by_age = [m for m in cache.backups if m.there and m.kept_by == "age"]
        assert len(by_age) == len(lengths)
        assert min(lengths) > 10
        assert max(lengths) - min(lengths) < 1  # all are kept for the same number of days


async def test_no_label_covers_another(browser: Browser, shown: Path) -> None:
    """The texts of each chart's axes stand apart, and inside of the picture, on any screen."""
    for width in (320, 1280):
        await browser.look(width=width)
        charts = await browser.ask(list[list[dict[str, float]]], LABELS)
        for picture, *labels in charts:
            assert labels
            for number, label in enumerate(labels):
                assert picture["left"] - 1 <= label["left"]
                assert label["right"] <= picture["right"] + 1
                assert not [one for one in labels[number + 1 :] if overlaps(label, other=one)]
            assert all(label["bottom"] - label["top"] >= 9 for label in labels)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_can_be_read(browser: Browser, month: Report, scheme: str) -> None:
    """In the light and in the dark each text has a contrast of 4.5 to 1 to what is behind it."""
    await browser.look(scheme=scheme)
    worst = await browser.ask(dict[str, float], CONTRAST)
    ground = await browser.ask(str, "getComputedStyle(document.body).backgroundColor")

    assert len(worst) > 20
    assert {} == {name: round(found, 2) for name, found in worst.items() if found < 4.5}
    assert (scheme == "light") == (ground == "rgb(255, 255, 255)")


async def test_in_print_the_page_is_light(browser: Browser, month: Report) -> None:
    """Printed from a dark screen the paper stays white, and the pages come out."""
    await browser.look(scheme="dark", media="print")
    ground = await browser.ask(str, "getComputedStyle(document.body).backgroundColor")
    worst = await browser.ask(dict[str, float], CONTRAST)
    pdf = await browser.picture("Page.printToPDF", printBackground=False)

    assert "rgb(255, 255, 255)" == ground
    assert {} == {name: found for name, found in worst.items() if found < 4.5}
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") >= 2


async def test_days_differ_for_those_who_see_no_colours(browser: Browser, month: Report) -> None:
    """Each state of a day has a sign of its own on the screen, beside its colour."""
    signs = await browser.ask(
        dict[str, str],
        """Object.fromEntries([...document.querySelectorAll(".days i")].map(
             day => [day.className, day.lastChild.textContent]))""",
    )
    states = {day.state for cache in month.caches for day in cache.days}

    assert states == set(signs)
    assert len(states) == len(set(signs.values()))
