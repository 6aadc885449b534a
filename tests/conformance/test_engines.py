"""One suite for all engines: the same identities, splits, statistics, encoded rows and slices as DuckDB and the oracle give."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from engines_tried import ENGINES, expect_gap, opened
from every_word import CASES, COLUMNS, FILLED_WITH, FILLING, TRAIN_ROWS, TYPES, table
from sqlglot import exp
from test_metrics import arrow, made_rows, roles

from cengine.config.read import parse_config
from cengine.config.resolve import Feature, Label, Resolved
from cengine.config.schema import Categorize, SplitConfig
from cengine.datasources.register import take_snapshot
from cengine.evaluation.slices import measure
from cengine.expressions.build import bigint, column, finite
from cengine.expressions.filters import parse_filter, with_columns
from cengine.expressions.keys import seeded_key, text_hash
from cengine.metrics.table import METRICS
from cengine.networks.encodings import Auto
from cengine.preprocess.apply import write_encoded
from cengine.preprocess.describe import describe
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows, WarehouseTable
from cengine.preprocess.split import fit_split
from cengine.preprocess.value_counts import microseconds
from cengine.sources import Parquet
from cengine.store.project import open_project
from cengine.tables import ROW_ID
from cengine.testing.engines import close
from cengine.transforms import FILLINGS, TRANSFORMS

WORD_CASES = [
    case.values
    for case in CASES
    if not (case.values[0] == "no_transform" and case.values[1] in ("string", "timestamp"))
]
FILLING_CASES = [(name, kind) for name, word in FILLINGS.items() for kind in word.accepts]
GIVEN = {
    "boolean": True,
    "integer": -7,
    "float": 0.125,
    "string": 'it\'s "odd" \\ é',
    "timestamp": "2001-02-03 04:05:06",
}
SPLITS = {
    "shares": "{ratio: {train: 0.8, eval: 0.2}}",
    "three": "{ratio: {train: 0.7, eval: 0.2, test: 0.1}, seed: 5}",
    "in groups": "{categorize_by: string, index_ratio: {train: 0.7, eval: 0.3}}",
    "in groups of numbers": "{categorize_by: integer, index_ratio: {train: 0.7, eval: 0.3}}",
    "in groups of times": "{categorize_by: day, index_ratio: {train: 0.5, eval: 0.5}}",
    "in groups of booleans": "{categorize_by: boolean, index_ratio: {train: 0.5, eval: 0.5}}",
    "by time": "{index_by: timestamp, ratio: {train: 0.6, eval: 0.4}}",
    "by number in groups": "{categorize_by: part, index_by: integer, index_ratio: {train: 0.6, eval: 0.4}}",
    "by float": "{index_by: float, ratio: {train: 0.6, eval: 0.4}}",
    "by text": "{index_by: string, ratio: {train: 0.6, eval: 0.4}}",
    "by boolean": "{index_by: boolean, ratio: {train: 0.6, eval: 0.4}}",
    "whole groups": "{categorize_by: string, category_ratio: {train: 0.6, eval: 0.4}}",
    "named groups": "{categorize_by: part, categories: {train: [a], eval: [b]}}",
}
WHERE = [
    "100 / (integer - 20) > 3 or integer > 10",
    "integer > 10 and (string like 'St. %' or float / 3 < 100)",
    "timestamp >= '2018-07-01'",
]


def wide_table():
    """The table of every word with a copy of its column for each case, and rows that are equal in all cells."""
    made = table()
    days = pa.array([None if t is None else t.date() for t in COLUMNS["timestamp"]], pa.date32())
    made = made.append_column("day", days).append_column(
        "small", pa.array([i % 7 - 3 for i in range(len(made))], pa.int8())
    )
    for i, (_, kind, _parameters) in enumerate(WORD_CASES):
        made = made.append_column(f"word{i}", pa.array(COLUMNS[kind], TYPES[kind]))
    for i, (_, kind) in enumerate(FILLING_CASES):
        made = made.append_column(f"filling{i}", pa.array(COLUMNS[kind], TYPES[kind]))
    return made


def registered(folder, made, num_files=1):
    """A snapshot of it, in parts."""
    folder.mkdir()
    (folder / "files").mkdir()
    for n in range(num_files):
        low, high = (len(made) * i // num_files for i in (n, n + 1))
        pq.write_table(made.slice(low, high - low), folder / "files" / f"{n}.parquet")
    source = Parquet(path=str(folder / "files"))
    return take_snapshot(open_project(folder / "project"), source, memory_bytes=2**29)


def features():
    """A feature for each case, and the row's number."""
    words = [
        Feature(f"word{i}", kind, FILLING[kind], (TRANSFORMS[name](**parameters),), Auto())
        for i, (name, kind, parameters) in enumerate(WORD_CASES)
    ]
    fillings = []
    for i, (name, kind) in enumerate(FILLING_CASES):
        to_number = {"string": "hash_strings", "timestamp": "epoch_seconds"}.get(kind, "no_transform")
        filling = FILLINGS[name](**({"custom_value": GIVEN[kind]} if name == "custom" else {}))
        fillings.append(
            Feature(f"filling{i}", kind, filling, (TRANSFORMS[to_number](),), Auto(), missing_indicator=True)
        )
    return (Feature("row", "integer", FILLINGS["min"](), (TRANSFORMS["no_transform"](),), Auto()), *words, *fillings)


