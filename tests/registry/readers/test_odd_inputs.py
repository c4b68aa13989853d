"""Inputs of the kinds that people report of tools like this, in miniature, each with what is right for it."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.cards import ClassFolder, Task
from registry.errors import (
    AmbiguousLayout,
    BadTable,
    NoItems,
    TooManyUnreadable,
    TransferZooError,
    UnusableArrays,
    UnusableLabels,
)
from registry.modalities import Undecodable
from registry.modalities.image import IMAGE
from registry.readers import table as tables
from registry.readers.anywhere import read_anywhere
from registry.readers.archive import read_archive
from registry.readers.layout import plain_name, truths
from registry.readers.table import read_groups, read_labels
from registry.sample import Sample
from tests.conftest import draw_folder, drawn

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


def names_bytes(root: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(root) + b"/" + name))


def parts(train: dict[str, int], test: dict[str, int]) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        draw_folder(root, train)
        draw_folder(root, test, start=500)

    return make


SPLITS = {
    "training_set": parts({"training_set/a": 3, "training_set/b": 3}, {"test_set/a": 2, "test_set/b": 2}),
    "seg": parts(
        {"seg_train/seg_train/a": 3, "seg_train/seg_train/b": 3},
        {"seg_test/seg_test/a": 2, "seg_test/seg_test/b": 2, "seg_pred/seg_pred": 2},
    ),
    "docs": parts({"train/a": 3, "train/b": 3}, {"val/a": 2, "val/b": 2, "docs": 1}),
    "below class": parts({"a/train": 3, "b/train": 3}, {"a/test": 2, "b/test": 2}),
    "camel case": parts({"TrainSet/a": 3, "TrainSet/b": 3}, {"TestSet/a": 2, "TestSet/b": 2}),
    "letter case": parts({"train/a": 3, "train/b": 3}, {"test/A": 2, "test/B": 2}),
    "years": parts({"train2017/a": 3, "train2017/b": 3}, {"val2017/a": 2, "val2017/b": 2}),
}


@pytest.mark.parametrize("make", SPLITS.values(), ids=SPLITS)
def test_folders_named_as_parts_are_parts_and_never_classes(tmp_path, make):
    make(tmp_path)
    sample = Sample.from_folder(tmp_path)
    assert sample.test is not None
    assert (sample.counts, sample.test.counts) == ({"a": 3, "b": 3}, {"a": 2, "b": 2})


def test_a_class_named_like_a_part_stays_a_class(tmp_path):
    draw_folder(tmp_path, {"test tube": 3, "training shoe": 3, "cup": 3})
    assert set(Sample.from_folder(tmp_path).classes) == {"test tube", "training shoe", "cup"}


def test_what_lies_beside_the_parts_is_counted_and_named(tmp_path):
    SPLITS["seg"](tmp_path)
    assert any("seg_pred/ ignored (2 images)" in note for note in Sample.from_folder(tmp_path).health.warnings)


def test_the_same_folders_below_several_are_refused_until_it_is_said_which_are_classes(tmp_path):
    draw_folder(tmp_path, {f"{kind}/{camera}": 2 for kind in "012" for camera in "0123"})
    with pytest.raises(AmbiguousLayout, match="either may be the classes") as caught:
        Sample.from_folder(tmp_path)
    assert "--class-folder outer" in caught.value.remedy
    outer = Sample.from_folder(tmp_path, class_folder="outer")
    inner = Sample.from_folder(tmp_path, class_folder=ClassFolder.INNER)
    assert (outer.counts, inner.counts) == (dict.fromkeys("012", 8), dict.fromkeys("0123", 6))
    assert Sample.again(inner.to_dict()).digest == inner.digest


def test_what_predicts_reads_a_folder_as_what_trained(tmp_path):
    names = [f"{kind}/{camera}/x.png" for kind in "012" for camera in "012"]
    assert truths(tmp_path, names, "012", ClassFolder.OUTER) == {name: name[0] for name in names}
    assert truths(tmp_path, names, "012", ClassFolder.INNER) == {name: name[2] for name in names}
    assert truths(tmp_path, names, "012") == {}
    assert set(truths(tmp_path, ["n/cat/1.png", "n/Dog/1.png", "x.png"], ["cat", "dog"]).values()) == {"cat", "dog"}
    assert truths(tmp_path, ["train/cat/1.png", "test/cat/2.png", "docs/3.png"], ["cat"]) == {
        "train/cat/1.png": "cat",
        "test/cat/2.png": "cat",
    }


def test_outer_categories_are_the_classes_and_the_inner_ones_are_named(tmp_path):
    draw_folder(tmp_path, {"animals/cat": 2, "animals/dog": 2, "vehicles/bus": 2, "vehicles/car": 2})
    sample = Sample.from_folder(tmp_path)
    assert sample.counts == {"animals": 4, "vehicles": 4}
    assert any("bus/, car/, cat/, dog/" in note for note in sample.health.warnings)
    assert set(Sample.from_folder(tmp_path, class_folder="inner").classes) == {"bus", "car", "cat", "dog"}


def test_a_folder_of_data_sets_is_refused(tmp_path):
    draw_folder(tmp_path, {f"{pets}/{part}/{kind}": 2 for pets in "xy" for part in ("train", "test") for kind in "ab"})
    with pytest.raises(AmbiguousLayout, match=r"several data sets \(x/, y/\)"):
        Sample.from_folder(tmp_path)


def test_a_dummy_test_folder_is_named_and_not_judged_on(tmp_path):
    draw_folder(tmp_path, {"train/a": 2, "train/b": 2, "test/unknown": 2})
    sample = Sample.from_folder(tmp_path)
    assert sample.test is None
    assert any("test part ignored (2 images)" in note for note in sample.health.warnings)


def test_file_names_that_begin_with_the_class_are_named_as_the_way_out(tmp_path):
    (tmp_path / "train").mkdir()
    for place, kind in enumerate(("cat", "dog") * 3):
        Image.fromarray(drawn(place)).save(tmp_path / "train" / f"{kind}.{place}.jpg")
    with pytest.raises(NoItems) as caught:
        Sample.from_folder(tmp_path)
    assert "(cat, dog)" in caught.value.remedy


def test_folder_names_that_are_no_text_stay_apart_and_can_be_printed(tmp_path):
    for place, name in enumerate((b"\xb9\xb7", b"\xc4\xf1", b"cat")):
        draw_folder(names_bytes(tmp_path, name), {".": 2}, start=10 * place)
    sample = Sample.from_folder(tmp_path)
    assert sample.counts == {"cat": 2, r"\xb9\xb7": 2, r"\xc4\xf1": 2}
    assert all(item.name.encode() for item in sample.items)
    assert plain_name(plain_name("\udcb9 cafe\u0301")) == "\\xb9 caf\u00e9"


def test_a_place_that_is_no_text_is_printable_and_still_there(tmp_path):
    place = names_bytes(tmp_path, b"donn\xe9es")
    draw_folder(place, {"a": 2, "b": 2})
    sample = Sample.from_folder(place)
    assert (sample.name, sample.origin) == (r"donn\xe9es", rf"{tmp_path}/donn\xe9es")
    assert Sample.again(sample.to_dict()).digest == sample.digest
    with pytest.raises(TransferZooError) as caught:
        Sample.from_folder(names_bytes(tmp_path, b"\xe9"))
    assert str(caught.value).encode()


def test_two_folders_that_read_alike_are_refused(tmp_path):
    draw_folder(names_bytes(tmp_path, b"\xe9"), {".": 2})
    draw_folder(tmp_path / r"\xe9", {".": 2}, start=9)
    with pytest.raises(AmbiguousLayout, match="two folders both read"):
        Sample.from_folder(tmp_path)


def test_a_system_s_own_folders_are_no_classes(tmp_path):
    draw_folder(tmp_path, {"a": 3, "b": 3, "a/@eaDir/0.png": 2, "@eaDir/x.png": 2, ".cache": 1})
    sample = Sample.from_folder(tmp_path)
    assert sample.counts == {"a": 3, "b": 3}
    assert "2 folders @eaDir/ passed over: a system's own" in sample.health.warnings


def test_a_class_of_which_nothing_can_be_read_is_named(tmp_path):
    draw_folder(tmp_path, {"cat": 6, "dog": 6})
    (tmp_path / "owl").mkdir()
    for place in range(2):
        (tmp_path / "owl" / f"{place}.jpg").write_bytes(HEIC)
    warnings = Sample.from_folder(tmp_path).health.warnings
    assert "class 'owl' left out: none of its 2 images can be read" in warnings
    assert any("HEIC, which is not read" in warning for warning in warnings)


def test_a_class_that_only_holds_copies_is_named(tmp_path):
    draw_folder(tmp_path, {"a": 3, "b": 3})
    draw_folder(tmp_path, {"c": 2})
    warnings = Sample.from_folder(tmp_path).health.warnings
    assert any("class 'c' is gone: 2 images" in warning for warning in warnings)


def test_pointers_and_links_that_lead_nowhere_are_named_as_what_they_are(tmp_path):
    draw_folder(tmp_path / "lfs", {"a": 1})
    draw_folder(tmp_path / "annex", {"a": 1})
    for place in range(1, 4):
        (tmp_path / "lfs" / "a" / f"{place}.jpg").write_bytes(LFS)
        (tmp_path / "annex" / "a" / f"{place}.jpg").symlink_to(f"../.git/annex/objects/{place}.jpg")
    with pytest.raises(TooManyUnreadable, match="git lfs pull"):
        Sample.from_folder(tmp_path / "lfs")
    with pytest.raises(TooManyUnreadable, match="git annex get"):
        Sample.from_folder(tmp_path / "annex")


def test_links_out_of_the_folder_are_followed_only_where_it_was_said(tmp_path):
    pool = draw_folder(tmp_path / "pool", {"cat": 3, "dog": 3, "new cat": 3, "new dog": 3})
    for part, prefix in (("train", ""), ("test", "new ")):
        (tmp_path / "set" / part).mkdir(parents=True)
        for kind in ("cat", "dog"):
            (tmp_path / "set" / part / kind).symlink_to(pool / f"{prefix}{kind}")
    with pytest.raises(NoItems, match="4 links out of it") as caught:
        Sample.from_folder(tmp_path / "set")
    assert "--follow-links" in caught.value.remedy
    sample = Sample.from_folder(tmp_path / "set", follow_links=True)
    assert sample.test is not None
    assert (len(sample), len(sample.test)) == (6, 6)
    assert Sample.again(sample.to_dict()).digest == sample.digest


def test_two_classes_may_link_to_one_folder_and_links_inside_are_fine(tmp_path):
    draw_folder(tmp_path, {"pool/x": 3, "train/a": 3, "train/b": 3, "test/a": 2}, start=0)
    (tmp_path / "test" / "b").symlink_to(tmp_path / "pool" / "x")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "b").symlink_to(tmp_path / "pool" / "x")
    sample = Sample.from_folder(tmp_path)
    assert sample.test is not None
    assert sample.test.counts == {"a": 2, "b": 3}


def test_a_link_to_the_root_of_the_machine_is_not_walked(tmp_path):
    draw_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "all").symlink_to("/")
    (tmp_path / "a" / "self.png").symlink_to(tmp_path / "a" / "self.png")
    sample = Sample.from_folder(tmp_path)
    assert len(sample) == 10
    assert any("1 link out of the folder not followed (a/all/)" in note for note in sample.health.warnings)


def test_pipes_are_never_opened(tmp_path):
    draw_folder(tmp_path, {"a": 6})
    os.mkfifo(tmp_path / "a" / "pipe.png")
    os.mkfifo(tmp_path / "labels.csv")
    os.mkfifo(tmp_path / "set.zip")
    assert read_anywhere(tmp_path).unreadable == (("a/pipe.png", "a pipe, a device or a socket, no file"),)
    with pytest.raises(BadTable, match="a pipe"):
        read_labels(tmp_path / "labels.csv")
    for name in ("set.zip", "set.csv", "set.jsonl", "set.parquet", "set.conll"):
        if not (tmp_path / name).exists():
            os.mkfifo(tmp_path / name)
        with pytest.raises(NoItems, match="a pipe"):
            Sample.from_folder(tmp_path / name)


def sixteen_bit(path: Path, pixels: np.ndarray) -> None:
    """A PNG of 16 bits a channel, gray (h, w), RGB (h, w, 3) or RGBA."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    kind = {2: 0, 3: 2, 4: 6}[pixels.shape[-1] if pixels.ndim == 3 else 2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, kind, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def shown(sample: Sample) -> dict[str, np.ndarray]:
    return {item.name: np.asarray(item.open()).astype(int) for item in sample.items}


