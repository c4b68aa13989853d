"""Parts of several pages: the registry, addresses, jobs under way, tables, pictures."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from recommender import charts
from recommender.checks import check_request
from recommender.domain_map import DomainMap, domain_map
from recommender.requests import Request, place_of
from registry.cards import JobRecord, Outcome
from registry.errors import PathOutside, TransferZooError, UnknownName
from registry.escapes import shown
from registry.forms import Json
from registry.zoo import Zoo
from ui import access, job_queue, render
from ui.sign_in import Places, SignOuts, is_let_in
from ui.strangers import markdown as literal
from ui.strangers import unbroken
from ui.uploads import is_of
from ui.views.tables import NARROW, WIDE, table

__all__ = [
    "STAMP",
    "advice_named",
    "broken",
    "curves_of",
    "domains_drawn",
    "earlier_advice",
    "figure",
    "followed",
    "go",
    "job_named",
    "opened_zoo",
    "outcome_cells",
    "outcomes_table",
    "page_of",
    "page_of_job",
    "permitted_place",
    "picture",
    "queue_and_show",
    "queued",
    "refused",
    "requested",
    "require_sign_in",
    "return_to_place",
    "sheet",
    "signed_in",
    "sortable",
    "ticked",
    "viewer",
    "watch",
    "way_to",
    "when",
    "work_of",
]

_EVERY = 1.0
_SAYS_LITTLE = 3.0
"""Seconds of a stage from which nothing is told of the rest."""
_EARLIER = 12
_WORK = {
    "recommend": "advice on {}",
    "tune": "tuning on {}",
    "predict": "prediction of {}",
    "export": "export to {}",
    "zoo promote": "promotion to {}",
    "zoo add": "adding {}",
    "zoo fetch": "fetching {}",
    "zoo remove": "removing {}",
    "zoo search": "searching the hub for {}",
    "domains add": "domain of {}",
    "data fetch": "fetching the data set {}",
}
_OBJECT = ("folder", "name", "hub", "names", "words")
"""Fields that name what a job is about, where no data are."""
_READ = 50
"""Rows that somebody reads on a phone."""
_TELLING = 3
"""Cells of a row that tell it from others."""
_FIGURE = 168
"""Pixels of a figure."""
_LONG, _LONG_WIDTH = 26, 190
"""Letters from which a column of a table is cut short, and the pixels that it has then."""
STAMP = 140
"""Pixels of a column of times."""
_CURVES = 2
"""Series beside one another."""


@st.cache_resource(show_spinner="Opening the registry")
def opened_zoo() -> Zoo:
    """The registry, opened once for all who look."""
    return Zoo.open()


def go(page: str, **place: str) -> NoReturn:
    """Another page or place, under the same token."""
    token = st.session_state["token"]
    st.switch_page(st.session_state["pages"][page], query_params={**({"token": token} if token else {}), **place})


def way_to(page: str, label: str) -> None:
    """A button to another page, for whoever has nothing to do on this one yet."""
    if st.button(label, type="primary", icon=":material/arrow_forward:"):
        go(page)


def require_sign_in(admitted: Sequence[str]) -> None:
    """Show nothing but the sign-in to whoever is not signed in, and nothing else to whoever is not let in."""
    user, sign_outs = st.user.to_dict(), _sign_outs()
    since = st.session_state.setdefault("opened", sign_outs.now())
    if user.get("is_logged_in") and sign_outs.ended(access.browser_of(st.context.cookies) or "", since):
        st.warning("You have signed out in another tab. Reload this one to sign in again.")
        st.stop()
    if not user.get("is_logged_in"):
        st.title("transferzoo", anchor=False)
        st.markdown("Which pretrained model should I start from? Sign in to see what your team knows.")
        if st.button("Sign in", type="primary", icon=":material/login:"):
            if browser := access.browser_of(st.context.cookies):
                page = urlsplit(st.context.url or "").path.rpartition("/")[2]
                _places().keep(browser, page, st.query_params.to_dict())
            st.login()
        st.stop()
    if not is_let_in(user, admitted):
        st.error(literal(f"{user.get('email') or 'This account'} is not let in here. Who serves the page says who is."))
        st.button("Sign out", icon=":material/logout:", on_click=_sign_out)
        st.stop()


@st.cache_resource(show_spinner=False)
def _places() -> Places:
    return Places()


def return_to_place() -> None:
    """Where somebody who has just signed in wanted to go; nothing for whoever is elsewhere already."""
    browser = access.browser_of(st.context.cookies)
    if browser is None or st.query_params.to_dict() or (place := _places().pop(browser)) is None:
        return
    page, query = place
    if page or query:
        go(page if page in st.session_state["pages"] else page_of(query), **query)


def signed_in() -> None:
    """Who is signed in, and the way out."""
    st.text(f"Signed in as {shown(str(st.user.to_dict().get('email')))}")  # of which Markdown would make a link
    st.button("Sign out", icon=":material/logout:", type="tertiary", on_click=_sign_out)


@st.cache_resource(show_spinner=False)
def _sign_outs() -> SignOuts:
    return SignOuts()


def _sign_out() -> None:
    """Here and, from their next step on, in the browser's other tabs."""
    if browser := access.browser_of(st.context.cookies):
        _sign_outs().keep(browser)
    st.logout()


