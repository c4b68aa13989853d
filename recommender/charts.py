"""Pictures of advice and runs as Altair charts, from their JSON forms: what the page and a notebook show alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import altair as alt
import pandas as pd

from recommender.blocks import BlockRow, block_rows
from recommender.contributions import worded
from recommender.domain_map import DomainMap, MapPoint, domain_map
from registry.cards import Metric
from registry.escapes import shown
from registry.forms import Json
from registry.metrics import Z
from registry.zoo import Zoo

__all__ = [
    "COSTS",
    "LETTERS",
    "Measure",
    "Picture",
    "Plot",
    "class_bars",
    "confusion_chart",
    "contribution_bars",
    "distance_chart",
    "drift_chart",
    "expected_and_realized",
    "forest_plot",
    "freeze_diagram",
    "learning_curve",
    "map_chart",
    "on_page",
    "pareto_front",
    "realized_chart",
    "row_name",
]

Picture = alt.Chart | alt.LayerChart | alt.FacetChart
Measure = Literal["seconds", "peak_memory_bytes", "trainable_parameters"]

COSTS: Mapping[Measure, str] = {
    "seconds": "seconds to carry it out, estimated",
    "peak_memory_bytes": "memory to carry it out, MiB, estimated",
    "trainable_parameters": "parameters that learn",
}
"""What a choice may cost, and how its axis is called."""

BLUE, ORANGE, GRAY, INK = "#3b7dd8", "#d9660b", "#8a94a3", "#707a88"
"""Each can be told from white and from black: the page follows the browser from light to dark."""
LETTERS: Mapping[str, str] = {"light": "#5a6473", "dark": "#a9b2c0"}
"""Letters on a page of that theme."""
_ROLES = {"frozen": "#2a66b8", "learns": "#b4500a", "not used": "#68707d"}
"""What a plan does with a block, and its color: white letters can be read on each."""
_TIERS = (BLUE, "#6f9bd8", "#a9c1e3", GRAY)
_ROW, _BAR, _CELL = 40, 28, 32
_AXES = 96
"""Height of legend, axis and its title; they are fitted into the height that is asked for."""
_NEAREST = 10
_MOST_REASONS = 8
_PARETO, _LETTERS_HIGH = 224, 14
"""Pixels of the Pareto front without its axes, and of a name in it."""
_BLOCK_WIDTH, _GAP = 214, 22
"""Pixels of a block in the freeze diagram, and between it and the scores."""
_BLOCK_LEAST, _BLOCK_USUAL = 19, 34
"""Pixels of the lowest block, so that its name can be read; and of the usual one."""
_MARGIN = 0.03
_CLOSE = 0.06
"""A reach of scores whose axis has a tick in less than a percent."""
_LETTER, _LINE = 0.013, 0.05
"""Of the map's width what a letter of a name takes, and of its height what a line does."""


_NARROW = "windowSize()[0] < 640"
"""In an expression: whether a page is as narrow as a phone; false where there is no window."""
_TWO_LINES = f"{_NARROW} ? split(datum.label, ' · ') : datum.label"
_SLANTED, _SIDEWAYS, _LETTERS_WIDE = 0.72, 120, 6
"""Of a name that stands at 45 degrees: height for its length, pixels of length at most, pixels of a letter."""


def _wide_enough(wide: int, narrow: int) -> alt.ExprRef:
    """Pixels of a name beside an axis, where there is room and on a phone."""
    return alt.ExprRef(f"{_NARROW} ? {narrow} : {wide}")


class Plot:
    """The pictures of one advice, each as an Altair chart: ``advice.plot.forest()``."""

    def __init__(self, advice: Json) -> None:
        self._advice = advice

    def forest(self) -> Picture:
        """Expected scores with their intervals, tiers, and *no transfer*."""
        return forest_plot(self._advice)

    def pareto(self, cost: Measure = "seconds") -> Picture:
        """Expected score against what it costs, and the choices that none betters in both."""
        return pareto_front(self._advice, cost)

    def freeze(self, place: int = 0) -> Picture:
        """What stays frozen and what learns of the choice at a place."""
        return freeze_diagram(self._advice["choices"][place])

    def domains(self, zoo: Zoo | None = None) -> Picture:
        """The map of domains with the sample on it; without a registry the distances alone."""
        if zoo is None:
            return distance_chart(self._advice["domains"])
        sample = self._advice["sample"]
        distances = {row["domain"]: row["value"] for row in self._advice["domains"]}
        return map_chart(domain_map(zoo, sample["modality"], distances, sample=sample["name"]))


