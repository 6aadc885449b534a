"""How well the scores of an autoencoder find odd rows, beside PCA, constants and an isolation forest.

    python bench/autoencoder.py ADULT.csv.gz [--folder build/autoencoder] [--seeds 3] [--epochs 0]

ADULT is the census table of UCI with a header. A fifth of its rows are evaluated, and 2 % of those are made odd: five of their cells are
taken from other rows, or two of their numbers are set six deviations above the mean. The autoencoder has its defaults, and never sees
which rows are odd.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import cengine

NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
EVALUATED, ODD, CELLS, DEVIATIONS = 0.2, 0.02, 5, 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adult", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("build/autoencoder"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="0 takes the default length")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    project = cengine.open_project(arguments.folder / "project")
    print(
        f"{'rows':8} {'seed':>4}  {'autoencoder':>11} {'max':>7} {'PCA':>7} {'constant':>8} {'forest':>7}   score  seconds"
    )
    for kind in ("swap", "extreme"):
        found = []
        for seed in range(arguments.seeds):
            table = planted(arguments.adult, kind, seed)
            file = arguments.folder / f"{kind}-{seed}.parquet"
            pq.write_table(table, file)
            snapshot = cengine.register(project, "parquet", name=f"{kind}-{seed}", path=str(file))
            config = cengine.parse_config(yaml(table, seed, arguments.epochs))
            began = time.monotonic()
            run = cengine.execute(cengine.plan(project, config, snapshot))
            seconds = time.monotonic() - began
            rows = {row["metric"]: row for row in run.results.overall_rows}
            auc, predicted = rows["auc"], run.predictions()
            odd = predicted["label: reconstruction"].to_numpy()
            greatest = area(odd, predicted["score_max: reconstruction"].to_numpy())
            own = (auc["model"], greatest, auc["pca"], auc["constant"], forest(table, seed))
            found.append(own)
            print(line(kind, str(seed), own) + f" {rows['score']['model']:7.4f} {seconds:8.1f}")
        print(line(kind, "mean", tuple(np.mean(found, axis=0))))
    print("must be: swap .80 and PCA + .15, extreme .98")


def line(kind: str, seed: str, own: tuple[float, ...]) -> str:
    model, greatest, pca, constant, of_forest = own
    return f"{kind:8} {seed:>4}  {model:11.4f} {greatest:7.4f} {pca:7.4f} {constant:8.4f} {of_forest:7.4f}"


def yaml(table: pa.Table, seed: int, epochs: int) -> dict:
    """The defaults, for a table with the columns `part` and `odd`."""
    features = {name: {} for name in table.column_names if name not in ("part", "odd")}
    return {
        "features": features,
        "split": {"categorize_by": "part", "categories": {"train": ["train"], "eval": ["eval"]}},
        "trainer": {"type": "autoencoder", "seed": seed, **({"epochs": epochs} if epochs else {})},
        "evaluator": {"anomaly": {"column": "odd", "positive": 1}},
    }


def planted(file: Path, kind: str, seed: int) -> pa.Table:
    """The table in another order, odd rows among those that are evaluated."""
    table = pyarrow.csv.read_csv(file).drop_columns(["part"])
    random = np.random.default_rng(seed)
    table = table.take(random.permutation(len(table)))
    columns = {name: np.array(table[name].to_pylist(), object) for name in table.column_names}
    names, first = list(columns), round(len(table) * (1 - EVALUATED))
    evaluated = np.arange(first, len(table))
    odd = np.zeros(len(table), np.int64)
    whole = {name: columns[name].copy() for name in names}
    for row in random.choice(evaluated, round(ODD * len(evaluated)), replace=False):
        odd[row] = 1
        if kind == "swap":
            for name in random.choice(names, CELLS, replace=False):
                columns[name][row] = whole[name][random.choice(evaluated)]
        else:
            for name in random.choice(NUMBERS, 2, replace=False):
                numbers = whole[name].astype(float)
                columns[name][row] = int(numbers.mean() + DEVIATIONS * numbers.std())
    part = np.where(np.arange(len(table)) < first, "train", "eval")
    return pa.table({**{name: pa.array(columns[name].tolist()) for name in names}, "part": part, "odd": odd})


def forest(table: pa.Table, seed: int) -> float:
    """The AUC of scikit-learn's isolation forest of 200 trees on numbers and one-hot columns; NaN where it is not installed."""
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError:
        return float("nan")
    parts = []
    for name in table.column_names:
        if name in ("part", "odd"):
            continue
        if pa.types.is_string(table[name].type):
            codes = table[name].fill_null("").combine_chunks().dictionary_encode().indices.to_numpy()
            parts.append(np.eye(codes.max() + 1)[codes])
        else:
            parts.append(table[name].to_numpy()[:, None].astype(float))
    matrix, odd = np.hstack(parts), table["odd"].to_numpy()
    train = np.array(table["part"].to_pylist()) == "train"
    fitted = IsolationForest(n_estimators=200, random_state=seed).fit(matrix[train])
    return area(odd[~train], -fitted.score_samples(matrix[~train]))


def area(odd: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs of an odd and another row of which the odd one has the higher score."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(scores[np.concatenate([[False], np.diff(scores[order]) == 0])[np.argsort(order)]]):
        same = scores == value
        ranks[same] = ranks[same].mean()
    num = odd.sum()
    return float((ranks[odd == 1].sum() - num * (num + 1) / 2) / (num * (len(odd) - num)))


if __name__ == "__main__":
    main()