def noise(low: int, high: int, seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape or (24, 24))


def test_a_hot_pixel_darkens_neither_its_picture_nor_the_others(tmp_path):
    for place in range(4):
        bright = noise(3400, 3800, place)
        bright[5, 7] = 4200 if place % 2 else bright[5, 7]
        sixteen_bit(tmp_path / "bright" / f"{place}.png", bright)
        sixteen_bit(tmp_path / "dim" / f"{place}.png", noise(1800, 2200, 50 + place))
    sample = Sample.from_folder(tmp_path)
    means = {name: pixels.mean() for name, pixels in shown(sample).items()}
    assert sample.reading["whole"] == [0, 4095]
    assert all(abs(mean - (224 if name.startswith("bright") else 125)) < 3 for name, mean in means.items())
    assert sample.health.converted["16-bit"] == 8


@pytest.mark.parametrize("channels", [3, 4])
def test_color_of_sixteen_bits_keeps_its_range(tmp_path, channels):
    pixels = noise(0, 4096, 1, 20, 30, channels)
    pixels[..., 3:] = 65535
    for place in range(2):
        sixteen_bit(tmp_path / "a" / f"{place}.png", pixels - place * (pixels > 9))
    sample = Sample.from_folder(tmp_path)
    np.testing.assert_allclose(shown(sample)["a/0.png"], pixels[..., :3] * (255 / 4095), atol=0.51)
    assert sample.health.converted["16-bit"] == 2


