"""Charts as SVG, drawn on the server with leather.

The SVG contains no colors and no fonts, only CSS classes: the style sheet sets both. The x-axis of a chart consists
of time buckets. For each bucket, a chart draws columns on top of each other, or one point of each line:

    stacked columns:   executing      lines:     p99   .---.
                       failed                    p95  .-'
                       completed                 p50  ......
                       | bucket |                     | bucket | bucket |
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

from attrs import frozen
from leather import Axis, Chart, Line, Scale, Series, Shape, theme
from markupsafe import Markup

from xpander_server.web.time_buckets import TimeBucket
from xpander_server.web.time_ticks import choose_ticks
from xpander_server.web.time_zones import page_zone

WIDTH, HEIGHT = 440, 190
_COLUMN_GAP = 0.14
"""Space between two columns, as a share of a bucket's width."""
_LAST_LABEL = 0.95
"""Largest position of a time label, as a share of the axis: the end of a label further right would be cut off."""
_GRID_LINES = 4
_FIRST_EXPONENT = -6
"""The smallest distance of two ticks is 1e-6."""
_EXPONENTS = 30
"""Powers of ten among the distances of ticks."""
_STYLED_ATTRIBUTES = ("stroke", "stroke-width", "fill", "font-family", "font-size", "text-anchor")

# leather has one global theme. These settings leave fonts and colors to the style sheet.
theme.background_color = "none"
theme.margin = 0.025
theme.label_color = theme.tick_color = theme.zero_color = "currentColor"
theme.tick_font_family = "inherit"
theme.tick_font_size = 11
# Space for the labels on phones, where the style sheet enlarges the font to 15 units.
theme.tick_font_char_width = 8.4
theme.tick_font_char_height = 15
theme.legend_font_char_height = theme.legend_gap = 0  # the page renders the legend as HTML


@frozen
class DataSeries:
    """Values of one quantity, one for each time bucket.

    Attributes:
        name: The name of the quantity.
        style: The CSS class that sets the color.
        values: The values; None for unknown.
        line_width: The width of the line. Lines that may cover each other have different widths, the first one the
            largest, so that each of them stays visible.
        is_sparse: Whether each value is of few runs; its dot is hollow. Empty for none.
    """

    name: str
    style: str
    values: Sequence[float | None]
    line_width: float = 2
    is_sparse: Sequence[bool] = ()


def render_columns(all_series: Sequence[DataSeries], axis: "TimeAxis", format_tick: Callable[[float], str]) -> Markup:
    """Draw a chart of stacked columns.

    Args:
        all_series: The series, from the bottom of the stack to its top.
        axis: The time axis.
        format_tick: Formats a value at the y-axis.
    """
    chart = axis.new_chart()
    tops = [0.0] * len(axis.buckets)
    for series in all_series:
        bottoms = list(tops)
        tops = [top + (value or 0) for top, value in zip(tops, series.values, strict=True)]
        chart.add_series(Series(list(enumerate(tops))), _Columns(bottoms, series.style))
    only_integers = all(isinstance(value, int) for series in all_series for value in series.values)
    return axis.to_svg(chart, max(tops), format_tick, _decimal_steps(0 if only_integers else _FIRST_EXPONENT))


def render_lines(
    all_series: Sequence[DataSeries],
    axis: "TimeAxis",
    format_tick: Callable[[float], str],
    bars: DataSeries | None = None,
    *,
    is_duration: bool = False,
) -> Markup:
    """Draw a chart of lines, which are interrupted at unknown values.

    Args:
        all_series: The series, one line each.
        axis: The time axis.
        format_tick: Formats a value at the y-axis.
        bars: A series of another unit, as bars behind the lines; the highest one is as high as the chart.
        is_duration: Whether the values are seconds, whose ticks are full seconds, minutes and hours.
    """
    chart = axis.new_chart()
    steps = _DURATION_STEPS if is_duration else _decimal_steps(_FIRST_EXPONENT)
    highest = max((value for series in all_series for value in series.values if value is not None), default=0.0)
    if bars is not None and (largest_bar := max((value or 0 for value in bars.values), default=0)):
        top, _ = _y_ticks(highest, steps)
        heights = [(value or 0) / largest_bar * top for value in bars.values]
        chart.add_series(Series(list(enumerate(heights))), _Columns([0.0] * len(heights), bars.style))
    for series in all_series:
        if any(value is not None for value in series.values):
            points = [(index + 0.5, value) for index, value in enumerate(series.values)]
            chart.add_series(Series(points), _Line(series.style, series.line_width))
            chart.add_series(Series([point for point in points if point[1] is not None]), _Dots(series))
    return axis.to_svg(chart, highest, format_tick, steps)


