"""Every word of TRANSFORMS and FILLINGS on every kind it accepts, against the oracle; a new word without one fails here."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from every_word import CASES, COLUMNS, FILLING, INVERTIBLE, PARAMETERS, TRAIN_ROWS, oracle_filled, table
from sqlglot import exp

from cengine.config.resolve import Feature, Resolved
from cengine.config.schema import Categorize, SplitConfig
from cengine.datasources.register import take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.expressions.build import column
from cengine.networks.encodings import Auto
from cengine.preprocess.apply import feature_outputs
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project
from cengine.tables import KINDS
from cengine.transforms import FILLINGS, TRANSFORMS, NoLookups, Value
from cengine.transforms.fill import filled


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The registered table, split so that its first 400 rows are the train rows, and an engine."""
    folder = tmp_path_factory.mktemp("table")
    pq.write_table(table(), folder / "table.parquet")
    source = Parquet(path=str(folder / "table.parquet"))
    snapshot = take_snapshot(open_project(folder / "project"), source, memory_bytes=2**29)
    rows = Rows(snapshot.files, snapshot.schema, (), ())
    config = SplitConfig(categorize=Categorize(by="part", categories={"train": ("a",), "eval": ("b",)}))
    with DuckDB(folder / "scratch", memory_bytes=2**29, threads=2) as engine:
        yield engine, rows, fit_split(engine, rows, config, folder), config


def fitted(trained, *features):
    """Statistics of the features as they come back from their JSON, the engine, and the table to apply them to."""
    engine, rows, split, config = trained
    statistics = fit(engine, rows, split, Resolved(tuple(features), (), config, None, (), None))
    return json.loads(json.dumps(statistics)), engine, engine.parquet(rows.files)


def feature(kind, *transforms, filling=None):
    return Feature(kind, kind, filling or FILLING[kind], transforms, Auto())


def row_feature():
    """The row's number, so that encoded rows can be put in order."""
    return Feature("row", "integer", FILLINGS["min"](), (TRANSFORMS["no_transform"](),), Auto())


@pytest.mark.parametrize(("name", "kind", "parameters"), CASES)
def test_transform_equals_the_oracle(name, kind, parameters, trained) -> None:
    if kind in ("string", "timestamp") and name == "no_transform":
        pytest.skip("a network reads numbers: refused by config/checks.py")
    word = TRANSFORMS[name](**parameters)
    features = (row_feature(), feature(kind, word))
    statistics, engine, scan = fitted(trained, *features)
    outputs = feature_outputs(features, statistics, engine)
    encoded = engine.fetch(exp.select(*outputs).from_(scan)).sort_by("row")
    values = oracle_filled(kind)
    expected = reference.TRANSFORMS[name](values[:TRAIN_ROWS], values, **parameters)
    assert encoded.column_names == ["row", *(f"{kind}.{part}" if part else kind for part in expected)]
    for part, array in expected.items():
        found = encoded[f"{kind}.{part}" if part else kind]
        assert found.null_count == 0
        if array.dtype.kind in "iu" and name != "no_transform":
            assert found.type == pa.int32()
            assert found.to_pylist() == array.tolist()
        else:
            assert found.type == pa.float32()
            np.testing.assert_allclose(found.to_numpy(), array.astype(np.float32), rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize(("name", "kind"), INVERTIBLE)
def test_inverse_undoes_the_transform(name, kind, trained) -> None:
    if kind in ("string", "timestamp"):
        pytest.skip("a label of these kinds has classes, which are not transformed")
    word = TRANSFORMS[name]()
    statistics, engine, scan = fitted(trained, feature(kind, word))
    value = filled(Value(column(kind), kind), statistics["features"][kind]["filling"])
    (transformed,) = word.apply(value, statistics["features"][kind]["transforms"][0], NoLookups())
    text = f"SELECT row, CAST({transformed.expression.sql('duckdb')} AS DOUBLE) AS x FROM {scan.sql('duckdb')}"
    forward = engine.fetch(f"{text} ORDER BY row")["x"].to_numpy()
    back = word.inverse(forward, statistics["features"][kind]["transforms"][0])
    # Outside the train rows' range `log` and `quantile_normal` are flat, and cannot know where they came from.
    np.testing.assert_allclose(
        back[:TRAIN_ROWS], np.array(oracle_filled(kind)[:TRAIN_ROWS], np.float64), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILLINGS)
def test_filling_equals_the_oracle(name, kind, trained) -> None:
    word = FILLINGS[name]
    if kind not in word.accepts:
        assert (name, kind) in {(n, k) for n in ("mean", "median") for k in ("boolean", "string", "timestamp")}
        return
    given = {
        "boolean": True,
        "integer": -7,
        "float": 0.125,
        "string": 'it\'s "odd"',
        "timestamp": "2001-02-03 04:05:06",
    }[kind]
    parameters = {"custom_value": given} if name == "custom" else {}
    to_number = {"string": "hash_strings", "timestamp": "epoch_seconds"}.get(kind, "no_transform")
    statistics, engine, scan = fitted(trained, feature(kind, TRANSFORMS[to_number](), filling=word(**parameters)))
    expected = reference.FILLINGS[name](COLUMNS[kind][:TRAIN_ROWS], **parameters)
    found = statistics["features"][kind]["filling"]
    plain = expected.isoformat(sep=" ") if isinstance(expected, datetime.datetime) else expected
    assert found == (pytest.approx(plain, rel=1e-12) if isinstance(plain, float) else plain)
    expression = filled(Value(column(kind), kind), found).expression.sql("duckdb")
    cells = engine.fetch(f"SELECT {expression} AS x FROM {scan.sql('duckdb')} ORDER BY row")["x"].to_pylist()
    replacement = datetime.datetime.fromisoformat(found) if kind == "timestamp" else found
    assert cells == reference.fill(COLUMNS[kind], replacement)


def test_every_word_has_an_oracle_and_is_tried() -> None:
    assert set(reference.TRANSFORMS) == set(TRANSFORMS)
    assert set(reference.FILLINGS) == set(FILLINGS)
    assert {case.values[0] for case in CASES} == set(TRANSFORMS)
    for name, word in TRANSFORMS.items():
        tried = {key for parameters in PARAMETERS.get(name, []) for key in parameters}
        assert tried == set(word.model_fields), f"a parameter of {name} is never set"
