"""Whole models as SQL: the same predictions as `Model.predict`, on every engine, for usual rows and for odd ones."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest
from engines_tried import opened
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sql_tried import ENGINES, loaded, ran
from sqlglot import exp
from untrained import untrained_models

from cengine.exports.sql import sql_of

NUM_ROWS = 700
# Names of a feature and of a label.
HOSTILE, ODD = "a\"b'; DROP TABLE `x`", "c\"d'); -- `y` \\"
WORDS = [
    "red",
    "Red",
    "blue",
    'it\'s "odd"',
    "back\\slash",
    "semi; --",
    "émoji 😀",
    "new\nline",
    "",
    "`tick`",
    "{j:1}",
    "$1 %s",
]
TRAINER = "layers: [{type: dense, units: 12}, {type: dropout, rate: 0.1}, {type: dense, units: 6, activation: gelu}], train_steps: 80"
FEATURES = f"""
features:
  whole: {{filling: median, transform: robust, encoding: {{method: bins, parameters: {{num_bins: 4}}}}}}
  grams: {{transform: log, encoding: {{method: piecewise_linear, parameters: {{num_bins: 4}}}}}}
  WORD: {{encoding: one_hot}}
  city: {{encoding: {{method: embedding, parameters: {{dim: 3}}}}}}
  {json.dumps(HOSTILE)}: {{}}
  at: {{transform: {{method: calendar, parameters: {{zone: Europe/Berlin}}}}}}
split: {{ratio: {{train: 0.8, eval: 0.2}}, seed: 3}}
"""
MORE = f"""
features:
  grams: {{transform: quantile_normal, encoding: {{method: periodic, parameters: {{num_frequencies: 3, dim: 4}}}}}}
  whole: {{transform: {{method: bucketize, parameters: {{num_buckets: 5}}}}, encoding: ordinal}}
  city: {{transform: {{method: hash_strings, parameters: {{hash_buckets: 20}}}}}}
  code: {{transform: {{method: compute_and_apply_vocabulary, parameters: {{num_oov_buckets: 3, top_k: 20}}}}}}
  at: {{transform: epoch_seconds}}
  {json.dumps(HOSTILE)}: {{transform: one_hot_encode}}
