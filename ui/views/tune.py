"""Tune: a plan that can be changed, a tuning that one can watch, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from recommender import charts, requests
from recommender.requests import (
    ExportRequest,
    PredictRequest,
    PromoteRequest,
    Request,
    TuneRequest,
    choice_request,
    place_of,
)
from recommender.runs.event_log import RANGE_LOSS, RANGE_RATE, EventLog
from recommender.runs.folder import RunFolder, RunState, find_run, run_folders
from registry.cards import JobRecord, Metric, Task
from registry.errors import TransferZooError, UnknownName
from registry.forms import Json
from registry.modalities import modalities
from registry.readers.rows import known_suffixes
from registry.zoo import Zoo
from ui import job_queue, render
from ui.glossary import PLANS, TERMS
from ui.reproduce import as_command, mlflow_command
from ui.strangers import markdown as literal
from ui.strangers import mistakes_csv, table_csv
from ui.uploads import DROPPABLE, kept_answer, save_uploads
from ui.views.items import changed_since, draw_previews, draw_tagged, gallery, items_at
from ui.views.parts import (
    advice_named,
    broken,
    curves_of,
    figure,
    followed,
    go,
    job_named,
    opened_zoo,
    permitted_place,
    picture,
    queue_and_show,
    refused,
    requested,
    sortable,
    ticked,
    viewer,
    watch,
    way_to,
)
from ui.views.tables import table

__all__ = ["tune_page"]

_RECENT = 30
_WORST = 12
"""Mistakes that are shown as pictures or texts, and rows whose positions are labelled."""
_CELL, _NAMES = 80, 220
"""Pixels of the page's width for a column of a confusion matrix, and for names beside it."""
_OWN_AXES = 30
"""Classes up to which a confusion matrix is drawn on the page; the picture of more is the run's."""


def tune_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    address = st.query_params
    if "run" in address:
        _run(zoo, address["run"])
    elif "job" in address and (job := job_named(zoo, address["job"])) is not None:
        _job(zoo, job)
    else:
        _planned(zoo, advice_named(zoo, address.get("advice")))
    _recent(zoo)


# ---------------------------------------------------------------- before


def _planned(zoo: Zoo, advice: Json | None) -> None:
    """The plan of a choice, to be changed and carried out."""
    st.title("Tune", anchor=False)
    if advice is None or not advice["choices"]:
        st.markdown("There is no advice to carry out yet. **Pick** gives some: it takes a path or a dropped file.")
        way_to("pick", "Go to Pick")
        return
    st.caption(literal(f"{advice['sample']['name']}: {render.sample_words(advice['sample'])}"))
    if change := changed_since(zoo, advice["sample"]):
        st.warning(literal(f"{change} Pick advises again; what is tuned by this advice needs the rows as they were."))
    if not advice["verdict"]["transfer"]:
        st.warning(literal(advice["verdict"]["sentence"]))
        model = literal(advice["baseline"]["model"])
        if st.button(f"Fit {model}", type="primary", key=f"raw-{advice['id']}"):
            _start(zoo, choice_request(advice, None))
    place = _place(advice)
    choice = advice["choices"][place]
    left, right = st.columns([2, 3], gap="large")
    with left:
        try:
            request = _edited(advice, place)
        except TransferZooError as failure:
            refused(failure)
            return
        as_advised = request.strategy == choice["strategy"] and request.epochs is request.batch_size is None
        takes = f": {render.about(choice['cost']['seconds'])}" if as_advised else ""  # which is known of the advice
        if st.button(f"Start{takes}", type="primary", icon=":material/play_arrow:", key=f"start-{advice['id']}"):
            _start(zoo, request)
        st.code(as_command(request, zoo.home.root), language=None, wrap_lines=True)
    if choice["blocks"]:
        with right:
            picture(charts.freeze_diagram(choice), f"What {choice['strategy']} lets learn, as advised.")


def _place(advice: Json) -> int:
    names = [charts.row_name(choice) for choice in advice["choices"]]
    named = st.query_params.get("row", "1")
    first = int(named) - 1 if named.isdecimal() and 0 < int(named) <= len(names) else 0
    place: int = st.selectbox(
        "Choice", range(len(names)), first, format_func=names.__getitem__, key=f"choice-{advice['id']}"
    )
    return place


