"""The runner: cells come out as lines, nothing is done twice, and a killed runner leaves the rest to others."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ResNetConfig, ResNetForImageClassification

from tests.benchmarks.proving_ground.bench import Bench, WeightsMissing
from tests.benchmarks.proving_ground.cells import GONE, NO_TRANSFER, Cell, Never, append, read_scores
from tests.benchmarks.proving_ground.run import Tables, fill_scores, missing_cells, run_cell
from tests.benchmarks.proving_ground.strategies import right_rows


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Two classes told by brightness, and a tiny net at random initialization."""
    root, random = tmp_path_factory.mktemp("bench"), np.random.default_rng(0)
    for part, rows in (("train", 30), ("test", 12)):
        for label, light in (("dark", 60), ("light", 180)):
            place = root / "data" / "set" / part / label
            place.mkdir(parents=True)
            for row in range(rows):
                pixels = np.clip(random.normal(light, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{row}.png")
    torch.manual_seed(0)
    net = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1]))
    folder = root / "shared" / "checkpoints" / "image" / "tiny"
    net.save_pretrained(folder)
    record = {
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "image_processor_type": "ViTImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(record))
    return Bench(root / "data", root / "shared", root / "grown", root / "cache")


@pytest.fixture
def cells(bench):
    weights = bench.shared / "checkpoints" / "image" / "tiny" / "model.safetensors"
    digest = sha256(weights.read_bytes()).hexdigest()
    probe = Cell(2, 1, "tiny", digest, "resnet", 9, "nowhere", "set", "family", "linear-probe", 800, 0, 0)
    raw = replace(probe, cell=1, checkpoint=NO_TRANSFER, digest="", strategy=NO_TRANSFER)
    return [raw, probe, replace(probe, cell=3, wave=0, strategy="block-probe")]


@pytest.fixture
def tables(tmp_path, cells):
    append(tmp_path / "design.csv", cells)
    return Tables(tmp_path)


def test_cells_are_taken_by_wave_then_by_number(tables):
    assert [cell.cell for cell in missing_cells(tables)] == [3, 1, 2]


def test_a_cell_adds_one_line_that_says_all(tables, bench, cells):
    result = run_cell(cells[1], bench, tables, "cpu")
    assert tables.results == {2: result}
    assert (result.rows_train, result.rows_test) == (60, 24)
    assert result.accuracy == pytest.approx((result.half_a + result.half_b) / 2, abs=1e-5) == right_rows(result).mean()
    assert result.accuracy > 0.8
    assert json.loads(result.conditions)["device"] == "cpu"


def test_a_cell_that_can_never_be_carried_out_is_not_tried(tables):
    append(tables.folder / "never.csv", [Never(3, "weights replaced")])
    assert [cell.cell for cell in missing_cells(tables)] == [1, 2]


def test_what_is_done_is_never_missing_again(tables, bench, cells):
    for cell in cells:
        run_cell(cell, bench, tables, "cpu")
    assert missing_cells(tables) == []


def test_a_probe_brings_every_score_and_asking_again_brings_none(tables, bench, cells):
    run_cell(cells[1], bench, tables, "cpu")
    result = {name for _, block, name in read_scores(tables.folder / "scores.csv") if not block}
    assert {"score.logme", "score.knn", "score.linear", "effort.seconds"} <= result
    assert fill_scores(cells[1], bench, tables) == 0


def test_a_lost_score_is_filled_in_from_cached_features(tables, bench, cells):
    run_cell(cells[1], bench, tables, "cpu")
    path = tables.folder / "scores.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if ",,score.logme," not in line))
    assert fill_scores(cells[1], bench, tables) == 1


def figure(tables, name):
    return read_scores(tables.folder / "scores.csv")[2, "", name]


def test_a_score_asked_anew_is_told_where_it_differs(tables, bench, cells):
    run_cell(cells[1], bench, tables, "cpu")
    right = figure(tables, "score.logme").value
    assert fill_scores(cells[1], bench, tables, ["logme"]) == 0
    append(tables.folder / "scores.csv", [replace(figure(tables, "score.logme"), value="-0.5")])
    assert fill_scores(cells[1], bench, tables, ["knn"]) == 0
    assert fill_scores(cells[1], bench, tables, ["logme"]) == 1
    assert figure(tables, "score.logme").value == right


def test_a_score_that_cannot_be_computed_anew_is_not_left_to_look_new(tables, bench, cells):
    run_cell(cells[1], bench, tables, "cpu")
    lost = replace(cells[1], digest="0" * 64)
    assert fill_scores(lost, bench, tables) == 0
    assert fill_scores(lost, bench, tables, ["logme"]) == 3
    assert figure(tables, "score.logme").value == GONE
    assert figure(tables, "score.knn").value != GONE
    assert fill_scores(lost, bench, tables, ["logme"]) == 0


def test_other_rows_than_before_are_refused(tables, bench, cells):
    result = run_cell(cells[1], bench, tables, "cpu")
    path = tables.folder / "outcomes.csv"
    path.write_text(path.read_text().replace(result.sample, "0123456789abcdef"))
    with pytest.raises(RuntimeError, match="are not the rows"):
        run_cell(cells[2], bench, tables, "cpu")


def test_weights_of_another_digest_are_not_taken(bench, cells):
    with pytest.raises(WeightsMissing):
        bench.folder(replace(cells[1], digest="0" * 64))


def test_no_transfer_reads_the_pixels(tables, bench, cells):
    assert run_cell(cells[0], bench, tables, "cpu").accuracy > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["lp-ft", "scratch"])
def test_a_tuned_cell_is_judged_by_its_stored_net(tables, bench, cells, strategy):
    cell = replace(cells[1], strategy=strategy, epochs=2)
    result = run_cell(cell, bench, tables, "cpu")
    record = json.loads(result.conditions)
    assert [stage["epochs"] for stage in record["stages"]] == [2]
    assert 0.4 < result.accuracy <= 1
