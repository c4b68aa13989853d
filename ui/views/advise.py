"""The page: from a path or a dropped zip to advice, and from advice to a tuning that one can watch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from recommender.checks import check_request
from recommender.requests import RecommendRequest, SampleRequest, choice_request, place_of
from registry.cards import METRICS, JobRecord, Outcome, Task
from registry.errors import TransferZooError, UnknownName
from registry.escapes import shown
from registry.modalities import Preview, modalities
from registry.sample import Sample
from registry.zoo import Zoo
from ui import access, job_queue, render, reproduce
from ui.glossary import TERMS, terms_of
from ui.render import Json
from ui.strangers import markdown as literal
from ui.uploads import MOST_SECONDS, clear_uploads, discard_upload, save_upload
from ui.views import charts
from ui.views.absent import absent_checkpoints, limits

__all__ = ["page"]

THUMBNAILS = 20
THUMBNAIL_SIDE = 84
EARLIER = 12
EVERY = 1.0
TIDY_EVERY = 3600.0
WORK = {"recommend": "advice", "tune": "tuning"}


def page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    try:
        zoo = _zoo()
    except TransferZooError as failure:
        st.error(literal(f"{failure}. {failure.remedy}"))
        return
    job_queue.ensure_worker(zoo)
    _tidy(zoo)
    fresh = "job" not in st.query_params and not zoo.kept(1)
    with st.sidebar:
        if not fresh:
            _request_form(zoo)
        _queued(zoo)
        _earlier(zoo)
    job = _job(zoo, st.query_params.get("job"))
    if job is not None and not _followed(zoo, job):
        return
    advice = _advice(zoo)
    if advice is None:
        _welcome()
        if fresh:  # where there is nothing else, what to begin with is seen on a narrow screen too
            _request_form(zoo)
        return
    _show(zoo, advice)


def _go(**place: str) -> None:
    """Another address, under the same token, and the page drawn anew."""
    st.query_params.from_dict({"token": st.query_params.get("token", ""), **place})
    st.rerun()


@st.cache_resource(show_spinner="Opening the registry")
def _zoo() -> Zoo:
    return Zoo.open()


@st.cache_data(ttl=TIDY_EVERY, show_spinner=False)
def _tidy(_zoo: Zoo) -> int:
    """Remove old uploads, once in a while."""
    return clear_uploads(_zoo, older=MOST_SECONDS)


# ---------------------------------------------------------------- the sidebar


def _request_form(zoo: Zoo) -> None:
    """Where the sample lies and what to mind; starts a job."""
    st.markdown("### Data")
    with st.form("ask", border=False):
        path = st.text_input("Folder or zip on this machine", placeholder="/data/my-data", key="path")
        upload = st.file_uploader("or drop a zip of it", type="zip")
        with st.expander("Options"):
            options = _options()
        submitted = st.form_submit_button("Recommend", type="primary", width="stretch")
    if not submitted:
        return
    if upload is None and not path.strip():
        st.warning("Give a folder, or drop a zip.")
        return
    place = access.placed(path) if upload is None else save_upload(zoo.home, upload.name, upload.getvalue())
    try:
        request = RecommendRequest(**_request(place, options))
        check_request(request, zoo)
    except TransferZooError as failure:
        if upload is not None:
            discard_upload(place)
        _refused(failure)
        st.query_params.pop("job", None)  # what became of an earlier one is not what is wrong now
        return
    _go(job=job_queue.enqueue(zoo, request).id)


def _refused(failure: TransferZooError) -> None:
    st.error(literal(f"{failure}. {failure.remedy}"))


def _request(place: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request: those of its sample apart."""
    own = {name: value for name, value in options.items() if name in RecommendRequest.model_fields}
    read = {name: value for name, value in options.items() if name in SampleRequest.model_fields}
    return {**own, "sample": {"path": place, **read}}


