"""The answers of an advice in a line each: what stands on the page before anything is opened."""

from collections.abc import Sequence

from registry.cards import Outcome
from registry.forms import Json
from ui import render

__all__ = ["AGAIN", "absent_line", "before_line", "data_line", "odd_line", "sure_line", "takes_line", "why_line"]

AGAIN = "a command, Python, JSON, and documents that stand alone"


def sure_line(advice: Json, place: int) -> str:
    """Whether a choice beats *no transfer*, and which others cannot be told from it."""
    choices = advice["choices"]
    choice = choices[place]
    more, between = render.gained(choice["gain"], choice["expected"]["metric"])
    unit = "" if choice["expected"]["metric"] == "r2" else " points"
    beaten = choice["gain"]["low"] > 0
    first = f"{more}{unit} over no transfer (90 %: {between}), {'beyond' if beaten else 'not beyond'} chance"
    alike = sum(one["tier"] == choice["tier"] for one in choices) - 1
    if not alike:
        return first if len(choices) == 1 else f"{first}; no other is as good"
    return f"{first}; {alike} {'other cannot' if alike == 1 else 'others cannot'} be told from it"


def takes_line(advice: Json, place: int) -> str:
    """What a choice takes, and what is cheaper and as good."""
    choice = advice["choices"][place]
    cost, mean = choice["cost"], choice["expected"]["mean"]
    first = f"{render.duration(cost['seconds'])} and {render.size(cost['peak_memory_bytes'])} of memory"
    cheaper = [
        one for one in advice["choices"] if one["cost"]["seconds"] < cost["seconds"] and one["expected"]["mean"] >= mean
    ]
    if not cheaper:
        return f"{first}; nothing faster is expected to score as much"
    best = min(cheaper, key=lambda one: float(one["cost"]["seconds"]))
    return f"{first}; {best['checkpoint']} with {best['strategy']} is faster and expected to score as much"


def data_line(domains: Sequence[Json]) -> str:
    """The nearest domain, and how near it is among all."""
    if not domains:
        return "no source domain has a sketch here"
    near = min(domains, key=lambda row: float(row["value"]))
    beside = near.get("percentile")
    among = "" if beside is None else f", nearer than {beside:.0f} % of all pairs of domains"
    return f"nearest to {near['domain']}, {near['value']:.3f} away{among}"


def why_line(choice: Json) -> str:
    """The first reason for a choice."""
    return str(choice["because"][0]) if choice["because"] else "nothing else was probed"


def odd_line(advice: Json) -> str:
    """How much of the data is worth a look."""
    health = advice["sample"]["health"]
    doubts = advice.get("suspects") or {}
    novelty = advice.get("novelty") or {}
    counts = (
        (len(health.get("pairs") or ()), "pair of rows alike", "pairs of rows alike"),
        (len(doubts.get("rows") or ()), "label in doubt", "labels in doubt"),
        (novelty.get("rows_beyond", 0), "row", "rows"),
    )
    words = [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
    if novelty.get("rows_beyond"):
        words[-1] += f" unlike all of {novelty['domain']}"
    if words:
        return ", ".join(words)
    return "see what health says" if health["warnings"] else "nothing amiss"


def absent_line(advice: Json) -> str | None:
    """How many checkpoints are known and not here, and the best of them; None where nothing is to be said of any."""
    rows, left, rivals = (advice.get(name) or () for name in ("not_probed", "not_probed_left_out", "rivals"))
    if rows:
        return f"{len(rows)} more, {rows[0]['checkpoint']} the best by what is published"
    if left:
        return f"{len(left)} more, all beyond the limits"
    return "what others would take" if rivals else None


def before_line(outcomes: Sequence[Outcome]) -> str:
    """How often the sample was tuned on, and what the best came to."""
    best = max(outcomes, key=lambda one: one.score)
    many = "1 tuning" if len(outcomes) == 1 else f"{len(outcomes)} tunings"
    return f"{many}, the best {render.scored(best.score, str(best.metric))}, {best.checkpoint} with {best.strategy}"