def row_name(choice: Json) -> str:
    """How a choice is called on the axes: checkpoint and strategy."""
    return shown(f"{choice['checkpoint']} · {choice['strategy']}")


def forest_plot(advice: Json) -> Picture:
    """Expected scores with their intervals; the line and band are *no transfer*, another line *from scratch*."""
    rows = pd.DataFrame([_scored_row(choice) for choice in advice["choices"]])
    base = advice["baseline"]
    raw = pd.DataFrame([{"mean": base["mean"], "low": base["low"], "high": base["high"], "label": "no transfer"}])
    metric = advice["sample"]["metric"]
    lines = [raw, *_scratch(advice["choices"])]
    lowest = min([base["low"], *rows["low"], *(line["mean"].min() for line in lines)])
    highest = max([base["high"], *rows["high"], *(line["mean"].max() for line in lines)])
    reach = [max(Metric(metric).lowest, lowest - 0.05), min(1.0, highest + _MARGIN)]
    scale = alt.Scale(domain=reach, nice=False)
    axis = alt.Axis(format=_form(metric), tickCount=8)
    x = alt.X("low:Q", scale=scale, title=f"{metric}, 90 % intervals", axis=axis)
    y = alt.Y(
        "choice:N",
        sort=None,
        title=None,
        scale=alt.Scale(paddingOuter=0.5),
        axis=alt.Axis(labelLimit=_wide_enough(340, 150), labelExpr=_TWO_LINES, labelOverlap=False),
    )
    tips = [alt.Tooltip("choice:N"), *_score_tips(metric)]
    color = alt.Color("tier:N", sort=None, scale=alt.Scale(range=[*_TIERS]), title=None)
    shape = alt.Shape("tier:N", sort=None, legend=None)
    whiskers = alt.Chart(rows).mark_rule(strokeWidth=3).encode(x=x, x2="high:Q", y=y, color=color, tooltip=tips)
    points = (
        alt.Chart(rows)
        .mark_point(filled=True, size=120, opacity=1)
        .encode(x="mean:Q", y=y, color=color, shape=shape, tooltip=tips)
    )
    band = alt.Chart(raw).mark_rect(color=ORANGE, opacity=0.13).encode(x=x, x2="high:Q")
    layers: list[alt.Chart] = [band]
    height = _ROW * len(rows) + _AXES
    for line, dash, tint, place in zip(lines, ([5, 3], [1, 3]), (ORANGE, INK), (0, height - _AXES + 5), strict=False):
        layers.append(alt.Chart(line).mark_rule(color=tint, strokeDash=dash, strokeWidth=2).encode(x="mean:Q"))
        right = line["mean"].iloc[0] > sum(reach) / 2
        layers.append(
            alt.Chart(line)
            .mark_text(align="right" if right else "left", dx=-5 if right else 5, dy=-5, baseline="bottom")
            .encode(x="mean:Q", y=alt.value(place), text="label:N")
        )
    return _plain(alt.layer(*layers, whiskers, points), height)


