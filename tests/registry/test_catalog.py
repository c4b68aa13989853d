import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from registry.cards import Metric, Origin, Task
from registry.catalog import read_catalog, read_lens, write_checkpoint, write_domain, write_lens
from registry.errors import BadCard, UnknownName
from registry.sample import Sample
from registry.sketch import fit_lens, sketch_of
from tests.archives import unpack
from tests.registry.fakes import SHADES, a_catalog, a_checkpoint, a_domain, a_lens, cloud


@pytest.fixture
def folder(tmp_path):
    return a_catalog(tmp_path / "catalog")


def edit(path, **changes):
    """Change keys of a YAML file; None removes one."""
    body = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in body.items() if value is not None}))


def outcomes(folder, *rows):
    path = folder / "outcomes/some.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_catalog_comes_back_as_it_was_written(folder):
    result = read_catalog(folder)
    (card,) = result.checkpoints
    assert (card.name, card.domain, card.origin, card.folder.as_posix()) == (
        "mean-color",
        "gray",
        Origin.SEEDLING,
        "seedlings/mean-color",
    )
    assert [domain.name for domain in result.domains] == sorted(SHADES)
    assert [sketch.domain for sketch in result.sketches] == sorted(SHADES)
    assert result.lenses["image"].digest == a_lens().digest
    np.testing.assert_array_equal(result.sketches[1].embedding, sketch_of("dark", cloud(40), a_lens()).embedding)


def test_every_field_of_a_card_survives(folder):
    rich = a_checkpoint(
        folder / "seedlings/rich",
        "rich",
        domain="dark",
        source="dark things",
        lineage=("dark", "teacher"),
        license="MIT",
        claimed={"accuracy": 0.5},
        measured={"seed": 0, "date": "2026-01-01"},
        origin=Origin.SEEDLING,
    )
    write_checkpoint(folder, rich)
    write_domain(folder, a_domain("new", license="CC0-1.0", citation="Someone 2020", origin=Origin.PUBLISHED))
    result = read_catalog(folder)
    assert replace(rich, folder=rich.folder.relative_to(folder)) in result.checkpoints
    assert a_domain("new", license="CC0-1.0", citation="Someone 2020", origin=Origin.PUBLISHED) in result.domains


def test_writing_is_the_same_every_time(folder, tmp_path):
    again = a_catalog(tmp_path / "again")
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()


def test_an_empty_folder_is_an_empty_catalog(tmp_path):
    result = read_catalog(tmp_path)
    assert not any((result.checkpoints, result.domains, result.sketches, result.outcomes, result.lenses))


def test_a_card_without_a_license_is_of_license_unknown(folder):
    edit(folder / "domains/image/dark.yaml", license=None)
    edit(folder / "checkpoints/image/mean-color.yaml", license=None)
    result = read_catalog(folder)
    assert {card.license for card in (*result.checkpoints, *result.domains)} == {"unknown"}


@pytest.mark.parametrize(
    ("file", "changes", "key"),
    [
        ("checkpoints/image/mean-color.yaml", {"digest": None}, "digest"),
        ("checkpoints/image/mean-color.yaml", {"digest": "zz"}, "digest"),
        ("checkpoints/image/mean-color.yaml", {"parameters": "many"}, "parameters"),
        ("checkpoints/image/mean-color.yaml", {"parameters": -1}, "parameters"),
        ("checkpoints/image/mean-color.yaml", {"licence": "MIT"}, "licence"),
        ("checkpoints/image/mean-color.yaml", {"name": "another"}, "name"),
        ("checkpoints/image/mean-color.yaml", {"domain": "nowhere"}, "domain"),
        ("checkpoints/image/mean-color.yaml", {"folder": "../outside"}, "folder"),
        ("checkpoints/image/mean-color.yaml", {"folder": "/outside"}, "folder"),
        ("checkpoints/image/mean-color.yaml", {"lineage": "dark"}, "lineage"),
        ("domains/image/dark.yaml", {"rows": 0}, "rows"),
        ("domains/image/dark.yaml", {"family": None}, "family"),
        ("lenses.yaml", {"image": {"name": "x"}}, "image.space"),
        ("lenses.yaml", {"smell": {}}, "smell"),
    ],
)
def test_a_bad_key_is_named_with_its_file(folder, file, changes, key):
    edit(folder / file, **changes)
    with pytest.raises(BadCard) as caught:
        read_catalog(folder)
    assert (caught.value.file, caught.value.key) == (str(folder / file), key)