def split_of(text):
    return parse_config(
        f"features: {{row: {{}}}}\nlabels: {{float: {{}}}}\ntrainer: {{type: regression}}\nsplit: {text}"
    ).config.split


class Found:
    """What an engine makes of the tables; each part is worked out when it is first asked for."""

    def __init__(self, engine, folder, snapshot, raw):
        self.engine, self.folder, self.snapshot, self.raw = engine, folder, snapshot, raw
        self.rows = Rows(snapshot.files, snapshot.schema, (), ())
        self.known = {}

    def once(self, name, work):
        if name not in self.known:
            self.known[name] = work()
        return self.known[name]

    def words(self):
        """Statistics and encoded rows of all words, fitted on the first TRAIN_ROWS rows."""
        return self.once("words", self._words)

    def _words(self):
        config = SplitConfig(categorize=Categorize(by="part", categories={"train": ("a",), "eval": ("b",)}))
        plain = (TRANSFORMS["no_transform"](),)
        labels = (
            Label("float", "float", "regression", None, (TRANSFORMS["log"](),), None, None, "row"),
            Label("string", "string", "classes", None, plain, None, None, "row"),
            Label("boolean", "boolean", "binary", None, plain, None, None),
        )
        rows = Rows(self.snapshot.files, self.snapshot.schema, (), labels)
        split = fit_split(self.engine, rows, config, self.folder)
        resolved = Resolved(features(), labels, config, None, (), None)
        statistics = json.loads(json.dumps(fit(self.engine, rows, split, resolved)))
        target = self.folder / f"{self.engine.name}.parquet"
        write_encoded(self.engine, rows, split, resolved.features, labels, statistics, target)
        return statistics, pq.read_table(target)

    def split(self, name, rows=None):
        """The split's report, its cuts, and the split of each row identity."""
        folder = Path(self.folder / f"split-{len(self.known)}")
        folder.mkdir(exist_ok=True)
        rows = rows or self.rows
        split = fit_split(self.engine, rows, split_of(SPLITS[name]), folder)
        assigned = self.engine.fetch(split.assigned(self.engine, rows, ["row"]))
        order = np.argsort(assigned[ROW_ID].to_numpy())
        return (
            split.report,
            pq.read_table(folder / "cuts.parquet"),
            assigned.take(order).select(["row", ROW_ID, "_split"]),
        )

    def in_warehouse(self, **options):
        """The same rows as a table without identities."""
        return Rows(WarehouseTable(self.engine.parquet([self.raw]), **options), self.snapshot.schema, (), ())


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    made = wide_table()
    made = pa.concat_tables([made, made.slice(0, 40), made.slice(10, 5)])
    pq.write_table(made, folder / "raw.parquet")
    # The table of words has no equal rows: what words learn of it the oracle knows.
    return (
        folder,
        registered(folder / "words", wide_table(), num_files=3),
        registered(folder / "rows", made, num_files=2),
        made,
    )


@pytest.fixture(scope="module")
def expected(tables, tmp_path_factory):
    """What DuckDB finds."""
    with opened("duckdb", tmp_path_factory.mktemp("scratch"), None) as engine:
        yield finders(engine, tables, tmp_path_factory)


