"""Statistics of columns by split: equal to pandas, the same bits for any number of threads, honest about what is estimated."""

from __future__ import annotations

import datetime
import functools
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cengine.config.read import parse_config
from cengine.datasources.register import take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.expressions.filters import parse_filter, with_columns
from cengine.preprocess import value_counts
from cengine.preprocess.describe import MAX_CATEGORIES, NUM_TOP, PROBABILITIES, describe
from cengine.preprocess.histograms import NUM_BINS
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project

NUM_ROWS = 4000
RANDOM = np.random.default_rng(7)
HOSTILE = [
    '"; DROP TABLE x; --',
    "<script>alert(1)</script>",
    "🚲",
    "שלום",
    "x" * 200,
    "y" * 5000,
    "y" * 5000 + "!",
    "",
    " ",
    "null",
    "a\nb",
    "'",
]
START = datetime.datetime(2020, 1, 1)
TEXT = "features: {x: {}}\nlabels: {y: {}}\ntrainer: {type: regression}\nsplit: {categorize_by: word, index_ratio: {train: 0.8, eval: 0.2}}"
SPLIT = parse_config(TEXT).config.split


def some_null(values, share=0.1):
    """The values with nulls among them."""
    return pa.array(list(values), mask=np.random.default_rng(3).random(len(values)) < share)


