"""Fingerprints of texts: the set of their runs of letters, hashed to signs and added up, compared by cosine.

Runs of letters are Broder's shingles ("On the resemblance and containment of documents", 1997); of their sums of
hashed signs Charikar's SimHash ("Similarity estimation techniques from rounding algorithms", 2002) keeps the signs.
Here the sums are kept, so that the cosine of two is about that of the two sets. Unicode is composed (NFC) and white
space folded first, and case: written anew so, a text is the same.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt64

__all__ = ["fingerprints_of", "folded", "same_writing"]

_WIDTH = 512
_RUN = 5
_LEAST = 8
"""Letters of the shortest text that is like any other."""
_MOST = 20_000
"""Letters that are looked at."""
_ODD, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def fingerprints_of(texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """Unit vectors; zero where there are next to no letters."""
    vectors = np.zeros((len(texts), _WIDTH), np.float32)
    for row, text in enumerate(texts):
        runs = _runs(folded(text[:_MOST]).casefold())
        signs = 1.0 - 2.0 * (runs >> np.uint64(63)).astype(np.float64)
        places = (runs % np.uint64(_WIDTH)).astype(np.int64)
        summed = np.bincount(places, signs, _WIDTH)
        length = np.linalg.norm(summed)
        if length > 0:
            vectors[row] = summed / length
    return vectors


def folded(text: str) -> str:
    """Composed, and with one space where there was any white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def same_writing(text: str) -> str:
    """In Unicode's compatible composed form (NFKC), with one space for any white space and none at the ends.

    Full-width letters, ligatures, no-break spaces, line ends and marks that are composed or not make no difference.
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _runs(text: str) -> UInt64[np.ndarray, " r"]:
    """A hash of each run of letters, each once."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(letters) < _LEAST:
        return np.empty(0, np.uint64)
    hashed = np.zeros(len(letters) - _RUN + 1, np.uint64)
    for start in range(_RUN):
        hashed = (hashed ^ letters[start : start + len(hashed)]) * _ODD
        hashed ^= hashed >> np.uint64(29)
    hashed = hashed * _MIX
    return np.unique(hashed ^ (hashed >> np.uint64(32)))
