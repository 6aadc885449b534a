"""A scikit-learn pipeline of the size of our network, trained on a bundle's golden rows, as MLServer and MLflow serve it.

python bench/peers/sklearn_pipeline.py mlserver|mlflow GOLDEN.json FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def trained(golden: dict[str, object]) -> Pipeline:
    rows = pd.DataFrame(golden["rows"])
    predictions = golden["predictions"]
    assert isinstance(predictions, dict)
    label = np.array(predictions.get("probabilities", predictions.get("prediction")), np.float64)
    words = make_column_selector(dtype_exclude=np.number)
    encoded = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(handle_unknown="ignore"), words),
    )
    model = make_pipeline(encoded, MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=50))
    return model.fit(rows, label[:, -1] if label.ndim == 2 else label)


def main(kind: str, golden: str, folder: str) -> None:
    model = trained(json.loads(Path(golden).read_text()))
    target = Path(folder)
    if kind == "mlflow":
        import mlflow.sklearn

        mlflow.sklearn.save_model(model, target, serialization_format="cloudpickle")
        return
    import joblib

    target.mkdir()
    joblib.dump(model, target / "model.joblib")
    told = {
        "name": "served",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "content_type": "pd"},
    }
    (target / "model-settings.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
