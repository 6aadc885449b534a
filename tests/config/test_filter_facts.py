"""What is certain of a filter before any row is read: claimed where it is, never where DuckDB finds otherwise."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checks import SCHEMA, checked, refused

from cengine.config.filter_facts import conflict, mismatches, outcomes
from cengine.engines.duckdb import DuckDB
from cengine.expressions.filters import parse_filter, with_columns
from cengine.tables import Column, TableSchema


def where(text: str) -> str:
    return f"split: {{ratio: {{train: 0.9, eval: 0.1}}, where: [{text!r}]}}"


def filter_of(text: str, schema: TableSchema = SCHEMA):
    return with_columns(parse_filter(text), schema.names)


@pytest.mark.parametrize("text", [
    "birth_year > 2002", "birth_year < 1887", "birth_year = 1800", "birth_year BETWEEN 1700 AND 1800", "birth_year IN (1, 2, 3)",
    "NOT (birth_year >= 1887)", "2003 <= birth_year", "always <> 7", "price < -3.6", "tripduration IS NULL", "birth_year > 1950 AND birth_year < 1940",
    "birth_year > 1950 AND birth_year < 1951", "birth_year > 2002 OR always = 8", "false", "NULL", "-birth_year > 0", "empty IS NOT NULL",
    "(birth_year > 2002) AND usertype = 'x'",
])  # fmt: skip
def test_filters_that_are_never_true(text: str) -> None:
    (found,) = refused(split=where(text))
    assert found[1] == "the filter is never true: no row would be left"


@pytest.mark.parametrize("text", [
    "tripduration > 0", "tripduration >= 60 AND tripduration <= 9000000", "always = 7", "tripduration IS NOT NULL", "true", "zone_id BETWEEN 1 AND 20",
    "tripduration > 0 OR usertype = 'x'", "NOT (zone_id > 20)", "empty IS NULL",
])  # fmt: skip
def test_filters_that_are_always_true(text: str) -> None:
    _, warnings = checked(split=where(text))
    assert [w.message for w in warnings] == ["the filter is always true: it leaves no row out"]


@pytest.mark.parametrize("text", [
    "birth_year > 1886",  # some are null
    "birth_year > 1900", "price > 1000",  # NaN is greater
    "usertype = 'x'", "birth_year + 1 > 3000", "abs(birth_year) < 0", "always > 6.9999999 AND price < 90", "member", "price <= 90.0000001",
])  # fmt: skip
def test_filters_of_which_nothing_is_certain(text: str) -> None:
    assert checked(split=where(text))[1] == ()


def test_a_message_tells_the_range() -> None:
    from yamls import yaml

    from cengine.config.checks import check
    from cengine.config.read import parse_config
    from cengine.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        check(parse_config(yaml(split=where("birth_year > 2002 AND tripduration > 0")), "c.yaml"), SCHEMA)
    (problem,) = caught.value.problems
    assert str(problem.location) == "c.yaml:3:49"
    assert problem.notes == (
        "in the table birth_year lies between 1887 and 2002; tripduration lies between 60 and 9000000, never null",
    )


def test_filters_that_no_row_passes_together() -> None:
    split = "split: {ratio: {train: 0.9, eval: 0.1}, where: [birth_year > 1980, usertype = 'x', birth_year < 1970]}"
    place = f"3:{split.index('birth_year < 1970') + 1}"
    assert refused(split=split) == [
        (place, "no row passes this filter and those before it: they leave no value of 'birth_year'")
    ]


@pytest.mark.parametrize(("text", "message"), [
    ("usertype = 1", "the filter compares column 'usertype', which is text, with a number: 1"),
    ("birth_year > '1900'", "the filter compares column 'birth_year', which is a number (integer), with a text: '1900'"),
    ("usertype IN ('a', 2)", "the filter compares column 'usertype', which is text, with a number: 2"),
    ("price BETWEEN 'a' AND 'b'", "the filter compares column 'price', which is a number (float), with a text: 'a'"),
    ("3 < usertype OR birth_year > 1900", "the filter compares column 'usertype', which is text, with a number: 3"),
    ("usertype = birth_year", "the filter compares column 'usertype', which is text, with a number: \"birth_year\""),
    ("usertype > -1.5", "the filter compares column 'usertype', which is text, with a number: -1.5"),
])  # fmt: skip
def test_a_text_is_not_compared_with_a_number(text: str, message: str) -> None:
    assert refused(split=where(text)) == [("3:49", message)]


@pytest.mark.parametrize(
    "text",
    [
        "usertype = '1'",
        "length(usertype) > 3",
        "starttime > '2018-01-01'",
        "CAST(usertype AS BIGINT) = 1",
        "member = true",
    ],
)
def test_what_may_be_compared(text: str) -> None:
    assert mismatches(filter_of(text), SCHEMA) == []


def test_an_empty_table_claims_nothing() -> None:
    schema = TableSchema((Column("x", "BIGINT", "integer", 0),), 0)
    assert outcomes(filter_of("x > 3", schema), schema) == {True, False, None}


# Against DuckDB

ATOMS = st.sampled_from(["x", "y", "z", "-x", "(y)"])
NUMBERS = st.sampled_from(["-3", "-2.5", "0", "1", "1.5", "2", "3", "1e3", "0.1"])
COMPARED = st.tuples(ATOMS, st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]), st.one_of(NUMBERS, ATOMS)).map(" ".join)
LEAVES = st.one_of(
    COMPARED,
    COMPARED.map(lambda text: " ".join(reversed(text.split(" ")))),
    st.tuples(ATOMS, NUMBERS, NUMBERS).map(lambda t: f"{t[0]} BETWEEN {t[1]} AND {t[2]}"),
    st.tuples(ATOMS, st.lists(NUMBERS, min_size=1, max_size=3)).map(lambda t: f"{t[0]} IN ({', '.join(t[1])})"),
    st.sampled_from(["x IS NULL", "y IS NOT NULL", "z IS NULL", "true", "NULL"]),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda text: f"NOT ({text})"),
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=5,
)
WHOLE = st.lists(st.one_of(st.none(), st.integers(-3, 3)), min_size=1, max_size=4)
FRACTIONS = st.one_of(st.none(), st.sampled_from([-2.5, 0.1, 1.5, 3.0, math.nan]))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDB(tmp_path_factory.mktemp("facts") / "s", memory_bytes=2**28, threads=1) as found:
        yield found


def measured(rows: dict[str, list]) -> TableSchema:
    """The schema with what the statistics of a file say: NaN is not among them."""
    columns = []
    for name, values in rows.items():
        known = [v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]
        kind = ("DOUBLE", "float") if name == "z" else ("BIGINT", "integer")
        columns.append(Column(name, *kind, values.count(None), min(known, default=None), max(known, default=None)))
    return TableSchema(tuple(columns), len(rows["x"]))


@settings(max_examples=250, deadline=None)
@given(WHOLE, st.data(), FILTERS)
def test_nothing_is_claimed_that_is_not_so(engine, x: list[int | None], data, text: str) -> None:
    same = {"min_size": len(x), "max_size": len(x)}
    rows = {
        "x": x,
        "y": data.draw(st.lists(st.one_of(st.none(), st.integers(-3, 3)), **same)),
        "z": data.draw(st.lists(FRACTIONS, **same)),
    }
    schema = measured(rows)
    filter_ = filter_of(text, schema)
    types = {"x": pa.int64(), "y": pa.int64(), "z": pa.float64()}
    engine.register(
        "facts", pa.table({name: pa.array(values, types[name], from_pandas=False) for name, values in rows.items()})
    )
    found = {row["found"] for row in engine.fetch(f"SELECT {filter_.sql('duckdb')} AS found FROM facts").to_pylist()}
    assert found <= outcomes(filter_, schema)
    if True in found:
        assert conflict([filter_], schema) is None
