"""Domains: what the checkpoints were trained on, which lie near one another, and where nothing was trained."""

import streamlit as st

from recommender import charts
from recommender.domain_map import gaps, nearest
from recommender.requests import AddDomainRequest, SampleRequest
from registry.errors import TransferZooError
from registry.zoo import Zoo
from ui import render
from ui.strangers import markdown as literal
from ui.views.parts import domains_drawn, followed, go, opened_zoo, permitted_place, picture, refused, requested
from ui.views.tables import table

__all__ = ["domains_page"]


def domains_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    st.title("Domains", anchor=False)
    job = followed(zoo, st.query_params.get("job"))
    if job is not None and job.result is not None and "domain" in job.result:
        st.success(literal(f"{job.result['domain']} is known: distances to it are measured from now on."))
    kinds = sorted({card.modality for card in zoo.domains()})
    if not kinds:
        st.markdown("No domain is known yet.")
        _add(zoo)
        return
    known = [card.modality for card in zoo.domains() if card.rows]
    of = {card.name: card.modality for card in zoo.domains()}
    most = max(kinds, key=known.count)  # the one that there is most to see of
    usual = of.get(st.query_params.get("domain", ""), most)
    modality = st.radio("Modality", kinds, kinds.index(usual), horizontal=True)
    drawn = domains_drawn(zoo, modality, {})
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("The map", anchor=False)
        if drawn.points:
            share = f"{100 * drawn.kept:.0f} %"
            picture(
                charts.map_chart(drawn),
                f"What lies near looks alike through the lens; this shows {share} of what differs.",
            )
        else:
            st.caption("None of these domains has a sketch.")
    with right:
        _nearest(zoo, modality)
    _gaps(zoo, modality)
    _all(zoo, modality)


def _nearest(zoo: Zoo, modality: str) -> None:
    st.subheader("Nearest of one", anchor=False)
    names = [card.name for card in zoo.domains(modality) if card.rows]
    if not names:
        return
    named = st.query_params.get("domain")
    first = names.index(named) if named in names else 0
    name = st.selectbox("Domain", names, first, key=f"domain-{modality}")
    st.query_params["domain"] = name
    table(
        [
            {"domain": row.name, "distance (MMD²)": f"{row.distance:.3f}", "title": row.title}
            for row in nearest(zoo, name)
        ],
        "Nearest domains",
    )


def _gaps(zoo: Zoo, modality: str) -> None:
    st.subheader("Where nothing was trained", anchor=False)
    missing = gaps(zoo, modality)
    if not missing:
        st.caption("A checkpoint here was trained on every domain that has a sketch.")
        return
    st.caption(
        "No checkpoint here was trained on these; the farther the nearest that one was trained on, the wider the gap."
    )
    table(
        [
            {
                "domain": row.name,
                "nearest with a checkpoint": row.nearest or "none",
                "distance (MMD²)": "-" if row.distance is None else f"{row.distance:.3f}",
                "title": row.title,
            }
            for row in missing
        ],
        "Gaps",
    )


def _all(zoo: Zoo, modality: str) -> None:
    st.subheader("All of them", anchor=False)
    table(
        [
            {
                "domain": card.name,
                "title": card.title,
                "family": card.family,
                "sketched rows": f"{card.rows:,}" if card.rows else None,
                "license": card.license,
                "origin": str(card.origin),
            }
            for card in zoo.domains(modality)
        ],
        "All domains",
    )
    _add(zoo)


def _add(zoo: Zoo) -> None:
    """A domain from a folder; or with a checkpoint that was trained on it."""
    st.subheader("Add one", anchor=False)
    with st.form("add-domain", border=False):
        path = st.text_input("Folder, zip or table of what is like it", placeholder="/data/x-rays")
        name, family = st.columns(2)
        called = name.text_input("Name", placeholder="as the folder is called")
        kind = family.text_input("Family", placeholder="its own", help="Domains of one origin or kind share one.")
        if st.form_submit_button("Add it") and path.strip():
            _queue(zoo, path, called.strip() or None, kind.strip() or None)
    st.caption("Distances to it are measured from then on. With a checkpoint that was trained on it:")
    st.code(
        render.command("zoo add", "DIR", "--source-data", "DATA", home=zoo.home.root), language=None, wrap_lines=True
    )


def _queue(zoo: Zoo, path: str, name: str | None, family: str | None) -> None:
    try:
        request = AddDomainRequest(sample=SampleRequest(path=permitted_place(path)), name=name, family=family)
    except TransferZooError as failure:
        refused(failure)
        return
    job = requested(zoo, request)
    if job is not None:
        go("domains", job=job.id, domain=name or request.sample.path.stem)
