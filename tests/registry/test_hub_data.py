"""Data sets of a hub: their tables alone, by split, so many rows at most, with license; what cannot be had is named."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recommender.requests import FetchDataRequest
from registry import hub_data
from registry.errors import (
    BadTable,
    HubDataTooLarge,
    HubGated,
    HubMissing,
    NoTables,
    SeveralConfigurations,
    UnknownName,
    UnusableHubId,
)
from registry.home import Home
from registry.hub_data import USUAL_ROWS, fetch_data
from registry.sample import Sample
from tests.fakes.hub import the_only_hub

CARD = b"""---
license: cc-by-4.0
configs:
- config_name: plain
  default: true
  data_files:
  - {split: train, path: plain/train-*}
  - {split: validation, path: plain/dev.csv}
  - {split: secret, path: plain/test.csv}
---
# Reviews
"""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with the_only_hub(monkeypatch, tmp_path / "cache") as one:
        yield one


@pytest.fixture
def home(tmp_path):
    return Home.find(tmp_path / "home")


def csv_of(rows: int, start: int = 0) -> bytes:
    lines = [
        f'"review {n} is {"good" if n % 2 else "bad"}",{"pos" if n % 2 else "neg"}' for n in range(start, start + rows)
    ]
    return "\n".join(["text,label", *lines]).encode()


def parquet_of(columns: dict, features: dict) -> bytes:
    schema = {"huggingface": json.dumps({"info": {"features": features}})}
    written = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(schema), written)
    return written.getvalue()


def picture(shade: int) -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 255 - shade)).save(drawn, "PNG")
    return drawn.getvalue()


def test_splits_are_those_of_the_card_and_no_more_rows_are_kept_than_asked_for(hub, home):
    files = {"README.md": CARD, "plain/train-0.csv": csv_of(40), "plain/train-1.csv": csv_of(20, 40)}
    hub.add("datasets/org/reviews", {**files, "plain/dev.csv": csv_of(10, 60), "load.py": b"raise SystemExit"})
    data = fetch_data(home, "org/reviews", rows=30)
    assert (data.license, data.columns) == ("cc-by-4.0", ("text", "label"))
    assert (data.splits, data.rows, data.of) == (
        {"train": "train", "test": "validation"},
        {"train": 30, "test": 10},
        {"train": 60, "test": 10},
    )
    sample = Sample.from_folder(data.path)
    assert (len(sample.items), {*sample.labels}) == (30, {"pos", "neg"})
    assert not hub.paths_of(r"load\.py")  # a script is not even fetched
    requests = len(hub.paths_of("resolve"))
    assert fetch_data(home, "org/reviews", rows=30) == data
    assert len(hub.paths_of("resolve")) == requests  # what is here is not fetched again
    assert fetch_data(home, "org/reviews", split="validation").rows == {"train": 10}
    with pytest.raises(UnknownName, match="holdout"):
        fetch_data(home, "org/reviews", split="holdout")
    with pytest.raises(UnknownName, match="fancy"):
        fetch_data(home, "org/reviews", config="fancy")


def test_of_several_configurations_one_has_to_be_named_whether_a_card_or_folders_tell_them(hub, home):
    card = b"---\nconfigs:\n- config_name: a\n  data_files: a.csv\n- config_name: b\n  data_files: b.csv\n---\n"
    hub.add("datasets/org/stated", {"README.md": card, "a.csv": csv_of(4), "b.csv": csv_of(6)})
    hub.add("datasets/org/laid", {"a/train.csv": csv_of(4), "b/train.csv": csv_of(6), "b/test.csv": csv_of(2, 6)})
    for name in ("org/stated", "org/laid"):
        with pytest.raises(SeveralConfigurations, match=r"2 configurations.*: a, b") as several:
            fetch_data(home, name)
        assert "--config 'a'" in several.value.remedy
        assert fetch_data(home, name, config="b").of["train"] == 6
        with pytest.raises(UnknownName, match="'c'"):
            fetch_data(home, name, config="c")
    hub.add("datasets/org/parts", {"train/0.csv": csv_of(4), "test/0.csv": csv_of(2, 4)})
    assert fetch_data(home, "org/parts").of == {"train": 4, "test": 2}  # folders that are splits


def test_of_several_configurations_the_one_that_a_card_marks_is_the_usual_one(hub, home):
    marked = b"{config_name: b, default: true, data_files: b.csv}"
    card = b"---\nconfigs:\n- {config_name: a, data_files: a.csv}\n- " + marked + b"\n---\n"
    hub.add("datasets/org/marked", {"README.md": card, "a.csv": csv_of(4), "b.csv": csv_of(6)})
    assert fetch_data(home, "org/marked").of == {"train": 6}


def test_pictures_inside_parquet_become_class_folders_by_the_names_of_their_classes(hub, home):
    columns = {
        "image": [{"bytes": picture(shade), "path": None} for shade in (0, 60, 120, 180)],
        "label": [0, 1, 0, 1],
    }
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "../dog"], "_type": "ClassLabel"}}
    hub.add("datasets/org/pets", {"data/train-00000-of-00001.parquet": parquet_of(columns, features)})
    data = fetch_data(home, "org/pets")
    assert data.license == "unknown"
    written = sorted(file.relative_to(data.path).as_posix() for file in data.path.rglob("*.png"))
    assert written == [
        "train/_dog/000001.png",
        "train/_dog/000003.png",
        "train/cat/000000.png",
        "train/cat/000002.png",
    ]
    with pytest.raises(BadTable, match="--label"):
        fetch_data(home, "org/pets", label="breed")


def test_a_test_split_whose_labels_are_kept_secret_is_left_out(hub, home):
    train = parquet_of({"sentence": ["a b", "c d"], "label": [0, 1]}, {})
    secret = parquet_of({"sentence": ["e f", "g h"], "label": [-1, -1]}, {})
    hub.add("datasets/org/glue", {"sst2/train.parquet": train, "sst2/test.parquet": secret})
    assert fetch_data(home, "org/glue").rows == {"train": 2}


def test_what_cannot_be_had_is_named(hub, home, monkeypatch):
    hub.add("datasets/org/scripted", {"scripted.py": b"print('no')", "README.md": b"# no tables"})
    with pytest.raises(NoTables, match=r"scripted\.py, which is never run") as none:
        fetch_data(home, "org/scripted")
    assert "refs/convert/parquet" in none.value.remedy
    with pytest.raises(HubMissing):
        fetch_data(home, "org/nothing")
    with pytest.raises(UnusableHubId):
        fetch_data(home, "no-organization")
    hub.add("datasets/org/closed", {"train.csv": csv_of(4)}, gated=True)
    with pytest.raises(HubGated, match="datasets/org/closed"):
        fetch_data(home, "org/closed")
    hub.add("datasets/org/large", {"train.csv": csv_of(400)})
    monkeypatch.setattr(hub_data, "_MOST_BYTES", 1000)
    with pytest.raises(HubDataTooLarge, match="at most 1,000"):
        fetch_data(home, "org/large")


def test_a_request_keeps_as_many_rows_as_the_function_does():
    assert FetchDataRequest(hub="org/reviews").rows == USUAL_ROWS
