"""Row identities and seeded orders: the same whatever must not matter, and pinned, since every split depends on them."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from cengine.expressions.build import column
from cengine.expressions.keys import mix, seeded_key, text_hash

NUM_ROWS = 20_000


def table(num_rows=NUM_ROWS):
    """A column of each kind, with nulls; `n` alone tells rows apart, the others are regular."""
    ids = np.arange(num_rows)
    start = datetime.datetime(2018, 1, 1)
    return pa.table(
        {
            "n": pa.array(ids),
            "small": pa.array(ids % 3, pa.int8()),
            "x": pa.array([None if i % 7 == 0 else i / 4 for i in range(num_rows)], pa.float64()),
            "word": pa.array([None if i % 11 == 0 else f"word {i % 50}" for i in range(num_rows)]),
            "flag": pa.array([None if i % 5 == 0 else bool(i % 2) for i in range(num_rows)]),
            "time": pa.array([start + datetime.timedelta(minutes=i // 2) for i in range(num_rows)], pa.timestamp("us")),
        }
    )


@pytest.fixture
def identities(register_table):
    """`identities(table)` gives {n: identity} of the registered table."""

    def run(rows, **options):
        snapshot = register_table(rows, **options)
        stored = pa.concat_tables([pq.read_table(file) for file in snapshot.files])
        return dict(zip(stored["n"].to_pylist(), stored["_row_id"].to_pylist(), strict=True))

    return run


def values(engine, numbers, expression):
    engine.register("numbers", pa.table({"v": pa.array(numbers)}))
    return engine.fetch(f"SELECT {expression.sql('duckdb')} AS y FROM numbers")["y"].to_numpy()


def test_neither_order_of_rows_nor_of_columns_nor_files_matter(identities) -> None:
    rows = table()
    expected = identities(rows)
    shuffled = rows.take(np.random.default_rng(0).permutation(NUM_ROWS))
    assert identities(shuffled, name="shuffled", num_files=3) == expected
    assert identities(rows.select(rows.column_names[::-1]), name="reordered") == expected


def test_a_new_column_of_nulls_changes_nothing(identities) -> None:
    rows = table(500)
    expected = identities(rows)
    assert identities(rows.append_column("new", pa.nulls(500, pa.int64())), name="more") == expected


def test_identities_are_distinct_and_in_range(identities) -> None:
    found = list(identities(table()).values())
    assert len(set(found)) == NUM_ROWS
    assert min(found) >= 0
    assert max(found) < 2**62


@pytest.mark.parametrize("shift", [57, 46, 31, 26, 15, 0])
def test_identities_are_uniform_in_every_part(shift, identities) -> None:
    found = np.array(list(identities(table()).values()))
    counts = np.bincount((found >> shift) & 31, minlength=32)
    # Chi-squared with 31 degrees of freedom: above 80 once in 300,000 tables.
    expected = NUM_ROWS / 32
    assert ((counts - expected) ** 2 / expected).sum() < 80


def test_duplicates_are_told_apart_and_the_first_keeps_its_identity(identities, register_table) -> None:
    alone = identities(pa.table({"n": [1, 2], "w": ["a", "b"]}))
    snapshot = register_table({"n": [1] * 1000 + [2], "w": ["a"] * 1000 + ["b"]}, name="many")
    stored = pq.read_table(snapshot.files[0])
    ids = stored["_row_id"].to_pylist()
    assert len(set(ids)) == 1001
    assert ids.count(alone[1]) == ids.count(alone[2]) == 1
    assert all(0 <= i < 2**62 for i in ids)


CHANGES = {
    "n": (5, 6), "small": (1, 2), "x": (0.25, 0.2500000001), "word": ("a", "b"), "flag": (True, False),
    "time": (datetime.datetime(2018, 1, 1), datetime.datetime(2018, 1, 1, 0, 0, 0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_cell_counts(name, register_table) -> None:
    base = {key: pair[0] for key, pair in CHANGES.items()}
    rows = [base, base | {name: CHANGES[name][1]}, base | {name: None}]
    ids = pq.read_table(register_table(pa.Table.from_pylist(rows)).files[0])["_row_id"].to_pylist()
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    "pair",
    [
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": "x", "b": "y"}, {"a": "y", "b": "x"}),
        ({"a": "xy", "b": ""}, {"a": "x", "b": "y"}),
        ({"a": "x", "b": None}, {"a": None, "b": "x"}),
        ({"a": "", "b": "x"}, {"a": None, "b": "x"}),
        ({"a": 0, "b": 1}, {"a": None, "b": 1}),
        ({"a": 0.0, "b": 1.0}, {"a": None, "b": 1.0}),
        ({"a": False, "b": True}, {"a": None, "b": True}),
        ({"a": 1e300, "b": 1.0}, {"a": None, "b": 1.0}),
        ({"a": 1, "b": 1}, {"a": -1, "b": 1}),
        ({"a": 2**40, "b": 1}, {"a": 2**41, "b": 1}),
    ],
)
def test_rows_that_differ_have_other_identities(pair, register_table) -> None:
    rows = [*pair, *pair]
    ids = pq.read_table(register_table(pa.Table.from_pylist(rows)).files[0])["_row_id"].to_pylist()
    assert len(set(ids)) == 4
    first, second = (
        pq.read_table(register_table(pa.Table.from_pylist([row, row | {"b": pair[0]["b"]}]), name=str(i)).files[0])
        for i, row in enumerate(pair)
    )
    assert first["_row_id"][0] != second["_row_id"][0]


@pytest.mark.slow
def test_wide_tables_can_be_registered(register_table) -> None:
    wide = {f"c{i}": [f"{i}", None, "x"] for i in range(1050)} | {f"i{i}": [i, None, 1] for i in range(40)}
    ids = pq.read_table(register_table(wide).files[0], columns=["_row_id"])["_row_id"].to_pylist()
    assert len(set(ids)) == 3


def test_a_parquet_column_without_a_type_can_be_registered(register_table) -> None:
    snapshot = register_table({"n": [1, 2], "nothing": pa.nulls(2)})
    assert snapshot.schema["nothing"].num_nulls == 2
    assert snapshot.schema["nothing"].kind == "string"


def test_nan_and_infinity_have_identities(register_table) -> None:
    rows = {"n": [1, 2, 3, 4], "x": [float("nan"), float("inf"), float("-inf"), 1e308]}
    ids = pq.read_table(register_table(rows).files[0])["_row_id"].to_pylist()
    assert len(set(ids)) == 4
    assert None not in ids


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_nan_beside_finite_numbers_has_the_identity_it_has_elsewhere(register_table, kind) -> None:
    """A Parquet file's statistics say nothing of NaN: only finite numbers, as far as an engine can see."""

    def identities(numbers, name):
        rows = {"n": range(len(numbers)), "x": pa.array(numbers, kind)}
        return pq.read_table(register_table(rows, name=name).files[0])["_row_id"].to_pylist()

    finite = identities([1.5, float("nan"), 2.0], "finite")
    assert finite[:2] == identities([1.5, float("nan"), float("inf")], "infinite")[:2]
    assert finite[::2] == identities([1.5, 0.0, 2.0], "without")[::2]
    assert identities([float("nan")] * 3, "alone")[1] == finite[1]


