"""The page's part about what is known and not here, drawn by Streamlit without a browser."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from recommender.results import Rival, Skipped, Unprobed
from tests.ui.cases import advice, choice
from tests.ui.tables import tables
from ui.render.commands import program


def page():
    from pathlib import Path

    import streamlit as st

    from ui.views.absent import absent_checkpoints, limits

    absent_checkpoints(st.session_state["advice"], Path("/home"), lambda one: st.session_state.update(request=one))
    st.session_state["limits"] = limits()


@pytest.fixture
def drawn():
    rows = (Unprobed("big", "org/big", 86_000_000, 344_000_000, ("Apache-2.0",), (), None),)
    rows += (Unprobed("huge", "org/huge", None, None, ("unknown",), (), None),)
    known = replace(
        advice(choice("a", 0.8, gain=0.3)),
        unprobed=rows,
        beyond=(Skipped("strict", "its license is unknown"),),
        rivals=(Rival("most downloaded", None, False, None, "how often is not known here"),),
    )
    test = AppTest.from_function(page)
    test.session_state["advice"] = known.to_dict()
    return test.run(timeout=120)


def test_what_is_not_here_is_shown_with_its_bytes_and_the_command_that_fetches_it(drawn):
    assert not drawn.exception
    (table,) = tables(drawn)
    assert table["not probed"] == ["big", "huge"]
    assert table["to fetch"] == ["328 MiB", "unknown"]
    assert drawn.code[0].value == f"{program('transferzoo')} zoo fetch big --home /home"
    report = " ".join(line.value for line in drawn.markdown)
    assert "its license is unknown" in report
    assert "how often is not known here" in report


def test_a_click_asks_to_fetch_the_best_of_it_and_to_advise_anew(drawn):
    (button,) = drawn.button
    assert "about 328 MiB" in button.label
    assert button.click().run().session_state["request"].fetch == "auto"


def test_every_limit_is_a_control(drawn):
    assert drawn.session_state["limits"] == {"max_latency": None, "fetch": "never"}
    fields = {field.label: field for field in drawn.text_input}
    fields["Most memory to carry a plan out"].input("2GiB")
    drawn.number_input[0].set_value(20.0)
    drawn.selectbox[0].select("auto")
    assert drawn.run().session_state["limits"] == {"max_memory": "2GiB", "max_latency": 20.0, "fetch": "auto"}
