"""Bytes to text: UTF-8, UTF-16 and UTF-32 by their marks, and what else is text as Windows-1252 or Latin-1."""

import codecs
import re
import unicodedata

from registry.modalities import Undecodable

__all__ = ["MOST_CHARACTERS", "ONE_BYTE", "decoded", "has_words", "kept"]

MOST_CHARACTERS = 100_000
"""Of a longer text only its beginning is kept."""
ONE_BYTE = ("Latin-1", "Windows-1252")
"""As what is read that is no UTF-8 and has no mark: any bytes are letters there, of whatever language they were."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
    (codecs.BOM_UTF8, "utf-8", "byte order mark"),
)
_MOST_BYTES = 4 * MOST_CHARACTERS + 4
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_MOST_CONTROLS = 0.005
"""Share of a text of one byte a character beyond which it is none."""
_TAGS = re.compile(r"</?(?:a|b|br|div|em|h[1-6]|html|i|li|p|span|strong|table|td|tr|ul)\b[^<>]*>", re.IGNORECASE)
_WORDS = frozenset("LMNPS")


def decoded(content: bytes) -> tuple[str, tuple[str, ...]] | Undecodable:
    """The text that bytes hold, with what was unusual about it; or why they hold none."""
    for mark, encoding, kind in _MARKS:
        if content.startswith(mark):
            return _marked(content[len(mark) :], encoding, kind)
    if b"\0" in content[:_MOST_BYTES]:
        return Undecodable("it holds NUL bytes, as no text does")
    head = content[:_MOST_BYTES]
    try:
        return kept(head.decode("utf-8") if len(head) == len(content) else _cut(head, "utf-8"), ())
    except UnicodeDecodeError:
        return _unmarked(head)


def kept(text: str, kinds: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | Undecodable:
    """The beginning of a text, with all that is unusual about it; or why it is none."""
    if "\0" in text:
        return Undecodable("it holds NUL characters, as no text does")
    if not has_words(text):
        return Undecodable("it holds no text" if not text.strip() else "it holds nothing that can be seen")
    more = []
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS]
        more.append(f"cut at {MOST_CHARACTERS:,} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        text = text.encode("utf-8", "replace").decode("utf-8")
        more.append("half characters")
    if _CONTROLS.search(text):
        more.append("control characters")
    if _TAGS.search(text):
        more.append("HTML tags")
    return text, (*kinds, *more)


def has_words(text: str) -> bool:
    """Whether there is a letter, mark, number, sign or symbol in it."""
    return any(unicodedata.category(letter)[0] in _WORDS for letter in text)


def _marked(content: bytes, encoding: str, kind: str) -> tuple[str, tuple[str, ...]] | Undecodable:
    try:
        whole = len(content) <= _MOST_BYTES
        return kept(content.decode(encoding) if whole else _cut(content[:_MOST_BYTES], encoding), (kind,))
    except UnicodeDecodeError as fault:
        return Undecodable(f"it is marked as {encoding.upper()}, which it is not ({fault.reason})")


def _cut(content: bytes, encoding: str) -> str:
    """Without what is left of a character at the end."""
    return codecs.getincrementaldecoder(encoding)().decode(content)


def _unmarked(content: bytes) -> tuple[str, tuple[str, ...]] | Undecodable:
    """Damaged UTF-8 where most of what is no ASCII is sound; else one byte a character."""
    repaired = content.decode("utf-8", "replace")
    broken = repaired.count("\ufffd")
    if broken <= sum(letter > "\x7f" for letter in repaired) - broken:
        return kept(repaired, ("broken UTF-8",))
    latin, windows = ONE_BYTE
    kind = windows if any(0x80 <= byte < 0xA0 for byte in content) else latin
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text, kind = content.decode("latin-1"), latin
    if len(_CONTROLS.findall(text)) > _MOST_CONTROLS * len(text):
        return Undecodable("it is no text in UTF-8, UTF-16 or Latin-1")
    return kept(text, (kind,))