@pytest.mark.parametrize("content", [b"", b"- a\n- b\n", b"a: [1\n", b"\xff\xfe\x00", b"!!python/name:os.system\n"])
def test_a_file_that_is_no_mapping_is_named(folder, content):
    (folder / "domains/image/dark.yaml").write_bytes(content)
    with pytest.raises(BadCard, match=r"dark.yaml: \(all\)"):
        read_catalog(folder)


def test_a_card_in_a_folder_of_no_modality_is_named(folder):
    (folder / "domains/smell").mkdir()
    (folder / "domains/image/dark.yaml").rename(folder / "domains/smell/dark.yaml")
    with pytest.raises(BadCard, match="smell"):
        read_catalog(folder)


def test_a_sketch_that_is_damaged_misplaced_or_of_another_lens_is_named(folder):
    path = folder / "domains/image/dark.safetensors"
    for content, key in (
        (b"no", "sketch"),
        ((folder / "domains/image/gray.safetensors").read_bytes(), "domain"),
        (sketch_of("dark", cloud(40), fit_lens("x", "image", [cloud(1)])).pack(), "lens"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadCard) as caught:
            read_catalog(folder)
        assert caught.value.key == key


def test_a_lens_whose_files_do_not_give_its_digest_is_refused(folder):
    lens = a_lens()
    write_lens(folder, replace(lens, sigma=lens.sigma * 2))
    body = yaml.safe_load((folder / "lenses.yaml").read_text())
    body["image"]["digest"] = lens.digest
    (folder / "lenses.yaml").write_text(yaml.safe_dump(body))
    with pytest.raises(BadCard, match="digest"):
        read_lens(folder, "image")
    (folder / "lenses/image.safetensors").unlink()
    with pytest.raises(BadCard, match="mean, scale"):
        read_lens(folder, "image")


def test_a_modality_without_a_lens_is_named(folder):
    with pytest.raises(UnknownName, match="no lens named 'text'"):
        read_lens(folder, "text")


def test_outcomes_are_read_with_what_was_known_before_them(folder):
    row = {
        "checkpoint": "resnet50",
        "sample_name": "pets",
        "strategy": "full",
        "score": "0.9",
        "logme": "1.5",
        "note": "best",
        "leep": "",
    }
    outcomes(folder, row, {**row, "score": "0.8"})
    first, second = read_catalog(folder).outcomes
    assert (first.checkpoint, first.score, first.metric, first.task) == (
        "resnet50",
        0.9,
        Metric.ACCURACY,
        Task.CLASSIFICATION,
    )
    assert (first.origin, first.sample_digest) == (Origin.PUBLISHED, "published:pets")
    assert first.conditions == {"logme": 1.5, "note": "best"}
    assert "some" in first.citation
    assert first.id != second.id
    assert first.id == read_catalog(folder).outcomes[0].id


def test_name_and_body_of_weights_and_the_rows_tested_need_stand_in_their_first_outcome_alone(folder):
    row = {"checkpoint": "mine", "weights": "0a1b", "sample_name": "pets", "strategy": "full", "score": "0.9"}
    row |= {"rows_train": "60", "rows_test": "40", "body": "ResNet-1M@32"}
    other = {**row, "checkpoint": "other", "weights": "2c3d", "rows_test": "", "body": "ViT-2M@32"}
    outcomes(folder, row, other, {**row, "checkpoint": "", "body": "", "rows_test": "", "score": "0.8"})
    read = [(one.checkpoint, one.conditions["body"], one.rows_test) for one in read_catalog(folder).outcomes]
    assert read == [("mine", "ResNet-1M@32", 40), ("other", "ViT-2M@32", 40), ("mine", "ResNet-1M@32", 40)]


def test_a_cell_that_stands_for_the_row_before_has_what_that_one_has(folder):
    row = {"checkpoint": "mine", "sample_name": "pets", "strategy": "full", "rows_train": "60", "score": "0.9"}
    like = {**row, "sample_name": "=", "strategy": "=", "rows_train": "=", "score": "0.8"}
    outcomes(folder, row, like, {**like, "strategy": "probe"}, {**like, "score": "0.7"})
    read = [(one.sample_name, one.strategy, one.rows_train, one.score) for one in read_catalog(folder).outcomes]
    assert read == [
        ("pets", way, 60, score) for way, score in (("full", 0.9), ("full", 0.8), ("probe", 0.8), ("probe", 0.7))
    ]


def test_in_the_first_row_nothing_stands_for_the_row_before(folder):
    outcomes(folder, {"checkpoint": "mine", "sample_name": "=", "strategy": "full", "score": "0.9"})
    with pytest.raises(BadCard, match=r"line 2\.sample_name"):
        read_catalog(folder)


def test_weights_that_no_outcome_names_are_refused(folder):
    outcomes(folder, {"checkpoint": "", "weights": "0a1b", "sample_name": "pets", "strategy": "full", "score": "0.9"})
    with pytest.raises(BadCard, match=r"line 2\.checkpoint"):
        read_catalog(folder)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"score": "90"}, "line 2.score"),
        ({"score": "high"}, "line 2.score"),
        ({"checkpoint": ""}, "line 2.checkpoint"),
        ({"metric": "vibes"}, "line 2.metric"),
        ({"score": "nan"}, "line 2.score"),
    ],
)
def test_a_bad_outcome_is_named_with_its_line(folder, changes, key):
    row = {"checkpoint": "resnet50", "sample_name": "pets", "strategy": "full", "score": "0.9", "metric": "accuracy"}
    outcomes(folder, {**row, **changes})
    with pytest.raises(BadCard) as caught:
        read_catalog(folder)
    assert caught.value.key == key