@pytest.fixture(scope="module", params=ENGINES)
def found(request, tables, tmp_path_factory):
    """What the engine finds."""
    with opened(request.param, tmp_path_factory.mktemp("scratch"), request) as engine:
        yield finders(engine, tables, tmp_path_factory)


def finders(engine, tables, tmp_path_factory):
    folder, words, rows, _ = tables
    words = Found(engine, tmp_path_factory.mktemp("words"), words, folder / "raw.parquet")
    words.more = Found(engine, tmp_path_factory.mktemp("rows"), rows, folder / "raw.parquet")
    return words


def test_every_word_is_among_the_cases() -> None:
    assert {name for name, _, _ in WORD_CASES} == set(TRANSFORMS)
    assert {name for name, _ in FILLING_CASES} == set(FILLINGS)


def test_statistics_are_those_of_duckdb(found, expected) -> None:
    close(found.words()[0], expected.words()[0])


def test_encoded_rows_are_those_of_duckdb(found, expected) -> None:
    """In the same order, in the same types, and the same numbers as float32."""
    encoded, wanted = found.words()[1], expected.words()[1]
    assert [(f.name, f.type) for f in encoded.schema] == [(f.name, f.type) for f in wanted.schema]
    for name in wanted.column_names:
        assert encoded[name].combine_chunks().equals(wanted[name].combine_chunks()), name


@pytest.mark.parametrize("case", range(len(WORD_CASES)), ids=[f"{n}-{k}-{p}" for n, k, p in WORD_CASES])
def test_words_are_those_of_the_oracle(case, found) -> None:
    name, kind, parameters = WORD_CASES[case]
    values = COLUMNS[kind]
    values = reference.fill(values, reference.FILLINGS[FILLING[kind].name](values[:TRAIN_ROWS], **FILLED_WITH[kind]))
    values = [value for value, label in zip(values, labelled(), strict=True) if label]
    train = values[: sum(labelled()[:TRAIN_ROWS])]
    encoded = found.words()[1].sort_by("row")
    for part, array in reference.TRANSFORMS[name](train, values, **parameters).items():
        cells = encoded[f"word{case}.{part}" if part else f"word{case}"].to_numpy()
        if array.dtype.kind in "iu" and name != "no_transform":
            assert cells.tolist() == array.tolist()
        else:
            np.testing.assert_allclose(cells, array.astype(np.float32), rtol=2e-6, atol=2e-7)


def test_rows_count_as_much_as_their_weight_says(found) -> None:
    """Weights are shares of their mean over the train rows; the constants are those of weighted rows."""
    statistics, encoded = found.words()[0], found.words()[1].sort_by("row")
    rows = np.flatnonzero(labelled())
    train = rows[rows < TRAIN_ROWS]
    numbers = np.array([COLUMNS["float"][i] for i in train], np.float64)
    fitted = statistics["labels"]["float"]
    assert fitted["mean_weight"] == pytest.approx(train.mean(), rel=1e-12)
    assert fitted["weighted"]["mean"] == pytest.approx(np.average(numbers, weights=train), rel=1e-9)
    order = np.argsort(numbers, kind="stable")
    through = np.cumsum(train[order])
    assert fitted["weighted"]["median"] == numbers[order][np.searchsorted(through, through[-1] / 2)]
    np.testing.assert_allclose(encoded["weight: float"].to_numpy(), rows / train.mean(), rtol=1e-6)
    texts = statistics["labels"]["string"]
    counted = [sum(int(i) for i in train if COLUMNS["string"][i] == value) for value in texts["classes"]]
    assert texts["weighted"]["counts"] == pytest.approx(len(train) * np.array(counted) / sum(counted), rel=1e-9)
    assert "weighted" not in statistics["labels"]["boolean"]


def test_missing_cells_are_told_beside_what_fills_them(found) -> None:
    encoded = found.words()[1].sort_by("row")
    for number, (_, kind) in enumerate(FILLING_CASES):
        cells = [cell for cell, label in zip(COLUMNS[kind], labelled(), strict=True) if label]
        wanted = [float(cell is None or cell != cell) for cell in cells]
        assert encoded[f"filling{number}.missing"].to_pylist() == wanted
        assert 0 < sum(wanted) < len(wanted) or kind in (
            "float",
            "string",
            "boolean",
        )  # labels that are not filled are there