def page_of(address: Mapping[str, str]) -> str:
    """The page that an address without one means: that of a run, of runs beside one another, of a card."""
    return next((page for name, page in _PAGES.items() if name in address), "pick")


_PAGES = {"run": "tune", "compare": "record", "card": "zoo", "domain": "domains"}


def refused(failure: TransferZooError) -> None:
    """What is wrong, and what to do about it."""
    st.error(literal(f"{failure}. {failure.remedy}"))


def domains_drawn(zoo: Zoo, modality: str, distances: Json, sample: str = "") -> DomainMap:
    """The map of domains, with a sample on it where its distances are given; drawn anew where a domain is new."""
    known = tuple((card.name, card.digest) for card in zoo.domains(modality))
    return _map(zoo, str(zoo.home.root), modality, tuple(sorted(distances.items())), sample, known)


@st.cache_data(show_spinner=False, max_entries=50)
def _map(
    _zoo: Zoo,
    home: str,
    modality: str,
    distances: tuple[tuple[str, float], ...],
    sample: str,
    known: tuple[tuple[str, str], ...],
) -> DomainMap:
    del home, known  # key the cache
    return domain_map(_zoo, modality, dict(distances), sample=sample)


def picture(chart: charts.Picture, words: str) -> None:
    """A chart, with what it shows in words below: for who cannot see it, and for who sees it for the first time."""
    st.altair_chart(charts.on_page(chart, st.context.theme.type), width="stretch")
    st.caption(literal(words))


def sheet(rows: Sequence[Mapping[str, object]], **options: Any) -> Any:  # noqa: ANN401 - Streamlit's own, handed on
    """A table of texts and numbers that can be sorted, as wide as the page."""
    frame = pd.DataFrame(rows)
    widths = {}
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].map(lambda cell: "" if cell is None else shown(cell))
            if frame[name].map(len).max() > _LONG:
                widths[name] = st.column_config.TextColumn(width=_LONG_WIDTH)
    config = {**widths, **options.pop("column_config", {})}
    return st.dataframe(frame, hide_index=True, width="stretch", placeholder="-", column_config=config, **options)


def ticked(rows: Sequence[Mapping[str, object]], label: str, most: int, key: str, **options: Any) -> list[int]:  # noqa: ANN401 - as above
    """Places of the rows that are ticked in a table, at most so many; on a narrow screen they are chosen from a list.

    Only one of the two is seen, by the width of the screen: `tables.STYLE` hides the other.
    """
    with st.container(key=f"{WIDE}-{key}"):
        mode = "single-row" if most == 1 else "multi-row"
        marked = sheet(rows, key=key, on_select="rerun", selection_mode=mode, **options).selection.rows
    with st.container(key=f"{NARROW}-{key}"):
        names = [", ".join(shown(cell) for cell in [*row.values()][:_TELLING] if cell) for row in rows]
        listed = st.multiselect(
            label if most == 1 else f"{label}, {most} at most",
            range(len(rows)),
            format_func=names.__getitem__,
            max_selections=most,
            placeholder="none",
            key=f"{key}-listed",
        )
        table(rows, label)
    return [*dict.fromkeys([*marked, *listed])][:most]


