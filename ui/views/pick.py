"""Pick: from a path or a dropped file to advice, and all that there is to see of it on one screen."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from recommender import charts
from recommender.checks import check_request
from recommender.constraints import Constraints
from recommender.effort import Effort
from recommender.requests import (
    RecommendRequest,
    SampleRequest,
    place_of,
    recommend_request,
    request_of,
    sample_request,
)
from recommender.results import Verdict
from registry.cards import METRICS, Checkpoint, JobRecord, Metric, Task
from registry.errors import TransferZooError
from registry.forms import Json
from registry.health import MOST_PAIRS
from registry.listings import Listing
from registry.modalities import Preview, modalities
from registry.readers.rows import known_suffixes
from registry.sample import Sample
from registry.zoo import Zoo
from ui import access, answers, job_queue, render, reproduce
from ui.glossary import PLANS, TERMS, terms_of
from ui.sample_data import laid_out
from ui.strangers import markdown as literal
from ui.strangers import novelty_csv, pairs_csv, suspects_csv
from ui.uploads import DROPPABLE, discard_upload, save_uploads
from ui.views.absent import absent_checkpoints, limits
from ui.views.hub_data import fetched_data, from_hub
from ui.views.items import changed_since, draw_previews, draw_tagged, gallery, is_readable, previews_of, side_by_side
from ui.views.parts import (
    advice_named,
    broken,
    domains_drawn,
    earlier_advice,
    figure,
    go,
    job_named,
    opened_zoo,
    outcomes_table,
    page_of_job,
    permitted_place,
    picture,
    queue_and_show,
    refused,
    viewer,
    watch,
    when,
)
from ui.views.tables import table

__all__ = ["pick_page"]

_ROWS = 20
_REASONS = 2
"""Reasons that are read at once."""
_SUSPECTS, _NOVEL = 12, 12
"""Rows that are shown as pictures or texts."""
_LABEL = 40
"""Letters of a label that is written beside a row."""
_EXPECTED, _GAIN = "expected (90 %)", "gain (90 %)"
"""Headings of columns that hold intervals, with their level."""
_COLUMNS = {
    "text": "Column of texts",
    "label": "Column of labels",
    "text2": "Column of a pair's second text",
    "group": "Column of groups",
    "time": "Column of times",
}


def pick_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    fresh = "job" not in st.query_params and not earlier_advice(zoo)
    with st.sidebar:
        if not fresh:
            _request_form(zoo)
        _earlier(zoo)
    job = job_named(zoo, st.query_params.get("job"))
    if job is not None:
        _followed(zoo, job)
        return
    advice = advice_named(zoo, st.query_params.get("advice"))
    if advice is None:
        _welcome(zoo)
        if fresh:  # where there is nothing else, what to begin with is seen on a narrow screen too
            _request_form(zoo)
        return
    _show(zoo, advice)


# ---------------------------------------------------------------- what is asked for


def _request_form(zoo: Zoo) -> None:
    """Where the sample lies and what to mind; starts a job."""
    st.markdown("### Data")
    with st.form("ask", border=False):
        path = st.text_input("Path on this machine", placeholder="/data/my-data", key="path", help=_roots())
        kinds = [*DROPPABLE, *sorted(known_suffixes() - {*DROPPABLE})]
        dropped = st.file_uploader(
            "or drop a zip, tables, or loose files with a table of their targets",
            type=[kind.lstrip(".") for kind in kinds],
            accept_multiple_files=True,
            help="Loose files need one CSV beside them with the columns file and target.",
        )
        submitted = st.form_submit_button("Recommend", type="primary", width="stretch")
    from_hub(zoo)
    with st.expander("Options"):
        try:
            options = _options(zoo)
        except TransferZooError as failure:
            refused(failure)
            return
    if not submitted:
        return
    if not dropped and not path.strip():
        st.warning("Give a path, or drop a file.")
        return
    upload = None
    try:
        if dropped:
            upload = save_uploads(zoo.home, [(one.name, one.getvalue()) for one in dropped], viewer())
            options |= {} if upload.labels is None else {"labels": str(upload.labels)}
        place = permitted_place(path) if upload is None else upload.path
        request = RecommendRequest(**_request(place, options))
        check_request(request, zoo)
    except TransferZooError as failure:
        if upload is not None:
            discard_upload(upload)
        refused(failure)
        st.query_params.pop("job", None)  # what became of an earlier one is not what is wrong now
        return
    go("pick", job=job_queue.enqueue(zoo, request).id)


def _roots() -> str:
    listed = ", ".join(f"`{root}`" for root in access.roots())
    return f"Below {listed}. `transferzoo picker --root DIR` adds others."


def _request(place: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request: those of its sample apart."""
    own = {name: value for name, value in options.items() if name in RecommendRequest.model_fields}
    read = {name: value for name, value in options.items() if name in SampleRequest.model_fields}
    return {**own, "sample": {"path": place, **read}}


