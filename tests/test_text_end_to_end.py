"""Texts go the whole way by the command line: a CSV of rows, an encoder and a decoder, and no transfer beside them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.registry.modalities.text.nets import save

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


@pytest.mark.slow
def test_records_are_recommended_for_tuned_on_and_predicted(tmp_path):
    catalog, data = _catalog(tmp_path / "catalog"), tmp_path / "rows"
    data.mkdir()
    _write(data / "train.csv", 40, 1)
    _write(data / "test.csv", 12, 2)
    (tmp_path / "decoder").mkdir()
    save(tmp_path / "decoder", "gpt2")

    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(catalog), *map(str, arguments), "--json"],
            check=False,
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "TRANSFERZOO_HOME": str(tmp_path / "home"),
                "HF_HUB_OFFLINE": "1",
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

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