def sortable(rows: Sequence[Mapping[str, object]], label: str, key: str, shares: Sequence[str] = ()) -> None:
    """A table that can be sorted; on a narrow screen the first of its rows, as cards. ``shares`` are in percent."""
    with st.container(key=f"{WIDE}-{key}"):
        sheet(rows, column_config=dict.fromkeys(shares, st.column_config.NumberColumn(format="percent")))
    if rows:
        with st.container(key=f"{NARROW}-{key}"):
            table([{**row, **_in_percent(row, shares)} for row in rows[:_READ]], label)
            if len(rows) > _READ:
                st.caption(f"The first {_READ} of {len(rows):,} rows; the CSV holds all.")


def _in_percent(row: Mapping[str, Any], shares: Sequence[str]) -> dict[str, str]:
    return {name: render.percent(row[name]) for name in shares if row.get(name) is not None}


def figure(label: str, value: str, below: str, help: str | None = None) -> None:
    """A figure with its interval or unit below it, explained on hover; two fit beside one another on a phone."""
    with st.container(width=_FIGURE, gap=None):
        st.metric(label, unbroken(value), help=help)
        if below:
            st.caption(literal(below))


def when(stamp: str) -> str:
    """A time as it is read here."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%d %b %H:%M")


def advice_named(zoo: Zoo, name: str | None) -> Json | None:
    """The advice of that id, else the newest that is listed."""
    advice = None if name is None else zoo.advice(name)
    if name is not None and advice is None:
        st.warning("That advice is not known here. This is the newest.")
    if advice is None:
        return next((kept for _, kept in earlier_advice(zoo)), None)
    return _of_own_upload(zoo, advice, viewer()) or advice


def earlier_advice(zoo: Zoo) -> list[tuple[str, Json]]:
    """Kept advice, newest first, whoever asked for it, with the time; of uploads only that of who looks."""
    mine = viewer()
    kept = ((stamp, _of_own_upload(zoo, advice, mine)) for stamp, advice in zoo.kept(4 * _EARLIER))
    return [(stamp, advice) for stamp, advice in kept if advice is not None][:_EARLIER]


def _of_own_upload(zoo: Zoo, advice: Json, owner: str) -> Json | None:
    """Advice on no upload, or on an upload of that owner; None where it is on another's.

    The same rows get the same advice whoever drops them first: it is shown to each as about their own upload.
    """
    sample = advice["sample"]
    if is_of(Path(sample["origin"]), zoo.home, owner):
        return advice
    for job in zoo.jobs.list():
        place = Path(place_of(job.spec))
        own = job.result is not None and job.result.get("recommendation") == advice["id"]
        if own and is_of(place, zoo.home, owner):
            return {**advice, "sample": {**sample, "origin": str(place), "name": place.stem}}
    return None


# ---------------------------------------------------------------- jobs


def job_named(zoo: Zoo, name: str | None) -> JobRecord | None:
    """The job of that id; None, and a word about it, where there is none."""
    try:
        return None if name is None else zoo.jobs.get(name)
    except UnknownName:
        st.warning("That job is not known here any more.")
        return None


def queued(zoo: Zoo) -> None:
    """What waits or is under way, whoever asked for it; drawn anew until nothing is."""
    if zoo.jobs.lanes():
        _queue(zoo)


@st.fragment(run_every=_EVERY)
def _queue(zoo: Zoo) -> None:
    waiting = [job for job in reversed(zoo.jobs.list()) if job.state not in job_queue.OVER]
    if not waiting:
        st.rerun()
    st.markdown("##### Queue")
    me = viewer()
    for job in waiting:
        mine = is_of(Path(place_of(job.spec)), zoo.home, me)
        status, stop = st.columns([5, 1], vertical_alignment="center")
        with status.container(gap=None):
            if not mine:
                st.markdown(_WORK.get(job.kind, job.kind).format("somebody else's upload"))
            elif st.button(literal(work_of(job)), key=f"job-{job.id}", type="tertiary"):
                page, place = page_of_job(job)
                go(page, **place)
            st.caption(literal(f"{job.state} on {job.lane}" if job.state == "running" else _waiting(zoo, job)))
        if mine and stop.button(
            "", key=f"cancel-{job.id}", icon=":material/close:", type="tertiary", help=f"Cancel {job.id}"
        ):
            job_queue.stop(zoo, job.id)
            st.rerun()


def work_of(job: JobRecord) -> str:
    """What a job does, and on what."""
    about = place_of(job.spec) or next((job.spec[name] for name in _OBJECT if job.spec.get(name)), "")
    listed = ", ".join(map(str, about)) if isinstance(about, list) else Path(str(about)).name
    return _WORK.get(job.kind, job.kind).format(listed)


def page_of_job(job: JobRecord) -> tuple[str, dict[str, str]]:
    """Where a job is followed."""
    if "run" in job.spec:
        return "tune", {"run": str(job.spec["run"]), "use": job.id}
    page = {"recommend": "pick", "tune": "tune", "domains add": "domains", "data fetch": "pick"}.get(job.kind, "zoo")
    return page, {"job": job.id}


def followed(zoo: Zoo, name: str | None) -> JobRecord | None:
    """The job of that id once it has finished; while it has not it is shown, or what became of it."""
    job = job_named(zoo, name)
    if job is None or job.state == "finished":
        return job
    st.markdown(f"**{literal(work_of(job))}**")
    if job.state in job_queue.OVER:
        broken(zoo, job)
    else:
        watch(zoo, job.id)
    return None


def requested(zoo: Zoo, request: Request) -> JobRecord | None:
    """The job that does it; None, and why, where it is refused."""
    try:
        check_request(request, zoo)
        return job_queue.enqueue(zoo, request)
    except TransferZooError as failure:
        refused(failure)
        return None


def queue_and_show(zoo: Zoo, page: str, make: Callable[[], Request], *, followed_as: str = "job", **place: str) -> None:
    """Queue the request that is made, and go where it is followed; why not, where it is refused.

    ``place`` is what else the page's address says, ``followed_as`` what it calls the job.
    """
    try:
        request = make()
    except TransferZooError as failure:
        refused(failure)
        return
    job = requested(zoo, request)
    if job is not None:
        go(page, **place, **{followed_as: job.id})


def viewer() -> str:
    """Who looks, as a short name for what is theirs: who signed in, else this browser, else this tab."""
    user = st.user.to_dict()
    context = get_script_run_ctx()
    tab = "" if context is None else context.session_id
    name = str(user.get("email") or user.get("sub") or "")
    return access.owner_of(name or access.browser_of(st.context.cookies) or tab)


def permitted_place(path: str) -> Path:
    """A path that was typed, below one of the roots and in nobody else's uploads.

    Raises:
        PathOutside: it lies elsewhere.
    """
    place = access.placed(path)
    if not is_of(place, opened_zoo().home, viewer()):
        raise PathOutside(place, access.roots())
    return place


def _waiting(zoo: Zoo, job: JobRecord) -> str:
    ahead = zoo.jobs.ahead(job.id)
    return f"waiting for {job.lane}, {ahead} before it" if ahead else f"waiting for {job.lane}"


@st.fragment(run_every=_EVERY)
def watch(zoo: Zoo, name: str, expected: Json | None = None) -> None:
    """Progress and learning curve of a job under way; when it is over the whole page is drawn anew."""
    zoo.jobs.reap()
    job = zoo.jobs.get(name)
    if job.state in job_queue.OVER:
        st.rerun()
    _progress(zoo, job)
    curves_of(job.curve, expected)
    if st.button("Stop", key=f"stop-{name}", icon=":material/stop:"):
        job_queue.stop(zoo, name)
        st.rerun()
    st.caption("This goes on in a process of its own: the page may be closed or reloaded.")
    _log(zoo, name)


def _log(zoo: Zoo, name: str) -> None:
    """The end of what a job's process wrote, where it wrote anything."""
    if words := job_queue.last_words(zoo.home, name):
        with st.expander("What it wrote", key=f"log-{name}"):
            st.code("\n".join(map(shown, words.splitlines())), language=None, wrap_lines=True)