@pytest.mark.parametrize("how", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"planarconfig": "separate"}])
def test_tiffs_of_sixteen_bit_color_keep_their_range(tmp_path, how):
    tifffile = pytest.importorskip("tifffile")
    pixels = noise(0, 4096, 1, 20, 30, 3).astype(np.uint16)
    (tmp_path / "a").mkdir()
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in how else pixels
    tifffile.imwrite(tmp_path / "a" / "0.tif", stored, photometric="rgb", **how)
    np.testing.assert_allclose(shown(Sample.from_folder(tmp_path))["a/0.tif"], pixels * (255 / 4095), atol=0.51)


def test_floats_have_one_scale_for_all_and_that_of_zero_to_one_is_kept(tmp_path):
    for kind, base in (("dark", 0.1), ("bright", 0.6)):
        (tmp_path / kind).mkdir()
        for place in range(3):
            grid = (noise(0, 100, place + len(kind)) / 400 + base).astype(np.float32)
            Image.fromarray(grid).save(tmp_path / kind / f"{place}.tif")
    sample = Sample.from_folder(tmp_path)
    assert sample.reading["real"] == [0, 1]
    assert {name[:4]: round(float(pixels.mean()) / 255, 1) for name, pixels in shown(sample).items()} == {
        "dark": 0.2,
        "brig": 0.7,
    }


