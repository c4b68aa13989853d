"""The picker's pictures, each from the JSON form of advice: forest plot, freeze diagram, distances, learning curve."""

from collections.abc import Sequence

import altair as alt
import pandas as pd
from PIL import Image, ImageDraw

from registry.cards import Metric
from registry.escapes import shown
from ui.render import Json, block_roles

__all__ = ["distance_chart", "forest", "freeze_diagram", "icon", "learning_curve", "row_name"]

Picture = alt.Chart | alt.LayerChart | alt.FacetChart

BLUE, ORANGE, GRAY, INK = "#3b7dd8", "#d9660b", "#8a94a3", "#7d8796"
"""Each can be told from white and from black: the page follows the browser from light to dark."""
ROW, BAR = 40, 28
AXES = 96
"""Height of legend, axis and its title; Streamlit fits them into the height that is asked for."""
_NEAREST = 10


def icon() -> Image.Image:
    """The page's icon: a root and what grows from it."""
    drawn = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(drawn)
    for branch in ((50, 12), (54, 32), (50, 52)):
        pen.line((14, 32, *branch), fill=BLUE, width=5)
        pen.circle(branch, 8, fill=ORANGE)
    pen.circle((14, 32), 11, fill=BLUE)
    return drawn


def row_name(choice: Json) -> str:
    """How a choice is called on the axes: checkpoint and strategy."""
    return shown(f"{choice['checkpoint']} · {choice['strategy']}")


def forest(advice: Json) -> Picture:
    """Expected scores with their intervals; the line and band are *no transfer*."""
    rows = pd.DataFrame(
        [
            {
                "choice": row_name(c),
                **{k: c["expected"][k] for k in ("mean", "low", "high")},
                "tier": f"tier {c['tier']}",
            }
            for c in advice["choices"]
        ]
    )
    base = advice["baseline"]
    raw = pd.DataFrame([{"mean": base["mean"], "low": base["low"], "high": base["high"], "label": "no transfer"}])
    lowest = min([base["low"], *rows["low"]])
    metric = advice["sample"]["metric"]
    form = _form(metric)
    highest = max([base["high"], *rows["high"]])
    reach = [max(Metric(metric).lowest, lowest - 0.05), min(1.0, highest + 0.03)]
    scale = alt.Scale(domain=reach, nice=False)
    x = alt.X("low:Q", scale=scale, title=f"expected {metric}", axis=alt.Axis(format=form))
    y = alt.Y("choice:N", sort=None, title=None, axis=alt.Axis(labelLimit=340, labelOverlap=False))
    exact = _form(metric, fine=True)
    tips = [alt.Tooltip("choice:N"), *(alt.Tooltip(f"{name}:Q", format=exact) for name in ("mean", "low", "high"))]
    color = alt.Color("tier:N", sort=None, scale=alt.Scale(range=[BLUE, "#6f9bd8", "#a9c1e3", GRAY]), title=None)
    whiskers = alt.Chart(rows).mark_rule(strokeWidth=3).encode(x=x, x2="high:Q", y=y, color=color, tooltip=tips)
    points = (
        alt.Chart(rows).mark_point(filled=True, size=110, opacity=1).encode(x="mean:Q", y=y, color=color, tooltip=tips)
    )
    band = alt.Chart(raw).mark_rect(color=ORANGE, opacity=0.13).encode(x=x, x2="high:Q")
    line = alt.Chart(raw).mark_rule(color=ORANGE, strokeDash=[5, 3], strokeWidth=2).encode(x="mean:Q")
    label = (
        alt.Chart(raw)
        .mark_text(color=ORANGE, align="left", dx=5, dy=-5, baseline="bottom")
        .encode(x="mean:Q", y=alt.value(0), text="label:N")
    )
    return _plain(alt.layer(band, line, whiskers, points, label), ROW * len(rows) + AXES)


