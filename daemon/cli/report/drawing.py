"""One drawing: points in, a small inline SVG out. The only file that knows pygal.

pygal lays out axes and marks; of what it makes only the geometry is kept: no script, no style, no
links, no colours. Those are the page's, so that one page can be light, dark or printed.
"""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from xml.etree import ElementTree as ET

from msgspec import Struct
from pygal import XY
from pygal.style import Style

# pygal adds a finder for its plug-ins, of a kind that Python has given up and warns of at each
# import that comes later. We have no plug-ins.
sys.meta_path[:] = [one for one in sys.meta_path if type(one).__module__ != "pygal"]

WIDTH, HEIGHT = 320, 190
"""Of the picture's own coordinates: about a phone's width, so that text is readable there."""
MOST_DOTS = 130
_NUMBER = re.compile(r"-?\d+\.\d+")
_STYLE = Style(label_font_size=13, major_label_font_size=13, font_family="sans-serif")
_LEAST_TICKS, _MOST_TICKS = 3, 5

Point = tuple[float, float]


class Series(Struct, frozen=True):
    """Points that belong together; `mark` is the class that says how the page shows them.

    `told` has the words of each point, for whoever points at it.
    """

    mark: str
    points: Sequence[Point]
    told: Sequence[str] = ()
    dots: bool = True
    line: bool = True


class Drawing(Struct, frozen=True):
    """What is to be drawn; `until` is the right end, and `ticks` are the labels of the x axis."""

    title: str
    described: str
    series: Sequence[Series]
    ticks: Sequence[tuple[float, str]]
    since: float
    until: float
    y_labels: Sequence[float] = ()
    y_range: tuple[float, float] | None = None
    y_told: Callable[[float], str] = str


def svg(drawing: Drawing) -> str:
    """The drawing as inline SVG, with a title and a description for those who cannot see it."""
    root = ET.Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img"})
    ET.SubElement(root, "title").text = drawing.title
    ET.SubElement(root, "desc").text = drawing.described
    for plot in _chart(drawing).render_tree().iter("g"):
        names = plot.get("class", "").split()
        if names[:1] == ["plot"] and "text-overlay" not in names:
            _take(drawing, root=root, plot=plot)
    return ET.tostring(root, encoding="unicode")


def ticks_between(top: float) -> list[float]:
    """Round values from 0 to `top` or a little more, three to six of them."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / _LEAST_TICKS
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(
        size * factor for factor in (1, 2, 2.5, 5, 10) if top / (size * factor) <= _MOST_TICKS
    )
    return [step * number for number in range(math.ceil(top / step - 1e-9) + 1)]


def _chart(drawing: Drawing) -> XY:
    told = dict(drawing.ticks)
    labels = list(drawing.y_labels)
    ends = drawing.y_range or ((labels[0], labels[-1]) if labels else None)
    chart = XY(
        js=(),
        css=(),
        style=_STYLE,
        width=WIDTH,
        height=HEIGHT,
        margin=4,
        margin_right=14,
        spacing=4,
        show_legend=False,
        show_y_labels=bool(labels),
        dots_size=2.6,
        x_labels=[at for at, _ in drawing.ticks],
        x_value_formatter=lambda value: told.get(value, ""),
        y_labels=labels or None,
        value_formatter=drawing.y_told,
        truncate_label=-1,
        xrange=(drawing.since, drawing.until),
        range=ends,
        no_data_text="",
    )
    for series in drawing.series:
        dots = series.dots and len(series.points) <= MOST_DOTS
        chart.add(series.mark, list(series.points), show_dots=dots, stroke=series.line)
    return chart


def _take(drawing: Drawing, *, root: ET.Element, plot: ET.Element) -> None:
    """What of a plot is kept: its axes, and the marks of its series."""
    mine = ET.SubElement(root, "g", _of(plot, "transform"))
    for group in plot.findall("g"):
        kind, *more = group.get("class", "").split()
        if kind == "axis":
            kept = ET.SubElement(mine, "g", {"class": f"axis {more[0]}"})
            _axis(mine=kept, axis=group)
        elif kind == "series":
            series = drawing.series[int(more[0].removeprefix("serie-"))]
            marks = list(_marks(group, series))
            if marks:
                ET.SubElement(mine, "g", {"class": series.mark}).extend(marks)
    if not len(mine):
        root.remove(mine)


def _axis(*, mine: ET.Element, axis: ET.Element) -> None:
    for guides in axis.findall("g"):
        line, label = guides.find("path"), guides.find("text")
        if line is not None:
            ET.SubElement(mine, "path", _of(line, "d"))
        if label is not None and label.text:
            text = ET.SubElement(mine, "text", _of(label, "x", "y"))
            text.text = label.text


def _marks(group: ET.Element, series: Series) -> Iterator[ET.Element]:
    for path in group.findall("path"):
        line = ET.Element("path", _of(path, "d"))
        if not series.dots and series.told:
            ET.SubElement(line, "title").text = series.told[0]
        yield line
    for number, circle in enumerate(group.iter("circle")):
        dot = ET.Element("circle", _of(circle, "cx", "cy", "r"))
        if number < len(series.told):
            ET.SubElement(dot, "title").text = series.told[number]
        yield dot


def _of(element: ET.Element, *names: str) -> dict[str, str]:
    """Attributes; tenths of a unit are enough for any screen, and make the page much smaller."""
    return {name: _NUMBER.sub(_rounded, element.get(name, "")) for name in names}


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")