def freeze_diagram(choice: Json) -> Picture:
    """The backbone of a probed choice, from input to output: each block as high as it has parameters, and its fate.

    Beside each block what a linear head scores on what comes out of it. A block that would be too low for its name is
    drawn a line high.
    """
    rows = block_rows(choice)
    metric = choice["expected"]["metric"]
    heights = _heights(rows)
    table = pd.DataFrame(_drawn_blocks(rows, heights, metric))
    height = sum(heights)
    axis = alt.Scale(domain=[height, 0], nice=False)
    top, bottom = alt.Y("top:Q", scale=axis, axis=None), alt.Y2("bottom:Q")
    middle = alt.Y("middle:Q", scale=axis, axis=None)
    tips = [
        alt.Tooltip("block:N"),
        alt.Tooltip("parameters:N"),
        alt.Tooltip("plan:N"),
        alt.Tooltip("rate:N", title="learning rate"),
        alt.Tooltip("score:Q", format=_form(metric, fine=True), title=f"linear head after it, {metric}"),
    ]
    colors = alt.Scale(domain=[*_ROLES], range=[*_ROLES.values()])
    color = alt.Color("role:N", legend=None, scale=colors)
    boxes = (
        alt.Chart(table)
        .mark_rect(cornerRadius=3, stroke="white", strokeWidth=1)
        .encode(x=alt.value(0), x2=alt.value(_BLOCK_WIDTH), y=top, y2=bottom, color=color, tooltip=tips)
    )
    names = (
        alt.Chart(table)
        .mark_text(align="left", color="white", fontWeight="bold", limit=72)
        .encode(x=alt.value(8), y=middle, text="block:N", tooltip=tips)
    )
    words = [
        alt.Chart(table)
        .mark_text(align="right", color="white", fontSize=11, limit=limit)
        .encode(x=alt.value(right), y=middle, text=f"{column}:N", tooltip=tips)
        for column, right, limit in (("size", 124, 44), ("plan", _BLOCK_WIDTH - 8, 80))
    ]
    lowest = min(0.0, float(table["low"].min()))
    scale = alt.Scale(domain=[lowest, 1], range=[_BLOCK_WIDTH + _GAP, alt.ExprRef("width")])
    x = alt.X(
        "score:Q",
        scale=scale,
        axis=alt.Axis(format=_form(metric), tickCount=4),
        title=f"{metric}, linear head",
    )
    path = alt.Chart(table).mark_line(color=INK, strokeWidth=1.5, opacity=0.7).encode(x=x, y=middle, order="place:O")
    errors = (
        alt.Chart(table)
        .mark_rule(color=INK, strokeWidth=2)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=middle)
    )
    points = (
        alt.Chart(table)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x=x, y=middle, color=color, shape=alt.Shape("role:N", legend=None), tooltip=tips)
    )
    reads = (
        alt.Chart(table[table["read"]])
        .mark_text(align="right", dx=-10, dy=-9, text="head →", fontWeight="bold")
        .encode(x=alt.X("low:Q", scale=scale), y=middle)
    )
    return _plain(alt.layer(boxes, names, *words, path, errors, points, reads), height + _AXES - 44)


def _heights(rows: Sequence[BlockRow]) -> list[float]:
    """Pixels of each block, in proportion to its parameters; what would be too low is lifted, and the rest shared."""
    sizes = [float(row.parameters or 0) for row in rows]
    if not all(sizes):
        return [float(_BLOCK_USUAL)] * len(rows)
    whole = float(_BLOCK_USUAL * max(6, len(rows)))
    lifted: set[int] = set()
    while True:
        room = whole - _BLOCK_LEAST * len(lifted)
        weight = sum(size for place, size in enumerate(sizes) if place not in lifted)
        low = {place for place, size in enumerate(sizes) if place not in lifted and room * size / weight < _BLOCK_LEAST}
        if not low:
            return [
                float(_BLOCK_LEAST) if place in lifted else room * size / weight for place, size in enumerate(sizes)
            ]
        lifted |= low


def _drawn_blocks(rows: Sequence[BlockRow], heights: Sequence[float], metric: str) -> list[dict[str, object]]:
    drawn: list[dict[str, object]] = []
    bottom = 0.0
    for place, (row, height) in enumerate(zip(rows, heights, strict=True)):
        top, bottom = bottom, bottom + height
        rate = "" if row.rate is None else f"{row.rate:.0e}".replace("e-0", "e-")
        parts = {"norms": "norms learn", "adapters": "adapters learn"}
        plan = parts.get(row.part, row.role) + (f" {rate}" if rate else "")
        drawn.append(
            {
                "place": place,
                "block": shown(row.block),
                "parameters": "unknown" if row.parameters is None else f"{row.parameters:,}",
                "size": "" if row.parameters is None else _amount(row.parameters),
                "role": row.role,
                "plan": plan,
                "rate": rate or "none",
                "score": row.score,
                "low": max(Metric(metric).lowest, row.score - row.standard_error),
                "high": min(1.0, row.score + row.standard_error),
                "read": row.read,
                "top": top,
                "middle": (top + bottom) / 2,
                "bottom": bottom,
            }
        )
    return drawn


