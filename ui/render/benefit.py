"""Benefit: what transfer brings, by number of labels."""

from rich.console import Group, RenderableType
from rich.text import Text

from registry.forms import Json
from ui.render.parts import BAR, bullet, new_table
from ui.render.words import give_or_take, scored

ARMS = {"plan": ("●", "blue"), "scratch": ("○", "yellow"), "no_transfer": ("◇", "magenta")}
"""What a benefit compares, and the mark and color of it."""


def benefit_report(benefit: Json) -> RenderableType:
    """Scores by number of labels, as numbers and on a scale, and what is true in words."""
    scores = [point[arm]["mean"] for point in benefit["points"] for arm in ARMS]
    low, high, metric = min(scores), max(scores), benefit["sample"]["metric"]
    heads = (f">{arm.replace('_', ' ')} {mark}" for arm, (mark, _) in ARMS.items())
    table = new_table(">labels", *heads, f"{scored(low, metric)} to {scored(high, metric)}")
    for point in benefit["points"]:
        pairs = ((point[arm]["mean"], point[arm]["standard_error"]) for arm in ARMS)
        cells = (f"{scored(mean, metric)}{give_or_take(error, metric)}" for mean, error in pairs)
        table.add_row(f"{point['labels']:,}", *cells, _marks(point, low, high))
    claims = "It is often said that transfer saves up to 90 % of the labels and takes 5 to 20 times fewer epochs."
    return Group(table, Text(), *(bullet(line) for line in benefit["sentences"]), bullet(claims, "dim"))


def _marks(point: Json, low: float, high: float) -> Text:
    """A scale with each arm's mark on it; where two meet, the first stands."""
    line = [("·", "dim")] * BAR
    for arm in reversed(ARMS):
        line[round((BAR - 1) * (point[arm]["mean"] - low) / ((high - low) or 1.0))] = ARMS[arm]
    return Text.assemble(*line)