def _options() -> dict[str, Any]:
    keep = st.number_input("Checkpoints to probe", 1, 50, 5, help="The best of a first look at all.")
    labels = _typed_place("Labels (CSV: file, target)", placeholder="none: folders are the classes")
    task = st.selectbox("Task", [None, *map(str, Task)], format_func=lambda name: name or "as the labels tell")
    judged = dict.fromkeys(str(metric) for task in Task for metric in METRICS[task])
    metric = st.selectbox("Metric", [None, *judged], format_func=lambda name: name or "the task's usual one")
    most = st.number_input("Most parameters (millions)", 0.0, None, None, placeholder="no limit")
    licenses = st.text_input("Licenses", placeholder="any; else: mit, apache", help="Separated by commas.")
    bounds = limits()
    groups = _typed_place("Groups (CSV: file, group)", placeholder="none")
    test = _typed_place("Your own test part", placeholder="none")
    seed = st.number_input("Seed", 0, None, 0)
    return {
        "keep": int(keep),
        "labels": labels,
        "task": task,
        "metric": metric,
        "max_parameters": int(most * 1e6) if most else None,
        "licenses": tuple(one.strip() for one in licenses.split(",") if one.strip()),
        "groups": groups,
        "test": test,
        "seed": int(seed),
        **bounds,
    }


def _typed_place(label: str, placeholder: str = "none") -> str | None:
    """The path of a file or folder, where one is typed."""
    typed = st.text_input(label, placeholder=placeholder)
    return str(access.placed(typed)) if typed.strip() else None


def _queued(zoo: Zoo) -> None:
    """What waits or is under way, whoever asked for it; drawn anew until nothing is."""
    if zoo.jobs.lanes():
        _queue(zoo)


@st.fragment(run_every=EVERY)
def _queue(zoo: Zoo) -> None:
    waiting = [job for job in reversed(zoo.jobs.list()) if job.state not in job_queue.OVER]
    if not waiting:
        st.rerun()
    st.markdown("##### Queue")
    for job in waiting:
        name = literal(f"{WORK[job.kind]} on {Path(place_of(job.spec)).name}")
        status, stop = st.columns([5, 1], vertical_alignment="center")
        with status.container(gap=None):
            if st.button(name, key=f"job-{job.id}", type="tertiary"):
                _go(**_place(job))
            st.caption(literal(f"{job.state} on {job.lane}" if job.state == "running" else _waiting(zoo, job)))
        if stop.button("", key=f"cancel-{job.id}", icon=":material/close:", type="tertiary", help=f"Cancel {job.id}"):
            job_queue.stop(zoo, job.id)
            st.rerun()


def _place(job: JobRecord) -> dict[str, str]:
    """Where the page shows a job: a tuning is shown with the advice that it follows."""
    advice = job.spec.get("recommendation")
    return {"job": job.id, **({} if advice is None else {"advice": str(advice)})}


def _waiting(zoo: Zoo, job: JobRecord) -> str:
    ahead = zoo.jobs.ahead(job.id)
    return f"waiting for {job.lane}, {ahead} before it" if ahead else f"waiting for {job.lane}"


def _earlier(zoo: Zoo) -> None:
    """Kept advice, newest first, whoever asked for it."""
    kept = zoo.kept(EARLIER)
    if kept:
        st.markdown("##### Earlier advice")
    for when, advice in kept:
        with st.container(gap=None):
            if st.button(literal(advice["sample"]["name"]), key=f"advice-{advice['id']}", type="tertiary"):
                _go(advice=str(advice["id"]))
            st.caption(f"{_when(when)}, {_best_words(advice)}")


def _when(stamp: str) -> str:
    return datetime.fromisoformat(stamp).astimezone().strftime("%d %b %H\\:%M")


def _best_words(advice: Json) -> str:
    if not advice["choices"]:
        return "distances only"
    return literal(advice["choices"][0]["checkpoint"]) if advice["verdict"]["transfer"] else "do not transfer"


