"""Boosted trees of three libraries, each as it is by default, on the rows of a folder: what `bench/quality.py` runs in their environment.

    python trees.py FOLDER

The folder has `train.parquet`, `eval.parquet` and `task.json` (`label`, `loss`: mse, mae or classes). What each library predicts is written
beside them as `NAME.parquet`, its seconds of processor time on the standard output. Texts enter as categories, everything else as numbers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

# Idle OpenMP threads otherwise spin, and would be counted.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

THREADS = 2
QUIET = {"verbose": -1, "n_jobs": THREADS}


def lightgbm(loss: str, seed: int, texts: list[str]):
    if loss == "classes":
        return LGBMClassifier(random_state=seed, **QUIET)
    return LGBMRegressor(objective=loss, random_state=seed, **QUIET)


def scikit_learn(loss: str, seed: int, texts: list[str]):
    if loss == "classes":
        return HistGradientBoostingClassifier(random_state=seed)
    return HistGradientBoostingRegressor(
        loss={"mse": "squared_error", "mae": "absolute_error"}[loss], random_state=seed
    )


def catboost(loss: str, seed: int, texts: list[str]):
    given = {
        "random_seed": seed,
        "thread_count": THREADS,
        "cat_features": texts,
        "allow_writing_files": False,
        "silent": True,
    }
    if loss == "classes":
        return CatBoostClassifier(**given)
    return CatBoostRegressor(loss_function={"mse": "RMSE", "mae": "MAE"}[loss], **given)


LIBRARIES = {"lightgbm": lightgbm, "scikit_learn": scikit_learn, "catboost": catboost}


def main() -> None:
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    frames = {split: pd.read_parquet(folder / f"{split}.parquet") for split in ("train", "eval")}
    label = {split: frame.pop(task["label"]).to_numpy() for split, frame in frames.items()}
    texts = [name for name, kind in frames["train"].dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    for name, make in LIBRARIES.items():
        given = inputs(frames, texts, as_text=name == "catboost")
        began = time.process_time()
        model = make(task["loss"], task["seed"], texts).fit(given["train"], label["train"])
        seconds = time.process_time() - began
        if task["loss"] == "classes":
            columns = {str(c): p for c, p in zip(model.classes_, model.predict_proba(given["eval"]).T, strict=True)}
        else:
            columns = {"prediction": np.asarray(model.predict(given["eval"]))}
        pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet")
        print(json.dumps({"name": name, "cpu_s": seconds}), flush=True)


def inputs(frames: dict[str, pd.DataFrame], texts: list[str], *, as_text: bool) -> dict[str, pd.DataFrame]:
    """The features as a library takes them: categories of pandas with the train rows' values, or texts."""
    if as_text:
        return {
            split: frame.assign(**{t: frame[t].astype(object).fillna("").astype(str) for t in texts})
            for split, frame in frames.items()
        }
    known = {t: pd.CategoricalDtype(sorted(frames["train"][t].dropna().unique())) for t in texts}
    return {split: frame.astype(known) for split, frame in frames.items()}


if __name__ == "__main__":
    main()
