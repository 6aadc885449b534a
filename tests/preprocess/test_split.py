"""The split on real tables: exact in every group, repeatable, independent of everything that must not matter."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from reference import largest_remainder
from stations import NUM_ROWS, count_by_group, rows_of, split_config, trips

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.errors import PreprocessError
from cengine.preprocess.split import fit_split, read_split


@pytest.mark.parametrize("shares", [{"train": "0.9", "eval": "0.1"}, {"train": "0.6", "eval": "0.25", "test": "0.15"}])
def test_index_ratio_is_exact_in_every_group(shares, make_rows, assign) -> None:
    table = trips()
    ratio = ", ".join(f"{name}: {share}" for name, share in shares.items())
    assigned, report = assign(make_rows(table), f"{{categorize_by: station, index_ratio: {{{ratio}}}}}")
    assert len(assigned) == NUM_ROWS
    counts = count_by_group(table, assigned)
    for station, size in Counter(table["station"].to_pylist()).items():
        found = [counts[station, name] for name in shares]
        if size >= 50:
            assert found == largest_remainder(size, list(shares.values())), station
        elif size >= len(shares):
            assert min(found) >= 1
        else:
            assert found[0] >= 1
    assert report.num_groups == 7
    small = {station: size for station, size in Counter(table["station"].to_pylist()).items() if size < len(shares)}
    assert report.num_small_groups == len(small)
    assert set(report.small_groups) == set(small)
    assert report.num_left_out == 0


def test_ratio_alone_divides_all_rows(make_rows, assign) -> None:
    assigned, report = assign(make_rows(trips()), "{ratio: {train: 0.7, eval: 0.2, test: 0.1}}")
    assert report.rows == {"train": 3500, "eval": 1000, "test": 500}
    assert report.num_groups == 1
    assert len(assigned) == NUM_ROWS


def test_train_comes_first_whatever_the_order_in_the_file(make_rows, assign) -> None:
    rows = make_rows(trips())
    first, _ = assign(rows, "{ratio: {train: 0.7, eval: 0.3}}")
    second, report = assign(rows, "{ratio: {eval: 0.3, train: 0.7}}")
    assert first == second
    assert list(report.rows) == ["train", "eval"]


def test_random_split_is_even_over_the_table(make_rows, assign) -> None:
    assigned, _ = assign(make_rows(trips()), "{ratio: {train: 0.5, eval: 0.5}}")
    train = np.array(sorted(rows_of(assigned, "train")))
    # Each fifth of the table holds 500 train rows give or take; 100 is more than six deviations.
    assert all(abs(count - 500) < 100 for count in np.histogram(train, 5, (0, NUM_ROWS))[0])


def test_seed_changes_the_rows_and_nothing_else(make_rows, assign) -> None:
    rows = make_rows(trips())
    zero, report = assign(rows, "{categorize_by: station, index_ratio: {train: 0.9, eval: 0.1}}")
    one, other = assign(rows, "{categorize_by: station, index_ratio: {train: 0.9, eval: 0.1}, seed: 1}")
    assert report == other
    overlap = len(rows_of(zero, "eval") & rows_of(one, "eval"))
    assert overlap < 0.2 * report.rows["eval"]


SPLITS = [
    "{ratio: {train: 0.8, eval: 0.2}}",
    "{categorize_by: station, index_ratio: {train: 0.9, eval: 0.1}}",
    "{categorize_by: station, index_by: minute, index_ratio: {train: 0.5, eval: 0.5}}",
    "{categorize_by: station, category_ratio: {train: 0.6, eval: 0.4}}",
    "{index_by: weight, ratio: {train: 0.8, eval: 0.2}, where: minute > 5}",
]


@pytest.mark.parametrize("text", SPLITS)
def test_threads_files_and_order_do_not_matter(text, make_rows, assign) -> None:
    table = trips()
    shuffled = table.take(np.random.default_rng(1).permutation(NUM_ROWS))
    options = {"where": ("minute > 5",)} if "where" in text else {}
    expected, report = assign(make_rows(table, **options), text)
    assert assign(make_rows(table, **options), text, threads=1)[0] == expected
    assert assign(make_rows(shuffled, num_files=3, name="other", **options), text) == (expected, report)
    assert (
        assign(make_rows(shuffled.select(shuffled.column_names[::-1]), num_files=2, name="reordered", **options), text)[
            0
        ]
        == expected
    )


def test_the_same_whatever_the_columns_that_are_read(make_rows, assign, engine, tmp_path) -> None:
    rows = make_rows(trips())
    expected, _ = assign(rows, SPLITS[1])
    split = read_split(tmp_path)
    for columns in (["row"], ["row", "weight", "minute"], ["station", "row"]):
        table = engine.fetch(split.assigned(engine, rows, columns))
        assert table.column_names == [*columns, "_row_id", "_split"]
        assert {
            row: split.names[n] for row, n in zip(table["row"].to_pylist(), table["_split"].to_pylist(), strict=True)
        } == expected


def test_duplicate_rows_are_split_too(make_rows, assign, engine, tmp_path) -> None:
    rows = make_rows({"row": [1] * 1000, "minute": [2] * 1000})
    split = fit_split(engine, rows, split_config("{ratio: {train: 0.7, eval: 0.3}}"), tmp_path)
    assert split.report.rows == {"train": 700, "eval": 300}
    assert engine.fetch(split.assigned(engine, rows, []))["_split"].to_pylist().count(1) == 300


def test_a_new_row_moves_few_others(make_rows, assign) -> None:
    table = trips()
    before, _ = assign(make_rows(table), SPLITS[0])
    more = pa.concat_tables([table, table.slice(0, 1).set_column(0, "row", pa.array([NUM_ROWS]))])
    after, _ = assign(make_rows(more, name="more"), SPLITS[0])
    assert sum(after[row] != split for row, split in before.items()) <= 1


def test_where_filters_before_the_split(make_rows, assign) -> None:
    table = trips()
    assigned, report = assign(
        make_rows(table, where=("minute >= 20", "station = 'Grove St'")), "{ratio: {train: 0.5, eval: 0.5}}"
    )
    kept = [r["row"] for r in table.to_pylist() if r["minute"] >= 20 and r["station"] == "Grove St"]
    assert set(assigned) == set(kept)
    assert report.rows["train"] == -(-len(kept) // 2)


def test_rows_without_a_label_are_left_out_unless_it_is_filled(make_rows, assign) -> None:
    table = trips()
    labelled = table["year"].null_count
    for label, expected in (("{year: {}}", NUM_ROWS - labelled), ("{year: {filling: min}}", NUM_ROWS)):
        file = parse_config(
            f"features: [minute]\nlabels: {label}\ntrainer: {{type: regression}}\nsplit: {{ratio: {{train: 0.5, eval: 0.5}}}}"
        )
        rows = make_rows(table)
        rows = make_rows(table, labels=resolve(file.config, rows.schema).labels)
        assert len(assign(rows, "{ratio: {train: 0.5, eval: 0.5}}")[0]) == expected
    assert labelled > 100


def test_nothing_left_is_an_error(make_rows, assign) -> None:
    with pytest.raises(PreprocessError, match="no row passes `where` and has a label") as caught:
        assign(make_rows(trips(), where=("minute > 1000",)), SPLITS[0])
    assert "the datasource has 5,000 rows" in str(caught.value)


def test_an_empty_split_is_an_error_that_names_it(make_rows, assign) -> None:
    rows = make_rows({"row": [1, 2, 3], "station": ["a", "b", "c"]})
    with pytest.raises(PreprocessError, match=r"split 'eval' has no rows \(train: 3, eval: 0\)"):
        assign(rows, "{categorize_by: station, index_ratio: {train: 0.5, eval: 0.5}}")