def _progress(zoo: Zoo, job: JobRecord) -> None:
    """How far it is; what is done stands with what goes on behind it, and no full bar."""
    event = job.event
    if event is not None and event.finished:
        st.status(literal(f"{event.words}: done; what follows is under way"), state="running")
        return
    waits = job.state != "running" and zoo.jobs.ahead(job.id)
    stage = event.words if event is not None else _waiting(zoo, job) if waits else "starting"
    counted = render.progressed(job.stage, job.done, job.of)
    words = [stage, *([counted] if counted else []), *([_left(job, stage)] if job.of else [])]
    st.progress(job.done / job.of if job.of else 0.0, text=literal(", ".join(filter(None, words))))


def _left(job: JobRecord, stage: str) -> str:
    """How long a stage takes still, by how it went since this page saw it first; nothing while that says little."""
    key, now = f"pace-{job.id}", time.monotonic()
    seen, began, done = st.session_state.get(key, (None, now, job.done))
    if seen != stage:
        st.session_state[key] = (stage, now, job.done)
        return ""
    if now - began < _SAYS_LITTLE or job.done <= done:
        return ""
    return f"{render.about((job.of - job.done) * (now - began) / (job.done - done))} left"


def broken(zoo: Zoo, job: JobRecord) -> None:
    """What became of a job that did not finish, and what it wrote last."""
    explanations = {"cancelled": "It was stopped.", "lost": "Its process is gone. Start it again to go on."}
    if job.state == "failed":
        st.error(literal(job.error or "It failed without a word."))
    else:
        st.warning(explanations[job.state])
    if job.state != "cancelled":
        _log(zoo, job.id)


