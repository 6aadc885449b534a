"""`index_by`: ascending, train first, ties broken by the seed, but times never straddle a cut. And splits of whole groups."""

from __future__ import annotations

import datetime
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from stations import NUM_ROWS, count_by_group, rows_of, trips

from cengine.errors import ConfigError, PreprocessError

START = datetime.datetime(2018, 6, 1)


def with_time(table, days):
    """The table with a time from a number of days, None for null."""
    times = [None if day is None else START + datetime.timedelta(days=float(day)) for day in days]
    return table.append_column("time", pa.array(times, pa.timestamp("us")))


@pytest.mark.parametrize("by", ["row", "minute", "weight"])
@pytest.mark.parametrize("group", [None, "station"])
def test_order_is_ascending_and_exact(by, group, make_rows, assign) -> None:
    table = trips()
    grouped = f"categorize_by: {group}, " if group else ""
    assigned, _ = assign(
        make_rows(table), f"{{{grouped}index_by: {by}, index_ratio: {{train: 0.6, eval: 0.3, test: 0.1}}}}"
    )
    values = defaultdict(lambda: defaultdict(list))
    for row in table.to_pylist():
        values[row[group] if group else ""][assigned[row["row"]]].append(row[by])
    for splits in values.values():
        size = sum(len(found) for found in splits.values())
        if size < 100:
            continue
        assert abs(len(splits["train"]) - 0.6 * size) < 1
        assert abs(len(splits["test"]) - 0.1 * size) < 1
        assert max(splits["train"]) <= min(splits["eval"])
        assert max(splits["eval"]) <= min(splits["test"])


def test_ties_of_numbers_are_broken_by_the_seed(make_rows, assign) -> None:
    table = trips().set_column(2, "minute", pa.array([7] * NUM_ROWS))
    rows = make_rows(table)
    zero, report = assign(rows, "{index_by: minute, index_ratio: {train: 0.5, eval: 0.5}}")
    one, _ = assign(rows, "{index_by: minute, index_ratio: {train: 0.5, eval: 0.5}, seed: 1}")
    assert report.rows == {"train": 2500, "eval": 2500}
    assert 1000 < len(rows_of(zero, "train") & rows_of(one, "train")) < 1500


@pytest.mark.parametrize("group", [None, "station"])
@pytest.mark.parametrize("num_days", [10, 400])
def test_equal_times_never_straddle_a_cut(group, num_days, make_rows, assign) -> None:
    table = trips()
    table = with_time(table, np.random.default_rng(2).integers(0, num_days, NUM_ROWS))
    grouped = f"categorize_by: {group}, " if group else ""
    assigned, report = assign(make_rows(table), f"{{{grouped}index_by: time, index_ratio: {{train: 0.8, eval: 0.2}}}}")
    splits_of_time = defaultdict(set)
    latest_train, earliest_eval = {}, {}
    for row in table.to_pylist():
        key = row[group] if group else ""
        splits_of_time[key, row["time"]].add(assigned[row["row"]])
        if assigned[row["row"]] == "train":
            latest_train[key] = max(latest_train.get(key, row["time"]), row["time"])
        else:
            earliest_eval[key] = min(earliest_eval.get(key, row["time"]), row["time"])
    assert all(len(splits) == 1 for splits in splits_of_time.values())
    assert all(latest_train[key] < earliest_eval[key] for key in earliest_eval)
    if group is None:
        block = NUM_ROWS / num_days
        assert abs(report.rows["train"] - 0.8 * NUM_ROWS) <= 0.65 * block


def test_cut_moves_to_the_nearer_end_of_the_block(make_rows, assign) -> None:
    for day_of_row, expected in (
        ([0] * 7 + [1] * 2 + [2] * 1, 7),
        ([0] * 6 + [1] * 3 + [2] * 1, 9),
        ([0] * 7 + [1] * 2 + [2] * 1, 7),
    ):
        table = with_time(pa.table({"row": list(range(10))}), day_of_row)
        share = 0.7 if expected == 7 else 0.8
        _, report = assign(
            make_rows(table), f"{{index_by: time, index_ratio: {{train: {share}, eval: {round(1 - share, 1)}}}}}"
        )
        assert report.rows["train"] == expected


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", tz="UTC"), pa.date32()])
def test_times_of_every_type_order_rows(kind, make_rows, assign) -> None:
    times = pa.array([START + datetime.timedelta(days=d) for d in range(100)], pa.timestamp("us")).cast(kind)
    assigned, _ = assign(
        make_rows({"row": list(range(100)), "time": times}), "{index_by: time, index_ratio: {train: 0.8, eval: 0.2}}"
    )
    assert rows_of(assigned, "train") == set(range(80))


