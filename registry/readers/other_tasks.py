"""Folders that are of another task: boxes (COCO, YOLO, VOC), masks, captions, pairs of images. They are named as such.

Read as class folders they would give classes that are none: ``images/`` and ``labels/``, a picture and its mask.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from registry.errors import OtherTask
from registry.modalities import Undecodable, modalities

__all__ = ["ANNOTATIONS", "HEAD_BYTES", "refuse_other_tasks"]

ANNOTATIONS = frozenset({".csv", ".json", ".jsonl", ".txt", ".xml"})
"""Endings of files that may say what is in an image."""
HEAD_BYTES = 1 << 18
"""Of such a file so much is looked at."""
_LOOKED_AT = 5
_ENOUGH = 3
"""Files of a kind from which it is no accident."""
_SHARED = 0.8
"""Share of a folder's images that have a mask of the same name."""
_MOST_COLORS = 32
"""Colors that a mask has at most: one an object or class."""
_MASKS = re.compile(r"masks?|seg(mentation)?(class|object|s)?|labels?|annotations?|gt|ground_?truths?|trimaps?", re.I)
_OF_MASK = re.compile(r"(?P<stem>.+?)[ _-](mask|seg|segmentation|gt)", re.I)
_BOX = re.compile(rb"\s*\d+(\s+-?[\d.]+(e-?\d+)?){4}\s*", re.I)
_OUTLINE = re.compile(rb"\s*\d+(\s+-?[\d.]+(e-?\d+)?){6,}\s*", re.I)
_CAPTIONS = re.compile(rb"[\"']?(text|captions?)[\"']?\s*[,:\r\n]", re.I)

Head = Callable[[str], bytes]
"""The first bytes of a named file."""


def refuse_other_tasks(place: Path, names: Iterable[str], head: Head) -> None:
    """Refuse what class folders are not; ``names`` are those of images and of files that may say what is in them.

    Raises:
        OtherTask: it is of another task.
    """
    suffixes = modalities["image"].suffixes
    images, notes = set[str](), defaultdict[str, list[str]](list)
    for name in sorted(names):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in suffixes:
            images.add(name)
        elif suffix in ANNOTATIONS:
            notes[suffix].append(name)
    if len(images) < _ENOUGH:
        return
    stems = {PurePosixPath(name).stem for name in images}
    for suffix, judge in _JUDGES.items():
        own = [name for name in notes[suffix] if suffix in _ALONE or PurePosixPath(name).stem in stems]
        judged = [judge(PurePosixPath(name), head(name)) for name in own[:_LOOKED_AT]]
        kinds = [kind for kind in judged if kind is not None]
        if kinds and (suffix in _ALONE or len(kinds) >= min(_ENOUGH, len(own))):
            first = own[judged.index(kinds[0])]
            raise OtherTask(place, *kinds[0], first)
    if {"trainA", "trainB"} <= {folder for name in images for folder in PurePosixPath(name).parts[:-1]}:
        raise OtherTask(place, "generation", "images of two kinds, one to be made of the other", "trainA/, trainB/")
    mask = _mask(images, head)
    if mask is not None:
        raise OtherTask(place, "segmentation", "a mask for each image", mask)


def _of_json(name: PurePosixPath, text: bytes) -> tuple[str, str] | None:
    if b'"images"' not in text or b'"file_name"' not in text:
        return None
    if b'"caption"' in text or "caption" in name.stem.lower():
        return "generation", "captions (COCO)"
    return "detection", "boxes (COCO)"


def _of_xml(name: PurePosixPath, text: bytes) -> tuple[str, str] | None:
    del name
    return ("detection", "boxes (VOC)") if b"<bndbox>" in text else None


def _of_lines(name: PurePosixPath, text: bytes) -> tuple[str, str] | None:
    """YOLO: a class and four numbers a line, or the corners of an outline."""
    del name
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(_BOX.fullmatch(line) for line in lines):
        return "detection", "boxes (YOLO)"
    return ("segmentation", "outlines (YOLO)") if lines and all(map(_OUTLINE.fullmatch, lines)) else None


def _of_captions(name: PurePosixPath, text: bytes) -> tuple[str, str] | None:
    """``metadata.jsonl`` and ``.csv``, as the datasets library has them."""
    first = (text.splitlines() or [b""])[0] + b"\n"
    captioned = name.stem.lower() in {"metadata", "captions"} and b"label" not in first.lower()
    return ("generation", "captions") if captioned and _CAPTIONS.search(first) else None


_JUDGES = {".json": _of_json, ".jsonl": _of_captions, ".csv": _of_captions, ".xml": _of_xml, ".txt": _of_lines}
_ALONE = frozenset({".json", ".jsonl", ".csv"})
"""Endings of files one of which tells of all images; of others there is one an image."""


def _mask(images: Collection[str], head: Head) -> str | None:
    """A file that is the mask of another image, where most images have one."""
    by_folder: dict[PurePosixPath, dict[str, str]] = defaultdict(dict)
    for name in images:
        by_folder[PurePosixPath(name).parent][PurePosixPath(name).stem] = name
    for folder, inside in sorted(by_folder.items()):
        pairs = [inside[stem] for stem in sorted(inside) if (of := _OF_MASK.fullmatch(stem)) and of["stem"] in inside]
        if len(pairs) >= _ENOUGH and 2 * len(pairs) >= _SHARED * len(inside) and _flat(pairs, head):
            return pairs[0]
        if not any(_MASKS.fullmatch(part) for part in folder.parts):
            continue
        own = {(of["stem"] if (of := _OF_MASK.fullmatch(stem)) else stem) for stem in inside}
        for other, stems in by_folder.items():
            shared = own & stems.keys()
            if other != folder and len(shared) >= max(_ENOUGH, _SHARED * len(own)):
                masks = sorted(inside.values())
                if _flat(masks, head):
                    return masks[0]
    return None


def _flat(names: Collection[str], head: Head) -> bool:
    """Whether these images are of few colors, as masks are."""
    decode = modalities["image"].decode
    looked_at = [decode(name, head(name)) for name in sorted(names)[:_ENOUGH]]
    colors = [
        len(np.unique(np.asarray(item.open()).reshape(-1, 3), axis=0))
        for item in looked_at
        if not isinstance(item, Undecodable)
    ]
    return len(colors) == len(looked_at) and max(colors) <= _MOST_COLORS