class TimeAxis:
    """X-axis of time buckets, which is the same for all charts of a page.

    Args:
        buckets: The time buckets.
        links: The link target of each bucket; None for no link.
        tooltips: The tooltip of each bucket.
    """

    def __init__(self, buckets: Sequence[TimeBucket], links: Sequence[str | None], tooltips: Sequence[str]) -> None:
        self.buckets = buckets
        self._links = links
        self._tooltips = tooltips

    def new_chart(self) -> Chart:
        """Return a chart that has only this axis."""
        chart = Chart()
        count = len(self.buckets)
        chart.set_x_scale(_LinearScale(count))
        labels = self._time_labels()
        chart.set_x_axis(Axis(list(labels), lambda value, _, __: labels[value]))
        return chart

    def _time_labels(self) -> dict[float, str]:
        """Return the labels of the ticks by their position on the axis."""
        if not self.buckets:
            return {}
        count = len(self.buckets)
        ticks = choose_ticks(self.buckets[0].since, self.buckets[-1].until, page_zone())
        # leather draws a tick at exactly 0 last; the style sheet needs the ticks in the order of time.
        labels = {max(1e-9, self._position(tick.time)): tick.label for tick in ticks}
        visible = {position: label for position, label in labels.items() if position <= _LAST_LABEL * count}
        # leather chooses its own ticks if there are none.
        return visible or {1e-9: ""}

    def _position(self, time: int) -> float:
        """Return the position of a time on the axis, in buckets, which may have different lengths."""
        index = bisect_right(self.buckets, time, key=lambda bucket: bucket.since) - 1
        bucket = self.buckets[index]
        return index + (time - bucket.since) / (bucket.until - bucket.since)

    def to_svg(
        self, chart: Chart, highest: float, format_tick: Callable[[float], str], steps: Iterable[float]
    ) -> Markup:
        """Add the y-axis and the links of the buckets to a chart, and return it as SVG.

        Args:
            chart: A chart of `new_chart`, with its series.
            highest: The highest value.
            format_tick: Formats a value at the y-axis.
            steps: The distances to choose from between two ticks of the y-axis, the smallest first.
        """
        maximum, ticks = _y_ticks(highest, steps)
        chart.set_y_scale(_LinearScale(maximum))
        chart.set_y_axis(Axis(ticks, lambda value, _, __: format_tick(value)))
        # The links of the buckets are drawn last, so that they cover the series and receive the pointer's events.
        bucket_starts = Series([(index, 0) for index in range(len(self.buckets))])
        chart.add_series(bucket_starts, _BucketLinks(self._links, self._tooltips))
        # Screen readers skip the chart: the table below it has the same numbers and links.
        root = ElementTree.Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "aria-hidden": "true", "class": "chart"})
        group = chart.to_svg_group(WIDTH, HEIGHT)
        group.remove(group[0])  # the background, which has no color
        root.append(group)
        _compact(root)
        # ElementTree escapes all text, so that " />" occurs only at the end of elements.
        return Markup(ElementTree.tostring(root, encoding="unicode").replace(" />", "/>"))  # noqa: S704 - see above


def _compact(root: ElementTree.Element) -> None:
    """Remove what the style sheet sets, and shorten paths: a page has several charts of 60 time buckets."""
    for element in root.iter():
        if element.tag in ("line", "text"):
            for name in _STYLED_ATTRIBUTES:
                element.attrib.pop(name, None)
        elif element.tag == "path":
            # "M 1.25 2 L 3 4" becomes "M1.2 2 3 4": further points after the first one are lines.
            numbers = re.sub(
                r"\d+\.\d+", lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), element.attrib["d"]
            )
            element.set("d", re.sub(r" ?([Mh]) ?", r"\1", numbers.replace("L ", "")))


def _decimal_steps(first_exponent: int) -> tuple[float, ...]:
    """Return 1, 2 and 5 times each power of ten, the smallest first, starting with the one of `first_exponent`."""
    return tuple(float(f"{factor}e{first_exponent + index}") for index in range(_EXPONENTS) for factor in (1, 2, 5))


_DURATION_STEPS = (
    *(step for step in _decimal_steps(_FIRST_EXPONENT) if step < 10),
    *(10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3_600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86_400 * days for days in _decimal_steps(0)),
)


