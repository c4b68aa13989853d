"""The advice not to transfer leads to a run of its own: fitted, kept, resumed, used and exported like any other."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skops.io import dump, get_untrusted_types, load

from recommender.baseline import (
    NEAREST,
    NOTHING,
    STRATEGIES,
    RawRows,
    baseline,
    held_out,
    raw_features_of,
    raw_strategy,
)
from recommender.flow import no_transfer_model, resume, tune
from recommender.history import History
from recommender.runs.folder import RunFolder, RunState, find_run
from recommender.runs.tracking import no_tracking
from recommender.serving.export import export, export_onnx
from recommender.serving.predict import Predictor
from recommender.serving.promote import promote
from recommender.tuning.heads import RawNeighborsHead, ScaledLinearHead, read_head
from registry.cards import Task
from registry.errors import ExtraMissing, NotExportable, NotPromotable, SingleClass, Unsupported
from registry.sample import Sample
from tests.recommender.planted import planted_zoo

CLASSES = ("dark", "dim", "light")


def shaded(rows: int = 90, seed: int = 0, *, gray: bool = False) -> np.ndarray:
    """Pictures whose three shades raw pixels tell apart."""
    random = np.random.default_rng(seed)
    shape = (rows, 8, 8) if gray else (rows, 8, 8, 3)
    shades = (60 + 60 * (np.arange(rows) % 3)).reshape(-1, *[1] * (len(shape) - 1))
    return np.clip(random.normal(shades, 14, shape), 0, 255).astype(np.uint8)


def labels_of(task: Task, rows: int = 90) -> list[object]:
    kinds = np.arange(rows) % 3
    if task is Task.REGRESSION:
        return [float(kind) + 0.01 * (row % 5) for row, kind in enumerate(kinds)]
    if task is Task.MULTI_LABEL:
        return [("dark", "dim") if kind == 0 else ("dim",) if kind == 1 else () for kind in kinds]
    return [CLASSES[kind] for kind in kinds]


def sample_of(task: Task = Task.CLASSIFICATION, *, gray: bool = False) -> Sample:
    return Sample.from_arrays(shaded(gray=gray), labels_of(task), name="shades", task=task)


@pytest.fixture
def zoo(tmp_path):
    return planted_zoo(tmp_path, {})


def model_of(sample: Sample, name: str | None = None):
    result = baseline(sample, folds=sample.folds())
    return result if name is None else replace(result, model=f"raw pixels + {name}")


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize(
    "task",
    [
        Task.CLASSIFICATION,
        *(pytest.param(task, marks=pytest.mark.slow) for task in (Task.MULTI_LABEL, Task.REGRESSION)),
    ],
)
def test_every_model_of_every_task_becomes_a_run_that_predicts_and_is_exported(zoo, tmp_path, task, name):
    sample = sample_of(task)
    run = tune(model_of(sample, name), sample, zoo, track=no_tracking)
    assert (run.checkpoint, run.strategy) == (NOTHING, STRATEGIES[name])
    assert run.metrics["score"] > 0.6
    predictor = Predictor.open(run.folder)
    predicted = predictor.predict(shaded(30, 1))
    done = export(find_run(zoo.home, run.id), tmp_path / "out")
    assert done.form == "scikit-learn"
    assert get_untrusted_types(file=tmp_path / "out" / "model.skops") == []
    features = predictor.encoder.encode([*_items(shaded(30, 1))]).last.vectors
    theirs = load(tmp_path / "out" / "model.skops", trusted=[]).predict(features)
    if task is Task.CLASSIFICATION:
        assert theirs.tolist() == list(predicted.labels)
    elif task is Task.REGRESSION:
        assert np.ravel(theirs) == pytest.approx(predicted.scores[:, 0], abs=1e-4)
    else:
        assert ((predicted.scores >= 0.5) == (theirs > 0)).all()


def _items(images: np.ndarray) -> tuple:
    return Sample.from_arrays(images, ["a"] * len(images), name="new", keep_duplicates=True).items


def test_two_classes_are_exported_with_their_names(zoo, tmp_path):
    sample = Sample.from_arrays(shaded(), ["light" if row % 3 else "dark" for row in range(90)], name="shades")
    run = tune(model_of(sample), sample, zoo, track=no_tracking)
    export(find_run(zoo.home, run.id), tmp_path / "out")
    assert set(load(tmp_path / "out" / "model.skops", trusted=[]).classes_) == {"light", "dark"}


def test_what_the_folds_expect_is_what_the_run_is_held_against(zoo):
    sample = sample_of()
    model = model_of(sample)
    run = tune(model, sample, zoo, track=no_tracking)
    assert run.metrics["expected_mean"] == model.expected.mean
    outcome = zoo.history()[0]
    assert (outcome.checkpoint, outcome.conditions["expected"]["mean"]) == (NOTHING, model.expected.mean)


@pytest.mark.slow
def test_history_never_takes_it_for_a_result_of_a_checkpoint(zoo):
    sample = sample_of()
    tune(model_of(sample), sample, zoo, track=no_tracking)
    history = History(zoo.history())
    assert history.probe_error("another").outcomes == 0
    assert history.error_removed("lp-ft", "another", 600).outcomes == 0


def test_the_run_holds_no_pickle_and_no_net(zoo):
    sample = sample_of()
    run = tune(model_of(sample), sample, zoo, track=no_tracking)
    files = {file.suffix for file in RunFolder(zoo.home.runs / run.id).path.rglob("*") if file.is_file()}
    assert not files & {".pkl", ".joblib", ".bin", ".pt"}
    assert isinstance(read_head(zoo.home.runs / run.id), ScaledLinearHead | RawNeighborsHead)


@pytest.mark.slow
def test_an_interrupted_fit_is_resumed_to_the_same_result(zoo, tmp_path, monkeypatch):
    for row, image in enumerate(shaded()):
        place = tmp_path / "shades" / CLASSES[row % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{row}.png")
    sample = Sample.from_folder(tmp_path / "shades")
    whole = tune(model_of(sample), sample, zoo, track=no_tracking)
    with monkeypatch.context() as patched:
        patched.setattr("recommender.tuning.recipe.store", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            tune(model_of(sample), sample, zoo, track=no_tracking)
    broken = next(RunFolder(path) for path in zoo.home.runs.iterdir() if path.is_dir() and path.name != whole.id)
    assert broken.state is RunState.INTERRUPTED
    again = resume(broken.id, zoo, track=no_tracking)
    assert again.metrics["score"] == whole.metrics["score"]
    assert again.checkpoint == NOTHING


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_gray_training_reads_colored_pictures_as_their_luma(zoo):
    sample = sample_of(gray=True)
    run = tune(model_of(sample), sample, zoo, track=no_tracking)
    predictor = Predictor.open(run.folder)
    assert predictor.encoder.raw.named_steps["part"].channels_ == 1
    gray = shaded(30, 1, gray=True)
    colored = np.repeat(gray[..., None], 3, axis=3)
    assert predictor.predict(gray).labels == predictor.predict(colored).labels


def test_it_is_no_checkpoint_to_start_from_and_no_onnx(zoo, tmp_path):
    sample = sample_of()
    run = find_run(zoo.home, tune(model_of(sample), sample, zoo, track=no_tracking).id)
    with pytest.raises(NotPromotable, match="nothing was transferred"):
        promote(run, "raw", zoo)
    with pytest.raises((NotExportable, ExtraMissing)):
        export_onnx(run, tmp_path / "onnx")


def test_no_transfer_can_be_asked_for_without_looking_at_any_checkpoint(zoo):
    sample = sample_of()
    result = no_transfer_model(sample, zoo)
    assert raw_strategy(result.model) in STRATEGIES.values()
    assert result.expected.mean == pytest.approx(model_of(sample).expected.mean)


def test_a_single_class_is_refused(zoo):
    sample = Sample.from_arrays(shaded(), ["one"] * 90, name="shades")
    with pytest.raises(SingleClass):
        no_transfer_model(sample, zoo)


def test_the_exported_folder_says_how_features_are_made(zoo, tmp_path):
    sample = sample_of()
    run = tune(model_of(sample, NEAREST), sample, zoo, track=no_tracking)
    export(find_run(zoo.home, run.id), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "features.json").read_text())
    assert (record["features"], record["channels"]) == ("raw pixels", 3)
    assert "trusted=[]" in (tmp_path / "out" / "README.md").read_text()


def test_rows_of_a_fold_never_decide_how_their_own_features_are_made():
    gray, colored = shaded(60, gray=True), shaded(30)
    sample = Sample.from_arrays([*gray, *colored], labels_of(Task.CLASSIFICATION), name="mixed", keep_duplicates=True)
    folds = np.repeat([0, 1, 2], 30)
    raw = RawRows.of(sample.modality, sample.items)
    assert [raw.features(folds != fold).shape[1] for fold in range(3)] == [3 * 24**2, 3 * 24**2, 24**2]
    result = held_out(raw, sample.targets, folds)
    alone = held_out(raw, sample.targets, np.where(folds == 2, 0, -1))
    for name, one in result.items():
        assert (one.predicted[folds == 2] == alone[name].predicted[folds == 2]).all()
        assert (one.plain[folds == 2] == alone[name].plain[folds == 2]).all()


def striped(rows: int = 90, seed: int = 0) -> np.ndarray:
    """Pictures whose stripes lie, stand or lean, at any place and of any color: gradients alone tell them apart."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(24), np.arange(24))
    along = [across, down, across + down]
    phases = [along[row % 3] * random.uniform(0.6, 1.4) + random.uniform(0, 2 * np.pi) for row in range(rows)]
    shades = random.integers(60, 256, (rows, 1, 1, 3)) * (np.sin(phases) > 0)[..., None]
    return np.clip(shades + random.normal(0, 6, shades.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def stripes() -> Sample:
    return Sample.from_arrays(striped(), labels_of(Task.CLASSIFICATION), name="stripes", keep_duplicates=True)


def test_training_rows_choose_the_features_and_advice_names_them(stripes):
    folds = stripes.folds()
    chosen = baseline(stripes, folds=folds)
    assert raw_features_of(chosen.model) == "oriented gradients"
    assert chosen.expected.mean > 0.9 > chosen.plain
    assert chosen.to_form().plain == chosen.plain
    again = baseline(stripes, folds=folds)
    assert (again.model, again.expected, again.plain) == (chosen.model, chosen.expected, chosen.plain)
    assert (again.predicted == chosen.predicted).all()


def test_what_is_held_out_has_no_say_in_which_features_are_read(stripes):
    raw, folds = RawRows.of(stripes.modality, stripes.items), stripes.folds()
    held = folds == 0
    blind = replace(stripes.targets, values=np.where(held, 0, stripes.targets.values))
    for name, one in held_out(raw, stripes.targets, folds).items():
        other = held_out(raw, blind, folds)[name]
        assert (one.predicted[held] == other.predicted[held]).all()


def test_whole_groups_are_left_out_where_features_are_chosen():
    """Each group has a color of its own and one label: colors tell of groups that are known, and of no others."""
    groups = np.arange(120) // 6
    kinds, shades = groups % 3, np.random.default_rng(0).integers(40, 256, (20, 1, 1, 3))[groups]
    patterns = striped(360, 1)[3 * np.arange(120) + kinds].max(axis=-1, keepdims=True) > 40
    blurred = np.random.default_rng(1).random((120, 24, 24, 1)) < 0.35
    pictures = ((patterns ^ blurred) * shades).astype(np.uint8)
    sample = Sample.from_arrays(pictures, [CLASSES[kind] for kind in kinds], name="groups", keep_duplicates=True)
    raw, folds = RawRows.of("image", sample.items), np.where(groups < 3, 0, -1)
    assert held_out(raw, sample.targets, folds)[NEAREST].features == "color histograms"
    assert held_out(raw, sample.targets, folds, groups)[NEAREST].features == "oriented gradients"


def test_a_run_reads_the_features_that_the_advice_names(zoo, tmp_path, stripes):
    model = no_transfer_model(stripes, zoo)
    run = tune(model, stripes, zoo, track=no_tracking)
    predictor = Predictor.open(run.folder)
    assert predictor.read == predictor.encoder.name == "oriented gradients"
    assert predictor.predict(striped(30, 1)).labels == tuple(CLASSES[row % 3] for row in range(30))
    export(find_run(zoo.home, run.id), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "features.json").read_text())["features"] == "oriented gradients"
    features = predictor.encoder.encode(_items(striped(9, 2))).last.vectors
    assert load(tmp_path / "out" / "model.skops", trusted=[]).predict(features).tolist() == list(CLASSES) * 3


def test_a_run_trusts_nothing_but_its_modalitys_own_types(zoo):
    sample = sample_of()
    run = tune(model_of(sample), sample, zoo, track=no_tracking)
    folder = zoo.home.runs / run.id
    dump({"strange": RunFolder}, folder / "raw.skops")
    with pytest.raises(Unsupported, match="not trusted"):
        Predictor.open(folder)
    (folder / "raw.skops").write_bytes(b"broken")
    with pytest.raises(Unsupported, match="cannot be read"):
        Predictor.open(folder)
