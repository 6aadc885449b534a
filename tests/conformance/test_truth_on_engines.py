"""Leaks and repeated rows are the same on every engine, and those that pandas finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines_tried import ENGINES, opened

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.datasources.register import take_snapshot
from cengine.evaluation import leaks, repeats
from cengine.preprocess.source import Rows, WarehouseTable
from cengine.preprocess.split import fit_split
from cengine.sources import Parquet
from cengine.store.project import open_project

NUM_ROWS = 1200
YAML = """
features: {number: {}, "it's a \\"word\\"": {}, day: {}, alive: {}, row: {}}
labels: {survived: {}}
split: {ratio: {train: 0.6, eval: 0.25, test: 0.15}}
trainer: {type: classification}
"""
FEATURES = ["number", 'it\'s a "word"', "day", "alive", "row"]


def planted() -> pd.DataFrame:
    """A third of the rows twice, some of them with the other label; `alive` says the label in words."""
    random = np.random.default_rng(0)
    num = NUM_ROWS * 3 // 4
    word = random.choice(["a", "O'Hara", None], num)
    table = pd.DataFrame(
        {
            "number": np.where(random.random(num) < 0.1, np.nan, random.normal(size=num)),
            'it\'s a "word"': word,
            "day": pd.Timestamp("2020-02-27 13:05") + pd.to_timedelta(random.integers(0, 500, num), unit="h"),
            "survived": random.integers(0, 2, num),
            "row": np.arange(num),
        }
    )
    copies = table.head(num // 3).copy()
    copies.loc[: num // 12, "survived"] = 1 - copies.loc[: num // 12, "survived"]
    made = pd.concat([table, copies])
    made["alive"] = np.where(made["survived"] == 1, "yes", "no")
    return made


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    (folder / "files").mkdir()
    pq.write_table(pa.Table.from_pandas(planted(), preserve_index=False), folder / "files" / "0.parquet")
    return take_snapshot(open_project(folder / "project"), Parquet(path=str(folder / "files")), memory_bytes=2**29)


@pytest.fixture(scope="module", params=ENGINES)
def truth(request, snapshot, tmp_path_factory):
    """Associations, repeated rows, and the rows with the number of their split."""
    resolved = resolve(parse_config(YAML).config, snapshot.schema)
    folder = tmp_path_factory.mktemp("split")
    with opened(request.param, tmp_path_factory.mktemp("scratch"), request) as engine:
        table = snapshot.files if engine.keeps_order else WarehouseTable(engine.parquet(snapshot.files))
        rows = Rows(table, snapshot.schema, (), ())
        split = fit_split(engine, rows, resolved.split, folder)
        assigned = engine.fetch(split.assigned(engine, rows, [*FEATURES, "survived"])).to_pandas()
        yield (
            leaks.associations(engine, rows, split, resolved),
            repeats.repeated_rows(engine, rows, split, resolved),
            assigned,
        )


def test_the_column_that_says_the_label_is_called_a_leak(truth) -> None:
    found = truth[0]
    assert {one["column"] for one in found} == set(FEATURES)
    assert (found[0]["column"], found[0]["share"], found[0]["right"]) == ("alive", 1.0, 1.0)
    assert "'alive' all but determines 'survived': alone it is right about all of the rows" in found[0]["sentence"]
    assert all(one["sentence"] is None and one["share"] < 0.2 for one in found[1:])


def test_shares_do_not_depend_on_the_engine(truth, snapshot) -> None:
    """Those of DuckDB, which the same rows in the same order give."""
    shares = {one["column"]: one["share"] for one in truth[0]}
    train = truth[2][truth[2]["_split"] == 0].sort_values("_row_id")
    resolved = resolve(parse_config(YAML).config, snapshot.schema)
    again = leaks.associations_in(pa.Table.from_pandas(train, preserve_index=False), resolved)
    assert shares == {one["column"]: one["share"] for one in again}


def test_repeated_rows_are_those_that_pandas_counts(truth) -> None:
    _, found, rows = truth
    train = rows[rows["_split"] == 0]
    for repeated, number in zip(found, (1, 2), strict=True):
        own = rows[rows["_split"] == number]
        alike = own.merge(train[[*FEATURES, "survived"]].drop_duplicates(), on=[*FEATURES, "survived"])
        same = own.merge(train[FEATURES].drop_duplicates(), on=FEATURES)
        assert (repeated["num_rows"], repeated["counted"]) == (len(own), len(own))
        assert (repeated["alike"], repeated["same_features"]) == (len(alike), len(same))
        assert repeated["alike"] > 20
        assert not repeated["usual"]
        assert f"{len(alike):,} of {len(own):,} rows of {repeated['split']}".lower() in repeated["sentence"].lower()
