"""Every word and filling as ONNX beside DuckDB: the same encoded rows, from cells that are hard on both."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from cengine.config.resolve import Feature, Resolved
from cengine.config.schema import Categorize, SplitConfig
from cengine.engines.duckdb import DuckDB
from cengine.errors import ExportError
from cengine.exports.files import model_file
from cengine.exports.made_up import _far, made_up_rows
from cengine.exports.onnx import encoded
from cengine.exports.runtime import feeds, session_of
from cengine.exports.times import changes_of, local_part
from cengine.expressions.build import column
from cengine.expressions.dialects import render
from cengine.models.blocks import cell_of
from cengine.networks.encodings import Auto
from cengine.preprocess.apply import feature_outputs, inputs_of
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.tensors import INT64, Graph
from cengine.transforms import FILLINGS, TRANSFORMS

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
from every_word import COLUMNS, FILLING, TYPES, table
from test_engines import FILLING_CASES, GIVEN, WORD_CASES, registered

# MD5 has no operator: these take hashes beside the columns.
HASHED = [
    (name, kind, parameters)
    for name, kind, parameters in WORD_CASES
    if name == "hash_strings" or parameters.get("num_oov_buckets", 1) > 1
]
CHAINS = [
    ("float", [("quantile_normal", {}), ("scale_to_z_score", {})]),
    ("float", [("robust", {}), ("scale_to_z_score", {})]),
    ("float", [("scale_to_0_1", {}), ("bucketize", {"num_buckets": 300})]),
    ("integer", [("log", {}), ("bucketize", {}), ("one_hot_encode", {})]),
    ("string", [("compute_and_apply_vocabulary", {"top_k": 3}), ("one_hot_encode", {})]),
    ("timestamp", [("epoch_seconds", {}), ("quantile_normal", {})]),
    ("boolean", [("scale_to_z_score", {}), ("scale_by_min_max", {"min": -1.0, "max": 4.0})]),
]


def feature(name, kind, words, filling=None):
    transforms = tuple(TRANSFORMS[word](**parameters) for word, parameters in words)
    return Feature(name, kind, filling or FILLING[kind], transforms, Auto())


def filling_of(name, kind):
    return FILLINGS[name](**({"custom_value": GIVEN[kind]} if name == "custom" else {}))


FEATURES = [
    *(feature(f"word{n}", kind, [(name, parameters)]) for n, (name, kind, parameters) in enumerate(WORD_CASES)),
    *(feature(f"chain{n}", kind, words) for n, (kind, words) in enumerate(CHAINS)),
    *(
        replace(feature(f"filling{n}", kind, [(to_number, {})], filling_of(name, kind)), missing_indicator=True)
        for n, (name, kind) in enumerate(FILLING_CASES)
        for to_number in [{"string": "one_hot_encode", "timestamp": "epoch_seconds"}.get(kind, "no_transform")]
    ),
]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Beside an engine what Fit learns of the table of all words: a column for each feature, of its kind."""
    folder = tmp_path_factory.mktemp("words")
    made = table()
    for one in FEATURES:
        made = made.append_column(one.name, pa.array(COLUMNS[one.kind], TYPES[one.kind]))
    snapshot = registered(folder / "made", made)
    split = SplitConfig(categorize=Categorize(by="part", categories={"train": ("a",), "eval": ("b",)}))
    rows = Rows(snapshot.files, snapshot.schema, (), ())
    with DuckDB(folder / "scratch", folders=[folder]) as engine:
        fitted = fit_split(engine, rows, split, folder)
        statistics = fit(engine, rows, fitted, Resolved(tuple(FEATURES), (), split, None, (), None))
    return json.loads(json.dumps(statistics))


@pytest.fixture(scope="module")
def compiled(learnt):
    """All words in one file, beside DuckDB."""
    with tempfile.TemporaryDirectory() as folder, both_with(FEATURES, learnt, Path(folder)) as both:
        yield both


