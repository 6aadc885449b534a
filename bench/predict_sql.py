"""A model as SQL on DuckDB with one thread: rows a second of CPU, the size of the statement, and how long it takes to write and to plan.

    python bench/predict_sql.py [--layers 64 32] [--features 5] [--rows 400000] [--rounds 3]

The network is of random weights, which are as long as learnt ones. Beside it the same rows through `Model.predict` in turn;
quote the ratios, machines differ and are shared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from cengine.config.resolve import Feature, Label
from cengine.exports.sql import statement_of
from cengine.exports.sql_dialects import DIALECTS
from cengine.learners.feedforward import Feedforward
from cengine.learners.heads import heads_of
from cengine.learners.model import build_model, save_model, signature_of
from cengine.models.artifact import Parts
from cengine.models.model import Model
from cengine.models.signature import Signature
from cengine.networks.encodings import Auto
from cengine.networks.layers import LAYERS
from cengine.preprocess.apply import inputs_of
from cengine.preprocess.targets import targets_of
from cengine.transforms import FILLINGS, TRANSFORMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="*", default=[64, 32])
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = network(Path(folder), arguments.features, arguments.layers)
        for dialect in DIALECTS:
            began = time.process_time()
            statement = statement_of(model, dialect, "given", force=True)
            seconds = time.process_time() - began
            print(f"{dialect:<9} {len(statement.text.encode()) / 1000:6.1f} KB, written in {seconds:.2f} s of CPU")
        compare(model, rows(arguments.features, arguments.rows), arguments.rounds)


def network(folder: Path, num_features: int, units: list[int]) -> Model:
    """A regression of numbers, standardized."""
    word = TRANSFORMS["scale_to_z_score"]()
    features = tuple(
        Feature(f"f{place}", "float", FILLINGS["mean"](), (word,), Auto()) for place in range(num_features)
    )
    labels = (Label("y", "float", "regression", None, (), None, None),)
    fitted = {"filling": 0.5, "transforms": [{"offset": 0.5, "scale": 0.3}]}
    fitted_label = {"offset": 10.0, "scale": 3.0, "transforms": []}
    known = {"features": {one.name: fitted for one in features}, "labels": {"y": fitted_label}}
    learner = Feedforward(type="regression", layers=tuple(LAYERS["dense"](units=size) for size in units))
    targets = targets_of(labels, known)
    inputs, heads = inputs_of(features, known), heads_of(targets, learner)
    save_model(build_model(inputs, learner, heads), folder, signature_of(inputs, heads))
    return Model(Parts(Signature(features, tuple(targets), known, learner), folder, dict, {}))


def rows(num_features: int, num_rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table({f"f{place}": random.random(num_rows) for place in range(num_features)})


def compare(model: Model, table: pa.Table, num_rounds: int) -> None:
    connection = duckdb.connect(config={"threads": 1})
    connection.register("arrow", table)
    connection.execute("CREATE TABLE given AS FROM arrow")
    statement = statement_of(model, "duckdb", "given", force=True)
    began = time.process_time()
    connection.execute(f"EXPLAIN {statement.text}").fetchall()
    print(f"planned in {time.process_time() - began:.2f} s of CPU, {statement.num_weights:,} weights")
    model.predict(table.slice(0, 1000))
    rates: dict[str, list[float]] = {"SQL on DuckDB": [], "Model.predict": []}
    for _ in range(num_rounds):
        for name, work in {
            "SQL on DuckDB": lambda: connection.execute(f"CREATE OR REPLACE TABLE predicted AS {statement.text}"),
            "Model.predict": lambda: model.predict(table),
        }.items():
            began = time.process_time()
            work()
            rates[name].append(len(table) / (time.process_time() - began))
    for name, found in rates.items():
        print(
            f"{name:<14} {statistics.median(found):12,.0f} rows a second of CPU ({min(found):,.0f} to {max(found):,.0f})"
        )
    found = connection.execute("SELECT prediction FROM predicted").fetchnumpy()["prediction"]
    print(f"largest difference: {abs(found - model.predict(table)['prediction'].to_numpy()).max():.2g}, deviation 3")


if __name__ == "__main__":
    main()
