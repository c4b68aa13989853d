"""Track record: every run, expected beside realized; two of them side by side."""

from collections.abc import Mapping
from math import isfinite

import streamlit as st

from recommender import charts
from recommender.history import track_record
from recommender.results import TrackSummary
from recommender.runs.folder import find_run
from registry.cards import Origin, Outcome
from registry.errors import UnknownName
from registry.forms import Json
from registry.zoo import Zoo
from ui import render
from ui.glossary import TERMS
from ui.strangers import markdown as literal
from ui.views.parts import (
    STAMP,
    earlier_advice,
    figure,
    go,
    opened_zoo,
    outcome_cells,
    picture,
    refused,
    ticked,
    way_to,
)
from ui.views.tables import table

__all__ = ["track_page"]

_PAIR = 2
_SEEN_IN_RUN = {"metric", "train / test rows", "time"}
"""What is left to the page of a run, so that runs with long names fit on this one."""


def track_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    st.title("Track record", anchor=False)
    ours = [one for one in zoo.history() if one.origin is Origin.OURS]
    if not ours:
        st.markdown("No run has finished here. **Pick** a checkpoint, **Tune** it: what comes of it stands here.")
        way_to("tune", "Go to Tune") if earlier_advice(zoo) else way_to("pick", "Go to Pick")
        return
    kept = _filtered(sorted(ours, key=lambda one: one.created, reverse=True))
    record = track_record(kept)
    if record.all is not None:
        _summed(record.all)
        rows = [
            {
                "run": run.run,
                "sample": run.sample,
                "checkpoint": run.checkpoint,
                "low": run.low,
                "mean": run.expected,
                "high": run.high,
                "realized": run.score,
            }
            for run in record.runs
        ]
        words = "On the line advice was right; lines are the 90 % intervals that it gave."
        picture(charts.expected_and_realized(rows), words)
    widths = {"when": st.column_config.TextColumn(width=STAMP)}
    cells = [{name: cell for name, cell in outcome_cells(one).items() if name not in _SEEN_IN_RUN} for one in kept]
    places = ticked(cells, "Look at runs", _PAIR, "outcomes", column_config=widths)
    st.caption("Tick one to look at it, two to see in what they differ.")
    names = [kept[at].id for at in places]
    if len(names) == 1 and st.button("Look at it"):
        go("tune", run=names[0])
    if len(names) == _PAIR:
        st.query_params["compare"] = ",".join(names)
    pair = st.query_params.get("compare", "").split(",")
    if len(pair) == _PAIR:
        _beside(zoo, *pair)


def _filtered(outcomes: list[Outcome]) -> list[Outcome]:
    left, right = st.columns(2)
    samples = left.multiselect("Samples", sorted({one.sample_name for one in outcomes}), placeholder="all")
    names = right.multiselect("Checkpoints", sorted({one.checkpoint for one in outcomes}), placeholder="all")
    return [
        one
        for one in outcomes
        if one.sample_name in (samples or [one.sample_name]) and one.checkpoint in (names or [one.checkpoint])
    ]


def _summed(summary: TrackSummary) -> None:
    """How far expectations could be trusted."""
    error = summary.bias_error
    sure = "one run has no error" if error is None else f"± {100 * error:.1f} (one standard error)"
    nominal = f"should be 90 %; its 90 % interval: {render.interval(summary.coverage_low, summary.coverage_high)}"
    with st.container(horizontal=True):  # which a narrow screen breaks into two lines
        figure("Within interval", f"{summary.covered} of {summary.runs}", nominal, TERMS["coverage"])
        figure("Bias in points", render.percentage_points(summary.bias), sure, TERMS["bias"])
        figure("Off by, in points", f"{100 * summary.off:.1f}", "whichever way", TERMS["off"])


def _beside(zoo: Zoo, first: str, second: str) -> None:
    """Two runs: what differs, and no more."""
    st.subheader("What differs", anchor=False)
    try:
        forms = [find_run(zoo.home, name) for name in (first, second)]
    except UnknownName as failure:
        refused(failure)
        return
    facts = [_flat({key: run.result.get(key) for key in _COMPARED}) for run in forms]
    rows = [
        {"what": name, forms[0].id: facts[0].get(name, "-"), f"{forms[1].id} ": facts[1].get(name, "-")}
        for name in dict.fromkeys([*facts[0], *facts[1]])
        if facts[0].get(name) != facts[1].get(name)
    ]
    if rows:
        table(rows, "What differs")
    else:
        st.caption(literal("Nothing differs but their ids."))


_COMPARED = ("checkpoint", "strategy", "metrics", "plan", "conditions", "versions")


def _flat(form: Json, above: str = "") -> dict[str, str]:
    """The leaves of a form by their path, in words."""
    leaves: dict[str, str] = {}
    for name, value in form.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{path}, ")
        else:
            leaves[path] = _leaf(value)
    return leaves


def _leaf(value: object) -> str:
    """A leaf in words: whole numbers with separators, others with five digits."""
    if isinstance(value, float) and (not isfinite(value) or abs(value) < 1e4):
        return f"{value:.5g}"
    return f"{value:,.0f}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
