"""Results of others: shown first, kept when wanted, told apart from what was measured here, forgotten as a whole."""

from dataclasses import replace

import pytest

from recommender.history import History, track_record
from recommender.imports import forget_import, import_results, outcome_sources, outcomes_of
from recommender.requests import ForgetRequest, ImportRequest
from registry.cards import Metric, Origin, Outcome, Task
from registry.errors import BadTable, MlflowUnusable, UnknownName, UnusableRequest
from registry.zoo import Zoo
from tests.registry.fakes import a_catalog

TABLE = "net,data,mode,acc,lr\nmean color,birds,full,91.5,0.1\nother,birds,full,40,0.2\nother,cars,full,,0.3\n"
COLUMNS = {"checkpoint": "net", "sample": "data", "strategy": "mode", "score": "acc"}


@pytest.fixture
def zoo(tmp_path):
    catalog = a_catalog(tmp_path / "catalog")
    (catalog / "outcomes").mkdir()
    (catalog / "outcomes" / "paper.csv").write_text("checkpoint,sample_name,strategy,score\nother,cars,full,0.5\n")
    return Zoo.open(tmp_path / "home", catalog=catalog)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(TABLE)
    return path


def import_request(table, **more):
    return ImportRequest(origin=str(table), **{**COLUMNS, **more})


def ours(number: int, expected: tuple[float, float, float] | None, score: float, **conditions) -> Outcome:
    interval = None if expected is None else dict(zip(("mean", "low", "high"), expected, strict=True))
    known = {"expected": None if interval is None else {"metric": "accuracy", **interval}, **conditions}
    return Outcome(
        f"run-{number}",
        "net",
        "lp-ft" if number % 2 else "linear-probe",
        "digest",
        "birds",
        Task.CLASSIFICATION,
        Metric.ACCURACY,
        score,
        0.01,
        100,
        50,
        1.0,
        Origin.OURS,
        f"2026-01-{number:02d}",
        conditions=known,
    )


def test_an_import_is_shown_before_anything_is_written(zoo, table):
    before = len(zoo.history())
    shown = import_results(import_request(table), zoo)
    assert (shown.outcomes, shown.checkpoints, shown.samples, shown.written) == (2, 2, 1, False)
    assert [row.score for row in shown.first] == [0.915, 0.4]
    assert (shown.left_out, shown.reasons[0].row, shown.reasons[0].reason) == (1, "line 4", "nothing is no accuracy")
    assert len(zoo.history()) == before


def test_what_is_kept_names_its_source_and_what_stood_beside_it(zoo, table):
    written = import_results(import_request(table, yes=True), zoo)
    [first, _] = outcomes_of(zoo, written.id)
    assert (first.checkpoint, first.origin) == ("mean-color", Origin.PUBLISHED)  # the registry's own name of it
    assert first.citation == "results.csv, line 2"
    assert first.conditions["status"] == "claimed"
    assert first.conditions["stated"] == {"lr": "0.1"}
    assert written.unknown == ("other",)
    assert written.taken_for == {"mean color": "mean-color"}


def test_the_same_again_adds_nothing_and_is_forgotten_as_a_whole(zoo, table):
    written = import_results(import_request(table, yes=True), zoo)
    again = import_results(import_request(table, yes=True), zoo)
    assert (again.outcomes, again.known_before) == (0, 2)
    assert [(row.status, row.outcomes) for row in outcome_sources(zoo)] == [("claimed", 2), ("bundled", 1)]
    forgotten = forget_import(ForgetRequest(name=written.id[:5]), zoo)
    assert (forgotten.id, forgotten.outcomes) == (written.id, 2)
    assert [row.status for row in outcome_sources(zoo)] == ["bundled"]


def test_what_came_with_the_catalog_is_not_forgotten(zoo):
    with pytest.raises(UnusableRequest, match="it is bundled"):
        forget_import(ForgetRequest(name="paper"), zoo)
    with pytest.raises(UnknownName):
        forget_import(ForgetRequest(name="nothing"), zoo)


def test_a_measured_table_is_told_apart_from_a_claim_and_neither_corrects_an_expectation(zoo, table):
    import_results(import_request(table, measured=True, yes=True), zoo)
    history = History(zoo.history())
    assert {one.origin for one in zoo.history()} == {Origin.ELSEWHERE, Origin.PUBLISHED}
    assert history.advantage("mean-color") > 0 > history.advantage("other")
    assert history.probe_error("digest").outcomes == 0


def test_a_table_of_timm_is_known_by_its_headings_and_its_name(zoo, tmp_path):
    path = tmp_path / "results-imagenet-r.csv"
    path.write_text("model,img_size,top1,top1_err,top5,crop_pct\nvit_x.in1k,224,53.5,46.5,70.1,0.9\n")
    [row] = import_results(ImportRequest(origin=str(path)), zoo).first
    assert (row.sample_name, row.strategy, row.score) == ("ImageNet-R", "as published", 0.535)