def test_mix_is_a_bijection_of_31_bits(engine) -> None:
    random = np.random.default_rng(1).choice(2**31, 200_000, replace=False)
    found = values(engine, random, mix(column("v")))
    assert len(set(found.tolist())) == len(random)
    assert found.min() >= 0
    assert found.max() < 2**31


def test_seeded_key_is_a_bijection_that_depends_on_purpose_and_seed(engine) -> None:
    ids = np.random.default_rng(2).integers(0, 2**62, 100_000)
    orders = {}
    for purpose, seed in (("split", 0), ("split", 1), ("sample", 0)):
        keys = values(engine, ids, seeded_key(column("v"), purpose, seed))
        assert len(set(keys.tolist())) == len(set(ids.tolist()))
        assert keys.min() >= 0
        assert keys.max() < 2**62
        orders[purpose, seed] = np.argsort(np.argsort(keys)) / len(keys)
    pairs = [(a, b) for a in orders for b in orders if a < b]
    # Ranks of independent shuffles correlate by about 1 / sqrt(100,000) = 0.003.
    assert all(abs(np.corrcoef(orders[a], orders[b])[0, 1]) < 0.02 for a, b in pairs)
    assert all(abs(np.corrcoef(order, ids.argsort().argsort())[0, 1]) < 0.02 for order in orders.values())


def test_text_hash_is_seven_digits_of_md5(engine) -> None:
    # MD5("a") is 0cc175b9c0f1b6a831c399e269772661.
    assert engine.fetch(exp.select(text_hash(exp.Literal.string("a")).as_("h")))["h"].to_pylist() == [0x0CC175B]


# Were one of these to change, every split and every stored identity would: raise SNAPSHOT_VERSION with it.
GOLDEN_IDENTITIES = [3371255526088523472, 4311126788120930709, 3927632203811765405, 1652537262881007857]
GOLDEN_KEYS = [
    3380928172282347520,
    822270000613031937,
    3380928170134863872,
    1230757846145040383,
    2334178680139415552,
    1478183404464766977,
    2334178677991931904,
    2277507338287972351,
]


def test_identities_are_pinned(identities) -> None:
    assert list(identities(table(4)).values()) == GOLDEN_IDENTITIES


def test_seeded_keys_are_pinned(engine) -> None:
    ids = [0, 1, 2**31, 2**62 - 1]
    found = [
        values(engine, ids, seeded_key(column("v"), purpose, seed)).tolist()
        for purpose, seed in (("split", 0), ("split", 7))
    ]
    assert [key for keys in found for key in keys] == GOLDEN_KEYS