split: {{ratio: {{train: 0.8, eval: 0.2}}, seed: 3}}
"""
PIPELINES = {
    "numbers": "features: {whole: {}, grams: {}}\nsplit: {ratio: {train: 0.8, eval: 0.2}, seed: 3}\n"
    f"labels: {{y: {{}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    "two classes": FEATURES + f"labels: {{rich: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "classes": MORE + f"labels: {{kind: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "two labels": FEATURES.replace("  grams: {transform: log", "  code: {}\n  grams: {transform: log")
    + f"labels: {{y: {{transform: log}}, z: {{transform: quantile_normal, loss: mae}}}}\ntrainer: {{type: regression, ensemble: 2, {TRAINER}}}",
    "quantiles": FEATURES.replace("  grams: {transform: log", "  code: {}\n  grams: {transform: log")
    + f"labels: {{y: {{transform: log, loss: {{type: quantile, at: [0.1, 0.25, 0.5, 0.9]}}}}}}\ntrainer: {{type: regression, ensemble: 2, {TRAINER}}}",
    "mixed labels": MORE
    + f"labels: {{rich: {{}}, {json.dumps(ODD)}: {{}}}}\ntrainer: {{type: classification, ensemble: 3, {TRAINER}}}",
}

DAY = 86_400_000_000
MOMENTS = [
    None,
    0,
    951_782_400_000_000 + DAY - 1,
    -DAY * 400 * 365,
    253_402_300_799_999_999 - DAY,
    1_711_846_799_999_999,
]


def made() -> pa.Table:
    """Columns of every kind, some cells missing."""
    random = np.random.default_rng(5)
    gaps = random.random(NUM_ROWS) < 0.1
    grams = random.lognormal(0, 1, NUM_ROWS)
    whole = random.integers(0, 50, NUM_ROWS)
    seconds = random.integers(1_600_000_000, 1_700_000_000, NUM_ROWS)
    return pa.table(
        {
            "id": np.arange(NUM_ROWS),
            "whole": pa.array(whole, pa.int64(), mask=gaps),
            "grams": pa.array(grams, mask=np.roll(gaps, 1)),
            "WORD": pa.array(random.choice(WORDS, NUM_ROWS), mask=np.roll(gaps, 2)),
            "city": pa.array([f"city {n} é" for n in np.minimum(random.geometric(0.1, NUM_ROWS), 30)]),
            "code": pa.array(random.integers(-3, 40, NUM_ROWS) * 10**16 + 1, pa.int64()),
            HOSTILE: pa.array(random.random(NUM_ROWS) < 0.5, mask=np.roll(gaps, 3)),
            "at": pa.array(seconds * 1_000_000 + 123_456, pa.timestamp("us"), mask=np.roll(gaps, 4)),
            ODD: np.where(grams > 0.8, "it's", 'b\\"`'),
            "y": 10 * grams + whole + 1,
            "z": grams**2 - whole,
            "rich": np.where(grams > 1, "yes", "no"),
            "kind": np.where(whole % 3 == 0, 7, np.where(grams > 1, 8, 9)),
        }
    )


def odd_rows() -> pa.Table:
    """Nothing at all, words never seen, numbers beyond all bounds, leap days."""
    return pa.table(
        {
            "id": np.arange(NUM_ROWS, NUM_ROWS + 6),
            "whole": pa.array([None, 2**62, -(2**62), 0, 51, -1], pa.int64()),
            "grams": pa.array([None, 1e300, -1e300, 1e-300, float("inf"), float("nan")]),
            "WORD": pa.array([None, "never seen", "RED", "red ", "blue\t", "é"]),
            "city": pa.array([None, "never seen", "city 1 e\u0301", "", " ", "city 1 é"]),
            "code": pa.array([None, 2**53 + 1, -(2**63), 2**63 - 1, 1, 10**16 + 1], pa.int64()),
            HOSTILE: pa.array([None, True, False, None, True, False]),
            "at": pa.array(MOMENTS, pa.timestamp("us")),
        }
    )  # fmt: skip


def all_rows() -> pa.Table:
    """Usual rows and odd ones, for one statement: engines take longer to plan it than to run it."""
    odd = odd_rows()
    return pa.concat_tables([made().select(odd.column_names), odd])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of each pipeline, fitted to one table."""
    return untrained_models(tmp_path_factory.mktemp("models"), made(), PIPELINES)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory):
    with opened(request.param, tmp_path_factory.mktemp("scratch"), request) as engine:
        loaded(engine, all_rows(), "rows_tried")
        yield engine


def same(found: pa.Table, model, rows: pa.Table, dialect: str = "") -> None:
    """Numbers within 1e-5 of what the model predicts for the rows, or of the label's deviation; classes where they are not as likely."""
    wanted = model.predict(rows)
    found = found.sort_by("id")
    names = [name.replace(".", "_") if dialect == "bigquery" else name for name in wanted.column_names]
    assert found.column_names == ["id", *names]
    found = found.rename_columns(["id", *wanted.column_names])
    for name in wanted.column_names:
        if wanted[name].type != pa.float64():
            assert found[name].to_pylist() == wanted[name].to_pylist()
            continue
        # The exponential of a logarithm beyond all labels is a huge number in SQL, where infinity is an error in some engines.
        numbers, cells = (np.minimum(np.array(table[name].to_pylist(), np.float64), 1e300) for table in (wanted, found))
        # Of an exponential as many digits more are lost as its exponent has.
        near = 1e-5 * (1 if "probability" in name else 20) + 1e-5 * abs(numbers) * np.log(
            np.maximum(abs(numbers), np.e)
        )
        assert (abs(cells - numbers) <= near).all(), (
            name,
            cells[abs(cells - numbers) > near],
            numbers[abs(cells - numbers) > near],
        )


