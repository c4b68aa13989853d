"""What the page shows beside advice: checkpoints that are known and not here, what others would take, and a way on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from recommender.requests import Fetch, FetchRequest, RecommendRequest, recommend_request
from recommender.results import UnprobedForm
from recommender.unprobed import within_budget
from registry.forms import from_json
from ui import offers, render, reproduce
from ui.render import Json
from ui.strangers import markdown as literal
from ui.views.tables import table

__all__ = ["absent_checkpoints", "limits"]

_FETCH = {str(Fetch.NEVER): "no: show it beside the advice", str(Fetch.AUTO): "yes: fetch and probe the best"}
_COLUMNS = ("not probed", "to fetch", "parameters", "distance", "published", "license")
"""Of the table."""


def limits() -> dict[str, Any]:
    """The fields of a request that bound bytes, latency, memory, time, and what may be fetched."""
    latency = st.number_input("Most milliseconds for one item alone", 0.0, None, None, placeholder="no limit")
    typed = {
        "max_bytes": st.text_input("Most bytes of weights", placeholder="no limit; else: 100MiB"),
        "max_memory": st.text_input("Most memory to carry a plan out", placeholder="no limit; else: 2GiB"),
        "tuning_budget": st.text_input("Most time to carry a plan out", placeholder="no limit; else: 10min"),
    }
    fetch = st.selectbox("Fetch what is not here", [*_FETCH], format_func=_FETCH.__getitem__)
    budget = st.text_input("Disk budget for that", placeholder="2GiB")
    entered = {name: value.strip() for name, value in typed.items() if value.strip()}
    entered |= {"disk_budget": budget.strip()} if budget.strip() else {}
    return {**entered, "max_latency": latency or None, "fetch": fetch}


def absent_checkpoints(advice: Json, home: Path, submit: Callable[[RecommendRequest], None]) -> None:
    """What is known and not here, best first, with what there is to fetch and the command that does; and rivals.

    ``submit`` queues the request that fetches the best of it and advises anew.
    """
    rows, left = advice.get("not_probed", []), advice.get("not_probed_left_out", [])
    rivals = advice.get("rivals", [])
    if rows:
        _table(rows)
        _way_on(advice, rows, home, submit)
    if left:
        with st.expander(f"Beyond the limits ({len(left)})"):
            st.markdown("\n".join(f"- {literal(row['checkpoint'])}: {literal(row['reason'])}" for row in left))
    if rivals:
        st.markdown("Others would take, without a look at the data:")
        st.markdown("\n".join(f"- {literal(_rival(row))}" for row in rivals))


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    st.caption(f"{len(rows)} were not probed, for their weights are not on this disk; best first by what is published.")
    cells = [{**offers.unprobed_cells(row), "license": ", ".join(row["licenses"])} for row in rows]
    table([{column: row[column] for column in _COLUMNS} for row in cells], "Known, but not here")


def _way_on(
    advice: Json, rows: Sequence[Mapping[str, Any]], home: Path, submit: Callable[[RecommendRequest], None]
) -> None:
    """The best of them that fit, the command that fetches these, and a button that does so and advises anew."""
    request = recommend_request(advice).model_copy(update={"fetch": Fetch.AUTO})
    fitting = within_budget([from_json(UnprobedForm, row) for row in rows], request.disk_budget, request.keep)
    if not fitting:
        return
    size = render.size(sum(row.bytes or 0 for row in fitting))
    st.code(
        reproduce.as_command(FetchRequest(names=tuple(row.checkpoint for row in fitting)), home),
        language=None,
        wrap_lines=True,
    )
    label = f"Fetch these {len(fitting)} and advise again: about {size}"
    if st.button(label, icon=":material/download:", key=f"fetch-{advice['id']}"):
        submit(request)


def _rival(row: Mapping[str, Any]) -> str:
    """What somebody would take, in a line."""
    if row["checkpoint"] is None:
        return f"{row['of']}: {row['because']}"
    expected = row["expected"]
    score = "" if expected is None else f", expected {render.percent(expected['mean'])}"
    return f"{row['of']}: {row['checkpoint']}{'' if row['here'] else ' (not here)'}{score}; {row['because']}"
