"""What a column alone tells of a label: copies are found whatever their form, identifiers and noise tell nothing."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cengine.evaluation.alone import LEAST_ROWS, told_alone
from cengine.evaluation.leaks import LEAST_OF_CLASSES, LEAST_OF_NUMBERS

NUM_ROWS = 4000
DATA = Path(__file__).parents[3] / "shared" / "data"
RANDOM = np.random.default_rng(0)
PRICE = RANDOM.lognormal(0, 3, NUM_ROWS)  # a few prices are a thousand times the median
LIVED = RANDOM.random(NUM_ROWS) < 0.05
START = datetime.datetime(2020, 1, 1)

COPIES_OF_PRICE = {
    "in cents": pa.array(PRICE * 100),
    "its logarithm": pa.array(np.log(PRICE)),
    "turned round": pa.array(-PRICE),
    "with five per cent of noise": pa.array(PRICE * np.exp(RANDOM.normal(0, 0.05, NUM_ROWS))),
    "as a time": pa.array([START + datetime.timedelta(seconds=float(min(p, 1e6))) for p in PRICE], pa.timestamp("us")),
}
COPIES_OF_LIVED = {
    "a word": pa.array(np.where(LIVED, "yes", "no")),
    "a boolean": pa.array(LIVED),
    "missing or not": pa.array(np.where(LIVED, None, "x").tolist(), pa.string()),
    "a code of many values": pa.array(RANDOM.integers(0, 200, NUM_ROWS) * 2 + LIVED),
    "a number above a limit": pa.array(LIVED + RANDOM.random(NUM_ROWS) * 0.9),
}
NOTHING = {
    "a number to each row": pa.array(np.arange(NUM_ROWS)),
    "a text to each row": pa.array([f"id-{i}" for i in range(NUM_ROWS)]),
    "noise": pa.array(RANDOM.normal(size=NUM_ROWS)),
    "a word that is drawn": pa.array(RANDOM.choice(["a", "b", "c"], NUM_ROWS)),
    "one value": pa.array(np.ones(NUM_ROWS)),
    "nulls": pa.nulls(NUM_ROWS, pa.string()),
    "nulls of numbers": pa.nulls(NUM_ROWS, pa.float64()),
    "no finite number": pa.array(np.full(NUM_ROWS, np.inf)),
}


@pytest.mark.parametrize("form", COPIES_OF_PRICE)
def test_a_copy_of_a_number_explains_it(form) -> None:
    assert told_alone(COPIES_OF_PRICE[form], PRICE, classes=False).share > LEAST_OF_NUMBERS


@pytest.mark.parametrize("form", COPIES_OF_LIVED)
def test_a_copy_of_a_class_names_it(form) -> None:
    told = told_alone(COPIES_OF_LIVED[form], LIVED.astype(np.int64), classes=True)
    assert told.share > LEAST_OF_CLASSES
    assert told.right > 0.99


@pytest.mark.parametrize("form", NOTHING)
def test_what_has_nothing_to_do_with_the_label_tells_nothing(form) -> None:
    assert abs(told_alone(NOTHING[form], PRICE, classes=False).share) < 0.05
    told = told_alone(NOTHING[form], LIVED.astype(np.int64), classes=True)
    assert abs(told.share) < 0.05
    assert told.right == pytest.approx(1 - LIVED.mean(), abs=0.01)


def test_half_of_a_label_is_half_of_it() -> None:
    """Of the sum of two equal parts each explains half of the variance; of ranks a little less."""
    one, other = RANDOM.normal(size=(2, NUM_ROWS))
    assert told_alone(pa.array(one), one + other, classes=False).share == pytest.approx(0.47, abs=0.04)


def test_of_few_rows_and_of_one_class_nothing_is_said() -> None:
    few = slice(LEAST_ROWS - 1)
    assert told_alone(pa.array(PRICE[few]), PRICE[few], classes=False) is None
    assert told_alone(pa.array(PRICE), np.zeros(NUM_ROWS, np.int64), classes=True) is None
    assert told_alone(pa.array([], pa.float64()), np.array([]), classes=False) is None


REAL = {
    "adult": ("adult/adult.csv.gz", "income", True),
    "bank": ("tables/bank-full.csv.gz", "y", True),
    "diamonds": ("tables/diamonds.csv.gz", "price", False),
    "wine": ("tables/winequality-white.csv.gz", "quality", False),
    "wine as classes": ("tables/winequality-white.csv.gz", "quality", True),
    "penguins": ("tables/penguins.csv", "species", True),
    "trips": ("citibike/JC-201810-citibike-tripdata.csv.gz", "birth year", False),
}


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
@pytest.mark.parametrize("name", REAL)
def test_no_column_of_real_tables_is_called_a_leak(name) -> None:
    file, label, classes = REAL[name]
    table = pd.read_csv(DATA / file, sep=";" if "bank" in file else ",").sample(frac=1, random_state=0)
    table = table[table[label].notna()]
    answers = pd.factorize(table[label])[0] if classes else table[label].to_numpy(np.float64)
    least = LEAST_OF_CLASSES if classes else LEAST_OF_NUMBERS
    shares = {
        column: told_alone(pa.array(table[column], from_pandas=True), answers, classes=classes).share
        for column in table.columns
        if column != label
    }
    assert max(shares.values()) < least - 0.02, shares