@contextlib.contextmanager
def both_with(features, statistics, folder):
    """A function from rows to what a file gives for each encoded column, and what DuckDB gives."""
    graph = Graph()
    numbers, codes = encoded(graph, SimpleNamespace(features=features, statistics=statistics), hash_outside=True)
    graph.output("numbers out", numbers, (None, None))
    graph.output("codes out", codes, (None, None))
    session = session_of(model_file(graph, {}).SerializeToString())
    names_given = {one.name for one in session.get_inputs()}
    inputs = inputs_of(features, statistics)
    cells = [cell_of(one, column(one.name)).as_(one.name, quoted=True) for one in features]
    with DuckDB(folder / "scratch", folders=()) as engine:
        outputs = feature_outputs(features, statistics, engine)
        source = exp.select(*cells).from_("given").subquery("source")
        query = render(exp.select(*outputs).from_(source), "duckdb")

        def both(rows):
            found = dict(zip(("numbers", "codes"), session.run(None, feeds(rows, features, names_given)), strict=True))
            engine.register("given", rows)
            expected = engine.fetch(query)
            columns = []
            for kind in found:
                names = [one.column for one in inputs if (one.size is None) == (kind == "numbers")]
                assert found[kind].shape == (len(rows), len(names))
                columns += [(name, found[kind][:, n], expected[name].to_numpy()) for n, name in enumerate(names)]
            return columns

        yield both


def assert_same(columns) -> None:
    """To the bit but for the sine and cosine of times, of which libraries of mathematics differ in the last one."""
    for name, found, expected in columns:
        assert found.dtype == expected.dtype, name
        if name.endswith(("_sin", "_cos")):
            np.testing.assert_allclose(found, expected, rtol=0, atol=6e-8, err_msg=name)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=name)


def test_every_word_and_filling_is_among_the_cases() -> None:
    assert {name for name, _, _ in WORD_CASES} == set(TRANSFORMS)
    assert {one.filling.name for one in FEATURES} == set(FILLINGS)


def test_the_table_of_words_is_encoded_to_the_bit(compiled) -> None:
    rows = pa.table({one.name: pa.array(COLUMNS[one.kind], TYPES[one.kind]) for one in FEATURES})
    assert_same(compiled(rows))


def test_made_up_cells_are_encoded_to_the_bit(compiled, learnt) -> None:
    """Nulls, words never seen, the numbers at which words change, ends of types, leap days."""
    seen = pa.table({one.name: pa.array(COLUMNS[one.kind], TYPES[one.kind]) for one in FEATURES})
    rows = made_up_rows(SimpleNamespace(features=FEATURES, statistics=learnt), seen, 3_000)
    far = far_rows(FEATURES)
    rows = pa.concat_tables([rows, far])
    assert_same(compiled(rows))


def far_rows(features):
    """All ends of all types, in each column."""
    longest = max(len(_far(one.kind)) for one in features)
    cells = {kind: (_far(kind) * longest)[:longest] for kind in TYPES}
    return pa.table({one.name: pa.array(cells[one.kind], TYPES[one.kind]) for one in features})


CELLS = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100),
    "float": st.floats() | st.floats(-1e3, 1e3),
    "string": st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from([c for c in COLUMNS["string"] if c]),
    "timestamp": st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)),
}


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cell_is_encoded_to_the_bit(compiled, data) -> None:
    cells = {kind: data.draw(st.lists(st.none() | one, min_size=12, max_size=12)) for kind, one in CELLS.items()}
    rows = pa.table({one.name: pa.array(cells[one.kind], TYPES[one.kind]) for one in FEATURES})
    assert_same(compiled(rows))


def test_where_no_cell_is_missing_nothing_need_be_said_of_it(compiled) -> None:
    """The inputs that say where cells are missing are left out then; a column that says it for the network has 0 in each row."""
    cells = {kind: [one for one in values if one is not None][:5] for kind, values in COLUMNS.items()}
    rows = pa.table({one.name: pa.array((cells[one.kind] * 5)[:5], TYPES[one.kind]) for one in FEATURES})
    assert_same(compiled(rows))