def labelled():
    """Whether a row has all labels that are not filled, and so takes part."""
    return [
        all(COLUMNS[kind][i] is not None for kind in ("float", "string", "boolean"))
        for i in range(len(COLUMNS["float"]))
    ]


@pytest.mark.parametrize("name", SPLITS)
def test_splits_are_those_of_duckdb(name, found, expected) -> None:
    report, cuts, assigned = found.more.split(name)
    other_report, other_cuts, other = expected.more.split(name)
    assert report == other_report
    assert cuts.to_pydict() == other_cuts.to_pydict()
    assert assigned.to_pydict() == other.to_pydict()


def test_filters_keep_the_same_rows(found, expected) -> None:
    filters = tuple(with_columns(parse_filter(text), found.snapshot.schema.names) for text in WHERE)
    kept = []
    for one in (found.more, expected.more):
        rows = Rows(one.snapshot.files, one.snapshot.schema, filters, ())
        kept.append(sorted(one.engine.fetch(rows.select(one.engine, ["row"]))["row"].to_pylist()))
    assert kept[0] == kept[1]
    assert 20 < len(kept[0]) < 400


def identities_of(snapshot):
    stored = pa.concat_tables([pq.read_table(file, columns=["row", ROW_ID]) for file in snapshot.files])
    return sorted(zip(stored["row"].to_pylist(), stored[ROW_ID].to_pylist(), strict=True))


def test_identities_in_a_warehouse_are_those_of_a_snapshot(found) -> None:
    """Of every row, the equal ones told apart, whichever columns are read and whatever the filter."""
    one = found.more
    rows = one.in_warehouse()
    for columns in (["row"], ["row", "string", "float"]):
        fetched = one.engine.fetch(rows.select(one.engine, columns))
        assert fetched.column_names == [*columns, ROW_ID]
        assert sorted(zip(fetched["row"].to_pylist(), fetched[ROW_ID].to_pylist(), strict=True)) == identities_of(
            one.snapshot
        )
    condition = (with_columns(parse_filter("integer > 30"), one.snapshot.schema.names),)
    kept = one.engine.fetch(Rows(rows.table, rows.schema, condition, ()).select(one.engine, ["row"]))
    assert set(kept[ROW_ID].to_pylist()) <= {identity for _, identity in identities_of(one.snapshot)}
    assert 0 < len(kept) < len(identities_of(one.snapshot))


def test_a_table_without_equal_rows_needs_no_numbering(found) -> None:
    fetched = found.more.engine.fetch(found.more.in_warehouse(distinct=True).select(found.more.engine, ["row"]))
    first = dict(reversed(identities_of(found.more.snapshot)))
    assert all(
        identity in first.values() or row < 40
        for row, identity in zip(fetched["row"].to_pylist(), fetched[ROW_ID].to_pylist(), strict=True)
    )
    assert len(set(fetched[ROW_ID].to_pylist())) == len(set(fetched["row"].to_pylist()))


def test_a_split_in_a_warehouse_is_that_of_a_snapshot(found, expected) -> None:
    report, _, assigned = found.more.split("in groups", found.more.in_warehouse())
    other_report, _, other = expected.more.split("in groups")
    assert report == other_report
    assert sorted(zip(*assigned.to_pydict().values(), strict=True)) == sorted(
        zip(*other.to_pydict().values(), strict=True)
    )


def test_encoded_rows_of_a_warehouse_come_in_an_order_that_repeats(found, expected) -> None:
    """That of the identities, and of the same content as those of the snapshot."""
    encoded = []
    for one in (found.more, expected.more):
        rows = one.in_warehouse()
        if one.engine.keeps_order:
            rows = one.rows
        split = fit_split(one.engine, rows, split_of(SPLITS["shares"]), one.folder)
        chosen = (Feature("row", "integer", FILLINGS["min"](), (TRANSFORMS["no_transform"](),), Auto()),)
        statistics = fit(one.engine, rows, split, Resolved(chosen, (), split_of(SPLITS["shares"]), None, (), None))
        target = one.folder / "warehouse.parquet"
        write_encoded(one.engine, rows, split, chosen, (), statistics, target)
        encoded.append(pq.read_table(target))
    ids = [i for i in encoded[0][ROW_ID].to_pylist() if i is not None]
    assert found.engine.keeps_order or ids == sorted(ids)
    content = [sorted(zip(t["row"].to_pylist(), t["_split"].to_pylist(), strict=True)) for t in encoded]
    assert content[0] == content[1]


