"""Every modality keeps the contract: ours, and one that a package brings."""

import json
import unicodedata
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from registry.encoders.loading import load_network
from registry.modalities import modalities
from registry.testing import ModalityContract
from tests.fakes import SHAPES, save_net, series
from tests.registry.encoders.nets import NETS, network_of
from tests.registry.modalities.text.nets import SENTENCES, save


def _picture(seed):
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    return coarse.resize((40 + 7 * seed, 60 - 3 * seed), Image.Resampling.BICUBIC)


def _written(picture, form, **options):
    file = BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@lru_cache
def _vit():
    return network_of(NETS["vit"]())


class TestImage(ModalityContract):
    modality = modalities["image"]
    contents = {f"{seed}.png": _written(_picture(seed), "PNG") for seed in range(8)}
    copies = {
        "0.png": _written(_picture(0), "JPEG", quality=90),
        "3.png": _written(_picture(3).resize((80, 70), Image.Resampling.BICUBIC), "PNG"),
    }
    broken = (b"GIF89a", b"\x89PNG\r\n\x1a\n", b"not a picture", contents["0.png"][:40])

    def network(self):
        return _vit()


class _OfTexts(ModalityContract):
    modality = modalities["text"]
    contents = {f"{place}.txt": sentence.encode() for place, sentence in enumerate(SENTENCES)}
    copies = {
        "0.txt": SENTENCES[0].encode("utf-16"),
        "3.txt": SENTENCES[3].replace(" ", "\r\n  ").encode(),
        "9.txt": unicodedata.normalize("NFD", SENTENCES[9]).encode(),
    }
    broken = (b" \n\t ", b"a\0b", b"\xff\xfe\x00\xd8", b"\x89PNG\r\n\x1a\n\x00", bytes(range(1, 9)) + b"\xff")


class TestTextsOfAnEncoder(_OfTexts):
    def network(self):
        return _of_text("bert")


class TestTextsOfADecoder(_OfTexts):
    def network(self):
        return _of_text("gpt2")


@lru_cache
def _of_text(name):
    with TemporaryDirectory() as place:
        return load_network(save(Path(place), name))


@pytest.mark.usefixtures("numbers")
class TestNumber(ModalityContract):
    contents = {
        f"{form}-{row}.num": json.dumps(one).encode() for form in SHAPES for row, one in enumerate(series(form, 2, 0))
    }
    copies = {name: json.dumps(json.loads(content), indent=2).encode() for name, content in [*contents.items()][::3]}
    broken = (b"[1, 2", b"[]", b"{}", b"[1, NaN]", b"[1, true]", b'["1"]', b"[1e999]", b"\xff\xfe")

    @property
    def modality(self):
        return modalities["number"]

    def network(self):
        return _numbers()


@lru_cache
def _numbers():
    with TemporaryDirectory() as place:
        return load_network(save_net(Path(place), seed=1))