def test_the_scale_of_training_maps_the_test_part_and_what_is_predicted(tmp_path):
    for part, top in (("train", 4000), ("test", 900)):
        for place in range(3):
            sixteen_bit(tmp_path / part / "a" / f"{place}.png", noise(0, top, place + top))
    sample = Sample.from_folder(tmp_path)
    assert sample.test is not None
    assert sample.test.reading["whole"] == sample.reading["whole"] == [0, 4095]
    later = read_anywhere(tmp_path / "test", reading=sample.reading)
    assert [item.shown for item in later.items] == [item.shown for item in sample.test.items]
    alone = Sample.from_folder(tmp_path / "test")
    assert alone.items[0].digest == sample.test.items[0].digest
    assert alone.order != sample.test.order


def test_what_is_transparent_is_laid_on_white_and_counted(tmp_path):
    picture = np.dstack([drawn(3, 24), np.zeros((24, 24), np.uint8)])
    for place in range(2):
        picture[8:12, 8 : 12 + place, 3] = 255
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "a" / f"{place}.png")
    sample = Sample.from_folder(tmp_path)
    pixels = shown(sample)["a/0.png"]
    assert (pixels[picture[..., 3] == 0] == 255).sum() >= 3 * (24 * 24 - 20)
    assert (pixels[8:12, 8:12] == picture[8:12, 8:12, :3]).all()
    assert sample.health.converted == {"alpha": 2}


