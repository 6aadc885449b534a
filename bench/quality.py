"""The model of an untouched `cengine pipeline template` beside boosted trees as their libraries make them by default, on identical rows.

    python bench/quality.py [--tables wine adult ...] [--seeds 5] [--rows 20000] [--data ../shared/data] [--folder build/peers]

LightGBM, scikit-learn's HistGradientBoosting and CatBoost run in an environment of their own, which this makes from `bench/peers/trees.txt`
with uv. For every table and seed the template's YAML is run in a new project; the seed goes into `split` and `trainer` (0 leaves the YAML
as it is). The split that comes out, drawn by the identities of the rows, gives the libraries the same rows to train and to be measured on.

What is not the template's: Adult is divided as it was published, trips take the post's five features, birth years above 1900 and the absolute
error as the loss (the libraries too), and the classes of wine are its grades as words. Bank keeps `duration`, which is known only after the
call: as a task it is easy, as a comparison it is fair.

An error is the rmse, the mae of trips, 1 - auc of two classes, 1 - accuracy of more. A row of the table at the end: the mean over the seeds of
the constant's error, of ours and of each library's; ours as a multiple of the best library's; seconds of processor time of training, ours
(the stage Train) and each library's `fit`. For classes, the log loss is shown as well.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from serving import PEERS, ROOT, environment

import cengine
from cengine.config.template import template

LIBRARIES = ("lightgbm", "scikit_learn", "catboost")
Errors = dict[str, float]


@dataclass(frozen=True)
class Table:
    """A table to predict: `loss` is mse, mae or classes; `features` None are those that the template takes."""

    read: Callable[[Path], pd.DataFrame]
    label: str
    loss: str
    features: tuple[str, ...] | None = None
    split: dict[str, Any] | None = None
    """What stands for the template's split."""


def wine(data: Path) -> pd.DataFrame:
    return pd.read_csv(data / "tables/winequality-white.csv.gz")


def wine_classes(data: Path) -> pd.DataFrame:
    return wine(data).assign(quality=lambda frame: "grade " + frame["quality"].astype(str))


def trips(data: Path) -> pd.DataFrame:
    frame = pd.concat([pd.read_csv(file) for file in sorted((data / "citibike").glob("JC-2018*"))])
    frame.columns = frame.columns.str.replace(" ", "_")
    return frame[frame["birth_year"] > 1900].reset_index(drop=True)


ADULT = ("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race", "sex",
         "capital_gain", "capital_loss", "hours_per_week", "native_country")  # fmt: skip
POST = ("end_station_id", "gender", "start_station_id", "tripduration", "usertype")
TABLES = {
    "wine": Table(wine, "quality", "mse"),
    "wine_classes": Table(wine_classes, "quality", "classes"),
    "diamonds": Table(lambda data: pd.read_csv(data / "tables/diamonds.csv.gz"), "price", "mse"),
    "penguins": Table(lambda data: pd.read_csv(data / "tables/penguins.csv"), "species", "classes"),
    "bank": Table(lambda data: pd.read_csv(data / "tables/bank-full.csv.gz", sep=";"), "y", "classes"),
    "adult": Table(
        lambda data: pd.read_csv(data / "adult/adult.csv.gz"), "income", "classes", ADULT,
        {"categorize_by": "part", "categories": {"train": ["train"], "test": ["test"]}},
    ),
    "trips": Table(trips, "birth_year", "mae", POST),
}  # fmt: skip


def yaml_of(table: Table, schema: Any, seed: int, learner: str = "feedforward") -> str:
    """The template's YAML, with what the table, the seed and another learner than a network change."""
    text = template(schema, table.label, table.features)
    yaml = YAML()
    changed = yaml.load(text)
    if table.split is not None:
        changed["split"] = dict(table.split)
    if table.loss == "mae":
        changed["labels"][table.label].update(loss="mae", metrics=["mae", "rmse"])
    if learner != "feedforward":
        changed["trainer"] = {"type": changed["trainer"]["type"], "architecture": learner}
    if seed:
        changed["trainer"]["seed"] = seed
        if table.split is None:
            changed["split"]["seed"] = seed
    if not seed and table.split is None and table.loss != "mae" and learner == "feedforward":
        return text
    stream = StringIO()
    yaml.dump(changed, stream)
    return stream.getvalue()


