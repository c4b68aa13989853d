"""A data set of the hub on the page: named, fetched by the queue, looked at, then advised on."""

from pathlib import Path

import streamlit as st

from recommender.requests import FetchDataRequest, RecommendRequest, SampleRequest
from registry.cards import JobRecord
from registry.forms import Json
from registry.hub_data import USUAL_ROWS
from registry.zoo import Zoo
from ui import job_queue, remotes
from ui.strangers import markdown as literal
from ui.views.parts import broken, queue_and_show, watch

__all__ = ["fetched_data", "from_hub"]


def from_hub(zoo: Zoo) -> None:
    """Which data set of the hub, which split of it, and how many rows."""
    with st.expander("Or a data set of the hub"), st.form("hub-data", border=False):
        hub = st.text_input(
            "Its id", placeholder="organization/name", help="Tables alone are fetched; no script is run."
        )
        config = st.text_input("Configuration", placeholder="its usual one")
        split = st.text_input("Split", placeholder="train, and test where there is one")
        rows = st.number_input("Rows of a part, at most", 1, None, USUAL_ROWS)
        if not st.form_submit_button("Fetch it", width="stretch") or not hub.strip():
            return
    part = {"config": config.strip() or None, "split": split.strip() or None}
    queue_and_show(zoo, "pick", lambda: FetchDataRequest(hub=hub.strip(), rows=int(rows), **part))


def fetched_data(zoo: Zoo, job: JobRecord) -> None:
    """What was fetched, under which license, and the button that asks for advice on it."""
    if job.state != "finished" or job.result is None:
        if job.state in job_queue.OVER:
            broken(zoo, job)
        else:
            watch(zoo, job.id)
        return
    data: Json = dict(job.result)
    st.markdown(f"**License: {literal(data['license'])}**")
    st.markdown("\n".join(f"- {literal(line)}" for line in remotes.data_words(data)))
    st.caption(literal(f"At {data['commit'][:12]}; kept in {data['path']}"))
    columns = data["columns"]
    text = st.selectbox("Column of texts", [None, *columns], format_func=_recognized)
    label = st.selectbox("Column of labels", [None, *columns], format_func=_recognized)
    if st.button("Recommend for it", type="primary", icon=":material/flag:"):
        sample = SampleRequest(path=Path(data["path"]), text=text, label=label)
        queue_and_show(zoo, "pick", lambda: RecommendRequest(sample=sample))


def _recognized(name: str | None) -> str:
    return "recognized" if name is None else name
