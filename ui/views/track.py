"""Track record: every run, expected beside realized; two of them side by side."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from recommender import charts
from recommender.runs.folder import find_run
from registry.cards import Origin, Outcome
from registry.errors import UnknownName
from registry.forms import Json
from registry.zoo import Zoo
from ui.strangers import markdown as literal
from ui.views.parts import go, opened_zoo, outcomes_table, picture, refused, sheet

__all__ = ["track_page"]

_PAIR = 2


def track_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    st.title("Track record", anchor=False)
    ours = [one for one in zoo.history() if one.origin is Origin.OURS]
    if not ours:
        st.markdown("No run has finished here. **Pick** a checkpoint, **Tune** it: what comes of it stands here.")
        return
    kept = _filtered(sorted(ours, key=lambda one: one.created, reverse=True))
    judged = [row for one in kept if (row := _judged(one)) is not None]
    if judged:
        within = sum(row["low"] <= row["realized"] <= row["high"] for row in judged)
        picture(
            charts.expected_and_realized(judged),
            f"{within} of {len(judged)} realized scores lie within their 90 % interval; on the line advice was right.",
        )
    chosen = outcomes_table(kept, key="outcomes", on_select="rerun", selection_mode="multi-row")
    st.caption("Tick one to look at it, two to see in what they differ.")
    names = [kept[at].id for at in chosen.selection.rows[:_PAIR]]
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


def _judged(one: Outcome) -> dict[str, Any] | None:
    """What was expected of a run, beside what it realized; None where nothing was."""
    hoped = one.conditions.get("expected")
    if not isinstance(hoped, dict) or not {"mean", "low", "high"} <= {*hoped}:
        return None
    figures = {end: hoped[end] for end in ("low", "mean", "high")}
    return {"run": one.id, "sample": one.sample_name, "checkpoint": one.checkpoint, "realized": one.score, **figures}


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
        sheet(rows)
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
            leaves[path] = f"{value:.5g}" if isinstance(value, float) else str(value)
    return leaves
