"""The picker: one Streamlit page for the person at this machine. Started by `transferzoo picker`."""

import streamlit as st

from ui.views import advise

st.set_page_config(page_title="transferzoo", page_icon=":material/account_tree:", layout="wide")
st.navigation([st.Page(advise.page, title="Advice", url_path="advice", default=True)], position="hidden").run()
