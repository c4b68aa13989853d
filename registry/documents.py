"""Documents that strangers wrote: JSON and YAML, read within limits on size, depth and count, as plain values only.

What comes out are text, numbers, truth values, None, lists and mappings of text to these: nothing that could not be
written as JSON again. Pipes and devices are never opened, YAML's aliases never followed.
"""

import json
import re
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml

from registry.errors import NotFetched, UnreadableDocument

__all__ = ["Plain", "pointer", "read_bytes", "read_json", "read_text", "read_yaml", "yaml_of"]

Plain = str | int | float | bool | list[Any] | dict[str, Any] | None
"""What JSON can say; lists and mappings hold the same."""

MOST_BYTES = 8 << 20
"""Of a JSON file; the largest known, the names of ImageNet's 21,843 classes, takes 2 MB."""
MOST_YAML_BYTES = 1 << 17
MOST_DEPTH = 64
MOST_YAML_NODES = 10_000
MOST_WHOLE = 2**63

_BRACKETS = np.zeros(256, np.int8)
_BRACKETS[list(b"[{")], _BRACKETS[list(b"]}")] = 1, -1
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
_POINTER = b"version https://git-lfs.github.com/spec/"


def pointer(start: bytes) -> bool:
    """Whether these are the first bytes of a Git LFS pointer, which stands for a file that was not fetched."""
    return start.startswith(_POINTER)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A plain file's bytes.

    Raises:
        UnreadableDocument: no plain file lies there, it is larger than ``most`` bytes, or it may not be read.
        NotFetched: it is a Git LFS pointer.
    """
    try:
        if not path.is_file():
            raise UnreadableDocument(path, "it is a folder, pipe or device" if path.exists() else "it is not there")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as cause:
        raise UnreadableDocument(path, getattr(cause, "strerror", None) or str(cause)) from cause
    if len(content) > most:
        raise UnreadableDocument(path, f"it is larger than {most:,} bytes")
    if pointer(content):
        raise NotFetched(path)
    return content


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """A plain file's text, in UTF-8 with or without a byte order mark.

    Raises:
        UnreadableDocument, NotFetched: as `read_bytes`; or it is not UTF-8.
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise UnreadableDocument(path, f"it is not UTF-8 (byte {cause.start})") from cause


def read_json(path: Path, most: int = MOST_BYTES, *, clipped: bool = False, unique: bool = False) -> Plain:
    """What a JSON file holds; ``clipped`` makes whole numbers of more than 64 bits the largest of 64.

    Of a name that stands twice in an object the last counts; ``unique`` refuses it.

    Raises:
        UnreadableDocument, NotFetched: as `read_text`; or it is no JSON, too deep, or holds NaN or infinity.
    """
    text = read_text(path, most)
    brackets = _BRACKETS[np.frombuffer(_QUOTED.sub(b"", text.encode()), np.uint8)]
    depth = int(brackets.cumsum(dtype=np.int64).max(initial=0))
    if depth > MOST_DEPTH:
        raise UnreadableDocument(path, f"it is nested {depth} deep, more than {MOST_DEPTH}")
    try:
        pairs = _once if unique else None
        numbers = _clipped if clipped else None
        return _plain(json.loads(text, parse_constant=_no_number, parse_int=numbers, object_pairs_hook=pairs))
    except (ValueError, RecursionError) as cause:
        raise UnreadableDocument(path, f"it is no JSON ({cause})") from cause


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object in which no name stands twice."""
    record: dict[str, object] = {}
    for name, value in pairs:
        if name in record:
            raise ValueError(f"{name!r} stands there twice")
        record[name] = value
    return record


def read_yaml(path: Path) -> Plain:
    """What a YAML file holds; dates stay text.

    Raises:
        UnreadableDocument, NotFetched: as `read_text`; or it is no YAML, too deep or too long, or holds an alias, NaN,
            infinity or anything that is not plain.
    """
    text = read_text(path, MOST_YAML_BYTES)
    try:
        return yaml_of(text)
    except ValueError as cause:
        raise UnreadableDocument(path, f"it is no YAML ({' '.join(str(cause).split())})") from cause


def yaml_of(text: str) -> Plain:
    """What a text in YAML holds; dates stay text.

    Raises:
        ValueError: it is no YAML, too long or too deep, or holds an alias or anything that is not plain.
    """
    if len(text) > MOST_YAML_BYTES:
        raise ValueError(f"longer than {MOST_YAML_BYTES:,} characters")
    try:
        return _plain(yaml.load(text, _PlainLoader))  # noqa: S506 - a SafeLoader that knows even less
    except Exception as cause:  # the constructors of explicit tags may raise anything
        raise ValueError(str(cause) or type(cause).__name__) from cause


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without aliases and dates, within limits on depth and count."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        """The next node, counted."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias")
        self._depth, self._nodes = self._depth + 1, self._nodes + 1
        if self._depth > MOST_DEPTH or self._nodes > MOST_YAML_NODES:
            raise ValueError(f"it is nested more than {MOST_DEPTH} deep or has more than {MOST_YAML_NODES:,} values")
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type] # its stub wants an int
        self._depth -= 1
        return node


def _plain(value: object) -> Plain:
    """The same value, each part of it looked at.

    Raises:
        ValueError: a part is none of the plain values, no finite number, or text that UTF-8 cannot write.
    """
    waiting = [value]
    while waiting:
        part = waiting.pop()
        match part:
            case str():
                part.encode()
            case float() if not isfinite(part):
                _no_number(str(part))
            case dict():
                for odd in (key for key in part if not isinstance(key, str)):
                    raise ValueError(f"the key {odd!r} is no text")
                waiting += [*part, *part.values()]
            case list():
                waiting += part
            case int() if abs(part) > MOST_WHOLE:
                raise ValueError("a whole number has more than 64 bits")
            case int() | float() | None:
                pass
            case _:
                raise ValueError(f"a {type(part).__name__} is neither text, number, list nor mapping")
    return value  # type: ignore[return-value] # every part was looked at


def _clipped(text: str) -> int:
    return max(-MOST_WHOLE, min(int(text), MOST_WHOLE))


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