def pareto_front(advice: Json, cost: Measure = "seconds") -> Picture:
    """Expected score against what it costs, with intervals; the line joins the choices that none betters in both."""
    per = 2**20 if cost == "peak_memory_bytes" else 1
    rows = pd.DataFrame(
        [{**_scored_row(choice), "cost": max(choice["cost"][cost] / per, 0.01)} for choice in advice["choices"]]
    )
    rows["name"] = _first_names(rows)
    rows["front"] = [not _is_bettered(choice, advice["choices"], cost) for choice in advice["choices"]]
    metric, base = advice["sample"]["metric"], advice["baseline"]
    room = alt.Scale(type="log", domain=[rows["cost"].min() / 1.5, rows["cost"].max() * 2.5], nice=False)
    form = "~g" if cost == "seconds" else "~s"  # else a fifth of a second is 200m
    x = alt.X("cost:Q", title=COSTS[cost], scale=room, axis=alt.Axis(format=form, tickCount=4))
    ends = [float(end) for end in (rows["low"].min(), rows["high"].max(), base["mean"])]
    axis = alt.Axis(format=_form(metric, fine=max(ends) - min(ends) < _CLOSE))
    y = alt.Y("mean:Q", title=f"expected {metric}", scale=alt.Scale(zero=False), axis=axis)
    tips = [alt.Tooltip("choice:N"), *_score_tips(metric), alt.Tooltip("cost:Q", format=",.3~s", title=COSTS[cost])]
    color = alt.condition("datum.front", alt.value(BLUE), alt.value(GRAY))
    whiskers = (
        alt.Chart(rows)
        .mark_rule(strokeWidth=2, opacity=0.45)  # names are read across them
        .encode(x=x, y="low:Q", y2="high:Q", color=color, tooltip=tips)
    )
    points = alt.Chart(rows).mark_point(filled=True, size=120, opacity=1).encode(x=x, y=y, color=color, tooltip=tips)
    line = (
        alt.Chart(rows[rows["front"]])
        .mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.5, strokeDash=[4, 2])
        .encode(x=x, y=y)
    )
    named = rows[rows["name"] != ""]
    named = named.assign(beside=_beside(named["mean"], base["mean"], max(ends) - min(ends)))
    late = named["cost"] ** 2 > named["cost"].min() * named["cost"].max()
    names = [
        alt.Chart(named[late == right])
        .mark_text(align="right" if right else "left", dx=-9 if right else 9, fontSize=11, limit=210)
        .encode(x=x, y="beside:Q", text="name:N", tooltip=tips)
        for right in (False, True)
    ]
    raw = pd.DataFrame([{"mean": base["mean"], "label": "no transfer"}])
    level = alt.Chart(raw).mark_rule(color=ORANGE, strokeDash=[5, 3], strokeWidth=2).encode(y="mean:Q")
    label = alt.Chart(raw).mark_text(align="left", dx=4, dy=-7).encode(x=alt.value(0), y="mean:Q", text="label:N")
    return _plain(alt.layer(level, label, line, whiskers, points, *names), _PARETO + _AXES)


def _first_names(rows: pd.DataFrame) -> list[str]:
    """What is written beside each point: of several in one place the first, and how many more they are."""
    places = [*zip(rows["cost"], rows["mean"].round(3), strict=True)]
    names = []
    for number, (name, place) in enumerate(zip(rows["choice"], places, strict=True)):
        first, many = place not in places[:number], places.count(place)
        names.append("" if not first else str(name) if many == 1 else f"{many} choices, first {name}")
    return names


def _beside(means: Iterable[float], base: float, reach: float) -> list[float]:
    """Scores at which names stand: as near to their points as they can, none on another or on *no transfer*."""
    line = reach * _LETTERS_HIGH / _PARETO
    taken = [base]
    for mean in means:
        steps = sorted(range(-2 * len(taken) - 1, 2 * len(taken) + 2), key=abs)
        places = [mean + step * line / 2 for step in steps]
        taken.append(next(one for one in places if all(abs(one - other) >= 0.9 * line for other in taken)))
    return taken[1:]


def _is_bettered(choice: Json, others: Sequence[Json], cost: Measure) -> bool:
    """Whether another is as good at no more cost, and better in one of the two."""
    mean, spent = choice["expected"]["mean"], choice["cost"][cost]
    return any(
        other["expected"]["mean"] >= mean
        and other["cost"][cost] <= spent
        and (other["expected"]["mean"], other["cost"][cost]) != (mean, spent)
        for other in others
    )