def test_every_other_column_of_a_wide_table_is_a_sample_in_its_own_unit(zoo, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("model,birds,cars,loss\nvit,91.2,0.5,-0.04\nresnet,88.1,0.4,-0.05\n")
    request = ImportRequest(origin=str(path), checkpoint="model", wide=True, constants=["strategy=full"])
    shown = import_results(request, zoo)
    scores = {(row.checkpoint, row.sample_name): row.score for row in shown.first}
    wanted = {("vit", "birds"): 0.912, ("resnet", "birds"): 0.881, ("vit", "cars"): 0.5, ("resnet", "cars"): 0.4}
    assert scores == pytest.approx(wanted)
    assert {row.strategy for row in shown.first} == {"full"}
    assert shown.left_out == 2


def test_a_table_of_ranks_is_no_table_of_scores(zoo, tmp_path):
    path = tmp_path / "ranks.csv"
    path.write_text("model,birds,cars\nvit,3,1\nresnet,12,40\n")
    with pytest.raises(UnusableRequest, match="whole numbers"):
        import_results(ImportRequest(origin=str(path), checkpoint="model", wide=True), zoo)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"score": None}, "it is not said which column holds it"),
        ({"score": "accuracy"}, "there is no 'accuracy'"),
    ],
)
def test_a_column_that_is_missing_is_named_with_those_that_are_there(zoo, table, fields, words):
    with pytest.raises(UnusableRequest, match=words) as raised:
        import_results(import_request(table, **fields), zoo)
    assert "net, data, mode, acc, lr" in raised.value.remedy


def test_a_ragged_line_and_an_empty_table_are_named(zoo, tmp_path):
    for text, words in (("net,acc\nvit,0.5,0.6\n", "line 2 has more cells"), ("net,acc\n", "holds no rows")):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(BadTable, match=words):
            import_results(ImportRequest(origin=str(tmp_path / "bad.csv"), checkpoint="net", score="acc"), zoo)


def test_a_constant_of_no_such_name_is_refused():
    with pytest.raises(UnusableRequest, match="there is no 'colour'"):
        ImportRequest(origin="x.csv", constants=["colour=red"])


@pytest.mark.slow
def test_finished_runs_of_mlflow_are_read_by_parameters_and_tags(zoo, tmp_path):
    from recommender.runs.mlflow_store import open_client, prepare
    from registry.addresses import sqlite_url

    address = sqlite_url(tmp_path / "theirs.db")
    prepare(address)
    client = open_client(address)
    experiment = client.create_experiment("vision")
    for model, score, status in (("mean-color", 0.9, "FINISHED"), ("other", 0.7, "FINISHED"), ("third", 0.1, "FAILED")):
        run = client.create_run(experiment, tags={"team": "ours", "set": "birds"})
        client.log_param(run.info.run_id, "backbone", model)
        client.log_metric(run.info.run_id, "val_acc", score)
        client.set_terminated(run.info.run_id, status)
    fields = {"checkpoint": "params.backbone", "sample": "tags.set", "score": "metrics.val_acc"}
    request = ImportRequest(origin=str(tmp_path / "theirs.db"), **fields, constants=["strategy=full"], yes=True)
    written = import_results(request, zoo)
    assert {(row.checkpoint, row.score) for row in outcomes_of(zoo, written.id)} == {
        ("mean-color", 0.9),
        ("other", 0.7),
    }
    [one, _] = outcomes_of(zoo, written.id)
    assert one.origin is Origin.ELSEWHERE
    assert one.mlflow_run_id
    assert one.conditions["stated"]["tags.team"] == "ours"
    with pytest.raises(UnusableRequest, match="no finished run"):
        import_results(request.model_copy(update={"where": "tags.team = 'theirs'"}), zoo)
    with pytest.raises(UnknownName, match="experiment"):
        import_results(request.model_copy(update={"experiments": ("speech",)}), zoo)
    with pytest.raises(MlflowUnusable):
        import_results(request.model_copy(update={"where": "nonsense ("}), zoo)


def test_the_record_counts_what_lay_within_and_by_how_much_all_was_off():
    runs = [ours(1, (0.5, 0.4, 0.6), 0.55), ours(2, (0.5, 0.4, 0.6), 0.7), ours(3, (0.8, 0.7, 0.9), 0.75)]
    others = [
        ours(4, None, 0.1),
        ours(5, (0.5, 0.4, 0.6), 0.9, flattered=True),
        replace(runs[0], id="x", origin=Origin.ELSEWHERE),
    ]
    record = track_record([*runs, *others])
    assert (record.all.runs, record.all.covered) == (3, 2)
    assert record.all.coverage_low < 2 / 3 < record.all.coverage_high < 1
    assert record.all.bias == pytest.approx((0.05 + 0.2 - 0.05) / 3)
    assert record.all.off == pytest.approx(0.1)
    assert {name: summary.runs for name, summary in record.strategies.items()} == {"lp-ft": 2, "linear-probe": 1}
    assert record.strategies["linear-probe"].bias_error is None
    assert [run.run for run in record.runs] == ["run-3", "run-2", "run-1"]
    assert record.to_dict()["runs"][1]["score"] == 0.7


def test_without_runs_there_is_no_record():
    assert track_record([]).all is None