def test_more_bands_than_colors_are_read_and_counted(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    (tmp_path / "a").mkdir()
    pixels = noise(0, 256, 1, 12, 12, 5).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a" / "0.tif", pixels, photometric="minisblack", planarconfig="contig")
    sample = Sample.from_folder(tmp_path)
    assert (shown(sample)["a/0.tif"] == pixels[..., :3]).all()
    assert sample.health.converted == {"5 bands": 1}


@pytest.mark.parametrize("ending", ["ppm", "pgm", "jfif", "pnm"])
def test_other_endings_of_formats_that_are_read_are_read(tmp_path, ending):
    image = Image.fromarray(drawn(1)).convert("L" if ending == "pgm" else "RGB")
    for place, kind in enumerate("ab"):
        (tmp_path / kind).mkdir()
        image.rotate(90 * place).save(tmp_path / kind / f"0.{ending}", "JPEG" if ending == "jfif" else "PPM")
    assert Sample.from_folder(tmp_path).counts == {"a": 1, "b": 1}


def test_a_zip_in_a_zip_and_other_files_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr("inner.zip", b"PK")
        outer.writestr("a/1.heic", b"")
    with pytest.raises(NoItems, match=r"but 1 \.heic, 1 \.zip") as caught:
        Sample.from_folder(tmp_path / "outer.zip")
    assert "unpack" in caught.value.remedy


HEADINGS = ["file,target", "image,label", "filename,class", "id,label", "path;category"]


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_usual_headings_are_understood(tmp_path, heading):
    draw_folder(tmp_path / "img", {".": 4})
    sign = ";" if ";" in heading else ","
    rows = "".join(f"{place}.png{sign}{'cat' if place % 2 else 'dog'}\n" for place in range(4))
    (tmp_path / "t.csv").write_text(f"{heading}\n{rows}")
    assert Sample.from_folder(tmp_path / "img", labels=tmp_path / "t.csv").counts == {"cat": 2, "dog": 2}


@pytest.mark.parametrize(
    "form", ["img/{}.png", "{root}/img/{}.png", "./{}.png", "{}.jpg", "{}", "/else/img/{}.png", "{}.PNG"]
)
def test_a_table_may_write_its_files_from_elsewhere(tmp_path, form):
    draw_folder(tmp_path / "img", {".": 4})
    rows = "".join(f"{form.format(place, root=tmp_path)},{'ab'[place % 2]}\n" for place in range(4))
    (tmp_path / "t.csv").write_text(f"file,target\n{rows}")
    sample = Sample.from_folder(tmp_path / "img", labels=tmp_path / "t.csv")
    assert {item.name: label for item, label in zip(sample.items, sample.labels, strict=True)} == {
        f"{place}.png": "ab"[place % 2] for place in range(4)
    }


def test_rows_of_another_part_do_not_label_this_one(tmp_path):
    draw_folder(tmp_path / "train", {".": 4})
    files = [("train", 0), ("train", 1), ("train", 2), ("test", 0), ("test", 1), ("test", 2), ("test", 3)]
    rows = "".join(f"{part}/{place}.png,{part}\n" for part, place in files)
    (tmp_path / "t.csv").write_text(f"file,target\n{rows}")
    sample = Sample.from_folder(tmp_path / "train", labels=tmp_path / "t.csv")
    assert sample.counts == {"train": 3}
    assert any("4 rows of the table without an image" in note for note in sample.health.warnings)


def test_a_table_about_other_files_shows_one_of_each(tmp_path):
    draw_folder(tmp_path / "img", {".": 2})
    (tmp_path / "t.csv").write_text("file,target\nelse.png,a\n")
    with pytest.raises(BadTable, match=r"line 2 says 'else.png', an image there is '0.png'"):
        Sample.from_folder(tmp_path / "img", labels=tmp_path / "t.csv")


def column(tmp_path: Path, *cells: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("file,target\n" + "".join(f"{row}.png,{cell}\n" for row, cell in enumerate(cells)))
    return path


def test_whole_numbers_that_were_written_as_floats_are_classes(tmp_path):
    table = read_labels(column(tmp_path, "0.0", "1.0", "2.0", "1.0"))
    assert (table.task, [cell for _, _, cell in table.rows]) == (Task.CLASSIFICATION, ["0", "1", "2", "1"])
    assert "--task regression" in table.notes[0]
    assert [cell for _, _, cell in read_labels(column(tmp_path, "0.0", "", "2.0")).rows] == ["0", "2"]


def test_names_that_may_mean_nothing_are_text_and_noted(tmp_path):
    table = read_labels(column(tmp_path, "cat", "nan", "NA", "None", "dog"))
    assert (table.task, table.rows[1][2]) == (Task.CLASSIFICATION, "nan")
    assert "3 rows whose target reads NA, None, nan" in table.notes[0]
    assert "joined by |" in read_labels(column(tmp_path, "sand", '"sand,sea"')).notes[0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"file,target\n" + b"x" * 2_000_000, "line 2 is longer"),
        (b"file,target\na.png,\0\n", "line 2 holds a NUL byte"),
        (b"file,target\na.png,b\xe9\n", "line 2 is not UTF-8"),
        (b"file,target," + b"x," * 20_000 + b"\n", "20,003 columns"),
        (b'file,target\na.png,"' + b"x\n" * 200_000, "field larger than field limit"),
    ],
    ids=["line", "NUL", "bytes", "columns", "cell"],
)
def test_a_table_beyond_all_measure_ends_in_a_named_error(tmp_path, content, why):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadTable, match=why):
        read_labels(tmp_path / "t.csv")