@pytest.mark.parametrize("name", PIPELINES)
def test_a_statement_predicts_as_the_model(models, engine, name) -> None:
    text = sql_of(models[name], engine.dialect, "rows_tried", keep=["id"])
    same(ran(engine, text), models[name], all_rows(), engine.dialect)


COLUMN_VALUES = {
    "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
    "grams": st.none() | st.floats(),
    "WORD": st.none()
    | st.sampled_from(WORDS)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    "city": st.none() | st.integers(0, 40).map(lambda n: f"city {n} é"),
    "code": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 40).map(lambda n: n * 10**16 + 1),
    HOSTILE: st.none() | st.booleans(),
    "at": st.none() | st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)),
}


@settings(
    max_examples=2, deadline=None, phases=[Phase.generate], derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(st.lists(st.fixed_dictionaries(COLUMN_VALUES), min_size=60, max_size=60))
def test_made_up_rows_are_predicted_as_the_model_does(models, engine, rows) -> None:
    if engine.dialect in ("spark", "bigquery"):
        pytest.skip("a statement takes seconds there; the rows above are tried on it")
    schema = odd_rows().schema
    table = pa.Table.from_pylist([{**row, "id": place} for place, row in enumerate(rows)], schema)
    loaded(engine, table, "made_up")
    for model in models.values():
        same(ran(engine, sql_of(model, engine.dialect, "made_up", keep=["id"])), model, table)


def test_a_statement_can_stand_in_another(models, engine) -> None:
    """As it is: without a semicolon, whatever its own columns are called, and with a table of the same name as one of ours."""
    text = sql_of(models["two classes"], engine.dialect, "rows_tried", keep=["id", "WORD"])
    inner = f"SELECT count(*) AS n, max(p.probability_yes) AS most FROM ({text}) AS p WHERE p.id < 100"
    (row,) = ran(engine, inner).to_pylist()
    assert row["n"] == 100
    assert 0 < row["most"] <= 1


def test_times_are_utc_whatever_the_session_says(models, engine) -> None:
    """A column with a time zone, read in Tokyo."""
    rows = made().slice(0, 50)
    loaded(engine, rows, "zoned_rows")
    text = sql_of(models["two classes"], engine.dialect, "zoned", keep=["id"])
    if engine.dialect == "postgres":
        engine.connection.execute("SET timezone TO 'Asia/Tokyo'")
        others = ", ".join(
            exp.to_identifier(name, quoted=True).sql("postgres") for name in rows.column_names if name != "at"
        )
        zoned = f'SELECT {others}, "at" AT TIME ZONE \'UTC\' AS "at" FROM zoned_rows'
        engine.connection.execute(f"CREATE TEMPORARY TABLE zoned AS {zoned}")
        try:
            found = ran(engine, text)
        finally:
            engine.connection.execute("SET timezone TO 'UTC'")
    elif engine.dialect == "spark":
        utc = engine.session.conf.get("spark.sql.session.timeZone")
        frame = engine.session.sql(
            "SELECT * EXCEPT (at), timestamp_micros(unix_micros(CAST(at AS TIMESTAMP))) AS at FROM zoned_rows"
        )
        frame.cache().count()
        frame.createOrReplaceTempView("zoned")
        try:
            engine.session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
            found = ran(engine, text)
        finally:
            engine.session.conf.set("spark.sql.session.timeZone", utc)
    else:
        pytest.skip("its sessions are in UTC here; tests/exports has DuckDB in another zone")
    same(found, models["two classes"], rows)


def test_spark_compiles_no_layer_into_one_class_with_others(models, engine) -> None:
    if engine.dialect != "spark":
        pytest.skip("others do not compile")
    plan = engine.session.sql(f"EXPLAIN {sql_of(models['numbers'], 'spark', 'rows_tried')}").collect()[0][0]
    layers = [line.strip() for line in plan.splitlines() if "zip_with" in line]
    assert len(layers) > 2
    assert not [line for line in layers if "*(" in line.split("Project")[0]]
