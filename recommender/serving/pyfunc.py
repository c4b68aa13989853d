"""A run's model as ``mlflow.pyfunc.load_model`` calls it: the same `Predictor` that ``transferzoo predict`` uses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recommender.runs.mlflow_model import probability_columns
from recommender.serving.predict import Predictor
from registry.cards import Task
from registry.forms import to_json

__all__: list[str] = []


class _Model:
    """What ``mlflow.pyfunc`` calls: items in, a table out."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: np.ndarray | pd.DataFrame | list[Any], params: object = None) -> pd.DataFrame:
        """The class or value named for each item, and each class's probability; or its tags, words and spans (JSON).

        Items are as `registry.modalities.Modality.in_memory` says: uint8 images (n, height, width, 3), or texts as a
        list or the one column of a table.
        """
        del params
        predicted = self._predictor.predict(
            model_input.iloc[:, 0].to_list() if isinstance(model_input, pd.DataFrame) else model_input
        )
        if predicted.task is Task.TOKEN_CLASSIFICATION:
            rows = [to_json(row) for row in predicted.rows()]
            columns = {name: [json.dumps(row[name]) for row in rows] for name in ("words", "spans")}
            return pd.DataFrame({"prediction": list(predicted.labels), **columns})
        if predicted.task is Task.REGRESSION:
            return pd.DataFrame({"prediction": predicted.scores[:, 0].astype(np.float64)})
        scores = pd.DataFrame(predicted.scores.astype(np.float64), columns=probability_columns(list(predicted.classes)))
        scores.insert(0, "prediction", list(predicted.labels))
        return scores


def _load_pyfunc(data_path: str) -> _Model:
    """MLflow's hook: the model in that folder."""
    return _Model(Predictor.open(Path(data_path)))
