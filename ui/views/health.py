"""Health: whether what is stored is still true, and repairs."""

import streamlit as st

from recommender.runs import recovery
from registry import doctor
from registry.doctor import Report
from registry.zoo import Zoo
from ui import render
from ui.strangers import markdown as literal
from ui.views.parts import opened_zoo
from ui.views.tables import table

__all__ = ["health_page"]


def health_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    st.title("Health", anchor=False)
    st.caption(literal(f"The registry in {zoo.home.root}"))
    for note in zoo.notes:
        st.markdown(f":orange[:material/warning:] {literal(note)}")
    if st.button("Check", type="primary", icon=":material/stethoscope:"):
        st.session_state["report"] = _checked(zoo, mend=False)
    report: Report | None = st.session_state.get("report")
    if report is None:
        st.markdown("**Check** reads all that is stored: database, weights, sketches, features, jobs, runs.")
        return
    if not report.findings:
        st.success("Nothing is wrong.")
    else:
        _findings(report)
        if not report.healthy and st.button("Repair", icon=":material/build:", help="What can be mended safely is."):
            st.session_state["report"] = _checked(zoo, mend=True)
            st.rerun()
    if report.quarantined:
        st.caption(literal(f"Kept aside: {', '.join(report.quarantined)}"))
    st.code(render.command("doctor", home=zoo.home.root), language=None, wrap_lines=True)


def _checked(zoo: Zoo, *, mend: bool) -> Report:
    with st.spinner("Reading all that is stored"):
        return doctor.check(zoo.home.root, mend=mend, also=(recovery.findings, recovery.tracking_findings))


def _findings(report: Report) -> None:
    table(
        [
            {
                "kind": str(one.kind),
                "of": one.subject,
                "what is wrong": one.what,
                "done, or to do": one.done or one.remedy,
            }
            for one in report.findings
        ],
        "Findings",
    )