# ---------------------------------------------------------------- jobs


def _job(zoo: Zoo, name: str | None) -> JobRecord | None:
    try:
        return None if name is None else zoo.jobs.get(name)
    except UnknownName:
        st.warning("That job is not known here any more.")
        return None


def _followed(zoo: Zoo, job: JobRecord) -> bool:
    """Show a job by itself; True when there is advice to show instead."""
    if job.kind == "recommend" and job.state == "finished" and job.result is not None:
        _go(advice=str(job.result["recommendation"]))
    if job.spec.get("recommendation") is not None:
        return True
    doing = "Looking at" if job.kind == "recommend" else "Tuning on"
    st.subheader(literal(f"{doing} {Path(place_of(job.spec)).name}"), anchor=False)
    if job.state == "finished":
        _curves(job)
        _outcomes([one for one in zoo.history() if one.id == (job.result or {}).get("run")])
    elif job.state in job_queue.OVER:
        _broken(zoo, job)
    else:
        st.caption("This goes on in a process of its own: the page may be closed or reloaded.")
        _watch(zoo, job.id)
    return False


@st.fragment(run_every=EVERY)
def _watch(zoo: Zoo, name: str) -> None:
    """Progress and learning curve of a job under way; when it is over the whole page is drawn anew."""
    zoo.jobs.reap()
    job = zoo.jobs.get(name)
    if job.state in job_queue.OVER:
        st.rerun()
    _progress(zoo, job)
    _curves(job)
    if st.button("Stop", key=f"stop-{name}", icon=":material/stop:"):
        job_queue.stop(zoo, name)
        st.rerun()


def _progress(zoo: Zoo, job: JobRecord) -> None:
    """How far it is; what is done stands with what goes on behind it, and no full bar."""
    event = job.event
    if event is not None and event.finished:
        st.status(literal(f"{event.words}: done, computing on"), state="running")
        return
    counted = f" {job.done} of {job.of}" if job.of else ""
    waits = job.state != "running" and zoo.jobs.ahead(job.id)
    stage = event.words if event is not None else _waiting(zoo, job) if waits else "starting"
    st.progress(job.done / job.of if job.of else 0.0, text=literal(f"{stage}{counted}"))


def _broken(zoo: Zoo, job: JobRecord) -> None:
    explanations = {"cancelled": "It was stopped.", "lost": "Its process is gone. Start it again to go on."}
    if job.state == "failed":
        st.error(literal(job.error or "It failed without a word."))
    else:
        st.warning(explanations[job.state])
    words = job_queue.last_words(zoo.home, job.id)
    if words and job.state != "cancelled":
        with st.expander("What it wrote"):
            st.code("\n".join(map(shown, words.splitlines())), language=None)


# ---------------------------------------------------------------- the advice


def _advice(zoo: Zoo) -> Json | None:
    """What the address names, else the newest."""
    wanted = st.query_params.get("advice")
    advice = zoo.advice(wanted)
    if wanted is not None and advice is None:
        st.warning("That advice is not known here. This is the newest.")
        return zoo.advice()
    return advice


def _welcome() -> None:
    st.title("Which pretrained model should I start from?")
    st.markdown(
        f"Give a folder of {' or '.join(known.words.many for known in modalities.values())}, one folder a class, or a "
        "zip of it. You get a ranked list of checkpoints, how much of each to freeze, the score to expect, and what "
        "*no transfer* would score."
    )
    st.markdown("A case to try without data of your own, in a terminal:")
    st.code("transferzoo demo", language="bash")


