"""The picker: one Streamlit page for the person at this machine. Started by `transferzoo picker`."""

import streamlit as st
from PIL import Image, ImageDraw

from ui import access
from ui.views import advise


def _icon() -> Image.Image:
    """The page's icon: a root and what grows from it; an icon by name is fetched."""
    drawn = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(drawn)
    for branch in ((50, 12), (54, 32), (50, 52)):
        pen.line((14, 32, *branch), fill="#3b7dd8", width=5)
        pen.circle(branch, 8, fill="#d9660b")
    pen.circle((14, 32), 11, fill="#3b7dd8")
    return drawn


st.set_page_config(page_title="transferzoo", page_icon=_icon(), layout="wide")
if not access.is_admitted(st.query_params.get("token")):
    st.error("This page is shown to whoever has its whole address, as `transferzoo picker` prints it.")
    st.stop()
st.navigation([st.Page(advise.page, title="Advice", url_path="advice", default=True)], position="hidden").run()