def test_a_row_with_too_many_cells_is_named(folder):
    path = outcomes(folder, {"checkpoint": "a", "sample_name": "b", "strategy": "c", "score": "0.9"})
    path.write_text(path.read_text() + "a,b,c,0.9,extra\n")
    with pytest.raises(BadCard, match="line 3"):
        read_catalog(folder)


BUNDLED = Path("catalog")
SHARED = Path("../shared/data/image")


def test_every_bundled_domain_has_the_keys_of_at_least_the_rows_that_its_card_counts():
    result = read_catalog(BUNDLED)
    keys = {rows.owner: rows for rows in result.rows}
    sketched = [domain for domain in result.domains if domain.rows]
    assert sorted(keys) == sorted(domain.name for domain in sketched)
    assert [domain.name for domain in sketched if len(keys[domain.name].keys) < domain.rows] == []


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the image sets are not here")
def test_the_keys_of_a_bundled_domain_are_those_of_its_pictures_and_of_no_others(tmp_path):
    for name in ("magnetic_tile", "mnist"):
        unpack(SHARED / f"{name}.tar.gz", tmp_path / name)
    keys = {rows.owner: rows for rows in read_catalog(BUNDLED).rows}["magnetic_tile"]
    of_domain, others = (
        [item.digest for item in Sample.from_folder(next((tmp_path / name).rglob("train"))).items]
        for name in ("magnetic_tile", "mnist")
    )
    assert sum(digest in keys for digest in of_domain) == len(of_domain) > 400
    assert not any(digest in keys for digest in others)