TASK_METRICS = {
    task: [word() for word in METRICS.values() if task in word.tasks] for task in ("regression", "binary", "classes")
}


@pytest.mark.parametrize("task", TASK_METRICS)
def test_slices_are_those_of_duckdb(task, found, expected, tmp_path) -> None:
    rows = made_rows(task)
    made = arrow(rows)
    pq.write_table(made, tmp_path / "predictions.parquet")
    slices = ((), ("city",), ("gender", "city"))
    measured = [
        measure(
            one.engine,
            one.engine.parquet([tmp_path / "predictions.parquet"]),
            roles(rows),
            task,
            TASK_METRICS[task],
            slices,
            intervals=True,
        )
        for one in (found, expected)
    ]
    for one, other in zip(*measured, strict=True):
        assert one.keys == other.keys
        assert one.table.column_names == other.table.column_names
        order = [(name, "ascending") for name in one.keys]
        for name in one.table.column_names:
            mine, wanted = (side.table.sort_by(order)[name].to_pylist() for side in (one, other))
            assert mine == (
                pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True) if isinstance(wanted[0], float) else wanted
            ), name


def test_what_the_columns_hold_is_what_duckdb_finds(found, expected) -> None:
    names = [*TYPES, "part", "row", "day", "small"]
    described = describe(found.engine, found.rows, None, names)
    close(described, describe(expected.engine, expected.rows, None, names))


def test_binding_tells_what_is_wrong_and_reads_nothing(found) -> None:
    schema = found.snapshot.schema
    bound = {
        text: found.engine.bind_error(with_columns(parse_filter(text), schema.names), schema)
        for text in ("integer > 3 and string = 'x'", "integer + 1", "string + boolean > 3")
    }
    first, number, wrong = bound.values()
    assert first is None
    assert number.startswith("it gives a ")
    assert wrong
    assert "\n" not in wrong


START = datetime.datetime(2018, 6, 1, 12, 34, 56)
# A column, an expression of it, and what that gives.
EDGES = {
    "nanoseconds": (pa.array([START, None], pa.timestamp("ns")), microseconds(column("v")), [1527856496000000, None]),
    "times before 1970": (
        pa.array([datetime.datetime(1900, 1, 1), None], pa.timestamp("us")),
        microseconds(column("v")),
        [-2208988800000000, None],
    ),
    "the character 0": (
        pa.array(["a\0b", None]),
        text_hash(column("v")),
        [int(hashlib.md5(b"a\0b").hexdigest()[:7], 16), None],
    ),
    "other alphabets": (
        pa.array(["Überweg 北京 \U0001f6b2", ""]),
        text_hash(column("v")),
        [int(hashlib.md5(text.encode()).hexdigest()[:7], 16) for text in ("Überweg 北京 \U0001f6b2", "")],
    ),
    "not a number": (pa.array([math.nan, math.inf, -math.inf, 1.5]), finite(column("v")), [None, None, None, 1.5]),
    "tiny numbers": (pa.array([1e-200, 1e-170]), exp.Floor(this=column("v") * column("v")), [0.0, 0.0]),
    "negative remainders": (pa.array([-7, 7], pa.int64()), column("v") % bigint(3), [-1, 1]),
    "all the bits": (pa.array([2**62 - 1, -1], pa.int64()), seeded_key(column("v"), "split", 7), None),
    "large sums": (
        pa.array([2**62, 2**62, 2**62], pa.int64()),
        exp.cast(exp.Sum(this=column("v")), "text"),
        [str(3 * 2**62)],
    ),
}


@pytest.mark.parametrize("what", EDGES)
def test_edges_of_the_arithmetic(what, found, expected, tmp_path, request) -> None:
    expect_gap(what, found.engine.name, request)
    values, expression, wanted = EDGES[what]
    pq.write_table(pa.table({"v": values, "n": range(len(values))}), tmp_path / "edges.parquet")
    results = []
    for one in (found, expected):
        query = exp.select(expression.copy().as_("x", quoted=True)).from_(
            one.engine.parquet([tmp_path / "edges.parquet"])
        )
        query = query if expression.find(exp.Sum) else query.order_by(column("n"))
        results.append(one.engine.fetch(query)["x"].to_pylist())
    assert results[0] == results[1]
    assert wanted is None or results[0] == wanted
