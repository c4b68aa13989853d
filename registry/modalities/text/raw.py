"""Features of no transfer: TF-IDF of words and of characters, turned into the space that the training rows span.

A linear model on TF-IDF sees the rows through their inner products alone, so that at most one axis for each training
row is needed (Schölkopf, Smola & Müller, "Nonlinear component analysis as a kernel eigenvalue problem", 1998, with
the linear kernel); beyond `LANDMARKS` rows, axes are those of so many (Williams & Seeger, "Using the Nyström method to
speed up kernel machines", 2001). The axes are turned at random: each then carries about the same share of the variance,
and whoever standardizes the columns leaves the rows' geometry as it was.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from registry.modalities import RawRecipe
from registry.modalities.text.items import TextItem

__all__ = ["LANDMARKS", "Spanned", "Written", "raw_features", "raw_recipe"]

LANDMARKS = 1024
_MOST_CHARACTERS = 4_000
_MOST_TERMS = 30_000
_FAINT = 1e-6
"""Share of the largest eigenvalue below which an axis is rounding."""
_WORD = r"(?u)\w+|[^\w\s]"
_VECTORIZERS = {
    "words": {"token_pattern": _WORD, "ngram_range": (1, 2), "sublinear_tf": True, "max_features": _MOST_TERMS},
    "characters": {
        "analyzer": "char_wb",
        "ngram_range": (3, 5),
        "sublinear_tf": True,
        "max_features": _MOST_TERMS,
    },
}


class Written(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Items to their texts, the beginning of long ones. There is nothing to fit."""

    def fit(self, X: Sequence[TextItem], y: object = None) -> "Written":
        """Learn nothing."""
        del X, y
        return self

    def transform(self, X: Sequence[TextItem]) -> np.ndarray:
        """An array of objects: one of strings would be as wide as its longest."""
        texts = np.empty(len(X), object)
        texts[:] = [item.open()[:_MOST_CHARACTERS] for item in X]
        return texts

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's, which has no types
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class Spanned(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """Sparse rows to dense coordinates in the space of those it was fitted on, axes turned at random."""

    def fit(self, X: csr_matrix, y: object = None) -> "Spanned":
        """Remember the rows, or evenly spaced `LANDMARKS` of them, and find the axes of their space."""
        del y
        places = np.unique(np.linspace(0, X.shape[0] - 1, min(LANDMARKS, X.shape[0])).round().astype(np.int64))
        rows = csr_matrix(X)[places]
        values, vectors = np.linalg.eigh((rows @ rows.T).toarray().astype(np.float64))
        spanned = values > _FAINT * values[-1]
        turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(int(spanned.sum()),) * 2))
        self.data_, self.indices_, self.indptr_, self.width_ = rows.data, rows.indices, rows.indptr, rows.shape[1]
        self.axes_ = ((vectors[:, spanned] / np.sqrt(values[spanned])) @ turned).astype(np.float32)
        return self

    def transform(self, X: csr_matrix) -> Float[np.ndarray, "n d"]:
        """Coordinates; inner products of rows that it was fitted on are as before."""
        return np.asarray((csr_matrix(X) @ self.rows.T).toarray() @ self.axes_, np.float32)

    @property
    def rows(self) -> csr_matrix:
        """The rows that it remembers; kept as arrays, which are trusted wherever they are read."""
        shape = (len(self.indptr_) - 1, self.width_)
        return csr_matrix((self.data_, self.indices_, self.indptr_), shape)


def raw_features() -> Pipeline:
    """As `registry.modalities.Modality.raw`."""
    terms = FeatureUnion(
        [(name, TfidfVectorizer(**settings, dtype=np.float32)) for name, settings in _VECTORIZERS.items()]
    )
    return Pipeline([("written", Written()), ("terms", terms), ("spanned", Spanned())])


def raw_recipe(fitted: Pipeline) -> RawRecipe:
    """As `registry.modalities.Modality.raw_recipe`: terms, their weights and the axes lie in the settings."""
    spanned = fitted.named_steps["spanned"]
    rows = spanned.rows
    terms = {
        name: {
            "settings": _VECTORIZERS[name],
            "vocabulary": {term: int(place) for term, place in vectorizer.vocabulary_.items()},
            "idf": _short(vectorizer.idf_),
        }
        for name, vectorizer in fitted.named_steps["terms"].transformer_list
    }
    settings = {
        "most_characters": _MOST_CHARACTERS,
        "terms": terms,
        "rows": {
            "data": _short(rows.data),
            "indices": rows.indices.tolist(),
            "indptr": rows.indptr.tolist(),
            "shape": list(rows.shape),
        },
        "axes": [_short(row) for row in spanned.axes_],
    }
    return RawRecipe(
        settings,
        f"""import json
from pathlib import Path
import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

stated = json.loads(Path("features.json").read_text(encoding="utf-8"))
makers = []
for one in stated["terms"].values():
    settings = dict(one["settings"], ngram_range=tuple(one["settings"]["ngram_range"]))
    maker = TfidfVectorizer(**settings, vocabulary=one["vocabulary"])
    maker.idf_ = np.array(one["idf"])
    makers.append(maker)
rows = csr_matrix(tuple(stated["rows"][part] for part in ("data", "indices", "indptr")), stated["rows"]["shape"])

def features(path):
    text = Path(path).read_text(encoding="utf-8")[:{_MOST_CHARACTERS}]
    terms = hstack([maker.transform([text]) for maker in makers]).tocsr()
    return ((terms @ rows.T).toarray() @ np.array(stated["axes"]))[0].astype(np.float32)
""",
    )


def _short(numbers: Float[np.ndarray, " n"]) -> list[float]:
    """As float32 has them."""
    return [float(f"{number:.8g}") for number in numbers.tolist()]
