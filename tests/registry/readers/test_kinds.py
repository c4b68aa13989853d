"""Which modality a place holds: that of most of its files, said where there are others, or the one that is named."""

from zipfile import ZipFile

import pytest

from registry.errors import NoItems, UnknownName
from registry.sample import Sample
from tests.conftest import draw_folder

pytestmark = pytest.mark.usefixtures("numbers")


def mixed(place, images: int, series: int):
    root = draw_folder(place, {"a": images, "b": images})
    for label in "ab":
        for row in range(series):
            (root / label / f"{row}.num").write_text(str([row, ord(label), 0.5]))
    return root


@pytest.mark.parametrize(("images", "series", "kind"), [(4, 2, "image"), (2, 4, "number")])
def test_most_files_decide_and_the_others_are_told(tmp_path, images, series, kind):
    sample = Sample.from_folder(mixed(tmp_path / "x", images, series))
    assert sample.modality == kind
    assert len(sample) == 8
    other = "4 series" if kind == "image" else "4 images"
    assert any(note.startswith(f"{other} there too, not read: --modality") for note in sample.health.warnings)


def test_the_named_modality_is_read_and_read_again(tmp_path):
    sample = Sample.from_folder(mixed(tmp_path / "x", 4, 2), modality="number")
    assert (sample.modality, len(sample)) == ("number", 4)
    assert Sample.again(sample.to_dict()).digest == sample.digest
    with pytest.raises(UnknownName, match="no modality named 'nmber'"):
        Sample.from_folder(tmp_path / "x", modality="nmber")


def test_an_archive_is_decided_alike(tmp_path):
    root = mixed(tmp_path / "x", 2, 4)
    with ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in sorted(root.rglob("*.*")):
            archive.write(file, file.relative_to(root))
    assert Sample.from_folder(tmp_path / "x.zip").digest == Sample.from_folder(root).digest


def test_errors_speak_of_the_modality_that_was_named(tmp_path):
    with pytest.raises(NoItems, match="no series in class folders"):
        Sample.from_folder(mixed(tmp_path / "x", 2, 0), modality="number")


def test_values_are_taken_by_the_first_modality_that_knows_them():
    rows = [[float(row), 2.0, 3.0] for row in range(6)]
    sample = Sample.from_arrays(rows, ["a", "b"] * 3, name="series")
    assert sample.modality == "number"
