"""A text as a page shows it: its beginning, on one line."""

from registry.modalities import Preview

__all__ = ["preview_of"]

_SHOWN = 280


def preview_of(text: str) -> Preview:
    """The first 280 letters, with white space folded; the page escapes them."""
    line = " ".join(text[: 8 * _SHOWN].split())
    shown = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1].rstrip()}…"
    return Preview("text/plain", (shown or "…").encode("utf-8"))
