"""The picker: one Streamlit page for the person at this machine. Started by `transferzoo picker`."""

import streamlit as st

from ui import access
from ui.views import advise, charts

st.set_page_config(page_title="transferzoo", page_icon=charts.icon(), layout="wide")  # an icon by name is fetched
if not access.is_admitted(st.query_params.get("token")):
    st.error("This page is shown to whoever has its whole address, as `transferzoo picker` prints it.")
    st.stop()
st.navigation([st.Page(advise.page, title="Advice", url_path="advice", default=True)], position="hidden").run()