def map_chart(drawn: DomainMap) -> Picture:
    """The domains in the plane; the sample is the diamond, with lines to the three nearest."""
    rows = pd.DataFrame([{"domain": shown(p.name), "title": shown(p.title), "x": p.x, "y": p.y} for p in drawn.points])
    bare = alt.Axis(labels=False, ticks=False, grid=False, domain=False)
    room = alt.Scale(zero=False, padding=24, nice=False)
    x, y = alt.X("x:Q", title=None, axis=bare, scale=room), alt.Y("y:Q", title=None, axis=bare, scale=room)
    tips = [alt.Tooltip("domain:N"), alt.Tooltip("title:N")]
    points = alt.Chart(rows).mark_point(filled=True, size=70, color=BLUE, opacity=0.9).encode(x=x, y=y, tooltip=tips)
    names = (
        alt.Chart(rows[rows["domain"].isin(_legible(drawn))])
        .mark_text(dy=-10, fontSize=11, limit=130)
        .encode(x=x, y=y, text="domain:N", tooltip=tips)
    )
    layers: list[alt.Chart] = [points, names]
    if drawn.sample is not None:
        here = drawn.sample
        mine = pd.DataFrame([{"name": shown(here.name), "x": here.x, "y": here.y}])
        near = [point for point in drawn.points if point.name in drawn.nearest[:3]]
        ends = pd.DataFrame([{"x": here.x, "y": here.y, "x2": p.x, "y2": p.y} for p in near])
        lines = alt.Chart(ends).mark_rule(color=ORANGE, opacity=0.5).encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
        star = (
            alt.Chart(mine)
            .mark_point(filled=True, size=190, shape="diamond", color=ORANGE, opacity=1)
            .encode(x=x, y=y, tooltip=["name:N"])
        )
        label = (
            alt.Chart(mine).mark_text(dy=17, fontSize=12, fontWeight="bold", limit=200).encode(x=x, y=y, text="name:N")
        )
        layers = [lines, points, names, star, label]
    return _plain(alt.layer(*layers), 380)


def _legible(drawn: DomainMap) -> list[str]:
    """Names that can stand on the map without covering one another; those next to the sample are the first to."""
    points = sorted(drawn.points, key=_from(drawn.sample) if drawn.sample is not None else lambda p: p.name)
    every = [*drawn.points, *([] if drawn.sample is None else [drawn.sample])]
    wide, high = (max(max(axis) - min(axis), 1e-9) for axis in ([p.x for p in every], [p.y for p in every]))
    taken: list[tuple[float, float, float]] = []
    if drawn.sample is not None:
        taken.append((drawn.sample.x / wide, drawn.sample.y / high - _LINE, _LETTER * len(shown(drawn.sample.name))))
    legible = []
    for point in points:
        x, y, reach = point.x / wide, point.y / high, _LETTER * min(20, len(shown(point.name)))
        if all(abs(x - x2) > (reach + reach2) / 2 or abs(y - y2) > _LINE for x2, y2, reach2 in taken):
            taken.append((x, y, reach))
            legible.append(shown(point.name))
    return legible


def _from(here: MapPoint) -> Callable[[MapPoint], float]:
    return lambda point: (point.x - here.x) ** 2 + (point.y - here.y) ** 2


def distance_chart(rows: Sequence[Json]) -> Picture:
    """Distances to the nearest source domains with their intervals."""
    table = pd.DataFrame(
        [
            {"domain": shown(row["domain"]), **{name: row[name] for name in ("value", "low", "high", "percentile")}}
            for row in rows[:_NEAREST]
        ]
    )
    title = f"{rows[0]['metric'].upper()}², 90 % intervals" if rows else "distance"
    x = alt.X("value:Q", title=title, axis=alt.Axis(format=".2f", tickCount=5))
    y = alt.Y("domain:N", sort=None, title=None, axis=alt.Axis(labelLimit=130, labelOverlap=False))
    tips = [
        alt.Tooltip("domain:N"),
        alt.Tooltip("value:Q", format=".3f", title="distance"),
        alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"),
        alt.Tooltip("percentile:Q", format=".0f", title="nearer than % of pairs"),
    ]
    bars = (
        alt.Chart(table)
        .mark_bar(color="#6f9bd8", cornerRadiusEnd=3, height={"band": 0.72})
        .encode(x=x, y=y, tooltip=tips)
    )
    errors = (
        alt.Chart(table.dropna(subset=["low", "high"]))
        .mark_rule(color=INK, opacity=0.8)
        .encode(x="low:Q", x2="high:Q", y=y)
    )
    return _plain(alt.layer(bars, errors), _BAR * len(table) + _AXES - 30)