def _options(zoo: Zoo) -> dict[str, Any]:
    st.markdown("**How the data are read**")
    labels = _typed_place("Labels (CSV: file, target)", placeholder="none: folders are the classes")
    columns = {name: st.text_input(label, placeholder="recognized") for name, label in _COLUMNS.items()}
    task = st.selectbox("Task", [None, *map(str, Task)], format_func=lambda name: name or "as the labels tell")
    judged = dict.fromkeys(str(metric) for task in Task for metric in METRICS[task])
    metric = st.selectbox("Metric", [None, *judged], format_func=lambda name: name or "the task's usual one")
    groups = _typed_place("Groups (CSV: file, group)")
    test = _typed_place("Your own test part")
    apart = st.toggle("Items that look alike are independent", help="Else they are one group, which no fold parts.")
    unlabelled = _typed_place("More items without labels", help=TERMS["unlabelled"])
    st.markdown("**Constraints**")
    most = st.number_input("Most parameters (millions)", 0.0, None, None, placeholder="no limit")
    licenses = st.text_input("Licenses", placeholder="any; else: mit, apache", help="Separated by commas.")
    bounds = limits()
    options = {
        "labels": labels,
        "task": task,
        "metric": metric,
        "max_parameters": int(most * 1e6) if most else None,
        "licenses": tuple(one.strip() for one in licenses.split(",") if one.strip()),
        "groups": groups,
        "test": test,
        "unlabelled": unlabelled,
        "keep_duplicates": apart,
        **bounds,
        **{name: value.strip() for name, value in columns.items() if value.strip()},
    }
    _left(zoo, options)
    st.markdown("**Effort**")
    effort = st.selectbox("Effort", [*map(str, Effort)], [*Effort].index(Effort.NORMAL), help=TERMS["effort"])
    budget = st.text_input("Time for the advice", placeholder="as long as it takes; else: 90s, 5min")
    keep = st.number_input(
        "Checkpoints to probe", 1, 50, 5, help="The best of a race of all; of a tie, the better half."
    )
    seed = st.number_input("Seed", 0, None, 0, help="Everything random follows it.")
    spent = {"effort": effort, "time_budget": budget.strip() or None}
    return {**options, **spent, "keep": int(keep), "seed": int(seed)}


def _left(zoo: Zoo, options: Mapping[str, Any]) -> None:
    """How many checkpoints the constraints leave."""
    request = RecommendRequest(
        sample=SampleRequest(path=Path("/")), **{k: v for k, v in options.items() if k in _BOUNDS}
    )
    bounds = Constraints(
        request.max_parameters,
        request.licenses,
        max_bytes=request.max_bytes,
        max_memory=request.max_memory,
    )
    known: list[Checkpoint | Listing] = [*zoo.checkpoints(), *zoo.unregistered()]
    left = [card for card in known if not bounds.objections(card, zoo)]
    here = sum(card in left for card in zoo.checkpoints())
    st.caption(f"{len(left)} of {len(known)} checkpoints are left, {here} of them here.")