def _show(zoo: Zoo, advice: Json) -> None:
    sample = advice["sample"]
    st.title(literal(sample["name"]), anchor=False)
    st.caption(literal(render.sample_words(sample)))
    st.code(sample["origin"], language=None, wrap_lines=True)
    _thumbnails(sample)
    _health(sample["health"])
    (st.success if advice["verdict"]["transfer"] else st.warning)(literal(advice["verdict"]["sentence"]))
    place = 0
    if advice["choices"]:
        _ranking(advice)
        place = _chosen(advice)
        _evidence(advice, place)
        _tuning(zoo, advice, place)
    else:
        st.subheader("Distance to source domains", anchor=False)
        _distances(advice)
    absent_checkpoints(advice, zoo.home.root, lambda request: _go(job=job_queue.enqueue(zoo, request).id))
    _outcomes(zoo.history(sample_digest=sample["digest"]))
    _reproduce(zoo, advice, place)


def _thumbnails(sample: Json) -> None:
    modality = modalities[sample["modality"]]
    previews = _previews(
        sample["origin"], sample["labels_from"], sample["task"], sample["digest"], sample["classes"], modality.name
    )
    if not previews:
        st.caption(f"The {modality.words.many} are not where they were, so none is shown.")
        return
    pictures = [(literal(label), one.content) for label, one in previews if one.mime.startswith("image/")]
    if pictures:
        st.image([content for _, content in pictures], caption=[label for label, _ in pictures], width=THUMBNAIL_SIDE)
    for label, one in previews:
        if one.mime.startswith("audio/"):
            st.caption(literal(label))
            st.audio(one.content, one.mime)
        elif one.mime.startswith("text/"):
            st.caption(literal(label))
            st.code(one.content.decode("utf-8", "replace"), language=None, wrap_lines=True)


