"""Two lists of variants crossed: the usual run takes one case in so many, along diagonals, and ``--long`` all."""

from collections.abc import Sequence

import pytest

__all__ = ["crossed"]


def crossed(rows: Sequence[object], columns: Sequence[object], one_in: int) -> list:
    """Every row and column has a case in the usual run, where neither is shorter than ``one_in``."""
    return [
        pytest.param(row, column, marks=() if (place + across) % one_in == 0 else pytest.mark.long)
        for place, row in enumerate(rows)
        for across, column in enumerate(columns)
    ]