_BOUNDS = ("max_parameters", "licenses", "max_bytes", "max_memory")


def _typed_place(label: str, placeholder: str = "none", help: str | None = None) -> str | None:
    """The path of a file or folder, where one is typed."""
    typed = st.text_input(label, placeholder=placeholder, help=help)
    return str(permitted_place(typed)) if typed.strip() else None


def _earlier(zoo: Zoo) -> None:
    """Kept advice, to be looked at again."""
    kept = earlier_advice(zoo)
    if kept:
        st.markdown("##### Earlier advice")
    for stamp, advice in kept:
        with st.container(gap=None):
            if st.button(literal(advice["sample"]["name"]), key=f"advice-{advice['id']}", type="tertiary"):
                go("pick", advice=str(advice["id"]))
            st.caption(literal(f"{when(stamp)}, {_best_words(advice)}"))


def _best_words(advice: Json) -> str:
    if not advice["choices"]:
        return "distances only"
    return str(advice["choices"][0]["checkpoint"]) if advice["verdict"]["transfer"] else "do not transfer"


def _followed(zoo: Zoo, job: JobRecord) -> None:
    """Show a job by itself, or what has come of it."""
    if job.kind == "data fetch":
        st.subheader(literal(f"{job.spec['hub']}, a data set of the hub"), anchor=False)
        fetched_data(zoo, job)
        return
    if job.kind != "recommend":
        page, place = page_of_job(job)
        go(page, **place)
    if job.state == "finished" and job.result is not None:
        go("pick", advice=str(job.result["recommendation"]))
    st.subheader(literal(f"Looking at {Path(place_of(job.spec)).name}"), anchor=False)
    if job.state not in job_queue.OVER:
        watch(zoo, job.id)
        return
    broken(zoo, job)
    if job.state in {"lost", "cancelled"}:
        st.caption("What was measured until then is kept: it goes on from there.")
        if st.button("Go on", type="primary", icon=":material/replay:"):
            queue_and_show(zoo, "pick", lambda: request_of(job.kind, job.spec))


# ---------------------------------------------------------------- the advice


def _welcome(zoo: Zoo) -> None:
    st.title("Which pretrained model should I start from?", anchor=False)
    st.markdown(
        f"Give a folder of {' or '.join(known.words.many for known in modalities.values())}, one folder a class, a "
        "zip of it, or a table. You get a ranked list of checkpoints, how much of each to freeze, the score to expect, "
        "and what *no transfer* would score."
    )
    st.markdown("Without data of your own, try it with sample data that lie here already:")
    with st.container(horizontal=True):
        for target, (label, icon, words) in _SAMPLE_DATA.items():
            if st.button(label, icon=icon, help=words, key=f"sample-{target}"):
                queue_and_show(zoo, "pick", partial(_on_sample_data, target, zoo))


_SAMPLE_DATA = {
    "surfaces": (
        "Sample photographs",
        ":material/image:",
        "Patches of fourteen photographs that scikit-image brings, to be told apart.",
    ),
    "text": ("Sample texts", ":material/notes:", "What SciPy says of its functions: which part is each of?"),
}
"""What to begin with: names of targets of `ui.sample_data`, and how their buttons are called."""


def _on_sample_data(target: str, zoo: Zoo) -> RecommendRequest:
    folder, groups = laid_out(target, zoo.home)
    return RecommendRequest(sample=SampleRequest(path=folder, groups=groups))


