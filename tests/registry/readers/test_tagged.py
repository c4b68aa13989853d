"""Sentences whose words are labelled: CoNLL-like files, columns of lists, and what Python holds."""

import json

import numpy as np
import pandas as pd
import pytest

from registry.cards import Metric, Task
from registry.errors import BadTable, LabelsMissing, TooManyUnreadable, UnfitMetric, UnusableLabels
from registry.modalities import modalities
from registry.sample import Sample

WORDS = [["Ada", "Byron", "wrote"], ["It", "rained"], ["Lima", "is", "in", "Peru"], ["So", "be", "it", "."]]
TAGS = [["B-PER", "I-PER", "O"], ["O", "O"], ["B-LOC", "O", "O", "B-LOC"], ["O"] * 4]


def lines(words=WORDS, tags=TAGS, sign=" ", middle=()):
    pairs = zip(words, tags, strict=True)
    return "\n".join("".join(sign.join([w, *middle, t]) + "\n" for w, t in zip(*row, strict=True)) for row in pairs)


def held(sample):
    positions = modalities["text"].positions
    return [list(positions.of(item)) for item in sample.items], [label.split() for label in sample.labels]


@pytest.mark.parametrize("name", ["a.conll", "a.iob", "a.bio", "a.txt"])
@pytest.mark.parametrize("sign", [" ", "\t"])
def test_a_token_a_line_is_a_sentence_up_to_the_empty_line(name, sign, tmp_path):
    (tmp_path / name).write_text(lines(sign=sign), encoding="utf-8")
    sample = Sample.from_folder(tmp_path / name, keep_duplicates=True)
    assert held(sample) == (WORDS, TAGS)
    assert (sample.task, sample.metric) == (Task.TOKEN_CLASSIFICATION, Metric.ENTITY_F1)
    assert sample.classes == ("B-LOC", "B-PER", "I-PER", "O")
    assert Sample.again(sample.to_dict()).digest == sample.digest


def test_a_folder_of_parts_with_documents_and_columns_between(tmp_path):
    start = "-DOCSTART- -X- -X- O\n\n"
    (tmp_path / "train.txt").write_text(start + lines(WORDS[:2], TAGS[:2], middle=("NN", "I-NP")) + "\n" + start)
    with (tmp_path / "train.txt").open("a") as file:
        file.write(lines(WORDS[2:3], TAGS[2:3], middle=("NN", "I-NP")))
    (tmp_path / "test.txt").write_text(start + lines(WORDS[3:], TAGS[3:], middle=("NN", "I-NP")))
    sample = Sample.from_folder(tmp_path, group="document")
    assert held(sample)[0] == WORDS[:3]
    assert sample.groups == ("1", "1", "2")
    assert len(sample.test) == 1
    other = Sample.from_folder(tmp_path / "train.txt", label="column 3")
    assert other.classes == ("I-NP",)


def test_columns_of_lists_are_recognized(tmp_path):
    records = [{"id": i, "tokens": w, "ner_tags": t} for i, (w, t) in enumerate(zip(WORDS, TAGS, strict=True))]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    sample = Sample.from_folder(tmp_path / "a.jsonl", keep_duplicates=True)
    assert held(sample) == (WORDS, TAGS)
    assert any("'ner_tags' as tags" in note for note in sample.health.warnings)
    pd.DataFrame(records).to_parquet(tmp_path / "a.parquet")
    assert held(Sample.from_folder(tmp_path / "a.parquet", keep_duplicates=True)) == (WORDS, TAGS)