def run_ours(
    table: Table, frame: pd.DataFrame, seed: int, folder: Path, learner: str = "feedforward"
) -> tuple[Errors, float]:
    """Errors of ours and the seconds of its training; the rows that it had are written for the others."""
    project = cengine.open_project(folder / "project")
    frame.to_parquet(folder / "table.parquet")
    snapshot = cengine.register(project, "parquet", path=str(folder / "table.parquet"))
    text = yaml_of(table, snapshot.schema, seed, learner)
    run = cengine.execute(cengine.plan(project, cengine.parse_config(text, "quality.yaml"), snapshot))
    features = [feature.name for feature in run.resolved.features]
    # The template leaves identifiers out, which would help no one.
    names = list(table.features) if table.features else [name for name in frame.columns if name in features]
    with run.table_engine() as engine:
        rows = engine.fetch(run.split.assigned(engine, run.rows, [*names, table.label])).to_pandas()
    split = rows[run.rows.split_column]
    for name, chosen in (("train", split == 0), ("eval", split == split.max())):
        rows.loc[chosen, [*names, table.label]].to_parquet(folder / f"{name}.parquet", index=False)
    task = {"label": table.label, "loss": table.loss, "seed": seed}
    (folder / "task.json").write_text(json.dumps(task))
    seconds = next(stage.cpu_seconds for stage in run.stages if stage.name == "Train")
    return errors_of_run(table, run.predictions().to_pandas()), seconds or 0.0


def errors_of_run(table: Table, found: pd.DataFrame) -> Errors:
    label, prediction = (found[f"{what}: {table.label}"].to_numpy(float) for what in ("label", "prediction"))
    if table.loss != "classes":
        return errors_of_numbers(label, prediction, table.loss)
    if f"label_probability: {table.label}" not in found:
        return errors_of_two(label, prediction)
    own = found[f"label_probability: {table.label}"].to_numpy(float)
    return {"error": float(np.mean(label != prediction)), "log_loss": log_loss(own)}


def errors_of_numbers(label: np.ndarray, prediction: np.ndarray, loss: str) -> Errors:
    error = label - prediction
    return {"error": float(np.sqrt(np.mean(error**2)) if loss == "mse" else np.mean(np.abs(error)))}


def errors_of_two(label: np.ndarray, positive: np.ndarray) -> Errors:
    """1 - auc by ranks, of which equal predictions share the mean, and the log loss."""
    ranks, ones = pd.Series(positive).rank().to_numpy(), label == 1
    count = int(ones.sum())
    auc = (ranks[ones].sum() - count * (count + 1) / 2) / (count * (len(label) - count))
    return {"error": float(1 - auc), "log_loss": log_loss(np.where(ones, positive, 1 - positive))}


def log_loss(of_true_class: np.ndarray) -> float:
    return float(-np.mean(np.log(np.clip(of_true_class, 1e-15, 1))))


def errors_of_library(table: Table, label: np.ndarray, found: pd.DataFrame) -> Errors:
    if table.loss != "classes":
        return errors_of_numbers(label.astype(float), found["prediction"].to_numpy(float), table.loss)
    classes = sorted(found.columns)
    if len(classes) == 2:
        return errors_of_two((label == classes[1]).astype(float), found[classes[1]].to_numpy(float))
    given = found[classes].to_numpy(float)
    place = pd.Index(classes).get_indexer(label)
    own = np.where(place >= 0, given[np.arange(len(given)), np.maximum(place, 0)], 0.0)
    return {"error": float(np.mean(given.argmax(axis=1) != place)), "log_loss": log_loss(own)}