@pytest.mark.parametrize("values", [[None] * 30 + list(range(70)), [None if i < 30 else i / 7 for i in range(100)]])
def test_nulls_come_first(values, make_rows, assign) -> None:
    assigned, _ = assign(
        make_rows({"row": list(range(100)), "x": values}), "{index_by: x, index_ratio: {train: 0.5, eval: 0.5}}"
    )
    assert rows_of(assigned, "train") == set(range(50))


def test_null_times_come_first(make_rows, assign) -> None:
    table = with_time(pa.table({"row": list(range(100))}), [None] * 30 + list(range(70)))
    assigned, _ = assign(make_rows(table), "{index_by: time, index_ratio: {train: 0.5, eval: 0.5}}")
    assert rows_of(assigned, "train") == set(range(50))


def test_texts_order_by_their_characters(make_rows, assign) -> None:
    words = ["Zebra", "apple", "Äpfel", "", "10", "9"]
    assigned, _ = assign(
        make_rows({"row": list(range(6)), "word": words}), "{index_by: word, index_ratio: {train: 0.5, eval: 0.5}}"
    )
    assert {words[row] for row in rows_of(assigned, "train")} == {"", "10", "9"}


# Whole groups


def groups_of(table, assigned, by="station"):
    """Split -> its groups; a group in two splits fails."""
    found = defaultdict(set)
    for (group, split), _ in count_by_group(table, assigned, by).items():
        found[group].add(split)
    assert all(len(splits) == 1 for splits in found.values())
    return {
        split: {g for g, splits in found.items() if split in splits}
        for split in {s for splits in found.values() for s in splits}
    }


def test_category_ratio_draws_whole_groups(make_rows, assign) -> None:
    table = trips().append_column("bike", pa.array(np.random.default_rng(4).integers(0, 200, NUM_ROWS)))
    rows = make_rows(table)
    assigned, report = assign(rows, "{categorize_by: bike, category_ratio: {train: 0.75, eval: 0.2, test: 0.05}}")
    groups = groups_of(table, assigned, "bike")
    assert {name: len(found) for name, found in groups.items()} == {"train": 150, "eval": 40, "test": 10}
    assert report.num_groups == 200
    other = groups_of(
        table,
        assign(rows, "{categorize_by: bike, category_ratio: {train: 0.75, eval: 0.2, test: 0.05}, seed: 1}")[0],
        "bike",
    )
    assert other["eval"] != groups["eval"]
    # By hash, not by alphabet: the groups of eval lie everywhere.
    assert min(groups["eval"]) < 40 < 160 < max(groups["eval"])


def test_named_groups_go_where_they_are_told_and_others_are_left_out(make_rows, assign) -> None:
    table = trips()
    assigned, report = assign(
        make_rows(table), '{categorize_by: station, categories: {train: [Grove St, null], eval: ["é"]}}'
    )
    kept = {row["row"]: row["station"] for row in table.to_pylist() if row["station"] in ("Grove St", None, "é")}
    assert assigned == {row: "eval" if station == "é" else "train" for row, station in kept.items()}
    assert report.num_left_out == NUM_ROWS - len(kept)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([3083, 3084], "3083"),
        ([True, False], "true"),
        ([1.5, 2.0], "2"),
        (["3083", "x"], "3083"),
        (["true", "x"], "true"),
    ],
)
def test_groups_are_named_as_yaml_writes_them(values, written, make_rows, assign) -> None:
    other = next(v for v in values if str(v).lower().removesuffix(".0") != written)
    rows = make_rows({"row": list(range(10)), "g": [values[i % 2] for i in range(10)]})
    assigned, _ = assign(
        rows, f"{{categorize_by: g, categories: {{train: [{written}], eval: [{str(other).lower()}]}}}}"
    )
    named = next(i for i, v in enumerate(values) if v != other)
    assert rows_of(assigned, "train") == {i for i in range(10) if i % 2 == named}


def test_unknown_and_doubled_groups_are_errors(make_rows, assign) -> None:
    rows = make_rows(trips())
    with pytest.raises(PreprocessError, match="names groups that are not in column 'station': Groove St"):
        assign(rows, "{categorize_by: station, categories: {train: [Groove St], eval: [é]}}")
    with pytest.raises(ConfigError, match="group 'é' is in split 'train' already"):
        assign(rows, "{categorize_by: station, categories: {train: [é], eval: [é]}}")