def test_columns_of_text_are_parted_by_white_space_where_the_task_is_named(tmp_path):
    rows = [f"{' '.join(w)},{' '.join(t)}" for w, t in zip(WORDS, TAGS, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    sample = Sample.from_folder(tmp_path / "a.csv", task="token-classification", keep_duplicates=True)
    assert held(sample) == (WORDS, TAGS)


def test_lists_frames_and_datasets_are_sentences_too():
    datasets = pytest.importorskip("datasets")
    of_lists = Sample.from_arrays(WORDS, TAGS, keep_duplicates=True)
    frame = pd.DataFrame({"words": WORDS, "tags": TAGS})
    names = ["O", "B-LOC", "B-PER", "I-PER"]
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "pos_tags": datasets.List(datasets.ClassLabel(names=["X"])),
            "ner_tags": datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    columns = {
        "id": list("abcd"),
        "tokens": WORDS,
        "pos_tags": [[0] * len(row) for row in TAGS],
        "ner_tags": [[names.index(tag) for tag in row] for row in TAGS],
    }
    of_dataset = Sample.from_dataset(datasets.Dataset.from_dict(columns, features), keep_duplicates=True)
    for sample in (of_lists, Sample.from_frame(frame, "words", "tags", keep_duplicates=True), of_dataset):
        assert held(sample) == (WORDS, TAGS)
        assert sample.digest == of_lists.digest


def test_pairs_with_two_labels_each_stay_pairs():
    sample = Sample.from_arrays([["a", "b"], ["c", "d"], ["e", "f"]], [("x", "y"), ("x",), ("y",)])
    assert sample.task is Task.MULTI_LABEL


def test_positions_are_learned_one_after_another():
    sample = Sample.from_arrays(WORDS, TAGS, keep_duplicates=True)
    positions = sample.positions
    assert positions.rows.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert [sample.classes[code] for code in positions.targets.values[:4]] == ["B-PER", "I-PER", "O", "O"]
    assert positions.within(np.array([2, 0])).tolist() == [5, 6, 7, 8, 0, 1, 2]
    assert positions.within(np.array([False, True, False, False])).tolist() == [3, 4]
    gathered = positions.gathered(positions.targets.values)
    assert [row.tolist() for row in gathered] == TAGS
    assert positions.units(None).tolist() == positions.rows.tolist()


def test_a_draw_of_long_sentences_has_fewer_rows():
    words = [[f"w{place}" for place in range(80)] + [str(row)] for row in range(30)]
    sample = Sample.from_arrays(words, [["O"] * 80 + ["B-X"]] * 30, keep_duplicates=True)
    assert len(sample.subsample(20)) == 20 * 8 * 30 // (81 * 30)


def test_plain_tags_are_judged_position_by_position():
    tags = [["N"] * len(row) for row in WORDS[:-1]] + [["V"] * 4]
    sample = Sample.from_arrays(WORDS, tags, keep_duplicates=True)
    assert sample.metric is Metric.ACCURACY
    assert any("plain tags" in warning for warning in sample.health.warnings)
    with pytest.raises(UnfitMetric, match="plain tags"):
        Sample.from_arrays(WORDS, tags, metric="entity-f1")


def test_tags_of_no_scheme_among_others_are_refused():
    with pytest.raises(UnusableLabels, match="'PER'"):
        Sample.from_arrays(WORDS, [["PER", "O", "O"], *TAGS[1:]])


def test_what_health_says_of_tags():
    tags = [["I-PER", "I-PER", "O"], ["O", "I-PER"], ["B-LOC", "O", "O", "B-LOC"], ["O", "B-PER", "O", "O"]]
    test = ([["Oslo", "x", "y"]], [["B-CITY", "O", "O"]])
    sample = Sample.from_arrays(WORDS, tags, test=test, keep_duplicates=True)
    warnings = "\n".join(sample.health.warnings)
    assert "2 tags that go on with a span that was not begun, read as its beginning" in warnings
    assert "so that no score is expected of them: B-LOC" in warnings
    assert "the test part alone has, and that nothing can learn: B-CITY" in warnings
    assert "B-CITY" in sample.classes


def test_bad_rows_are_counted_and_bad_files_named(tmp_path):
    good = [{"tokens": [w], "tags": ["O" if w == "a" else "B-X"]} for w in ("a", "b")] * 8
    bad = [{"tokens": ["a", "b"], "tags": ["O"]}, {"tokens": [], "tags": []}, {"tokens": ["c"], "tags": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({**row, "n": n}) for n, row in enumerate([*good, *bad])))
    sample = Sample.from_folder(tmp_path / "a.jsonl")
    reasons = [why for _, why in sample.health.unreadable_items]
    assert reasons == ["2 words and 1 tag", "it has no word"]
    assert any("1 row of a.jsonl without tags left out" in note for note in sample.health.warnings)
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, bad[:2])))
    with pytest.raises(TooManyUnreadable, match="2 words and 1 tag"):
        Sample.from_folder(tmp_path / "b.jsonl")
    (tmp_path / "c.conll").write_text("Ada B-PER\nwrote\n")
    with pytest.raises(BadTable, match="line 2 has 1 column where those before have 2"):
        Sample.from_folder(tmp_path / "c.conll")


def test_lists_that_do_not_fit_together_are_named():
    with pytest.raises(UnusableLabels, match=r"3 words and 2 tags \(rows 0\)"):
        Sample.from_arrays(WORDS, [["O", "O"], *TAGS[1:]], task="token-classification")
    with pytest.raises(UnusableLabels, match="holds a space"):
        Sample.from_arrays(WORDS, [["O", "O", "B PER"], *TAGS[1:]])


def test_class_folders_tell_no_tags(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("some text")
    with pytest.raises(LabelsMissing, match="token-classification"):
        Sample.from_folder(tmp_path, task="token-classification")
