"""Rows that are labelled word by word, on the page: what belongs together is marked, strangers' words are text."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from recommender.serving.predict import Answer, Predictions
from registry.cards import Task
from registry.sample import Sample
from registry.zoo import Zoo
from ui.views.items import marked
from ui.work import _write_csv

HOSTILE = "<img/src=x/onerror=alert(1)>"


def test_what_belongs_together_is_one_mark_with_its_kind() -> None:
    words = ["Ada", "Lovelace", "lived", "in", "London"]
    assert marked(words, ["B-PER", "I-PER", "O", "O", "B-LOC"]) == (
        ":blue-background[Ada Lovelace] *PER* lived in :blue-background[London] *LOC*"
    )
    assert marked(words, ["O"] * 5) == " ".join(words)


def test_plain_tags_stand_behind_each_word() -> None:
    assert marked(["dogs", "bark"], ["NOUN", "VERB"]) == (":blue-background[dogs] *NOUN* :blue-background[bark] *VERB*")


def test_words_and_tags_of_others_are_text() -> None:
    drawn = marked([HOSTILE, "**a**", "](x"], ["B-<b>", "O", "B-]*"])
    assert "<" not in drawn.replace("\\<", "")
    assert "*" not in drawn.replace("\\*", "").replace(" *\\<b\\>*", "").replace(" *\\]*", "")
    assert "](" not in drawn.replace("\\]\\(", "")


def test_of_a_long_row_the_beginning_is_shown() -> None:
    drawn = marked([f"w{place}" for place in range(500)], ["O"] * 400 + ["B-X"] * 100)
    assert drawn.endswith("w59 …")


def test_words_and_tags_that_a_spreadsheet_would_carry_out_are_text_in_a_csv(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", "\t=1", "plain, with a comma", "a\nb")
    logits = np.tile([0.0, 9.0], (len(words), 1))
    predictions = Predictions(Task.TOKEN_CLASSIFICATION, ("O", "=B-X"), ("=a.conll:1",), logits, (words,))
    _write_csv(Answer("run", predictions, None, (), ()))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["position"] for row in rows] == [str(place) for place in range(1, len(words) + 1)]
    assert [row["word"] for row in rows][:4] == [f"'{word}" for word in words[:4]]
    assert rows[5]["word"] == words[5]
    cells = [text for row in rows for text in (row["file"], row["word"], row["prediction"])]
    assert not [text for text in cells if text.lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {row["prediction"] for row in rows} == {"'=B-X"}


SCRIPT = """
import json
from pathlib import Path
import streamlit as st
from registry.zoo import Zoo
from ui.views.items import gallery
with Zoo.open(Path({home!r})) as zoo:
    gallery(zoo, json.loads({sample!r}), json.loads({rows!r}), json.loads({words!r}))
"""


@pytest.mark.slow
def test_a_row_of_a_file_is_shown_with_its_labels_and_what_was_predicted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRANSFERZOO_ROOTS", str(tmp_path))
    path = tmp_path / "a.conll"
    path.write_text(f"Ada B-PER\nlives O\n\n{HOSTILE} B-PER\nis O\nout O\n\n")
    sample = Sample.from_folder(path).to_dict()
    rows = [
        {"item": "a.conll:1", "label": "B-PER O"},
        {"item": "a.conll:4", "label": "B-PER O O", "predicted": "O O B-PER"},
    ]
    with Zoo.open(tmp_path / "home"):
        pass
    words = {row["item"]: f"{row['item']}, 97 %" for row in rows}
    forms = {"sample": json.dumps(sample, default=str), "rows": json.dumps(rows), "words": json.dumps(words)}
    script = SCRIPT.format(home=str(tmp_path / "home"), **forms)
    test = AppTest.from_string(script, default_timeout=120).run()
    assert not test.exception
    first, second = (one.value for one in test.markdown)
    assert first == "- :blue-background[Ada] *PER* lives"
    assert "<img" not in second.replace("\\<img", "")
    assert second.endswith(":blue-background[out] *PER*")
    assert [one.value for one in test.caption] == [f"a\\.conll\\:{line}, 97\N{NO-BREAK SPACE}%" for line in (1, 4)]