def errors_of_constant(table: Table, train: np.ndarray, label: np.ndarray) -> Errors:
    if table.loss != "classes":
        value = np.mean(train) if table.loss == "mse" else np.median(train)
        return errors_of_numbers(label.astype(float), np.full(len(label), value, float), table.loss)
    shares = pd.Series(train).value_counts(normalize=True)
    own = pd.Series(label).map(shares).fillna(0.0).to_numpy(float)
    error = 0.5 if len(shares) == 2 else float(np.mean(label != shares.index[0]))
    return {"error": error, "log_loss": log_loss(own)}


def run_libraries(table: Table, folder: Path, python: Path) -> dict[str, tuple[Errors, float]]:
    """Errors and seconds of training of each library, on the rows that ours had."""
    command = [str(python), str(PEERS / "trees.py"), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = {told["name"]: told["cpu_s"] for told in map(json.loads, done.stdout.splitlines())}
    label = {split: pd.read_parquet(folder / f"{split}.parquet")[table.label].to_numpy() for split in ("train", "eval")}
    found = {"constant": (errors_of_constant(table, label["train"], label["eval"]), 0.0)}
    for name in LIBRARIES:
        found[name] = (
            errors_of_library(table, label["eval"], pd.read_parquet(folder / f"{name}.parquet")),
            seconds[name],
        )
    return found


def measured(name: str, given: argparse.Namespace, python: Path) -> dict[str, list[tuple[Errors, float]]]:
    """By contestant, the errors and seconds of each seed."""
    table, found = TABLES[name], defaultdict(list)
    frame = table.read(given.data)
    if given.rows and len(frame) > given.rows:
        frame = frame.sample(given.rows, random_state=0).reset_index(drop=True)
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory(prefix="quality-") as folder:
            contestants = {"ours": run_ours(table, frame, seed, Path(folder), given.learner)}
            if not given.only_ours:
                contestants |= run_libraries(table, Path(folder), python)
        for who, result in contestants.items():
            found[who].append(result)
        told = "  ".join(f"{who} {errors['error']:.5g}" for who, (errors, _) in contestants.items())
        print(f"{name}, seed {seed}: {told}", flush=True)
    return found


def summary(results: dict[str, dict[str, list[tuple[Errors, float]]]]) -> str:
    """The tables of errors and of log losses, a line a table, and the ratios at the end."""
    return "\n".join(line for measure in ("error", "log_loss") for line in lines_of(measure, results))


def lines_of(measure: str, results: dict[str, dict[str, list[tuple[Errors, float]]]]) -> Iterator[str]:
    who = ("constant", "ours", *LIBRARIES)
    heads = " ".join(f"{name:>12}" for name in who)
    yield f"\n{measure:13}{heads}   ours/best   CPU s of training: {', '.join(who[1:])}"
    ratios = {}
    for table, found in results.items():
        if measure not in found["ours"][0][0]:
            continue
        mean = {name: statistics.fmean(errors[measure] for errors, _ in found[name]) for name in who}
        cpu = {name: statistics.fmean(seconds for _, seconds in found[name]) for name in who[1:]}
        best = min(mean[name] for name in LIBRARIES)
        # Where the best made no error at all, none is a multiple of it.
        ratios[table] = mean["ours"] / best if best else math.nan
        errors = " ".join(f"{mean[name]:12.4f}" for name in who)
        yield f"{table:13}{errors} {ratios[table]:11.3f}   {' '.join(f'{seconds:8.1f}' for seconds in cpu.values())}"
    told = {table: ratio for table, ratio in ratios.items() if not math.isnan(ratio)}
    if told:
        worst = max(told, key=lambda table: told[table])
        yield f"mean ratio {statistics.fmean(told.values()):.3f}, worst {told[worst]:.3f} ({worst})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learner", default="feedforward", choices=["feedforward", "boosted_trees"], help="ours")
    parser.add_argument("--rows", type=int, help="draw so many rows of a larger table")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--folder", type=Path, default=Path("build/peers"))
    parser.add_argument("--only-ours", action="store_true", help="without the libraries, for a look at a change")
    given = parser.parse_args()
    python = Path(sys.executable) if given.only_ours else environment("trees", given.folder)
    results = {name: measured(name, given, python) for name in given.tables}
    if not given.only_ours:
        print(summary(results))


if __name__ == "__main__":
    main()