def _show(zoo: Zoo, advice: Json) -> None:
    sample = advice["sample"]
    st.title(literal(sample["name"]), anchor=False)
    st.caption(literal(f"{render.sample_words(sample)}; {sample['origin']}"))
    verdict = Verdict.from_form(advice["verdict"])
    bet = st.success if verdict.beyond_chance else st.info
    (bet if verdict.transfer else st.warning)(literal(verdict.sentence))
    if advice.get("undone"):
        left = "; ".join(f"{row['checkpoint']}: {row['reason']}" for row in advice["undone"])
        st.warning(literal(f"Time was over before all was done. {left}"))
        _go_on(zoo, advice)
    changed, place = st.container(), 0
    if advice["choices"]:
        place = _chosen(advice)
        _headline(advice, place)
    with changed:  # of which the files tell: after what is known without them
        _changed(zoo, advice)
    if advice["choices"]:
        _answered("sure", "How sure", answers.sure_line(advice, place), partial(_sureness, advice))
        _answered("cost", "What it costs", answers.takes_line(advice, place), partial(_costs, advice))
    _answered("near", "Where my data lies", answers.data_line(advice["domains"]), partial(_domains, zoo, advice))
    if advice["choices"]:
        because = answers.why_line(advice["choices"][place])
        _answered("why", "Why this and not that", because, partial(_reasons, advice, place))
    _answered("odd", "What is odd in my data", answers.odd_line(advice), partial(_oddities, zoo, advice))
    _answered("again", "How to do it again", answers.AGAIN, partial(_again, zoo, advice, place))
    if not_here := answers.absent_line(advice):
        _answered("absent", "Known, but not here", not_here, partial(_absent, zoo, advice))
    outcomes = zoo.history(sample_digest=sample["digest"])
    if outcomes:
        last = answers.before_line(outcomes)
        _answered(
            "before", "What became of this sample so far", last, partial(outcomes_table, outcomes, ("sample", "metric"))
        )


def _changed(zoo: Zoo, advice: Json) -> None:
    """Where the rows are others by now: that they are, and advice on what lies there."""
    change = changed_since(zoo, advice["sample"])
    if change is None:
        return
    st.warning(literal(f"{change} Rows are not shown, for these labels are not theirs."))
    if not Path(advice["sample"]["origin"]).exists():
        return
    if st.button("Advise again", icon=":material/replay:", key=f"changed-{advice['id']}"):
        queue_and_show(zoo, "pick", lambda: recommend_request(advice))


def _answered(key: str, question: str, answer: str, draw: Callable[[], object]) -> None:
    """A question and its answer in a line; the rest is drawn when it is opened, which the address keeps."""
    section = st.expander(f"**{question}:** {literal(answer)}", key=key, on_change="rerun", bind="query-params")
    if section.open:
        with section:
            draw()


def _absent(zoo: Zoo, advice: Json) -> None:
    absent_checkpoints(advice, zoo.home.root, lambda request: go("pick", job=job_queue.enqueue(zoo, request).id))


def _go_on(zoo: Zoo, advice: Json) -> None:
    """Go on with advice that time did not do for."""
    again, how_long = st.columns([1, 2], vertical_alignment="bottom")
    budget = how_long.text_input("Time for it", placeholder="as long as it takes; else: 90s, 5min", key="more-time")
    if again.button("Go on with it", type="primary", icon=":material/replay:", width="stretch"):
        queue_and_show(zoo, "pick", lambda: _continued(advice, budget.strip() or None))


def _continued(advice: Json, budget: str | None) -> RecommendRequest:
    sample = sample_request(advice["sample"], advice["settings"]["seed"])
    spent: dict[str, Any] = {"time_budget": budget}
    return RecommendRequest(sample=sample, continues=str(advice["id"]), **spent)


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