def _edited(advice: Json, place: int) -> TuneRequest:
    """What carries out a choice, with what is changed of its plan."""
    choice, advised = advice["choices"][place], choice_request(advice, place)
    metric = choice["expected"]["metric"]
    expected = _expected_by_strategy(choice)

    def worded(name: str) -> str:
        reach = render.scored_interval(expected[name]["low"], expected[name]["high"], metric)
        return f"{name}: {render.scored(expected[name]['mean'], metric)} ({reach})"

    key = f"{advice['id']}-{place}"
    strategy = st.selectbox(
        f"Strategy, with the {metric} to expect (90 %)", [*expected], format_func=worded, key=f"strategy-{key}"
    )
    st.caption(literal(PLANS.get(strategy, "a strategy of a plug-in")))
    stages = choice["plan"]["stages"]
    planned = sum(stage["epochs"] for stage in stages) if strategy == choice["strategy"] else 0
    epochs = st.number_input(
        "Epochs",
        1,
        None,
        None,
        placeholder=f"as planned: {planned}" if planned else "as planned",
        key=f"epochs-{key}",
        help="More of them may score higher and take longer in proportion.",
    )
    rate = st.number_input(
        "Learning rate of the topmost block",
        0.0,
        1.0,
        None,
        format="%.1e",
        placeholder="as planned",
        key=f"rate-{key}",
        help="Higher forgets more of the source; all others keep their ratio to it.",
    )
    batch = st.number_input(
        "Batch size", 2, None, None, placeholder=f"as planned: {choice['plan']['batch_size']}", key=f"batch-{key}"
    )
    find_rate = st.toggle("Find the rate", key=f"find-rate-{key}", help=TERMS["range test"])
    device = st.text_input(
        "Device", "auto", key=f"device-{key}", help="auto (the fastest there is), cpu, cuda:N or mps."
    )
    more = ""
    if modalities[advice["sample"]["modality"]].defaults.pretext:
        more = st.text_input(
            "More items without labels", placeholder="none", key=f"unlabelled-{key}", help=TERMS["unlabelled"]
        )
    controls = st.toggle("Hold it against no transfer and from scratch", key=f"controls-{key}", help=TERMS["controls"])
    changed: dict[str, Any] = {
        "strategy": strategy,
        "device": device.strip() or "auto",
        "epochs": epochs,
        "rate": rate or None,
        "batch_size": batch,
        "find_rate": find_rate or None,
        "controls": controls or None,
    }
    if more.strip():
        advised = advised.model_copy(
            update={"sample": advised.sample.model_copy(update={"unlabelled": permitted_place(more)})}
        )
    return TuneRequest(**{**dict(advised), **{name: value for name, value in changed.items() if value is not None}})


def _start(zoo: Zoo, request: TuneRequest) -> None:
    job = requested(zoo, request)
    if job is not None:
        go("tune", job=job.id)


# ---------------------------------------------------------------- meanwhile


def _job(zoo: Zoo, job: JobRecord) -> None:
    """A tuning that waits or is under way, or what came of it."""
    if job.kind != "tune":
        go("pick", job=job.id)
    if job.state == "finished" and job.result is not None:
        go("tune", run=str(job.result["run"]))
    st.title(literal(f"Tuning on {Path(place_of(job.spec)).name}"), anchor=False)
    chosen = ", ".join(str(job.spec[name]) for name in ("checkpoint", "strategy") if job.spec.get(name))
    st.caption(literal(chosen or "the best choice"))
    if job.state not in job_queue.OVER:
        watch(zoo, job.id, _hoped(zoo, job))
        return
    curves_of(job.curve, _hoped(zoo, job))
    broken(zoo, job)
    advice = zoo.advice(str(job.spec["recommendation"])) if job.spec.get("recommendation") else None
    if job.state == "failed" and advice is not None and changed_since(zoo, advice["sample"]):
        if st.button("Advise again", type="primary", icon=":material/replay:"):
            queue_and_show(zoo, "pick", lambda: requests.recommend_request(advice))
    elif job.state in {"lost", "cancelled", "failed"} and st.button("Go on", type="primary", icon=":material/replay:"):
        request = requests.request_of(job.kind, job.spec)
        if isinstance(request, TuneRequest):
            _start(zoo, request)


def _hoped(zoo: Zoo, job: JobRecord) -> Json | None:
    """What kept advice expects of what a job carries out: a choice, or a strategy that was passed over for one."""
    advice = zoo.advice(str(job.spec["recommendation"])) if job.spec.get("recommendation") else None
    for choice in [] if advice is None else advice["choices"]:
        if choice["checkpoint"] == job.spec.get("checkpoint"):
            return _expected_by_strategy(choice).get(str(job.spec.get("strategy")))
    return None