def test_more_rows_about_a_file_than_can_be_kept_end_in_a_named_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_KEPT_ROWS", 10)
    monkeypatch.setattr(tables, "_MOST_ROWS", 100)
    (tmp_path / "t.csv").write_text("file,target,group\n" + "a.png,b,c\n" * 101)
    targets = read_labels(tmp_path / "t.csv")
    with pytest.raises(BadTable, match="line 102: more than 100 rows"):
        targets.match(tmp_path, ["a.png"])
    with pytest.raises(BadTable, match="line 102: more than 100 rows"):
        read_groups(tmp_path / "t.csv", ["a.png"])


def test_a_list_of_images_is_a_sample():
    images = [drawn(seed) for seed in range(4)]
    listed = Sample.from_arrays(images, ["a", "b"] * 2, name="x")
    assert listed.digest == Sample.from_arrays(np.stack(images), ["a", "b"] * 2, name="x").digest
    assert len(Sample.from_arrays([drawn(1), drawn(2, 20)], [0.5, 1.5], name="x")) == 2


@pytest.mark.parametrize(
    "images",
    [
        [],
        "text",
        [[1, 2], [3]],
        [None],
        np.zeros((2, 4, 4), complex),
        np.full((2, 4, 4), 1e308),
        np.array([drawn(1), None], object),
        np.ma.masked_less(np.stack([drawn(1)] * 2), 99),
        [np.zeros((4, 4), complex)] * 2,
        [drawn(1), drawn(2)[0, 0]],
    ],
)
def test_what_is_no_images_is_named(images):
    with pytest.raises(UnusableArrays):
        Sample.from_arrays(images, ["a", "b"], name="x")