def curves_of(curves: Mapping[str, Iterable[Sequence[float]]], expected: Json | None = None) -> None:
    """Losses and scores over the epochs: every series in its own chart, for their units differ."""
    kept = {
        name: [(float(epoch), value) for epoch, value in curve]
        for name, curve in curves.items()
        if name.endswith("loss") or "validation" in name
    }
    drawn = {name: kept[name] for name in sorted(kept, key=lambda name: name.endswith("loss"))}  # the score first
    for at in range(0, len(drawn), _CURVES):
        for place, (name, points) in zip(st.columns(_CURVES, gap="large"), [*drawn.items()][at : at + 2], strict=False):
            hoped = None if name.endswith("loss") else expected
            place.altair_chart(
                charts.on_page(charts.learning_curve(points, name, hoped), st.context.theme.type), width="stretch"
            )
    if drawn and expected is not None:
        st.caption(literal("The band is what was expected on the test rows, with its 90 % interval."))


# ---------------------------------------------------------------- outcomes


def outcomes_table(outcomes: Sequence[Outcome], without: Sequence[str] = ()) -> None:
    """What became of earlier tunings, the newest first; ``without`` the columns that the page has named already."""
    newest = sorted(outcomes, key=lambda outcome: outcome.created, reverse=True)
    rows = [outcome_cells(one) for one in newest]
    table([{name: cell for name, cell in row.items() if name not in without} for row in rows], "Outcomes")


def outcome_cells(one: Outcome) -> dict[str, str]:
    """An outcome in words, column by column."""
    hoped = one.conditions.get("expected")
    metric = str(one.metric)
    expected = reach = ""
    if isinstance(hoped, dict):
        expected = render.scored(hoped["mean"], metric)
        reach = render.scored_interval(hoped["low"], hoped["high"], metric) if {"low", "high"} <= {*hoped} else ""
    return {
        "sample": one.sample_name,
        "checkpoint": one.checkpoint,
        "realized": render.scored(one.score, metric),
        "expected": expected,
        "90 % interval": reach,
        "strategy": one.strategy,
        "metric": metric,
        "train / test rows": f"{one.rows_train:,} / {one.rows_test:,}",
        "time": render.duration(one.seconds),
        "when": one.created[:16].replace("T", " "),
        "run": one.id,
    }