def _expected_by_strategy(choice: Json) -> dict[str, Json]:
    return {choice["strategy"]: choice["expected"], **{row["strategy"]: row for row in choice.get("passed_over", ())}}


# ---------------------------------------------------------------- afterwards


def _run(zoo: Zoo, name: str) -> None:
    """What a run came to, and what it is good for."""
    try:
        run = find_run(zoo.home, name)
    except UnknownName as failure:
        refused(failure)
        return
    result = run.result
    if not result:
        form = run.to_form()
        st.title(literal(f"Run {run.id}"), anchor=False)
        st.warning(literal(f"{form.state}: {form.reason or 'it is not finished'}"))
        if form.state is RunState.INTERRUPTED:
            st.code(render.command("runs resume", run.id, home=zoo.home.root), language=None)
        return
    sample, metrics = result["sample"], result["metrics"]
    st.title(literal(f"{result['checkpoint']} on {sample['name']}"), anchor=False)
    st.caption(literal(f"{result['strategy']}, run {run.id}, {render.sample_words(sample)}"))
    _realized(metrics, sample["metric"])
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Expected and realized", anchor=False)
        picture(charts.realized_chart(metrics), "Of the test rows; lines are 90 % intervals.")
        for control in result.get("controls") or []:
            st.caption(literal(_held_against(control)))
    with right:
        _learned(result)
    for note in result["notes"]:
        st.markdown(f":orange[:material/warning:] {literal(note)}")
    _confused(run, result)
    _worst(zoo, result)
    _uses(zoo, run, result)


def _held_against(control: Json) -> str:
    """What a control scored, and by how much the run beats it."""
    metric = control["metric"]
    unit = "" if metric == Metric.R2 else " points"
    more = (
        f"{render.scored_difference(control['gain'], metric)}{render.give_or_take(control['standard_error'], metric)}"
    )
    scored = render.scored(control["score"], metric)
    return f"{control['what'][:1].upper()}{control['what'][1:]}: {scored}; the run {more}{unit} (one standard error)."


def _realized(metrics: Json, metric: str) -> None:
    estimated = metrics.get("estimated_seconds")
    judged = ""
    with st.container(horizontal=True):  # which a narrow screen breaks into two lines
        if "expected_mean" in metrics:
            low, high = metrics["expected_low"], metrics["expected_high"]
            judged = "within the interval" if low <= metrics["score"] <= high else "outside of the interval"
            reach = f"90 %: {render.scored_interval(low, high, metric)}"
            figure("Expected", render.scored(metrics["expected_mean"], metric), reach, TERMS["expected"])
        figure(f"Realized {metric}", render.scored(metrics["score"], metric), judged)
        words = "" if estimated is None else f"estimated {render.duration(estimated)}"
        figure("Took", render.duration(metrics["seconds"]), words)
        figure("Test rows", f"{metrics['rows_test']:,.0f}", f"{metrics['rows_train']:,.0f} to train on")


def _learned(result: Json) -> None:
    """What was transferred as it was, and what was learned anew."""
    st.subheader("Transferred and learned", anchor=False)
    forgetting = result.get("forgetting") or {}
    blocks = [row for row in forgetting.get("blocks", ()) if row["cka"] is not None]
    if blocks:
        picture(charts.drift_chart(blocks), f"The weights moved by {render.percent(forgetting['weights'])} in all.")
    else:
        st.caption("The backbone is as it was: only the head was learned.")


def _confused(run: RunFolder, result: Json) -> None:
    """What each class was taken for, and how it was learned."""
    rows, matrix = result.get("confusions") or (), run.path / "figures" / "confusion-matrix.png"
    if rows or matrix.is_file():
        st.subheader("What each class was taken for", anchor=False)
    if rows and len(result["classes"]) <= _OWN_AXES:
        words = "Test rows of each class by what they were taken for; the darker, the larger a share of the class."
        with st.container(width=_CELL * len(result["classes"]) + _NAMES):
            picture(charts.confusion_chart(rows, result["classes"]), words)
    elif matrix.is_file():
        st.image(str(matrix), alt="What each class was taken for")
    recorded = EventLog(run.path).curves
    if RANGE_RATE in recorded:
        st.subheader("How fast it may learn", anchor=False)
        picture(charts.range_chart(recorded[RANGE_RATE], recorded[RANGE_LOSS]), TERMS["range test"])
    curves = {name: [*curve.items()] for name, curve in recorded.items() if len(curve) > 1}
    if curves:
        st.subheader("How it learned", anchor=False)
        curves_of(curves, _expected(result["metrics"]))