@pytest.mark.parametrize(("name", "kind", "parameters"), HASHED)
def test_what_takes_a_hash_is_refused_by_name(name, kind, parameters) -> None:
    chain = (("no_transform", {}), (name, parameters))
    statistics = {"filling": None, "transforms": [{}, {"vocabulary": []}]}
    known = SimpleNamespace(features=[feature("x", kind, chain)], statistics={"features": {"x": statistics}})
    with pytest.raises(ExportError) as found:
        encoded(Graph(), known)
    told = "".join(f" ({key}: {value})" for key, value in parameters.items())
    assert f"column 'x': {name}{told} has no ONNX operator (MD5)" in str(found.value)
    assert "take compute_and_apply_vocabulary with one bucket" in str(found.value)


def test_names_that_would_stand_for_two_are_refused() -> None:
    statistics = {"features": {name: {"filling": 0.0, "transforms": []} for name in ("x", "x is null")}}
    known = SimpleNamespace(
        features=[feature("x", "float", []), feature("x is null", "float", [])], statistics=statistics
    )
    with pytest.raises(ExportError, match="'x is null' would stand for two of them"):
        encoded(Graph(), known)


def test_columns_of_one_value_are_as_long_as_the_others(tmp_path) -> None:
    """A vocabulary without words is the same code for all rows."""
    features = [feature("a", "string", [("one_hot_encode", {})]), feature("b", "integer", [("bucketize", {})])]
    statistics = {
        "features": {
            "a": {"filling": "", "transforms": [{"vocabulary": []}]},
            "b": {"filling": 0, "transforms": [{"edges": []}]},
        }
    }
    rows = pa.table({"a": ["x", None, "y"], "b": pa.array([1, None, 3])})
    with both_with(features, statistics, tmp_path) as both:
        assert_same(both(rows))


@pytest.mark.parametrize("part", ["year", "month", "day"])
def test_days_are_those_of_the_calendar(part) -> None:
    """Each day of 1800 to 2200, and of the first and last years that there are."""
    graph = Graph()
    graph.output("out", local_part(graph.input("in", INT64, (None, 1)), part), (None, 1))
    session = session_of(model_file(graph, {}).SerializeToString())
    days = [
        datetime.datetime(year, 1, 1) + datetime.timedelta(days=n)
        for year, length in ((1, 800), (1800, 146_097), (9997, 1_095))
        for n in range(length)
    ]
    times = pa.array(days, pa.timestamp("us")).cast(pa.int64()).to_numpy().reshape(-1, 1)
    expected = [getattr(day, part) for day in days]
    for shift in (0, 86_399_999_999):
        assert session.run(None, {"in": times + shift})[0][:, 0].tolist() == expected


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "America/Caracas", "UTC"]
)
def test_clocks_are_set_when_duckdb_sets_them(zone, tmp_path) -> None:
    """At each change to the microsecond, and in years beyond those that are asked for."""
    word = [("calendar", {"zone": zone, "parts": ["year", "hour"]})]
    features = [feature("t", "timestamp", word)]
    statistics = {"features": {"t": {"filling": "2000-01-01", "transforms": [{"offset": 2000.0, "scale": 1.0}]}}}
    changes = changes_of(zone)[0] if zone != "UTC" else np.array([0])
    last = datetime.datetime(9999, 12, 30)
    late = np.linspace(4e15, (last - datetime.datetime(1970, 1, 1)).total_seconds() * 1e6, 20_000).astype(np.int64)
    times = np.concatenate([changes, changes - 1, changes + 1, late])
    rows = pa.table({"t": pa.array(times, pa.timestamp("us"))})
    with both_with(features, statistics, tmp_path) as both:
        assert_same(both(rows))
