"""Charts as SVG, drawn here by leather: no script is needed to read them, and colours are the page's.

One chart is one axis of spans; what is told of each span is a column, or a point of a line.
"""

from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

from attrs import frozen
from leather import Axis, Chart, Dots, Line, Scale, Series, Shape, theme
from markupsafe import Markup

from xpander_server.clock import DAY
from xpander_server.web import template_filters
from xpander_server.web.time_buckets import TimeBucket

WIDTH, HEIGHT = 440, 190
_GAP = 0.14  # of a span, between two columns
_LABELS = 5
_GRID_LINES = 4

# leather has one theme for all: here it leaves fonts and colours to the style sheet.
theme.background_color = "none"
theme.margin = 0.025
theme.label_color = theme.tick_color = theme.zero_color = "currentColor"
theme.tick_font_family = "inherit"
theme.tick_font_size = 11
theme.tick_font_char_width = 6.6
theme.tick_font_char_height = 11
theme.legend_font_char_height = theme.legend_gap = 0  # the page has its own


@frozen
class Drawn:
    """One thing that is told of each span."""

    name: str
    style: str
    """The class that gives it a colour."""
    values: Sequence[float | None]


def columns(drawn: Sequence[Drawn], axis: "SpanAxis", write: Callable[[float], str]) -> Markup:
    """Columns, those of one span on top of each other."""
    chart = axis.chart()
    heights = [0.0] * len(axis.spans)
    for one in drawn:
        bottoms = list(heights)
        heights = [height + (value or 0) for height, value in zip(heights, one.values, strict=True)]
        chart.add_series(Series(list(enumerate(heights))), _Columns(bottoms, one.style))
    return axis.finished(chart, max(heights), write, whole=all(isinstance(v, int) for d in drawn for v in d.values))


def lines(drawn: Sequence[Drawn], axis: "SpanAxis", write: Callable[[float], str], top: float | None = None) -> Markup:
    """A line each, broken where nothing is known."""
    chart = axis.chart()
    highest = 0.0
    for one in drawn:
        known = [value for value in one.values if value is not None]
        if known:
            highest = max(highest, *known)
            points = [(index + 0.5, value) for index, value in enumerate(one.values)]
            chart.add_series(Series(points), _Line(one.style))
            chart.add_series(Series([point for point in points if point[1] is not None]), _Dots(one.style))
    return axis.finished(chart, highest if top is None else top, write, whole=False)


class SpanAxis:
    """What charts of the same spans share.

    Args:
        links: where each span leads to.
        tips: what is told of each span under the pointer.
    """

    def __init__(self, spans: Sequence[TimeBucket], links: Sequence[str], tips: Sequence[str]) -> None:
        self.spans = spans
        self._links = links
        self._tips = tips

    def chart(self) -> Chart:
        chart = Chart()
        count = len(self.spans)
        every = -(-count // _LABELS)
        ticks = [index + 0.5 for index in range(0, count, every)]
        write = (
            template_filters.clock
            if count and self.spans[-1].until - self.spans[0].since <= 2 * DAY
            else template_filters.day
        )
        chart.set_x_scale(_Linear(count))
        chart.set_x_axis(Axis(ticks, lambda value, _, __: write(self.spans[int(value)].since)))
        return chart

    def finished(self, chart: Chart, highest: float, write: Callable[[float], str], *, whole: bool) -> Markup:
        top, ticks = _scale(highest, whole=whole)
        chart.set_y_scale(_Linear(top))
        chart.set_y_axis(Axis(ticks, lambda value, _, __: write(value)))
        chart.add_series(Series([(index, 0) for index in range(len(self.spans))]), _Spans(self._links, self._tips))
        # Whoever cannot see it has the table below, with the same links.
        root = ElementTree.Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "aria-hidden": "true", "class": "chart"})
        root.append(chart.to_svg_group(WIDTH, HEIGHT))
        return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - which escapes