def _expected(metrics: Json) -> Json | None:
    if "expected_mean" not in metrics:
        return None
    return {end: metrics[f"expected_{end}"] for end in ("mean", "low", "high")}


def _worst(zoo: Zoo, result: Json) -> None:
    """Test rows that it says wrongly and surely."""
    rows = result.get("mistakes") or ()
    if not rows:
        return
    st.subheader("Worst rows", anchor=False)
    quantity = rows[0]["confidence"] is None
    what = "farthest off" if quantity else "wrong, with the highest confidence"
    st.caption(f"Test rows that are {what}; a label may be at fault, too.")
    sample, few = result["sample"], rows[:_WORST]
    if change := changed_since(zoo, sample):
        st.caption(literal(f"{change} So the rows themselves are not shown."))
    tagged = sample["task"] == Task.TOKEN_CLASSIFICATION
    words = {
        row["item"]: (row["item"] if tagged else f"{row['label']} → {row['predicted']}")
        + ("" if row["confidence"] is None else f", {render.percent(row['confidence'])}")
        for row in few
    }
    gallery(zoo, sample, few, words, of_test=sample.get("test_rows") is not None)
    with st.expander(f"All that are listed ({len(rows)})"):
        table(
            [
                {
                    "row": row["item"],
                    "label": row["label"],
                    "predicted": row["predicted"],
                    **({"off by": f"{row['off']:.4g}"} if quantity else {"sure": render.percent(row["confidence"])}),
                }
                for row in rows
            ],
            "Mistakes",
        )
    st.download_button("Download CSV", mistakes_csv(rows), f"mistakes-{result['id']}.csv", "text/csv")


def _uses(zoo: Zoo, run: RunFolder, result: Json) -> None:
    """Predict, export, promote, MLflow: each by the queue."""
    st.subheader("What to do with it", anchor=False)
    _outcome_of_use(zoo, run)
    predict, export, promote, elsewhere = st.tabs(["Predict", "Export", "Promote", "MLflow"])
    with predict, st.form(f"predict-{run.id}", border=False):
        path = st.text_input("Path of what to predict", placeholder="/data/new")
        kinds = [kind.lstrip(".") for kind in (*DROPPABLE, *sorted(known_suffixes() - {*DROPPABLE}))]
        dropped = st.file_uploader("or drop items, a zip or a table", type=kinds, accept_multiple_files=True)
        typed = ""
        if modalities[result["sample"]["modality"]].text_is_item:
            typed = st.text_area("or type texts, one a line", placeholder="a text of your own")
        if st.form_submit_button("Predict"):
            lines = [line for line in typed.splitlines() if line.strip()]
            files = [(one.name, one.getvalue()) for one in dropped]
            files += [(f"typed-{number}.txt", line.encode()) for number, line in enumerate(lines, start=1)]
            _use(zoo, run.id, lambda: PredictRequest(run=run.id, path=_to_predict(zoo, path, files)))
    with export, st.form(f"export-{run.id}", border=False):
        folder = st.text_input("A new or empty folder", placeholder="exported")
        form = st.selectbox("As", ["transformers", "ONNX"])
        if st.form_submit_button("Export"):
            _use(zoo, run.id, lambda: _exporting(run.id, folder, onnx=form == "ONNX"))
    with promote, st.form(f"promote-{run.id}", border=False):
        name = st.text_input("What to call the new checkpoint", placeholder=f"{result['checkpoint']}-mine")
        st.caption("It joins the registry, with lineage; the next advice may start from it.")
        if st.form_submit_button("Promote"):
            _use(zoo, run.id, lambda: PromoteRequest(run=run.id, name=name.strip()))
    elsewhere.code(mlflow_command(zoo.home), language=None, wrap_lines=True)
    if result.get("mlflow_run_id"):
        elsewhere.caption(literal(f"MLflow run {result['mlflow_run_id']}"))