COLUMNS = {
    "small": pa.array(RANDOM.integers(0, 5, NUM_ROWS).astype(np.int8)),
    "duration": pa.array(np.exp(RANDOM.normal(6, 1, NUM_ROWS)).astype(np.int32)),
    "negative": pa.array(-RANDOM.integers(10**6, 10**7, NUM_ROWS)),
    "huge": pa.array(2**60 + RANDOM.integers(0, 1000, NUM_ROWS)),
    "extreme": pa.array(RANDOM.choice([-(2**63), 2**63 - 1, 0], NUM_ROWS)),
    "some null": some_null(RANDOM.integers(1900, 2000, NUM_ROWS)),
    "normal": pa.array(RANDOM.normal(0, 1, NUM_ROWS)),
    "far": pa.array(RANDOM.normal(1e6, 1e-3, NUM_ROWS)),
    "greatest": pa.array(RANDOM.choice([-1.7e308, 1.7e308, 1.0], NUM_ROWS)),
    "tiny": pa.array(RANDOM.normal(0, 1e-200, NUM_ROWS)),
    "not finite": pa.array(RANDOM.choice([np.nan, np.inf, -np.inf, 1.5, -2.5], NUM_ROWS)),
    "never finite": pa.array(np.full(NUM_ROWS, np.nan)),
    "zeros": pa.array(RANDOM.choice([0.0, -0.0], NUM_ROWS)),
    "single": pa.array(RANDOM.normal(0, 1, NUM_ROWS).astype(np.float32)),
    "decimal": pa.array(RANDOM.integers(0, 1000, NUM_ROWS)).cast(pa.decimal128(21, 2)),
    "unsigned": pa.array(RANDOM.integers(0, 2**62, NUM_ROWS).astype(np.uint64) * 2),
    "constant": pa.array(np.full(NUM_ROWS, 42)),
    "constant text": pa.array(["only"] * NUM_ROWS),
    "constant float": pa.array(np.full(NUM_ROWS, 0.1)),
    "no value": pa.array([None] * NUM_ROWS, pa.float64()),
    "no text": pa.array([None] * NUM_ROWS, pa.string()),
    "one value": pa.array([None] * (NUM_ROWS - 1) + [3.5]),
    "flag": some_null(RANDOM.random(NUM_ROWS) < 0.3),
    "word": pa.array(RANDOM.choice(["a", "b", "c"], NUM_ROWS, p=[0.7, 0.2, 0.1])),
    "hostile": pa.array([HOSTILE[i] for i in RANDOM.integers(0, len(HOSTILE), NUM_ROWS)]),
    "unique": pa.array([f"row {i}" for i in range(NUM_ROWS)]),
    "dictionary": pa.array(RANDOM.choice(["p", "q"], NUM_ROWS)).dictionary_encode(),
    "time": pa.array(np.datetime64("2020-01-01", "us") + RANDOM.integers(0, 10**13, NUM_ROWS)),
    "day": some_null([(START + datetime.timedelta(days=int(d))).date() for d in RANDOM.integers(0, 90, NUM_ROWS)]),
    "zoned": pa.array(RANDOM.integers(0, 10**9, NUM_ROWS) * 10**6, pa.timestamp("us", tz="UTC")),
    "far years": pa.array(RANDOM.integers(250_000_000_000, 251_000_000_000, NUM_ROWS) * 10**6, pa.timestamp("us")),
    '"; DROP TABLE rows; --': pa.array(RANDOM.integers(0, 3, NUM_ROWS)),
    "<b>🚲</b>": pa.array(RANDOM.choice(["x", "y"], NUM_ROWS)),
    "list": pa.array([[1, 2], None, []] * (NUM_ROWS // 3) + [[1]] * (NUM_ROWS % 3)),
}
NUMBERS = ("small", "duration", "negative", "huge", "some null", "normal", "far", "tiny", "not finite", "zeros", "single", "decimal", "constant",
           "constant float", "unsigned", "one value", "extreme")  # fmt: skip
CATEGORIES = ("flag", "word", "hostile", "unique", "dictionary", "constant text", "no text", "<b>🚲</b>")
TIMES = ("time", "day", "zoned")


def describe_table(folder, columns, *, split=True, threads=2, where=(), num_files=1):
    """The statistics of a table by name, and the rows of each split; 80 % of each group of `word` are train rows."""
    files = folder / f"files-{len(list(folder.iterdir()))}"
    files.mkdir()
    table = pa.table(columns)
    for number in range(num_files):
        low, high = (len(table) * n // num_files for n in (number, number + 1))
        pq.write_table(table.slice(low, high - low), files / f"{number}.parquet")
    source = Parquet(path=str(files))
    snapshot = take_snapshot(open_project(files / "project"), source, memory_bytes=2**29)
    filters = tuple(with_columns(parse_filter(text), snapshot.schema.names) for text in where)
    rows = Rows(snapshot.files, snapshot.schema, filters, ())
    with DuckDB(files / "scratch", memory_bytes=2**29, threads=threads) as engine:
        fitted = fit_split(engine, rows, SPLIT, files) if split else None
        found = {entry["name"]: entry for entry in describe(engine, rows, fitted)}
        table = engine.fetch(
            fitted.assigned(engine, rows, list(columns)) if split else rows.select(engine, list(columns))
        )
    assert not (files / "scratch").exists()
    if not split:
        return found, {"all": table}
    numbers = table["_split"].to_numpy()
    return found, {name: table.filter(pa.array(numbers == i)) for i, name in enumerate(fitted.names)}


@pytest.fixture
def described(tmp_path):
    return functools.partial(describe_table, tmp_path)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return describe_table(tmp_path_factory.mktemp("everything"), COLUMNS)


def finite(column: pa.ChunkedArray) -> pd.Series:
    """The numbers of a column without nulls and what is not finite."""
    values = pd.Series(
        [float(value) if not isinstance(value, int) else value for value in column.to_pylist() if value is not None],
        dtype=object,
    )
    return values[[isinstance(value, int) or math.isfinite(value) for value in values]]


def test_is_plain_data(everything) -> None:
    found, _ = everything
    assert list(found) == list(COLUMNS)
    assert json.loads(json.dumps(list(found.values()), allow_nan=False)) == list(found.values())
    kinds = {name: entry["kind"] for name, entry in found.items()}
    assert (kinds["small"], kinds["normal"], kinds["flag"], kinds["day"], kinds["dictionary"]) == (
        "integer",
        "float",
        "boolean",
        "timestamp",
        "string",
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_those_of_pandas(everything, name) -> None:
    found, tables = everything
    for split, told in found[name]["splits"].items():
        values = finite(tables[split][name])
        assert told["num_rows"] == len(tables[split])
        assert told["num_nulls"] == len(tables[split]) - len(values)
        assert (told["num_distinct"], told["distinct_exact"], told["sampled_rows"]) == (values.nunique(), True, None)
        if not len(values):
            assert (
                told["mean"],
                told["deviation"],
                told["minimum"],
                told["maximum"],
                told["quantiles"],
                told["top"],
            ) == (None,) * 4 + (
                {},
                [],
            )
            continue
        assert (told["minimum"], told["maximum"]) == (values.min(), values.max())
        exact = values.astype(np.longdouble).to_numpy()
        assert told["mean"] == pytest.approx(float(exact.mean()), rel=1e-12, abs=1e-12 * float(np.abs(exact).max()))
        assert told["deviation"] == pytest.approx(float(np.std(exact)), rel=1e-6)
        for probability, quantile in told["quantiles"].items():
            want = float(np.quantile(values.astype(np.float64), float(probability)))
            assert quantile == pytest.approx(
                want, rel=1e-12, abs=1e-12 * (abs(float(values.max())) if name != "far" else 1.0)
            )
        assert list(told["quantiles"]) == [str(p) for p in PROBABILITIES]


@pytest.mark.parametrize("name", [*NUMBERS, *CATEGORIES, *TIMES])
def test_the_commonest_values_with_their_rows(everything, name) -> None:
    found, tables = everything
    for split, told in found[name]["splits"].items():
        column = tables[split][name]
        values = (
            finite(column)
            if name in NUMBERS
            else pd.Series([v for v in column.to_pylist() if v is not None], dtype=object)
        )
        counts = values.value_counts()
        want = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:NUM_TOP]
        assert [n for _, n in told["top"]] == [n for _, n in want]
        if name not in TIMES and name != "hostile":
            assert [value for value, _ in told["top"]] == [value for value, _ in want]


def test_hostile_and_long_texts_stay_apart(everything) -> None:
    found, tables = everything
    counts = pd.Series(tables["train"]["hostile"].to_pylist()).value_counts()
    told = found["hostile"]["splits"]["train"]
    assert told["num_distinct"] == len(HOSTILE)
    shown = {text: text if len(text) <= 200 else text[:200] + "…" for text in HOSTILE}
    assert len([value for value, _ in told["top"]]) == NUM_TOP
    assert sorted(map(tuple, told["top"])) == sorted((shown[text], n) for text, n in list(counts.items())[:NUM_TOP])
    categories = found["hostile"]["categories"]
    assert sorted(categories["values"]) == sorted(shown.values())
    assert sum(categories["counts"]["train"]) == told["num_rows"]


@pytest.mark.parametrize("name", [name for name in (*NUMBERS, *TIMES) if name != "one value"])
def test_histograms_have_every_row_and_common_edges(everything, name) -> None:
    found, tables = everything
    histogram = found[name]["histogram"]
    assert histogram["is_time"] == (name in TIMES)
    assert sorted(set(histogram["edges"])) == histogram["edges"]
    assert 1 <= len(histogram["edges"]) - 1 <= 41
    for split, told in found[name]["splits"].items():
        counts = histogram["counts"][split]
        assert len(counts) == len(histogram["edges"]) - 1
        assert sum(counts) == told["num_rows"] - told["num_nulls"]
        if name in ("duration", "normal", "some null", "single"):
            inner = np.asarray(histogram["edges"], np.float64)
            inner[[0, -1]] = -np.inf, np.inf
            assert counts == np.histogram(finite(tables[split][name]).astype(np.float64), inner)[0].tolist()


def test_edges_span_the_bulk_and_integers_have_bins_of_equally_many(everything) -> None:
    found, tables = everything
    normal = found["normal"]["histogram"]["edges"]
    bulks = [np.quantile(finite(table["normal"]).astype(float), [0.005, 0.995]) for table in tables.values()]
    assert len(normal) == NUM_BINS + 1
    assert (normal[0], normal[-1]) == pytest.approx((min(b[0] for b in bulks), max(b[1] for b in bulks)))
    np.testing.assert_allclose(np.diff(normal), np.diff(normal)[0])
    assert found["small"]["histogram"]["edges"] == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    duration = np.diff(found["duration"]["histogram"]["edges"])
    assert (duration == duration[0]).all()
    assert duration[0] == int(duration[0])
    assert found["constant"]["histogram"] == {
        "edges": [41.5, 42.5],
        "counts": {split: [len(table)] for split, table in tables.items()},
        "is_time": False,
    }


@pytest.mark.parametrize("name", TIMES)
def test_times_are_told_as_iso(everything, name) -> None:
    found, tables = everything
    for split, told in found[name]["splits"].items():
        values = (
            pd.to_datetime(pd.Series([v for v in tables[split][name].to_pylist() if v is not None]))
            .dt.tz_localize(None)
            .sort_values()
        )
        read = {key: pd.Timestamp(told[key]) for key in ("minimum", "maximum")}
        assert read == {"minimum": values.min(), "maximum": values.max()}
        assert (told["mean"], told["deviation"]) == (None, None)
        for probability, quantile in told["quantiles"].items():
            assert pd.Timestamp(quantile) == values.quantile(float(probability), interpolation="lower")
    assert len(found["day"]["splits"]["train"]["minimum"]) == len("2020-01-01")
    assert found["far years"]["splits"]["train"]["minimum"].startswith("98")
    edges = found["day"]["histogram"]["edges"]
    assert (
        START.replace(tzinfo=datetime.UTC).timestamp()
        <= edges[0]
        < edges[-1]
        <= START.replace(tzinfo=datetime.UTC).timestamp() + 90 * 86_400
    )


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_have_the_rows_of_all_splits(everything, name) -> None:
    found, tables = everything
    entry = found[name]
    assert entry["histogram"] is None
    assert len(entry["categories"]["values"]) <= MAX_CATEGORIES
    for split, table in tables.items():
        values = pd.Series([v for v in table[name].to_pylist() if v is not None], dtype=object)
        assert entry["splits"][split]["num_distinct"] == values.nunique()
        if name != "hostile":
            counts = values.value_counts()
            assert entry["categories"]["counts"][split] == [
                counts.get(value, 0) for value in entry["categories"]["values"]
            ]
    seen = set(tables["train"][name].to_pylist())
    assert entry["unseen"] == {
        "eval": sum(value is not None and value not in seen for value in tables["eval"][name].to_pylist())
    }


def test_booleans_are_a_share(everything) -> None:
    found, tables = everything
    told = found["flag"]["splits"]["train"]
    values = [value for value in tables["train"]["flag"].to_pylist() if value is not None]
    assert told["mean"] == pytest.approx(np.mean(values))
    assert told["deviation"] == pytest.approx(np.std(values))
    assert (told["minimum"], told["maximum"], told["num_distinct"]) == (False, True, 2)
    assert told["top"] == [[False, values.count(False)], [True, values.count(True)]]


def test_lists_have_counts_and_nulls_only(everything) -> None:
    found, tables = everything
    entry = found["list"]
    assert (entry["histogram"], entry["categories"], entry["unseen"]) == (None, None, None)
    for split, told in entry["splits"].items():
        assert (told["num_rows"], told["num_nulls"]) == (len(tables[split]), tables[split]["list"].null_count)
        assert (told["num_distinct"], told["mean"], told["minimum"], told["top"], told["quantiles"]) == (
            None,
            None,
            None,
            [],
            {},
        )


def test_without_a_split_all_rows_are_one(described) -> None:
    found, _ = described({"x": pa.array([1, 2, 2, None]), "word": pa.array(["a", "b", None, "a"])}, split=False)
    assert list(found["x"]["splits"]) == ["all"]
    told = found["x"]["splits"]["all"]
    assert (told["num_rows"], told["num_nulls"], told["num_distinct"], told["mean"], told["top"]) == (
        4,
        1,
        2,
        pytest.approx(5 / 3),
        [[2, 2], [1, 1]],
    )
    assert found["x"]["histogram"] == {"edges": [0.5, 1.5, 2.5], "counts": {"all": [1, 2]}, "is_time": False}
    assert (found["word"]["categories"], found["word"]["unseen"]) == (
        {"values": ["a", "b"], "counts": {"all": [2, 1]}},
        {},
    )


def test_rows_are_filtered_and_digits_kept_however_much_is_left_out(described) -> None:
    """The schema knows the range of the whole table; of what `where` leaves, far more digits count."""
    values = RANDOM.normal(5, 1, NUM_ROWS)
    values[::100] = 1e30
    table = {"x": pa.array(values), "k": pa.array(np.arange(NUM_ROWS) % 3), "word": COLUMNS["word"]}
    found, tables = described(table, where=["x < 1000"])
    for split, told in found["x"]["splits"].items():
        left = tables[split]["x"].to_numpy()
        assert told["num_rows"] == len(left)
        assert (told["mean"], told["deviation"]) == (
            pytest.approx(left.mean(), rel=1e-12),
            pytest.approx(left.std(), rel=1e-9),
        )
    found, _ = described(table, where=["x > 1000"])
    assert (found["x"]["splits"]["train"]["mean"], found["x"]["splits"]["train"]["deviation"]) == (1e30, 0.0)
    found, tables = described(table, where=["x < 1000", "k = 1"], split=False)
    assert found["x"]["splits"]["all"]["num_rows"] == len(tables["all"])


@pytest.mark.parametrize("wider", [2**10, 2**12, 2**15, 2**18])
def test_digits_are_kept_between_two_outliers_that_are_left_out(wider, described) -> None:
    """The rest lies in the middle of the table's range, where squares are smallest."""
    values = RANDOM.normal(0, 1, NUM_ROWS)
    reach = wider * np.ptp(values) / 2
    values[:2] = -reach, reach
    found, tables = described(
        {"x": pa.array(values), "word": COLUMNS["word"]}, where=["x > -100", "x < 100"], split=False
    )
    told, left = found["x"]["splits"]["all"], tables["all"]["x"].to_numpy()
    assert (told["mean"], told["deviation"]) == (
        pytest.approx(left.mean(), abs=1e-9),
        pytest.approx(left.std(), rel=1e-9),
    )


def test_no_row_passes(described) -> None:
    found, _ = described(
        {name: COLUMNS[name] for name in ("small", "word", "normal", "time", "flag")},
        where=["small > 100"],
        split=False,
    )
    for entry in found.values():
        told = entry["splits"]["all"]
        assert (told["num_rows"], told["num_nulls"], told["num_distinct"], told["mean"], told["top"]) == (
            0,
            0,
            0,
            None,
            [],
        )
        assert entry["histogram"] is None


@pytest.mark.slow
def test_the_same_for_any_number_of_threads_and_files(described, monkeypatch) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "list"}
    one, _ = described(columns, threads=1)
    two, _ = described(columns, threads=2, num_files=3)
    assert json.dumps(one) == json.dumps(two)
    sampled(monkeypatch, 1000)
    one, _ = described(COLUMNS, threads=1)
    two, _ = described(COLUMNS, threads=2)
    assert json.dumps(one) == json.dumps(two)


def sampled(monkeypatch, num_rows) -> None:
    """From now on this many rows of a split are looked at."""
    monkeypatch.setattr(value_counts, "EXACT_ROWS", num_rows)
    monkeypatch.setattr(value_counts, "SAMPLE_ROWS", num_rows)


def test_large_splits_are_sampled_and_say_so(described, monkeypatch) -> None:
    exact, _ = described(COLUMNS)
    sampled(monkeypatch, 1000)
    found, _ = described(COLUMNS)
    for name in ("duration", "word", "normal", "some null", "time"):
        train, eval_ = found[name]["splits"]["train"], found[name]["splits"]["eval"]
        whole = exact[name]["splits"]["train"]
        assert 850 < train["sampled_rows"] < 1150
        assert eval_ == exact[name]["splits"]["eval"]  # 800 rows are looked at, all of them
        # What all rows tell stays exact.
        assert [train[key] for key in ("num_rows", "num_nulls", "mean", "deviation", "minimum", "maximum")] == [
            whole[key] for key in ("num_rows", "num_nulls", "mean", "deviation", "minimum", "maximum")
        ]
        assert not train["distinct_exact"]
        assert train["num_distinct"] == pytest.approx(whole["num_distinct"], rel=0.1)
    word = found["word"]["splits"]["train"]
    assert word["num_distinct"] == 3  # the sample has seen them all, many times
    assert [value for value, _ in word["top"]] == ["a", "b", "c"]
    assert sum(n for _, n in word["top"]) == pytest.approx(3200, abs=2)
    assert word["top"][0][1] == pytest.approx(0.7 * 3200, rel=0.1)
    assert sum(found["normal"]["histogram"]["counts"]["train"]) == pytest.approx(3200, abs=20)
    assert found["normal"]["splits"]["train"]["quantiles"]["0.5"] == pytest.approx(
        exact["normal"]["splits"]["train"]["quantiles"]["0.5"], abs=0.15
    )
    # Eval is looked at whole, and what it has the sample of train has too: there is nothing unseen. Of other texts it is not known.
    assert found["word"]["unseen"] == {"eval": 0}
    assert found["unique"]["unseen"] == {"eval": None}


def test_a_part_of_the_columns_in_the_order_asked_for(make_rows, engine) -> None:
    rows = make_rows({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
    assert [entry["name"] for entry in describe(engine, rows, None, ["c", "a"])] == ["c", "a"]


@pytest.mark.slow
def test_many_columns_need_few_queries(make_rows, engine, monkeypatch) -> None:
    kinds = [
        lambda i: RANDOM.normal(size=50),
        lambda i: RANDOM.integers(0, i + 1, 50),
        lambda i: [f"w{k % 7}" for k in range(50)],
    ]
    rows = make_rows({f"c{i}": pa.array(kinds[i % 3](i)) for i in range(300)})
    queries = []
    fetch, write = engine.fetch, engine.write
    monkeypatch.setattr(engine, "fetch", lambda *args: queries.append(args) or fetch(*args))
    monkeypatch.setattr(engine, "write", lambda *args: queries.append(args) or write(*args))
    found = describe(engine, rows)
    assert len(found) == 300
    assert len(queries) <= 4
    assert found[299]["splits"]["all"]["num_distinct"] == 7


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0]), min_size=1, max_size=60))
def test_any_numbers(described, values) -> None:
    found, _ = described({"x": pa.array(values, pa.float64())}, split=False)
    told, histogram = found["x"]["splits"]["all"], found["x"]["histogram"]
    numbers = np.array([value for value in values if value is not None and math.isfinite(value)])
    assert (told["num_nulls"], told["num_distinct"]) == (len(values) - len(numbers), len(set(numbers)))
    assert sum(n for _, n in told["top"]) <= len(numbers)
    if not len(numbers):
        assert histogram is None
        return
    assert (told["minimum"], told["maximum"]) == (numbers.min(), numbers.max())
    assert math.fsum(numbers / len(numbers)) == pytest.approx(
        told["mean"], rel=1e-9, abs=1e-9 * (np.abs(numbers).max() or 1)
    )
    assert sum(histogram["counts"]["all"]) == len(numbers)
    quantiles = list(told["quantiles"].values())
    assert quantiles == sorted(quantiles)
    assert told["minimum"] <= quantiles[0]
    assert quantiles[-1] <= told["maximum"]