def contribution_bars(choices: Sequence[Json]) -> Picture:
    """What moves each expectation away from what it starts from, in points of its metric; several side by side.

    The largest moves of any of them.
    """
    rows = []
    for choice in choices:
        basis = choice["basis"]
        for name, value in basis["contributions"].items():
            reason = worded(name, basis["contributions"], basis["features"], basis.get("usual", {}))
            rows.append({"choice": row_name(choice), "because": reason, "points": 100 * value})
    table = pd.DataFrame(rows)
    order = [*dict.fromkeys(table.reindex(table["points"].abs().sort_values(ascending=False).index)["because"])]
    y = alt.Y("because:N", sort=order, title=None, axis=alt.Axis(labelLimit=330, labelOverlap=False))
    x = alt.X("points:Q", title="points", axis=alt.Axis(format="+.1f", tickCount=5))
    table = table[table["because"].isin(order[:_MOST_REASONS])]
    names = [row_name(choice) for choice in choices]
    colors = alt.Scale(domain=names, range=[BLUE, ORANGE])
    color = alt.Color("choice:N", sort=names, title=None, scale=colors, legend=None)
    key = [f"{place}: {name}" for place, name in zip(("blue, above", "orange, below"), names, strict=False)]
    words = alt.TitleParams(key, anchor="start", frame="bounds", fontSize=12, fontWeight="normal")
    tips = [alt.Tooltip("choice:N"), alt.Tooltip("because:N"), alt.Tooltip("points:Q", format="+.2f")]
    bars = (
        alt.Chart(table)
        .mark_bar(cornerRadiusEnd=3)
        .encode(x=x, y=y, yOffset=alt.YOffset("choice:N", sort=names), color=color, tooltip=tips)
    )
    zero = alt.Chart(pd.DataFrame([{"points": 0}])).mark_rule(color=INK).encode(x="points:Q")
    height = (20 + 10 * len(choices)) * min(len(order), _MOST_REASONS) + _AXES
    return _plain(alt.layer(bars, zero).properties(title=words), height)


def class_bars(counts: Mapping[str, int], unit: str) -> Picture:
    """Rows of each class, the most first."""
    rows = pd.DataFrame([{"class": shown(name), "rows": count} for name, count in counts.items()])
    y = alt.Y("class:N", sort="-x", title=None, axis=alt.Axis(labelLimit=180, labelOverlap=False))
    x = alt.X("rows:Q", title=unit, axis=alt.Axis(tickMinStep=1, tickCount=4))
    bars = alt.Chart(rows).mark_bar(color=BLUE, cornerRadiusEnd=3).encode(x=x, y=y, tooltip=["class:N", "rows:Q"])
    return _plain(bars, 20 * len(rows) + 60)


def learning_curve(points: Sequence[Sequence[float]], title: str, expected: Json | None = None) -> Picture:
    """One series of a tuning over its epochs, with the expected score as a band where that is given.

    Epoch 0 is the fitted head before any training.
    """
    rows = pd.DataFrame(points, columns=["epoch", "value"])
    reach = [*rows["value"], *(expected[end] for end in ("low", "high") if expected is not None)]
    fine = bool(max(reach, default=1.0) - min(reach, default=0.0) < _CLOSE)
    axis = alt.Axis(format="~g" if "loss" in title else _form(title.removeprefix("validation "), fine=fine))
    curve = (
        alt.Chart(rows)
        .mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2, color=BLUE)
        .encode(
            x=alt.X("epoch:Q", title="epoch (0: the fitted head)", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=axis),
            tooltip=["epoch:Q", alt.Tooltip("value:Q", format=".3f")],
        )
    )
    if expected is None:
        return _plain(curve, 220)
    band = pd.DataFrame([{"low": expected["low"], "high": expected["high"], "mean": expected["mean"]}])
    tips = [alt.Tooltip(f"{name}:Q", format=".3f", title=f"expected, {name}") for name in ("low", "mean", "high")]
    reach = alt.Chart(band).mark_rect(color=ORANGE, opacity=0.15).encode(y="low:Q", y2="high:Q", tooltip=tips)
    level = alt.Chart(band).mark_rule(color=ORANGE, strokeDash=[5, 3], strokeWidth=2).encode(y="mean:Q", tooltip=tips)
    return _plain(alt.layer(reach, level, curve), 220)