@pytest.mark.parametrize(
    "labels",
    [
        [1j, 2j],
        np.ma.masked_equal([1, 2], 2),
        [1e308, 2],
        [10**400, 0.5],
        np.array("a"),
        [b"a", b"b"],
        [object(), object()],
        [1e200, 0.5],
        [float("nan"), 0.5],
        np.array([["a"], ["b"]]),
    ],
)
def test_what_is_no_label_is_named(labels):
    with pytest.raises(UnusableLabels):
        Sample.from_arrays(np.stack([drawn(1), drawn(2)]), labels, name="x")


def encoded(kind: str) -> bytes:
    held = io.BytesIO()
    Image.fromarray(drawn(1, 24)).save(held, kind)
    return held.getvalue()


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """A few bytes flipped, cut out, doubled or cut off."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        at, length = int(random.integers(len(data))), int(random.integers(1, 9))
        match int(random.integers(5)):
            case 0:
                data[at] ^= 1 << int(random.integers(8))
            case 1:
                data[at : at + length] = random.bytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case _:
                del data[max(at, 1) :]
        data = data or bytearray(b"\0")
    return bytes(data)


def archive() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        for place in range(4):
            file.writestr(f"{'ab'[place % 2]}/{place}é.png", encoded("PNG"))
    return held.getvalue()


TABLE = "file,target\n" + "".join(f'{place}.png,"{"cat|dog"[: 3 + place % 4]}"\n' for place in range(8))
BANDS = (
    b"II*\0"
    + struct.pack("<IH", 8, 9)
    + b"".join(
        struct.pack("<HHII", tag, kind, count, value)
        for tag, kind, count, value in (
            (256, 3, 1, 4),
            (257, 3, 1, 4),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 122),
            (277, 3, 1, 5),
            (278, 3, 1, 4),
            (279, 4, 1, 80),
        )
    )
    + bytes(4)
    + bytes(range(80))
)
READERS = {
    **{kind: encoded(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")},
    "bands": BANDS,
    "zip": archive(),
    "csv": TABLE.encode(),
}


@pytest.mark.parametrize("kind", READERS)
def test_damaged_bytes_end_in_named_errors_only(tmp_path, kind):
    random = np.random.default_rng(7)
    for _ in range(70):
        content = mutated(READERS[kind], random)
        with suppress(TransferZooError):
            if kind == "csv":
                (tmp_path / "x").write_bytes(content)
                read_labels(tmp_path / "x").match(tmp_path, ["0.png", "1.png"])
            elif kind == "zip":
                (tmp_path / "x").write_bytes(content)
                read_archive(tmp_path / "x", limit=9)
            else:
                decoded = IMAGE.decode("x", content)
                rows = IMAGE.settled([] if isinstance(decoded, Undecodable) else [decoded], {})[0]
                assert all(item.open().mode == "RGB" for item in rows)