def _to_predict(zoo: Zoo, path: str, files: Sequence[tuple[str, bytes]]) -> Path:
    """Where what is to be predicted lies: what was dropped or typed, else a path."""
    if files:
        return save_uploads(zoo.home, files, viewer(), labelled=False).path
    return permitted_place(path)


def _exporting(run: str, folder: str, *, onnx: bool) -> ExportRequest:
    return ExportRequest(run=run, folder=permitted_place(folder), onnx=onnx, card=not onnx)


def _use(zoo: Zoo, run: str, make: Callable[[], Request]) -> None:
    """Queue what is asked for, and show the run with how far that is."""
    queue_and_show(zoo, "tune", make, followed_as="use", run=run)


def _outcome_of_use(zoo: Zoo, run: RunFolder) -> None:
    """What came of the use that the address names."""
    job = followed(zoo, st.query_params.get("use"))
    if job is None or job.result is None or job.spec.get("run") != run.id:
        return
    result: Mapping[str, Any] = job.result
    if job.kind == "predict":
        _predicted(zoo, job)
    elif job.kind == "export":
        st.success(literal(f"Written to {result['folder']}, opened again and checked."))
    elif job.kind == "zoo promote":
        name = str(result["checkpoint"])
        for note in result["notes"]:
            st.caption(literal(note))
        st.success(literal(f"{name} is in the zoo: the next advice may start from it."))
        if st.button("Look at it", icon=":material/inventory_2:"):
            go("zoo", card=name)


def _predicted(zoo: Zoo, job: JobRecord) -> None:
    answer = kept_answer(zoo.home, job.id)
    if answer is None:
        st.warning("What was predicted is not kept any more. Ask for it again.")
        return
    judged = answer["judged"]
    if judged is not None:
        st.success(f"{judged['metric']} {render.scored(judged['score'], judged['metric'])} on {judged['rows']:,} rows")
    plain = ("file", "prediction", "confidence")
    rows = [{key: row[key] for key in plain if row.get(key) is not None} for row in answer["rows"]]
    tagged = [row for row in answer["rows"] if row.get("words")]
    for row in tagged[:_WORST]:
        draw_tagged([(row["words"], row["prediction"])], f"{row['file']}, {render.percent(row['confidence'])}")
    if len(tagged) > _WORST:
        st.caption(f"The first {_WORST} of {len(tagged):,}; the CSV holds all.")
    if tagged:
        rows = [
            {"file": row["file"], "position": place, "word": word, "prediction": tag}
            for row in tagged
            for place, (word, tag) in enumerate(zip(row["words"], row["prediction"].split(), strict=True), start=1)
        ]
    else:
        _shown(zoo, job, rows)
        sortable(rows, "Predictions", f"predictions-{job.id}", shares=("confidence",))
    written = table_csv([*rows[0]] if rows else plain, rows)
    st.download_button("Download CSV", written, f"predictions-{job.id}.csv", "text/csv", key=f"predicted-{job.id}")
    for note in answer["notes"]:
        st.caption(literal(note))


def _shown(zoo: Zoo, job: JobRecord, rows: Sequence[Json]) -> None:
    """The first of what was predicted as pictures or texts, each with what is said of it."""
    sample = find_run(zoo.home, str(job.spec["run"])).result["sample"]
    first = rows[:_WORST]
    there = items_at(zoo, sample, place_of(job.spec), [row["file"] for row in first])
    words = {row["file"]: str(row["prediction"]) for row in first}
    words |= {
        row["file"]: f"{row['prediction']}, {render.percent(row['confidence'])}" for row in first if "confidence" in row
    }
    noun = modalities[sample["modality"]].words.one
    draw_previews([(words[name], preview) for name, preview in there.items()], noun)


def _recent(zoo: Zoo) -> None:
    """Earlier runs, to be looked at again."""
    runs = run_folders(zoo.home)[:_RECENT]
    if not runs:
        return
    st.subheader("Runs", anchor=False)
    rows = []
    for run in runs:
        form, result = run.to_form(), run.result
        score = render.scored(result["metrics"]["score"], result["sample"]["metric"]) if result else ""
        rows.append(
            {
                "sample": form.sample_name,
                "checkpoint": form.checkpoint,
                "realized": score,
                "strategy": form.strategy,
                "state": str(run.state),
                "run": run.id,
            }
        )
    places = ticked(rows, "Look at a run", 1, "runs")
    st.caption("Tick a row to look at the run.")
    if places and (name := runs[places[0]].id) != st.query_params.get("run"):
        go("tune", run=name)