def freeze_diagram(choice: Json) -> Picture:
    """A linear head's score after each block, colored by what the plan does with the block."""
    metric = choice["expected"]["metric"]
    form = _form(metric)
    rows = pd.DataFrame(
        [
            {
                "block": name,
                "score": score,
                "plan": role,
                "low": max(Metric(metric).lowest, score - row["standard_error"]),
                "high": min(1.0, score + row["standard_error"]),
                "read": name == choice["plan"]["read"],
            }
            for (name, score, role), row in zip(block_roles(choice), choice["blocks"], strict=True)
        ]
    )
    scale = alt.Scale(domain=[min(0.0, rows["low"].min()), 1])
    x = alt.X("score:Q", scale=scale, axis=alt.Axis(format=form), title="score of a linear head after the block")
    y = alt.Y("block:N", sort=None, title="blocks, input first", axis=alt.Axis(labelLimit=200, labelOverlap=False))
    roles = alt.Scale(domain=["frozen", "learns", "not used"], range=[BLUE, ORANGE, "#9aa5b4"])
    color = alt.Color("plan:N", title=None, scale=roles)
    tips = [alt.Tooltip("block:N"), alt.Tooltip("score:Q", format=_form(metric, fine=True)), alt.Tooltip("plan:N")]
    bars = (
        alt.Chart(rows).mark_bar(cornerRadiusEnd=3, height={"band": 0.72}).encode(x=x, y=y, color=color, tooltip=tips)
    )
    errors = alt.Chart(rows).mark_rule(color=INK).encode(x="low:Q", x2="high:Q", y=y)
    reads = (
        alt.Chart(rows[rows["read"]]).mark_text(align="left", dx=10, text="◀ head", color=INK).encode(x="high:Q", y=y)
    )
    return _plain(alt.layer(bars, errors, reads), BAR * len(rows) + AXES)


def distance_chart(rows: Sequence[Json]) -> Picture:
    """Distances to the nearest source domains with their intervals."""
    table = pd.DataFrame(
        [
            {"domain": shown(row["domain"]), **{name: row[name] for name in ("value", "low", "high", "percentile")}}
            for row in rows[:_NEAREST]
        ]
    )
    x = alt.X("value:Q", title=f"distance ({rows[0]['metric'].upper()}²)", axis=alt.Axis(format=".2f", tickCount=5))
    y = alt.Y("domain:N", sort=None, title=None, axis=alt.Axis(labelLimit=240, labelOverlap=False))
    tips = [
        alt.Tooltip("domain:N"),
        alt.Tooltip("value:Q", format=".3f"),
        alt.Tooltip("percentile:Q", format=".0f", title="nearer than % of pairs"),
    ]
    bars = (
        alt.Chart(table)
        .mark_bar(color="#6f9bd8", cornerRadiusEnd=3, height={"band": 0.72})
        .encode(x=x, y=y, tooltip=tips)
    )
    errors = (
        alt.Chart(table.dropna(subset=["low", "high"]))
        .mark_rule(color=INK, opacity=0.6)
        .encode(x="low:Q", x2="high:Q", y=y)
    )
    return _plain(alt.layer(bars, errors), BAR * len(table) + AXES - 30)


def learning_curve(points: Sequence[Sequence[float]], title: str) -> Picture:
    """One series of a tuning over its epochs; epoch 0 is the fitted head before any training."""
    rows = pd.DataFrame(points, columns=["epoch", "value"])
    axis = alt.Axis(format=".2f" if "loss" in title else _form(title.removeprefix("validation ")))
    chart = (
        alt.Chart(rows)
        .mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2, color=BLUE)
        .encode(
            x=alt.X("epoch:Q", title="epoch (0: the fitted head)", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=axis),
            tooltip=["epoch:Q", alt.Tooltip("value:Q", format=".3f")],
        )
    )
    return _plain(chart, 200)


def _form(metric: str, *, fine: bool = False) -> str:
    """How a score is written: R squared as a number, all else in percent; on an axis without decimals."""
    if metric == Metric.R2:
        return ".3f" if fine else ".2f"
    return ".1%" if fine else ".0%"


def _plain(chart: Picture, height: int) -> Picture:
    """Legend on top, axes that can be read; their colors are the page's theme's, in light and in dark."""
    sized = chart.properties(height=height, width="container") if not isinstance(chart, alt.FacetChart) else chart
    bare = sized.configure_view(stroke=None).configure_legend(orient="top", labelFontSize=12, symbolType="circle")
    drawn: Picture = bare.configure_axis(titleFontWeight="normal", labelFontSize=12, titleFontSize=12)
    return drawn