def _headline(advice: Json, place: int) -> None:
    """Expected score, gain and cost of a choice, and what stays frozen of it."""
    choice, base = advice["choices"][place], advice["baseline"]
    metric, cost = choice["expected"]["metric"], choice["cost"]
    reach = render.scored_interval(choice["expected"]["low"], choice["expected"]["high"], metric)
    more, between = render.gained(choice["gain"], metric)
    taken = f"{render.size(cost['peak_memory_bytes'])} of memory on {cost.get('device', 'cpu')}"
    raw = f"90 %: {render.scored_interval(base['low'], base['high'], metric)}"
    with st.container(horizontal=True):  # which a narrow screen breaks into two lines
        figure(
            f"Expected {metric}", render.scored(choice["expected"]["mean"], metric), f"90 %: {reach}", TERMS["expected"]
        )
        figure("No transfer", render.scored(base["mean"], metric), raw, TERMS["no transfer"])
        figure("Gain" if metric == Metric.R2 else "Gain in points", more, f"90 %: {between}", TERMS["gain"])
        figure("Takes", render.duration(cost["seconds"]), taken, TERMS["cost"])
    drawn, worded = st.columns([3, 2], gap="large")
    with drawn:
        st.subheader("What stays frozen", anchor=False)
        _frozen(
            choice,
            "From input to output, each block as high as it has parameters, though never too low to be read; beside "
            "it what a linear head scores after it, ± one standard error.",
        )
    with worded:
        st.subheader("Because", anchor=False)
        reasons = [f"- {literal(reason)}" for reason in choice["because"]]
        st.markdown("\n".join(reasons[:_REASONS]))
        if reasons[_REASONS:]:
            st.caption(f"{len(reasons) - _REASONS} more reasons stand below, under *why this and not that*.")
        st.caption(literal(f"{choice['strategy']}: {PLANS.get(choice['strategy'], 'a strategy of a plug-in')}."))
        if st.button("Tune it", type="primary", icon=":material/tune:", key=f"tune-{advice['id']}"):
            go("tune", advice=str(advice["id"]), row=str(place + 1))


def _frozen(choice: Json, words: str) -> None:
    """What stays frozen of a choice; of one to which no row was shown it is not known yet."""
    if choice["blocks"]:
        picture(charts.freeze_diagram(choice), words)
    else:
        st.caption("No row was shown to it yet: it is probed when it is tuned, and planned then.")


def _sureness(advice: Json) -> None:
    words = "Within a tier no difference lies beyond chance; the band is no transfer with its interval."
    picture(charts.forest_plot(advice), words)
    metric = advice["sample"]["metric"]
    rows = [_row(choice) for choice in advice["choices"]]
    base = advice["baseline"]
    rows.append(
        {"tier": "", "checkpoint": "no transfer", "strategy": base["model"], _EXPECTED: _expected(base, metric)}
    )
    helped = {name: TERMS[name] for name in ("tier", "nearer than", "cost")} | {_GAIN: TERMS["gain"]}
    table(rows, "Choices", helped)
    terms = terms_of([choice["strategy"] for choice in advice["choices"]])
    st.caption("  \n".join(f"**{literal(name)}**: {literal(meaning)}" for name, meaning in terms))


