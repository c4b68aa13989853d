"""Features of no transfer of a word: itself, its form, how it begins and ends, and the words around it.

As conditional random fields were given them (Sutton & McCallum, "An introduction to conditional random fields", 2012,
table 2.2), hashed to columns (Weinberger et al., "Feature hashing for large scale multitask learning", 2009).
"""

import re
from collections.abc import Iterator, Sequence

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction import FeatureHasher
from sklearn.pipeline import Pipeline

from registry.modalities.text.items import TextItem

__all__ = ["Described", "word_features"]

_COLUMNS = 1 << 16
_AFFIXES = (1, 2, 3, 4)
_RUNS = re.compile(r"(.)\1+")
_LONGEST = 64
"""Letters of a word that are looked at."""


class Described(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Items to what is said of each of their words, word after word. There is nothing to fit."""

    def fit(self, X: Sequence[TextItem], y: object = None) -> "Described":
        """Learn nothing."""
        del X, y
        return self

    def transform(self, X: Sequence[TextItem]) -> list[list[str]]:
        """A list of facts for each word."""
        return [facts for item in X for facts in _facts(item.words)]

    def __sklearn_is_fitted__(self) -> bool:
        return True


def word_features() -> Pipeline:
    """As `registry.modalities.Positional.raw`."""
    return Pipeline([("described", Described()), ("hashed", FeatureHasher(_COLUMNS, input_type="string"))])


def _facts(words: Sequence[str]) -> Iterator[list[str]]:
    lowered = ["", "", *(word[:_LONGEST].lower() for word in words), "", ""]
    forms = ["", "", *(_form(word[:_LONGEST]) for word in words), "", ""]
    for place, word in enumerate(words, start=2):
        own = lowered[place]
        yield [
            f"word={own}",
            f"cased={word[:_LONGEST]}",
            f"form={forms[place]}",
            *(f"begins={own[:length]}" for length in _AFFIXES if len(own) > length),
            *(f"ends={own[-length:]}" for length in _AFFIXES if len(own) > length),
            *(f"{at:+d}={lowered[place + at]}" for at in (-2, -1, 1, 2)),
            *(f"form{at:+d}={forms[place + at]}" for at in (-1, 1)),
            *(f"ends{at:+d}={lowered[place + at][-3:]}" for at in (-1, 1)),
            f"forms={forms[place - 1]} {forms[place]} {forms[place + 1]}",
        ]


def _form(word: str) -> str:
    """The kinds of its letters, each run as one: ``Aa`` of London, ``A.A.`` of U.N., ``0-0`` of 10-12."""
    kinds = "".join(
        "A" if each.isupper() else "a" if each.isalpha() else "0" if each.isdigit() else each for each in word
    )
    return _RUNS.sub(r"\1", kinds)
