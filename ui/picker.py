"""The picker: pages in the browser for the person at this machine. Started by `transferzoo picker`."""

import streamlit as st
from PIL import Image, ImageDraw

from registry.errors import TransferZooError
from ui import access, job_queue
from ui.uploads import MOST_SECONDS, clear_uploads
from ui.views import checkpoints, domains, health, parts, pick, track, tune
from ui.views.tables import STYLE

_TIDY_EVERY = 3600.0


def _icon() -> Image.Image:
    """The page's icon: a root and what grows from it; an icon by name is fetched."""
    drawn = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(drawn)
    for branch in ((50, 12), (54, 32), (50, 52)):
        pen.line((14, 32, *branch), fill="#3b7dd8", width=5)
        pen.circle(branch, 8, fill="#d9660b")
    pen.circle((14, 32), 11, fill="#3b7dd8")
    return drawn


@st.cache_data(ttl=_TIDY_EVERY, show_spinner=False)
def _tidy(home: str) -> int:  # noqa: ARG001 - the home keys the cache
    """Remove old uploads, once in a while."""
    return clear_uploads(parts.opened_zoo(), older=MOST_SECONDS)


st.set_page_config(page_title="transferzoo", page_icon=_icon(), layout="wide")
st.html(STYLE)
let_in = access.admitted()
if let_in is not None:
    parts.require_sign_in(let_in)
    st.session_state["token"] = ""
else:
    token = st.query_params.get("token") or st.session_state.get("token")
    if not access.is_admitted(token):
        st.error("This page is shown to whoever has its whole address, as `transferzoo picker` prints it.")
        st.stop()
    st.session_state["token"] = token
    if st.query_params.get("token") != token:  # a link to another page carries none, and a reload needs one
        st.query_params["token"] = str(token)
pages = {
    "pick": st.Page(pick.pick_page, title="Pick", url_path="pick", icon=":material/flag:", default=True),
    "tune": st.Page(tune.tune_page, title="Tune", url_path="tune", icon=":material/tune:"),
    "zoo": st.Page(checkpoints.checkpoints_page, title="Zoo", url_path="zoo", icon=":material/inventory_2:"),
    "domains": st.Page(domains.domains_page, title="Domains", url_path="domains", icon=":material/map:"),
    "record": st.Page(track.track_page, title="Track record", url_path="record", icon=":material/history:"),
    "health": st.Page(health.health_page, title="Health", url_path="health", icon=":material/stethoscope:"),
}
st.session_state["pages"] = pages
page = st.navigation([*pages.values()], position="top")
if let_in is not None:
    parts.return_to_place()
if page == pages["pick"] and (elsewhere := parts.page_of(st.query_params)) != "pick":
    parts.go(elsewhere, **{name: st.query_params[name] for name in st.query_params if name != "token"})
try:
    zoo = parts.opened_zoo()
except TransferZooError as failure:
    parts.refused(failure)
    st.stop()
job_queue.ensure_worker(zoo)
_tidy(str(zoo.home.root))
page.run()
with st.sidebar:
    parts.queued(zoo)
    if let_in is not None:
        parts.signed_in()