def _scale(highest: float, *, whole: bool) -> tuple[float, list[float]]:
    """The top of an axis, and where its grid lines are: at 1, 2 or 5 times a power of ten."""
    step = 1.0 if whole else 1e-6
    factors = (2, 2.5, 2)
    number = 0
    while step * _GRID_LINES < highest:
        step *= factors[number % 3]
        number += 1
    if not highest and not whole:
        step = 1.0
    count = max(1, -(-highest // step))
    return count * step, [index * step for index in range(int(count) + 1)]


class _Linear(Scale):  # type: ignore[misc]  # leather has no types
    """From zero to `top` exactly: leather's own ends where its own ticks do."""

    def __init__(self, top: float) -> None:
        self._top = top

    def contains(self, v: float) -> bool:
        return 0 <= v <= self._top * (1 + 1e-9)

    def project(self, value: float, range_min: float, range_max: float) -> float:
        return round(range_min + (range_max - range_min) * value / self._top, 2)


class _Styled(Shape):  # type: ignore[misc]  # leather has no types
    style: str

    def validate_series(self, series: Series) -> None:
        """Any will do."""

    def legend_to_svg(self, series: Series, palette: Any) -> list[Any]:
        return []


class _Columns(_Styled):
    def __init__(self, bottoms: Sequence[float], style: str) -> None:
        self._bottoms = bottoms
        self.style = style

    def to_svg(self, width: float, height: float, x_scale: Any, y_scale: Any, series: Series, palette: Any) -> Any:
        group = ElementTree.Element("g", {"class": self.style})
        for datum, bottom in zip(series.data(), self._bottoms, strict=True):
            if datum.y <= bottom:
                continue
            left, right = (x_scale.project(datum.x + side, 0, width) for side in (_GAP / 2, 1 - _GAP / 2))
            y = y_scale.project(datum.y, height, 0)
            tall = y_scale.project(bottom, height, 0) - y
            group.append(_rectangle(left, y, right - left, max(tall, 0.7)))
        return group


class _Spans(_Styled):
    """Over the whole height of each span: a link, and what it tells."""

    def __init__(self, links: Sequence[str], tips: Sequence[str]) -> None:
        self._links = links
        self._tips = tips

    def to_svg(self, width: float, height: float, x_scale: Any, y_scale: Any, series: Series, palette: Any) -> Any:
        group = ElementTree.Element("g", {"class": "spans"})
        for datum, target, tip in zip(series.data(), self._links, self._tips, strict=True):
            left, right = (x_scale.project(datum.x + side, 0, width) for side in (0, 1))
            link = ElementTree.SubElement(group, "a", {"href": target, "tabindex": "-1"})
            rectangle = _rectangle(left, 0, right - left, height)
            ElementTree.SubElement(rectangle, "title").text = tip
            link.append(rectangle)
        return group


class _Line(Line):  # type: ignore[misc]  # leather has no types
    def __init__(self, style: str) -> None:
        super().__init__("currentColor", 2)
        self._style = style

    def to_svg(self, width: Any, height: Any, x_scale: Any, y_scale: Any, series: Any, palette: Any) -> Any:
        group = super().to_svg(width, height, x_scale, y_scale, series, palette)
        group.set("class", self._style)
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[Any]:
        return []


class _Dots(Dots):  # type: ignore[misc]  # leather has no types
    def __init__(self, style: str) -> None:
        super().__init__("currentColor", 1.8)
        self._style = style

    def to_svg(self, width: Any, height: Any, x_scale: Any, y_scale: Any, series: Any, palette: Any) -> Any:
        group = super().to_svg(width, height, x_scale, y_scale, series, palette)
        group.set("class", self._style)
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[Any]:
        return []


def _rectangle(x: float, y: float, width: float, height: float) -> ElementTree.Element:
    sizes = {"x": x, "y": y, "width": width, "height": height}
    return ElementTree.Element("rect", {name: f"{size:.2f}" for name, size in sizes.items()})