def _row(choice: Json) -> dict[str, str]:
    metric, cost = choice["expected"]["metric"], choice["cost"]
    more, reach = render.gained(choice["gain"], metric)
    return {
        "tier": str(choice["tier"]),
        "checkpoint": choice["checkpoint"],
        "strategy": choice["strategy"],
        _EXPECTED: _expected(choice["expected"], metric),
        _GAIN: f"{more} ({reach})",
        "cost": render.duration(cost["seconds"]),
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


def _costs(advice: Json) -> None:
    names: dict[charts.Measure, str] = {
        "seconds": "Time",
        "peak_memory_bytes": "Memory",
        "trainable_parameters": "Parameters that learn",
    }
    measure = st.radio("Cost", [*names], format_func=names.__getitem__, horizontal=True, label_visibility="collapsed")
    words = (
        "Blue: no other choice is as good at no more cost. Lines are 90 % intervals; the scale of costs is logarithmic."
    )
    picture(charts.pareto_front(advice, measure), words)


def _domains(zoo: Zoo, advice: Json) -> None:
    if not advice["domains"]:
        st.caption("No source domain has a sketch here.")
        return
    distances = {row["domain"]: row["value"] for row in advice["domains"]}
    drawn = domains_drawn(zoo, advice["sample"]["modality"], distances, advice["sample"]["name"])
    left, right = st.columns(2, gap="large")
    with left:
        words = (
            f"What lies near looks alike through the lens; the plane shows {100 * drawn.kept:.0f} % of what differs."
        )
        picture(charts.map_chart(drawn), words)
    with right:
        picture(charts.distance_chart(advice["domains"]), "Smaller is nearer; lines are 90 % intervals.")


def _reasons(advice: Json, place: int) -> None:
    """What moves the expectation of a choice, beside that of another one; which strategies were passed over."""
    choices = advice["choices"]
    st.markdown("\n".join(f"- {literal(reason)}" for reason in choices[place]["because"]))
    fused = [row for row in range(len(choices)) if choices[row].get("basis") and row != place]
    shown_choices = [choices[place]] if choices[place].get("basis") else []
    if fused:
        names = [charts.row_name(choice) for choice in choices]
        other = st.selectbox("Beside", fused, format_func=names.__getitem__, key=f"beside-{advice['id']}-{place}")
        shown_choices.append(choices[other])
    if shown_choices:
        words = "What is known of other samples moves the expectation away from the probe; points of the metric."
        picture(charts.contribution_bars(shown_choices), words)
    passed = choices[place].get("passed_over", ())
    if passed:
        st.markdown("Other strategies for the same checkpoint:")
        metric = choices[place]["expected"]["metric"]
        table(
            [
                {
                    "strategy": row["strategy"],
                    _EXPECTED: _expected(row, metric),
                    "passes over the rows": f"{row['passes']:.3g}",
                    "what it is": PLANS.get(row["strategy"], ""),
                }
                for row in passed
            ],
            "Other strategies",
        )
    if considered := advice.get("considered"):
        st.caption(literal(considered))
    if advice["skipped"]:
        with st.expander(f"Skipped ({len(advice['skipped'])})"):
            skipped = [f"{row['checkpoint']}: {row['reason']}" for row in advice["skipped"]]
            st.markdown("\n".join(f"- {literal(line)}" for line in skipped))


# ---------------------------------------------------------------- the data


def _oddities(zoo: Zoo, advice: Json) -> None:
    """Health in words, then rows by what is odd about them, a tab each."""
    sample = advice["sample"]
    _health(sample)
    shift = advice.get("shift")
    if shift is not None:
        st.caption(literal(shift["sentence"]))
    doubts, novelty = advice.get("suspects") or {}, advice.get("novelty")
    parts: dict[str, Callable[[], None]] = {}
    if pairs := sample["health"].get("pairs"):
        parts[f"Alike ({len(pairs)})"] = partial(_pairs, zoo, advice)
    if rows := doubts.get("rows"):
        parts[f"Labels in doubt ({len(rows)})"] = partial(_doubts, zoo, advice)
    if novelty:
        parts[f"Least like {_brief(novelty['domain'])}"] = partial(_novel, zoo, advice)
    if len(sample["counts"] or ()) > 1:
        parts[f"Classes ({len(sample['counts'])})"] = partial(_class_balance, sample)
    parts["Rows, as they are read"] = partial(_previewed, zoo, sample)
    for tab, draw in zip(st.tabs([literal(name) for name in parts]), parts.values(), strict=True):
        with tab:
            draw()


def _class_balance(sample: Json) -> None:
    words = f"The smallest class has {100 * sample['health']['balance']:.0f} % of the rows of the largest."
    picture(charts.class_bars(sample["counts"], "training rows"), words)


def _pairs(zoo: Zoo, advice: Json) -> None:
    """Rows that are the same or alike, two beside one another."""
    sample = advice["sample"]
    rows = sample["health"]["pairs"]
    kinds = Counter(row["likeness"] for row in rows)
    kind = st.radio(
        "Likeness",
        [*kinds],
        format_func=lambda name: f"{name} ({kinds[name]})",
        horizontal=True,
        key=f"alike-{advice['id']}",
        label_visibility="collapsed",
    )
    st.caption(f"{_ALIKE[kind]} At most {MOST_PAIRS} pairs are listed.")
    chosen = [row for row in rows if row["likeness"] == kind]
    first = previews_of(zoo, sample, [row["item"] for row in chosen])
    second = previews_of(zoo, sample, [row["other"] for row in chosen], of_test="test row" in kind)
    side_by_side(
        [
            (
                (f"{row['item']}: {_brief(row['label'])}", first.get(row["item"])),
                (f"{row['other']}: {_brief(row['other_label'])}", second.get(row["other"])),
            )
            for row in chosen
        ],
        f"alike-page-{advice['id']}-{kind}",
    )
    name = f"alike-{advice['id']}.csv"
    st.download_button("Download CSV", pairs_csv(rows), name, "text/csv", key=f"alike-csv-{advice['id']}")


_ALIKE = {
    "same content": "One of them is left out; where the labels differ, both are.",
    "alike": "They are one group, which no fold parts, unless near duplicates are kept.",
    "same content as a test row": "Left: the training row, which is left out. Right: the test row.",
    "like a test row": "Left: the training row, which is left out where its class has others. Right: the test row.",
}


def _brief(label: str) -> str:
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"


def _doubts(zoo: Zoo, advice: Json) -> None:
    """Labels in doubt, each row beside the label that is suggested."""
    doubts = advice["suspects"]
    rows, sample = doubts["rows"], advice["sample"]
    believed = f" But {trust}." if (trust := render.doubt_words(doubts)) else ""
    st.caption(
        literal(
            f"Of {doubts['rows_judged']:,} rows that were looked at. The heads of {', '.join(doubts['checkpoints'])} "
            f"would give others; none is changed.{believed}"
        )
    )
    listed = rows[:_SUSPECTS]
    words = {row["item"]: f"{_brief(row['label'])} → {_brief(row['suggested'])}?" for row in listed}
    gallery(zoo, sample, listed, words)
    table(
        [
            {
                "row": row["item"],
                "label": row["label"],
                "chance of it": render.percent(row["probability"]),
                "suggested": row["suggested"],
                "chance of that": render.percent(row["suggested_probability"]),
            }
            for row in rows
        ],
        "Labels in doubt",
    )
    st.download_button(
        "Download CSV", suspects_csv(rows, doubts.get("hardest", ())), f"suspects-{advice['id']}.csv", "text/csv"
    )


def _novel(zoo: Zoo, advice: Json) -> None:
    """The rows that are least like the source domain."""
    novelty = advice["novelty"]
    rows, domain = novelty["rows"], novelty["domain"]
    st.caption(
        literal(
            f"{novelty['rows_beyond']} of {novelty['rows_judged']:,} rows lie farther from {domain}, which the best "
            f"choice comes from or lies nearest to, than any of its own {novelty['rows_of_domain']} reference rows "
            "does. Below each: its label, and how many percent of those lie nearer."
        )
    )
    few = rows[:_NOVEL]
    tagged = advice["sample"]["task"] == Task.TOKEN_CLASSIFICATION
    words = {
        row["item"]: f"{row['item'] if tagged else _brief(row['label'])}, {100 * row['farther_than']:.0f} %"
        for row in few
    }
    gallery(zoo, advice["sample"], few, words)
    st.download_button("Download CSV", novelty_csv(rows), f"novel-{advice['id']}.csv", "text/csv")


def _health(sample: Json) -> None:
    health, converted = sample["health"], render.converted_words(sample)
    for warning in health["warnings"]:
        st.markdown(f":orange[:material/warning:] {literal(warning)}")
    quiet = [] if health["warnings"] else ["Health: nothing amiss."]
    quiet += [] if converted is None else [f"{converted[0].upper()}{converted[1:]}."]
    if quiet:
        st.caption(literal(" ".join(quiet)))


def _previewed(zoo: Zoo, sample: Json) -> None:
    """A few items of each class: pictures, players, or rows of text."""
    modality = modalities[sample["modality"]]
    if not is_readable(zoo, sample):
        st.caption(f"The {modality.words.many} lie outside of the folders that this page may read: none is shown.")
        return
    if changed_since(zoo, sample):
        st.caption(f"The {modality.words.many} are not those that were looked at, so none is shown.")
        return
    kept = json.dumps(sample, sort_keys=True, default=str)
    if modality.positions is not None and sample["task"] == Task.TOKEN_CLASSIFICATION:
        if tagged := _tagged(kept):
            draw_tagged(tagged)
        return
    previews = _previews(kept)
    if not previews:
        st.caption(f"The {modality.words.many} are not where they were, so none is shown.")
        return
    draw_previews(previews, modality.words.one)


@st.cache_data(show_spinner="Reading a few of them", max_entries=50)
def _previews(kept: str) -> list[tuple[str, Preview]]:
    """A few items of each class, small; nothing where they cannot be read any more."""
    sample = json.loads(kept)
    read = _few_of(sample, max(_ROWS, 2 * sample["classes"]))
    if read is None:
        return []
    by_class: dict[str, list[Preview]] = {}
    for item, label in zip(read.items, read.labels, strict=True):
        by_class.setdefault(label, []).append(modalities[read.modality].preview(item))
    each = max(1, _ROWS // len(by_class))
    return [(label, one) for label in sorted(by_class) for one in by_class[label][:each]][:_ROWS]


@st.cache_data(show_spinner="Reading a few of them", max_entries=50)
def _tagged(kept: str) -> list[tuple[tuple[str, ...], str]]:
    """The positions of a few rows with their tags; nothing where they cannot be read any more."""
    sample = json.loads(kept)
    read, kind = _few_of(sample, _ROWS), modalities[sample["modality"]].positions
    if read is None or kind is None:
        return []
    return [(kind.of(item), label) for item, label in zip(read.items, read.labels, strict=True)][:_ROWS]


def _few_of(sample: Json, rows: int) -> Sample | None:
    """A draw of what a kept sample was read from; None where it cannot be read any more."""
    try:
        request = sample_request(sample, 0).model_dump(exclude={"path", "groups", "test", "limit", "seed", "metric"})
        return Sample.from_folder(sample["origin"], limit=rows, **request)
    except (TransferZooError, OSError):
        return None


# ---------------------------------------------------------------- again


def _again(zoo: Zoo, advice: Json, place: int) -> None:
    """The same from a terminal or from Python, and the advice as documents."""
    typed, coded, form, documents = st.tabs(["Command", "Python", "JSON", "Documents"])
    lines = f"{reproduce.advice_commands(advice, zoo.home.root, place)}\n{reproduce.mlflow_command(zoo.home)}"
    python = reproduce.advice_python(advice, zoo.home.root, place)
    for line in lines.splitlines():
        typed.code(line, language=None, wrap_lines=True)
    coded.code(python, language="python", wrap_lines=True)
    name = f"advice-{advice['id']}"
    form.download_button("Download JSON", json.dumps(advice, indent=2), f"{name}.json", "application/json")
    form.json(advice, expanded=1)
    reproduction = {"command": lines, "Python": python}
    for kind, ending, mime in (("HTML", "html", "text/html"), ("Markdown", "md", "text/markdown")):
        write = partial(_document, advice, reproduction, pictures=kind == "HTML")
        documents.download_button(f"Download {kind}", write, f"{name}.{ending}", mime, help="It stands alone.")


def _document(advice: Json, reproduction: Mapping[str, str], *, pictures: bool) -> str:
    from recommender import reports  # noqa: PLC0415 - loads what draws SVG, which the page need not

    return (reports.html_report if pictures else reports.advice_markdown)(advice, reproduction)