def _y_ticks(highest: float, steps: Iterable[float]) -> tuple[float, list[float]]:
    """Return the upper limit of a y-axis and its ticks.

    Example:
        >>> _y_ticks(7, (1, 2, 5))
        (8, [0, 2, 4, 6, 8])
    """
    step = next(step for step in steps if step * _GRID_LINES >= highest) if highest else 1.0
    count = max(1, int(-(-highest // step)))
    return count * step, [index * step for index in range(count + 1)]


class _LinearScale(Scale):  # type: ignore[misc]  # leather has no types
    """Linear scale from zero to exactly `maximum`; leather's own scale extends to its own ticks."""

    def __init__(self, maximum: float) -> None:
        self._maximum = maximum

    def contains(self, v: float) -> bool:
        return 0 <= v <= self._maximum * (1 + 1e-9)

    def project(self, value: float, range_min: float, range_max: float) -> float:
        return round(range_min + (range_max - range_min) * value / self._maximum, 2)


class _ColumnShape(Shape):  # type: ignore[misc]  # leather has no types
    def validate_series(self, series: Series) -> None:
        """Accept every series."""

    def legend_to_svg(self, series: Series, palette: Any) -> list[Any]:
        return []


class _Columns(_ColumnShape):
    """Columns between the tops, which are the values of the series, and `bottoms`."""

    def __init__(self, bottoms: Sequence[float], style: str) -> None:
        self._bottoms = bottoms
        self._style = style

    def to_svg(self, width: float, height: float, x_scale: Any, y_scale: Any, series: Series, palette: Any) -> Any:
        group = ElementTree.Element("g", {"class": self._style})
        for datum, bottom in zip(series.data(), self._bottoms, strict=True):
            if datum.y <= bottom:
                continue
            left, right = (x_scale.project(datum.x + side, 0, width) for side in (_COLUMN_GAP / 2, 1 - _COLUMN_GAP / 2))
            y = y_scale.project(datum.y, height, 0)
            column_height = y_scale.project(bottom, height, 0) - y
            group.append(_rectangle(left, y, right - left, max(column_height, 0.7)))
        return group


class _BucketLinks(_ColumnShape):
    """Transparent rectangle over the full height of each bucket, with a tooltip, and a link unless it is None."""

    def __init__(self, links: Sequence[str | None], tooltips: Sequence[str]) -> None:
        self._links = links
        self._tooltips = tooltips

    def to_svg(self, width: float, height: float, x_scale: Any, y_scale: Any, series: Series, palette: Any) -> Any:
        group = ElementTree.Element("g", {"class": "buckets"})
        for datum, target, tooltip in zip(series.data(), self._links, self._tooltips, strict=True):
            left, right = (x_scale.project(datum.x + side, 0, width) for side in (0, 1))
            rectangle = _rectangle(left, 0, right - left, height)
            ElementTree.SubElement(rectangle, "title").text = tooltip
            if target is None:
                group.append(rectangle)
            else:
                ElementTree.SubElement(group, "a", {"href": target, "tabindex": "-1"}).append(rectangle)
        return group


class _StyledShape(Shape):  # type: ignore[misc]  # leather has no types
    """Mixin that gives the group of a leather shape a CSS class, and removes its entry from the legend."""

    style: str

    def to_svg(self, width: Any, height: Any, x_scale: Any, y_scale: Any, series: Any, palette: Any) -> Any:
        group = super().to_svg(width, height, x_scale, y_scale, series, palette)
        group.set("class", self.style)
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[Any]:
        return []


class _Line(_StyledShape, Line):  # type: ignore[misc]  # leather has no types
    def __init__(self, style: str, width: float) -> None:
        super().__init__("currentColor", width)
        self.style = style


class _Dots(_ColumnShape):
    """Dot at each known value; hollow where the value is of few runs.

    A wide line has dots only where they say something: at a value of few runs, or without a neighbor. All dots of a
    line are one path of lines without length, whose ends the style sheet rounds; a second path hollows them.
    """

    def __init__(self, values: DataSeries) -> None:
        self._values = values

    def to_svg(self, width: float, height: float, x_scale: Any, y_scale: Any, series: Series, palette: Any) -> Any:
        group = ElementTree.Element("g", {"class": f"{self._values.style} dots"})
        known_positions = {datum.x for datum in series.data()}
        full, hollow = [], []
        for datum in series.data():
            dot = f"M{x_scale.project(datum.x, 0, width)} {y_scale.project(datum.y, height, 0)}h0"
            has_neighbor = not known_positions.isdisjoint((datum.x - 1, datum.x + 1))
            if any(self._values.is_sparse[int(datum.x) : int(datum.x) + 1]):
                hollow.append(dot)
            elif self._values.line_width <= 2.5 or not has_neighbor:
                full.append(dot)
        diameter = max(3.6, self._values.line_width * 1.1)
        for dots, style, size in (
            (full, "full", diameter),
            (hollow, "outer", diameter + 2),
            (hollow, "inner", diameter),
        ):
            if dots:
                attributes = {"class": style, "stroke-width": f"{size:.1f}", "d": "".join(dots)}
                ElementTree.SubElement(group, "path", attributes)
        return group


def _rectangle(x: float, y: float, width: float, height: float) -> ElementTree.Element:
    sizes = {"x": x, **({"y": y} if y else {}), "width": width, "height": height}
    return ElementTree.Element("rect", {name: f"{size:.1f}".removesuffix(".0") for name, size in sizes.items()})