def range_chart(rates: Mapping[int, float], losses: Mapping[int, float]) -> Picture:
    """A learning-rate range test: the loss held out after each doubling of the rate."""
    rows = pd.DataFrame([{"rate": rate, "loss": losses[step]} for step, rate in rates.items() if step in losses])
    tips = [alt.Tooltip("rate:Q", format=".1e"), alt.Tooltip("loss:Q", format=".3f")]
    line = alt.Chart(rows).mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2, color=BLUE)
    x = alt.X("rate:Q", title="rate of the topmost block", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e"))
    y = alt.Y("loss:Q", title="loss held out", scale=alt.Scale(zero=False))
    return _plain(line.encode(x=x, y=y, order="rate:Q", tooltip=tips), 220)


def expected_and_realized(rows: Sequence[Json]) -> Picture:
    """Realized scores against expected ones with their intervals; on the line the advice was right."""
    table = pd.DataFrame(
        [
            {
                "run": row["run"],
                "sample": shown(row["sample"]),
                "checkpoint": shown(row["checkpoint"]),
                "low": row["low"],
                "mean": row["mean"],
                "high": row["high"],
                "realized": row["realized"],
                "interval": "within" if row["low"] <= row["realized"] <= row["high"] else "outside",
            }
            for row in rows
        ]
    )
    ends = [float(table[["low", "realized"]].min().min()), float(table[["high", "realized"]].max().max())]
    scale = alt.Scale(domain=[ends[0] - _MARGIN, ends[1] + _MARGIN], nice=False)
    axis = alt.Axis(format=".0%", tickCount=6, labelExpr="datum.value > 1 ? '' : datum.label")
    x = alt.X("mean:Q", title="expected (90 % interval)", scale=scale, axis=axis)
    y = alt.Y("realized:Q", title="realized", scale=scale, axis=axis)
    tips = [alt.Tooltip(f"{name}:N") for name in ("run", "sample", "checkpoint")]
    tips += [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("mean", "low", "high", "realized")]
    names = ["within", "outside"]
    color = alt.Color("interval:N", title=None, scale=alt.Scale(domain=names, range=[BLUE, ORANGE]))
    shape = alt.Shape("interval:N", title=None, scale=alt.Scale(domain=names, range=["circle", "triangle-up"]))
    diagonal = (
        alt.Chart(pd.DataFrame([{"mean": end, "realized": end} for end in ends]))
        .mark_line(color=INK, strokeDash=[4, 3], strokeWidth=1.5)
        .encode(x=x, y=y)
    )
    whiskers = (
        alt.Chart(table)
        .mark_rule(strokeWidth=2, opacity=0.6)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, color=color, tooltip=tips)
    )
    points = (
        alt.Chart(table)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(x=x, y=y, color=color, shape=shape, tooltip=tips)
    )
    return _plain(alt.layer(diagonal, whiskers, points), 340)


def realized_chart(metrics: Mapping[str, float]) -> Picture:
    """What a run realized with its 90 % interval, below what was expected of it."""
    reach = Z * metrics.get("standard_error", 0.0)
    score = metrics["score"]
    rows = [{"score": "realized", "low": score - reach, "mean": score, "high": score + reach}]
    if "expected_mean" in metrics:
        rows.insert(0, {"score": "expected", **{end: metrics[f"expected_{end}"] for end in ("low", "mean", "high")}})
    table = pd.DataFrame(rows)
    form = _form(Metric.R2 if "mean_absolute_error" in metrics else Metric.ACCURACY)
    x = alt.X(
        "low:Q", title="score (90 % intervals)", scale=alt.Scale(zero=False), axis=alt.Axis(format=form, tickCount=6)
    )
    y = alt.Y("score:N", sort=None, title=None)
    color = alt.Color("score:N", sort=None, legend=None, scale=alt.Scale(range=[BLUE, ORANGE][-len(rows) :]))
    tips = [alt.Tooltip("score:N"), *(alt.Tooltip(f"{end}:Q", format=".3f") for end in ("low", "mean", "high"))]
    whiskers = alt.Chart(table).mark_rule(strokeWidth=3).encode(x=x, x2="high:Q", y=y, color=color, tooltip=tips)
    points = (
        alt.Chart(table).mark_point(filled=True, size=110, opacity=1).encode(x="mean:Q", y=y, color=color, tooltip=tips)
    )
    return _plain(alt.layer(whiskers, points), _ROW * len(rows) + 60)