@st.cache_data(show_spinner="Reading a few of them")
def _previews(
    origin: str,
    table: str | None,
    task: str,
    digest: str,  # noqa: ARG001 - the digest keys the cache
    classes: int,
    modality: str,
) -> list[tuple[str, Preview]]:
    """A few items of each class, small; nothing where they cannot be read any more."""
    few = max(THUMBNAILS, 2 * classes)
    try:
        sample = Sample.from_folder(origin, labels=table, task=task if table else None, limit=few, modality=modality)
    except (TransferZooError, OSError):
        return []
    by_class: dict[str, list[Preview]] = {}
    for item, label in zip(sample.items, sample.labels, strict=True):
        by_class.setdefault(label, []).append(modalities[modality].preview(item))
    each = max(1, THUMBNAILS // len(by_class))
    return [(label, one) for label in sorted(by_class) for one in by_class[label][:each]][:THUMBNAILS]


def _health(health: Json) -> None:
    converted = render.converted_words(health)
    for warning in health["warnings"]:
        st.markdown(f":orange[:material/warning:] {literal(warning)}")
    quiet = [] if health["warnings"] else ["Health: nothing amiss."]
    quiet += [] if converted is None else [f"{converted[0].upper()}{converted[1:]}."]
    if quiet:
        st.caption(literal(" ".join(quiet)))


def _ranking(advice: Json) -> None:
    st.subheader("Ranked, with intervals", anchor=False)
    st.altair_chart(charts.forest(advice), width="stretch")
    metric = advice["sample"]["metric"]
    rows = [_row(choice) for choice in advice["choices"]]
    base = advice["baseline"]
    rows.append(
        {"tier": "", "checkpoint": "no transfer", "strategy": base["model"], "expected": _expected(base, metric)}
    )
    st.dataframe(
        pd.DataFrame(rows).fillna("").rename(columns={"expected": f"expected {metric}"}),
        hide_index=True,
        width="stretch",
        column_config={"tier": st.column_config.TextColumn(width=40)},
    )
    words = terms_of([choice["strategy"] for choice in advice["choices"]])
    st.caption(
        "  \n".join(
            [
                "Intervals are nominal 90 %; gain is in points above no transfer, "
                f"which is {literal(TERMS['no transfer'])}.",
                *(f"**{literal(name)}**: {literal(meaning)}" for name, meaning in words),
            ]
        )
    )


def _row(choice: Json) -> dict[str, str]:
    metric, cost = choice["expected"]["metric"], choice["cost"]
    more, reach = render.gained(choice["gain"], metric)
    return {
        "tier": str(choice["tier"]),
        "checkpoint": choice["checkpoint"],
        "strategy": choice["strategy"],
        "expected": _expected(choice["expected"], metric),
        "gain": f"{more} ({reach})",
        "cost": f"{render.duration(cost['seconds'])}, {render.size(cost['peak_memory_bytes'])}",
        "nearer than": _nearness(choice["distance"]),
    }


def _expected(expected: Json, metric: str) -> str:
    interval = render.scored_interval(expected["low"], expected["high"], metric)
    return f"{render.scored(expected['mean'], metric)} ({interval})"


def _nearness(distance: Json | None) -> str:
    if distance is None:
        return "no sketch"
    percentile = distance["percentile"]
    return f"{'' if percentile is None else f'{percentile:.0f} %, '}at {distance['value']:.3f}"


def _chosen(advice: Json) -> int:
    """The row to look at more closely: the address keeps it, so that a reload does; the best where it names none."""
    names = [charts.row_name(choice) for choice in advice["choices"]]
    if len(names) == 1:
        return 0
    key, rows = f"row-{advice['id']}", range(len(names))
    if key not in st.session_state:
        named = st.query_params.get("row", "1")
        st.session_state[key] = int(named) - 1 if named.isdecimal() and 0 < int(named) <= len(names) else 0
    place: int = st.selectbox("Look closer at", rows, format_func=names.__getitem__, key=key)
    if place:
        st.query_params["row"] = str(place + 1)
    else:
        st.query_params.pop("row", None)
    return place


def _evidence(advice: Json, place: int) -> None:
    choice = advice["choices"][place]
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("What stays frozen", anchor=False)
        st.altair_chart(charts.freeze_diagram(choice), width="stretch")
    with right:
        st.subheader("Distance to source domains", anchor=False)
        _distances(advice)
    st.subheader("Because", anchor=False)
    st.markdown("\n".join(f"- {literal(reason)}" for reason in choice["because"]))
    if advice["skipped"]:
        with st.expander(f"Skipped ({len(advice['skipped'])})"):
            skipped = [f"{row['checkpoint']}: {row['reason']}" for row in advice["skipped"]]
            st.markdown("\n".join(f"- {literal(line)}" for line in skipped))


def _distances(advice: Json) -> None:
    if advice["domains"]:
        st.altair_chart(charts.distance_chart(advice["domains"]), width="stretch")
        st.caption("Smaller is nearer; lines are nominal 90 % intervals.")
    else:
        st.caption("No source domain has a sketch here.")


# ---------------------------------------------------------------- tuning


def _tuning(zoo: Zoo, advice: Json, place: int) -> None:
    choice = advice["choices"][place]
    st.subheader(literal(f"Tune {charts.row_name(choice)}"), anchor=False)
    job = _tuning_of(zoo, advice, choice)
    if job is not None and job.state not in job_queue.OVER:
        _watch(zoo, job.id)
        return
    if job is not None and job.state == "finished":
        _result(zoo, job, advice)
    elif job is not None:
        _broken(zoo, job)
    if not advice["verdict"]["transfer"]:
        st.caption("The advice is not to transfer: fit the model of no transfer, or tune a checkpoint all the same.")
        if st.button(f"Fit {literal(advice['baseline']['model'])}", type="primary", key=f"raw-{advice['id']}"):
            job = job_queue.enqueue(zoo, choice_request(advice, None))
            st.query_params.from_dict({"advice": advice["id"], "job": job.id})
            st.rerun()
    cost = choice["cost"]
    label = f"Tune {literal(charts.row_name(choice))}: {render.about(cost['seconds'])}"
    if st.button(label, type="primary", icon=":material/play_arrow:", key=f"tune-{advice['id']}"):
        try:
            request = choice_request(advice, place)
            check_request(request, zoo)
        except TransferZooError as failure:
            _refused(failure)
            return
        job = job_queue.enqueue(zoo, request)
        _go(advice=str(advice["id"]), job=job.id, **({"row": str(place + 1)} if place else {}))


def _tuning_of(zoo: Zoo, advice: Json, choice: Json) -> JobRecord | None:
    """The newest tuning of a choice that was asked for by this advice; one that names none is of the first."""
    first = advice["choices"][0]
    for job in zoo.jobs.list():
        if job.kind == "tune" and job.spec.get("recommendation") == advice["id"]:
            named = (job.spec.get("checkpoint") or first["checkpoint"], job.spec.get("strategy") or first["strategy"])
            if named == (choice["checkpoint"], choice["strategy"]):
                return job
    return None


def _result(zoo: Zoo, job: JobRecord, advice: Json) -> None:
    """Expected against realized, and the curve that led there."""
    run = str((job.result or {}).get("run"))
    outcome = next((one for one in zoo.history(sample_digest=advice["sample"]["digest"]) if one.id == run), None)
    if outcome is not None:
        _realized(outcome, advice)
    _curves(job)


def _curves(job: JobRecord) -> None:
    """Losses and scores over the epochs: every series in its own chart, for their units differ."""
    curves = {name: curve for name, curve in job.curve.items() if name.endswith("loss") or "validation" in name}
    if curves:
        for place, (series, points) in zip(st.columns(len(curves), gap="large"), curves.items(), strict=True):
            place.altair_chart(charts.learning_curve(points, series), width="stretch")


def _realized(outcome: Outcome, advice: Json) -> None:
    done = (outcome.checkpoint, outcome.strategy)
    planned = [choice for choice in advice["choices"] if (choice["checkpoint"], choice["strategy"]) == done]
    expected, realized, took = st.columns(3)
    metric = str(outcome.metric)
    realized.metric("Realized", render.scored(outcome.score, metric), help=f"On {outcome.rows_test} held-out rows.")
    took.metric("Took", render.duration(outcome.seconds))
    if planned:
        hoped = planned[0]["expected"]
        inside = hoped["low"] <= outcome.score <= hoped["high"]
        reach = render.scored_interval(hoped["low"], hoped["high"], metric)
        expected.metric("Expected", render.scored(hoped["mean"], metric), help=reach)
        st.caption(f"Expected {reach}: the realized score lies {'within' if inside else 'outside'}.")


def _outcomes(outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    st.subheader("What became of this sample so far", anchor=False)
    newest = sorted(outcomes, key=lambda outcome: outcome.created, reverse=True)
    st.dataframe(pd.DataFrame([_outcome(one) for one in newest]), hide_index=True, width="stretch")


def _outcome(one: Outcome) -> dict[str, str]:
    hoped = one.conditions.get("expected")
    metric = str(one.metric)
    expected = render.scored(hoped["mean"], metric) if isinstance(hoped, dict) else ""
    return {
        "when": one.created[:16].replace("T", " "),
        "checkpoint": one.checkpoint,
        "strategy": one.strategy,
        "expected": expected,
        "realized": render.scored(one.score, metric),
        "metric": metric,
        "train / test rows": f"{one.rows_train:,} / {one.rows_test:,}",
        "time": render.duration(one.seconds),
        "run": one.id,
    }


def _reproduce(zoo: Zoo, advice: Json, place: int) -> None:
    st.subheader("The same from a terminal or from Python", anchor=False)
    typed, coded = st.tabs(["Command", "Python"])
    lines = f"{reproduce.advice_commands(advice, zoo.home.root, place)}\n{reproduce.mlflow_command(zoo.home)}"
    typed.code(lines, language="bash", wrap_lines=True)
    coded.code(reproduce.advice_python(advice, zoo.home.root, place), language="python", wrap_lines=True)
