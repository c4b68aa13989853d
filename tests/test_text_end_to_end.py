"""Texts go the whole way by the command line: a CSV of rows, an encoder and a decoder, and no transfer beside them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from recommender.runs.folder import RunFolder
from tests.registry.modalities.text.nets import save
from tests.ui.test_cli import transferzoo

PLACES = {"kitchen": "flour butter oven spoon sugar", "harbor": "ship anchor sail rope tide", "court": "judge law jury"}
COMMAND = """
import sys
from pathlib import Path
from registry.modalities.text import Text
Text.catalog = Path(sys.argv.pop(1))
from ui.cli import main
main()
"""


def _texts(rows, seed):
    random = np.random.default_rng(seed)
    return [
        (f"The {' and the '.join(random.choice(words.split(), 3))} were there, {row} of them.", place)
        for row in range(rows)
        for place, words in PLACES.items()
    ]


def _write(path, rows, seed):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *_texts(rows, seed)])


def _catalog(catalog):
    from registry.cards import Checkpoint, Domain, Origin
    from registry.catalog import write_checkpoint, write_domain, write_lens
    from registry.encoders import open_encoder
    from registry.encoders.loading import inspect
    from registry.modalities import modalities
    from registry.sketch import fit_lens, sketch_of

    folder = catalog / "nets" / "lens"
    folder.mkdir(parents=True)
    opened = inspect(save(folder, "bert"))
    texts = modalities["text"].from_memory([text for text, _ in _texts(40, 5)])
    cloud = open_encoder(folder, name="text-lens").encode(texts).last
    lens = fit_lens("text-lens", "text", [cloud])
    write_lens(catalog, lens)
    write_domain(
        catalog,
        Domain("places", "text", "Places", "places", len(cloud), "CC0-1.0", origin=Origin.PUBLISHED),
        sketch_of("places", cloud, lens),
    )
    kind, digest = opened.architecture, opened.digest
    card = Checkpoint("text-lens", "text", kind, folder, digest, opened.parameters, opened.input_size, domain="places")
    write_checkpoint(catalog, card)
    return catalog


def improved(folder):
    """Have a finished run say that its training improved on its start, which luck decides on so few rows."""
    run = RunFolder(Path(folder))
    run.finish({**run.result, "metrics": {**run.result["metrics"], "best_epoch": 1.0}})


@pytest.fixture
def command(tmp_path):
    """The command line, on a registry whose only checkpoint of texts is a tiny net; gives the JSON."""
    catalog = _catalog(tmp_path / "catalog")

    def run(*arguments):
        done = transferzoo(str(catalog), *map(str, arguments), "--json", home=tmp_path / "home", script=COMMAND)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


def _data(folder):
    folder.mkdir()
    _write(folder / "train.csv", 40, 1)
    _write(folder / "test.csv", 12, 2)
    return folder


@pytest.mark.slow
def test_records_are_recommended_for_tuned_on_and_predicted(tmp_path, command):
    data = _data(tmp_path / "rows")
    (tmp_path / "decoder").mkdir()
    save(tmp_path / "decoder", "gpt2")
    command("zoo", "add", tmp_path / "decoder", "--name", "decoder", "--domain", "places")
    advice = command("recommend", data)
    assert advice["sample"]["modality"] == "text"
    assert {row["checkpoint"] for row in advice["choices"]} == {"text-lens", "decoder"}
    assert advice["baseline"]["model"] == "TF-IDF + linear"
    assert advice["baseline"]["mean"] > 0.9
    tuned = command("tune", data, "--checkpoint", "decoder", "--strategy", "lp-ft", "--no-controls")
    predicted = command("predict", tuned["id"], data / "test.csv")
    assert len(predicted["rows"]) == 36
    raw = command("tune", data, "--no-transfer", "--no-controls")
    assert raw["metrics"]["score"] > 0.9
    assert command("export", raw["id"], tmp_path / "exported")["largest_difference"] < 1e-4


@pytest.mark.slow
def test_a_net_that_went_on_with_texts_without_labels_is_promoted_and_advised_on_again(tmp_path, command):
    data, more = _data(tmp_path / "rows"), tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps({"text": f"again {text}"}) + "\n" for text, _ in _texts(40, 7)))
    advice = command("recommend", data, "--unlabelled", more)
    assert advice["sample"]["unlabelled"] == 120
    assert "domain-adaptive" in {row["strategy"] for row in (*advice["choices"][0]["passed_over"], *advice["choices"])}
    tuned = command(
        "tune", data, "--unlabelled", more, "--checkpoint", "text-lens", "--strategy", "domain-adaptive",
        "--no-controls",
    )  # fmt: skip
    result = json.loads((Path(tuned["folder"]) / "run.json").read_text())
    assert result["plan"]["pretraining"]["pretext"] == "items"
    improved(tuned["folder"])
    command("zoo", "promote", tuned["id"], "grown")
    other = tmp_path / "other.csv"
    other.write_text("".join(["text,label\n", *(f'"again {text}",{label}\n' for text, label in _texts(40, 7))]))
    again = command("recommend", other)
    [grown] = [choice for choice in again["choices"] if choice["checkpoint"] == "grown"]
    assert grown["exposure"]["rows_seen"] == 120  # the texts without labels are among what it has seen


@pytest.mark.slow
def test_the_benefit_of_transfer_is_measured_on_texts(tmp_path, command):
    measured = command(
        "benefit", _data(tmp_path / "rows"), "--checkpoint", "text-lens", "--strategy", "linear-probe",
        "--budgets", 2, "--epochs", 1, "--picture", tmp_path / "benefit.png",
    )  # fmt: skip
    labels = [point["labels"] for point in measured["points"]]
    assert labels == sorted(labels)
    assert 100 < labels[-1] <= 120  # copies among the texts are left out
    assert all(set(point) == {"labels", "plan", "scratch", "no_transfer"} for point in measured["points"])
    assert (tmp_path / "benefit.png").stat().st_size > 1000
