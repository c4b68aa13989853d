"""Sentences labelled word by word go the whole way by the command line, and no transfer beside the net."""

import csv
import io
import json

import pytest

from tests.recommender.tuning.test_words import sentences
from tests.test_text_end_to_end import COMMAND, _catalog, improved
from tests.ui.test_cli import transferzoo


def written(path, rows, seed):
    words, tags = sentences(rows, seed)
    path.write_text("".join("".join(map("{} {}\n".format, *row)) + "\n" for row in zip(words, tags, strict=True)))
    return words, tags


@pytest.mark.slow
def test_words_are_recommended_for_tuned_predicted_exported_and_promoted(tmp_path):
    catalog, data = _catalog(tmp_path / "catalog"), tmp_path / "rows"
    data.mkdir()
    written(data / "train.conll", 80, 1)
    words, _ = written(data / "test.conll", 20, 2)

    def command(*arguments, form="--json"):
        done = transferzoo(str(catalog), *map(str, arguments), form, home=tmp_path / "home", script=COMMAND)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout) if form == "--json" else done.stdout

    advice = command("recommend", data)
    assert (advice["sample"]["task"], advice["sample"]["metric"]) == ("token-classification", "entity-f1")
    assert advice["baseline"]["model"] == "word features + linear"
    assert [row["checkpoint"] for row in advice["choices"]] == ["text-lens"]
    assert advice["choices"][0]["scores"]["logme"] == advice["choices"][0]["scores"]["logme"]
    tuned = command("tune", data, "--checkpoint", "text-lens", "--strategy", "lp-ft", "--controls")
    assert {"no_transfer_score", "scratch_score"} & set(tuned["metrics"])
    predicted = command("predict", tuned["id"], data / "test.conll")
    assert [row["words"] for row in predicted["rows"]] == words
    assert predicted["judged"]["score"] == pytest.approx(tuned["metrics"]["score"], abs=0.1)
    table = list(csv.reader(io.StringIO(command("predict", tuned["id"], data / "test.conll", form="--csv"))))
    assert table[0] == ["file", "position", "word", "prediction", "confidence"]
    assert len(table) == 1 + sum(map(len, words))
    assert command("export", tuned["id"], tmp_path / "out", "--card")["largest_difference"] < 1e-4
    assert "token-classification" in (tmp_path / "out" / "README.md").read_text()
    raw = command("tune", data, "--no-transfer", "--no-controls")
    assert raw["metrics"]["score"] > 0.9
    assert command("predict", raw["id"], data / "test.conll")["judged"]["score"] > 0.9
    improved(tuned["folder"])
    assert command("zoo", "promote", tuned["id"], "tagger")["checkpoint"]["name"] == "tagger"
    assert command("recommend", data)["choices"]