def drift_chart(blocks: Sequence[Json]) -> Picture:
    """How alike each block of a tuned net is to what it began as: CKA, 1 where nothing has changed."""
    table = pd.DataFrame(
        [{"block": shown(row["block"]), "cka": row["cka"], "weights": row["weights"]} for row in blocks]
    ).dropna(subset=["cka"])
    y = alt.Y("block:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, labelOverlap=False))
    x = alt.X("cka:Q", title="alike to its start (CKA): 1 is transferred as it was", scale=alt.Scale(domain=[0, 1]))
    tips = [
        alt.Tooltip("block:N"),
        alt.Tooltip("cka:Q", format=".3f", title="CKA"),
        alt.Tooltip("weights:Q", format=".1%", title="weights moved by"),
    ]
    bars = alt.Chart(table).mark_bar(color=BLUE, cornerRadiusEnd=3).encode(x=x, y=y, tooltip=tips)
    return _plain(bars, _BAR * len(table) + 60)


def confusion_chart(rows: Sequence[Json], classes: Sequence[str]) -> Picture:
    """Test rows of each class by what they are taken for: numbers, and the share of the class as darkness."""
    of_class = {name: sum(row["rows"] for row in rows if row["label"] == name) for name in classes}
    table = pd.DataFrame(
        [
            {
                "class": shown(row["label"]),
                "taken for": shown(row["predicted"]),
                "rows": row["rows"],
                "share": row["rows"] / of_class[row["label"]],
            }
            for row in rows
        ]
    )
    order = [shown(name) for name in classes]
    ends = alt.Scale(domain=order)
    x = alt.X(
        "taken for:N",
        scale=ends,
        sort=None,
        axis=alt.Axis(labelLimit=_SIDEWAYS, labelAngle=-45, labelOverlap=False, grid=False),
    )
    y = alt.Y("class:N", scale=ends, sort=None, axis=alt.Axis(labelLimit=180, labelOverlap=False, grid=False))
    shade = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#c4d7f2", "#1f4e94"]), legend=None)
    tips = [
        alt.Tooltip("class:N"),
        alt.Tooltip("taken for:N"),
        alt.Tooltip("rows:Q"),
        alt.Tooltip("share:Q", format=".1%"),
    ]
    base = alt.Chart(table).encode(x=x, y=y, tooltip=tips)
    ink = alt.when("datum.share > 0.5").then(alt.value("#ffffff")).otherwise(alt.value("#14202e"))
    return _plain(
        alt.layer(base.mark_rect().encode(color=shade), base.mark_text().encode(text="rows:Q", color=ink)),
        _CELL * len(order) + _AXES + round(_SLANTED * min(_SIDEWAYS, _LETTERS_WIDE * max(map(len, order)))),
    )


def _scored_row(choice: Json) -> dict[str, object]:
    expected = choice["expected"]
    figures = {name: expected[name] for name in ("mean", "low", "high")}
    return {"choice": row_name(choice), **figures, "tier": f"tier {choice['tier']}"}


def on_page(chart: Picture, theme: str | None) -> Picture:
    """A chart for a ``light`` or ``dark`` page: one color of letters has enough contrast with one only."""
    return chart if theme is None else _lettered(chart, LETTERS[theme])


def _scratch(choices: Sequence[Json]) -> list[pd.DataFrame]:
    """What the best choice's net is expected to score from random weights, where that was considered."""
    for choice in choices[:1]:
        for row in choice.get("passed_over", ()):
            if row["strategy"] == "scratch":
                return [pd.DataFrame([{"mean": row["mean"], "label": "from scratch"}])]
    return []


def _score_tips(metric: str) -> list[alt.Tooltip]:
    exact = _form(metric, fine=True)
    titles = {"mean": "expected", "low": "at least (90 %)", "high": "at most (90 %)"}
    return [alt.Tooltip(f"{name}:Q", format=exact, title=title) for name, title in titles.items()]


def _amount(number: int) -> str:
    """A count of parameters in the shortest form."""
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.0f}"


def _form(metric: str, *, fine: bool = False) -> str:
    """How a score is written: R squared as a number, all else in percent; on an axis without decimals."""
    if metric == Metric.R2:
        return ".3f" if fine else ".2f"
    return ".1%" if fine else ".0%"


def _plain(chart: Picture, height: float | int) -> Picture:
    """Legend on top, letters for a page of which it is not known whether it is light or dark."""
    sized = chart.properties(height=height, width="container") if not isinstance(chart, alt.FacetChart) else chart
    return _lettered(sized.configure_view(stroke=None), INK)


def _lettered(chart: Picture, color: str) -> Picture:
    """With all letters in that color that stand on the page itself."""
    drawn: Picture = (
        chart.configure_axis(
            titleFontWeight="normal", labelFontSize=12, titleFontSize=12, labelColor=color, titleColor=color
        )
        .configure_legend(orient="top", labelFontSize=12, symbolType="circle", labelColor=color, titleColor=color)
        .configure_header(labelColor=color, titleColor=color)
        .configure_text(color=color)
        .configure_title(color=color)
    )
    return drawn
