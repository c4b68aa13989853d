import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.errors import TooManyUnreadable
from registry.modalities.image import IMAGE
from registry.modalities.image.decoding import MAX_PIXELS
from registry.modalities.image.items import ImageItem
from registry.progress import Event, Phase, silent
from registry.readers.folder import read_folder
from registry.readers.rows import Rows, read_items
from tests.conftest import draw_folder, drawn
from tests.observers import Recorder


def read_among_good(tmp_path: Path, **files: bytes) -> Rows:
    """Rows of a class `odd` with the given files (`name_ext=bytes`) and enough good ones to stay under the limit."""
    root = draw_folder(tmp_path / "data", {"good": 4 * len(files)})
    (root / "odd").mkdir()
    for name, content in files.items():
        (root / "odd" / name.replace("_", ".")).write_bytes(content)
    return read_folder(root, limit=1_000)


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **how)
    return held.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def only_odd(rows: Rows) -> ImageItem:
    (item,) = (item for item in rows.items if item.name.startswith("odd/"))
    return item


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"this is not an image", "not an image that can be decoded"),
        (saved(Image.fromarray(drawn(1, 64)), "JPEG")[:900], "truncated"),
        (saved(Image.fromarray(drawn(1, 64)), "PNG")[:3_000], ""),
        (png_header(60_000, 1_000), "60 megapixels, more than 50"),
        (png_header(10_000, 10_000), "100 megapixels, more than 50"),
        (png_header(60_000, 60_000), "more than 50 megapixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript, no picture that is read"),
    ],
)
def test_a_bad_image_is_skipped_with_its_reason(tmp_path, content, reason):
    rows = read_among_good(tmp_path, bad_png=content)
    assert len(rows.items) == 4
    ((name, why),) = rows.unreadable
    assert name == "odd/bad.png"
    assert reason in why
    assert why


def test_a_size_is_judged_before_a_pixel_is_decoded(tmp_path):
    side = int(MAX_PIXELS**0.5) + 10
    flat = saved(Image.new("L", (side, side)), "PNG")
    assert len(flat) < 200_000
    rows = read_among_good(tmp_path, bomb_png=flat)
    assert "megapixels" in rows.unreadable[0][1]


def test_no_warning_of_the_decoder_leaks(tmp_path):
    with warnings.catch_warnings(record=True) as recorder:
        warnings.simplefilter("always")
        read_among_good(tmp_path, bomb_png=png_header(10_000, 10_000))
    assert not recorder


def test_more_than_one_in_five_bad_images_is_too_many(tmp_path):
    root = draw_folder(tmp_path / "data", {"good": 8})
    for place in range(2):
        (root / "good" / f"bad{place}.jpg").write_bytes(b"?")
    assert len(read_folder(root, limit=100).unreadable) == 2
    (root / "good" / "bad2.jpg").write_bytes(b"?")
    with pytest.raises(TooManyUnreadable, match="3 of 11 items") as caught:
        read_folder(root, limit=100)
    assert "good/bad0.jpg" in str(caught.value)


def test_a_file_of_many_megabytes_is_not_read(tmp_path):
    root = draw_folder(tmp_path / "data", {"good": 5})
    with (root / "good" / "huge.png").open("wb") as sparse:
        sparse.truncate(300 * 2**20)
    assert read_folder(root, limit=100).unreadable == (("good/huge.png", "300 MiB, more than 256"),)


@pytest.mark.parametrize(
    ("image", "kind", "counted"),
    [
        (Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", "CMYK"),
        (Image.new("L", (8, 8), 90), "PNG", "gray"),
        (Image.new("1", (8, 8), 1), "PNG", "gray"),
        (Image.new("P", (8, 8), 3), "GIF", "palette"),
        (Image.new("LA", (8, 8), (90, 10)), "PNG", "alpha"),
        (Image.new("RGBA", (8, 8), (1, 2, 3, 4)), "WEBP", "alpha"),
        (Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "PNG", "16-bit"),
        (Image.fromarray(np.full((8, 8), 40_000, np.int32)), "TIFF", "16-bit"),
        (Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF", "float"),
    ],
)
def test_unusual_images_become_rgb_and_are_counted(tmp_path, image, kind, counted):
    how = {"lossless": True} if kind == "WEBP" else {}
    rows = read_among_good(tmp_path, **{f"odd_{kind.lower()}": saved(image, kind, **how)})
    assert rows.converted[counted] == 1
    opened = only_odd(rows).open()
    assert (opened.mode, opened.size) == ("RGB", (8, 8))


def test_a_palette_with_transparency_opens_without_a_warning(tmp_path):
    image = Image.fromarray(drawn(5)).quantize(16)
    rows = read_among_good(tmp_path, p_png=saved(image, "PNG", transparency=bytes(range(16))))
    assert rows.converted == {"alpha": 1, "palette": 1}
    assert only_odd(rows).open().mode == "RGB"


def test_twelve_bit_values_in_a_sixteen_bit_file_keep_their_contrast(tmp_path):
    ramp = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    opened = only_odd(read_among_good(tmp_path, ray_png=saved(Image.fromarray(ramp), "PNG"))).open()
    assert opened.getextrema()[0] == (0, 255)


def test_a_picture_the_camera_turned_is_turned_back(tmp_path):
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    rows = read_among_good(tmp_path, turned_png=saved(Image.fromarray(pixels), "PNG", exif=exif))
    opened = np.asarray(only_odd(rows).open())
    assert rows.converted == {"EXIF-rotated": 1}
    assert opened.shape == (8, 4, 3)
    assert opened[:4].min() == 255
    assert opened[4:].max() == 0


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    rows = read_among_good(tmp_path, moving_gif=saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert rows.converted["animated"] == 1
    assert only_odd(rows).open().getpixel((4, 4)) == (255, 0, 0)


def test_broken_exif_is_no_exif(tmp_path):
    content = saved(Image.fromarray(drawn(3)), "JPEG", exif=b"Exif\x00\x00broken")
    assert not read_among_good(tmp_path, photo_jpg=content).unreadable


@pytest.mark.parametrize("ending", ["PNG", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "TIFF"])
def test_every_promised_ending_is_read(tmp_path, ending):
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
    rows = read_among_good(tmp_path, **{f"one_{ending}": saved(Image.fromarray(drawn(7)), kind)})
    assert only_odd(rows).open().size == (12, 12)


def test_an_item_is_known_by_its_content_and_not_by_its_folder(tmp_path):
    here, there = (read_folder(draw_folder(tmp_path / name, {"a": 2}), limit=9) for name in ("x", "y"))
    assert here.items == there.items


def test_a_reader_tells_how_far_it_is(tmp_path):
    recorder = Recorder()
    read_folder(draw_folder(tmp_path / "x", {"a": 3}), limit=9, progress=recorder)
    assert recorder.events == [Event(Phase.READ, "images", done, 3) for done in range(4)]


def test_an_item_without_content_says_so():
    with pytest.raises(OSError, match="neither a file nor data"):
        ImageItem("nothing", "0").open()


def test_a_file_that_vanishes_is_a_skipped_item(tmp_path):
    def fetch(name: str) -> tuple[bytes, Path | None]:
        return (tmp_path / name).read_bytes() if name == "gone" else saved(Image.fromarray(drawn(1)), "PNG"), None

    names = ["a", "b", "c", "d", "gone"]
    rows = read_items(tmp_path, names, ["x"] * 5, fetch, modality=IMAGE, progress=silent)
    assert rows.unreadable == (("gone", "No such file or directory"),)
