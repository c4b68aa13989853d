"""Strangers' text as one line that shows it and does nothing: what a terminal or page would act on, escaped."""

import re

__all__ = ["UNSAFE", "escaped", "shown"]

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, all but tab and line feed
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # what is not seen, or turns the line around
    "\ud800-\udfff]"  # halves of characters: bytes of a name that are no UTF-8
)
"""What is never printed as it is."""
_LINES = re.compile("[\t\n]")


def shown(text: object) -> str:
    """One line that shows the text and does nothing else: controls, line ends and overrides are escaped."""
    return _LINES.sub(_escape, escaped(str(text)))


def escaped(text: str) -> str:
    """The text with its own lines and tabs; controls and overrides are escaped as Python escapes them."""
    return UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
