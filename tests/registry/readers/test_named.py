"""Some rows read again by their names, from wherever a sample was read, and never from elsewhere."""

import shutil
import zipfile
from pathlib import Path

import pytest

from registry.errors import PathMissing
from registry.modalities import modalities
from registry.readers.anywhere import read_named
from registry.sample import Sample
from tests.ui.pictures import write_stripes


def read_again(sample: Sample, place: Path, names: list[str]) -> dict[str, str]:
    items = read_named(place, names, modality=modalities[sample.modality], reading=sample.reading)
    return {name: item.digest for name, item in items.items()}


def test_the_same_items_are_read_from_a_folder_and_from_a_zip_of_it(tmp_path):
    folder = write_stripes(tmp_path)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    for place in (folder, packed):
        sample = Sample.from_folder(place, keep_duplicates=True)
        wanted = {item.name: item.digest for item in sample.items[::7]}
        assert read_again(sample, place, [*wanted]) == wanted


def test_rows_of_both_parts_of_a_table_are_read_by_their_numbers(tmp_path):
    words = ("fine", "bad", "good", "awful", "nice", "poor")
    for part in ("train", "test"):
        lines = [f"a {word} {part} text of row {row},{row % 2}" for row, word in enumerate(words)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    sample = Sample.from_folder(tmp_path, keep_duplicates=True)
    wanted = {item.name: item.digest for item in (sample.items[0], sample.test.items[-1])}
    assert read_again(sample, tmp_path, [*wanted]) == wanted


def test_what_is_gone_broken_or_outside_is_left_out(tmp_path):
    folder = write_stripes(tmp_path)
    sample = Sample.from_folder(folder)
    file = folder / sample.items[0].name
    (tmp_path / "outside.png").write_bytes(file.read_bytes())
    (folder / "linked.png").symlink_to(tmp_path / "outside.png")
    (folder / "broken.png").write_bytes(b"no picture")
    names = ["gone.png", "broken.png", "../outside.png", "linked.png", str(tmp_path / "outside.png"), "nul\0.png"]
    assert read_again(sample, folder, names) == {}
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(file, "a/one.png")
    assert read_again(sample, tmp_path / "packed.zip", ["gone.png"]) == {}
    with pytest.raises(PathMissing):
        read_again(sample, tmp_path / "nowhere", ["gone.png"])
