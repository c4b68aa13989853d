"""What to know of a sample's texts: their languages, and letters that were lost before they came here."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from registry.modalities.text.items import TextItem

__all__ = ["languages", "remarks_on"]

_LOOKED_AT = 500
_LETTERS = 400
"""Of a text that are looked at."""
_FEWEST_LETTERS = 40
"""Of a text that is long enough to tell its language."""
_SURE = 0.99
_FEWEST = 20
"""Texts of a sure language from which on their shares are told."""
_MIXED = 0.05
"""Share of the sure texts from which on another language than the first is worth a word."""
_NO_LANGUAGE = frozenset({"und", "zxx"})
_LOST = "\ufffd"


def remarks_on(items: Sequence[TextItem]) -> tuple[str, ...]:
    """One sentence for each thing that is worth knowing."""
    return (*_of_languages(items), *_of_lost_letters(items))


def languages(items: Sequence[TextItem]) -> Counter[str]:
    """Texts of each language (ISO 639-1) among at most 500, evenly spread, that are long enough to be sure of it.

    Lui & Baldwin, "langid.py: an off-the-shelf language identification tool" (2012).
    """
    places = np.linspace(0, len(items) - 1, min(len(items), _LOOKED_AT)).astype(int)
    texts = [items[place].text[:_LETTERS] for place in places]
    classified = [_identifier().classify(text) for text in texts if sum(map(str.isalpha, text)) >= _FEWEST_LETTERS]
    return Counter(str(language) for language, sure in classified if sure >= _SURE and language not in _NO_LANGUAGE)


def _of_languages(items: Sequence[TextItem]) -> Iterator[str]:
    counts = languages(items)
    sure = counts.total()
    if sure < _FEWEST:
        return
    several = [(language, count / sure) for language, count in counts.most_common() if count >= _MIXED * sure]
    if len(several) > 1:
        shares = ", ".join(f"{100 * share:.0f} % {language}" for language, share in several)
        yield (
            f"several languages: {shares} (of {sure} texts whose language is certain); a checkpoint of one language "
            "reads the others poorly"
        )


def _of_lost_letters(items: Sequence[TextItem]) -> Iterator[str]:
    lost = sum(_LOST in item.text for item in items)
    if lost:
        yield f"{lost} of {len(items)} texts hold the sign for a letter that was lost ({_LOST}): see how they were made"


@lru_cache(1)
def _identifier() -> Any:  # noqa: ANN401 - a LanguageIdentifier; a second to load
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
