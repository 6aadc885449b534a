"""What columns are called, and how they are found by what a YAML writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cengine.names import Names, fold, former_name, free_name, names_over, set_aside, told_apart

texts = st.text(st.sampled_from("aAbB _1ä"), max_size=4)


@pytest.mark.parametrize(("header", "name"), [
    ("birth year", "birth_year"), ("Birth Year", "birth_year"), ("  padded  ", "padded"), ("a-b.c/d", "a_b_c_d"), ("2nd", "_2nd"),
    ("", "column"), ("???", "column"), ("Größe", "größe"), ("日本", "日本"), ('"; drop table x; --', "drop_table_x"), ("x" * 200, "x" * 200),
    ("_row_id", "row_id"), ("select", "select"),
])  # fmt: skip
def test_the_former_spelling(header, name) -> None:
    assert former_name(header) == name


def test_headers_stay_as_they_are() -> None:
    headers = [
        "birth year",
        "Start Time",
        " padded ",
        "a.b",
        "select",
        "日本",
        "ä",
        "Ä",
        "x" * 200,
        'a "b"',
        "a_b",
        "a b",
    ]
    assert told_apart(headers) == headers


@pytest.mark.parametrize(("headers", "names"), [
    (["a", "a", "a"], ["a", "a_2", "a_3"]),
    (["Age", "age"], ["Age", "age_2"]),
    (["", "x", " "], ["column", "x", "column_2"]),
    (["", "column"], ["column_2", "column"]),
    (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
    (["_row_id", "_ROW_ID", "_position"], ["_row_id_2", "_ROW_ID_3", "_position_2"]),
])  # fmt: skip
def test_headers_that_cannot_be_told_apart_get_a_number(headers, names) -> None:
    assert told_apart(headers, ("_row_id", "_position")) == names


@given(st.lists(texts, max_size=8))
def test_names_are_always_different_and_only_what_must_be_is_renamed(headers) -> None:
    names = told_apart(headers)
    assert len({fold(name) for name in names}) == len(headers)
    for header, name in zip(headers, names, strict=True):
        alone = [fold(other) for other in headers].count(fold(header)) == 1
        assert not (alone and header.strip()) or name == header


def test_parts_that_spell_a_column_otherwise_have_one_name_for_it() -> None:
    parts = [["Birth Year", "x"], ["x", "birth year"], ["birth year", "x"]]
    assert names_over(parts) == [["birth year", "x"], ["x", "birth year"], ["birth year", "x"]]
    assert names_over([["birth_year"], ["Birth Year"]]) == [["Birth Year"], ["Birth Year"]]
    assert names_over([["Birth Year"], ["birth_year"]]) == [["Birth Year"], ["Birth Year"]]
    assert names_over([["a", "b"], ["a", "c"]]) == [["a", "b"], ["a", "c"]]
    assert (
        names_over([["a b", "a_b"], ["A B", "a_b"]])[0]
        == names_over([["a b", "a_b"], ["A B", "a_b"]])[1]
        == ["A B", "a_b"]
    )


FOUND = [
    (["birth year", "gender"], "birth year", "birth year"),
    (["birth year", "gender"], "Birth Year", "birth year"),
    (["birth year", "gender"], "birth_year", "birth year"),
    (["Birth Year", "gender"], "BIRTH_YEAR", "Birth Year"),
    (["birth year", "birth_year"], "birth_year", "birth_year"),
    (["birth year", "Birth_Year"], "birth_year", "Birth_Year"),
    (["Ä", "ä"], "ä", "ä"),
    ([" padded "], "padded", " padded "),
    (["caf\u00e9"], "cafe\u0301", "caf\u00e9"),
    (["2018"], "_2018", "2018"),
    (["birth year", "Birth-Year"], "birth_year", None),
    (["Ä", "ä"], "A\u0308", None),
    (["birth year"], "birthyear", None),
    (["birth year"], "birth-year", None),
    ([], "x", None),
]


@pytest.mark.parametrize(("names", "written", "found"), FOUND)
def test_a_column_is_found_exactly_then_without_case_then_by_the_former_spelling(names, written, found) -> None:
    assert Names(names).find(written) == found


def test_what_is_not_found_is_told_with_a_way_out() -> None:
    known = Names(["birth year", "Birth-Year", "gender"])
    message, note = known.fault("birth_year")
    assert message == "'birth_year' may be any of the columns 'birth year', 'Birth-Year'"
    assert note == "write the name as the table has it, case and blanks included"
    message, listed, near = known.fault("gendr")
    assert (message, near) == ("there is no column 'gendr' in the datasource", "did you mean 'gender'?")
    assert listed == "its columns: birth year, Birth-Year, gender"


@given(st.lists(texts, unique=True, max_size=8))
def test_every_column_is_found_by_its_own_name(names) -> None:
    assert all(Names(names).find(name) == name for name in names)


@given(
    st.lists(
        st.text(st.sampled_from("abc:m "), max_size=12)
        | st.sampled_from(["mae", "column: mae", "column: column: mae"]),
        unique=True,
    )
)
def test_columns_set_aside_keep_apart(names) -> None:
    aside = [set_aside(name, lambda own: own in ("mae", "a")) for name in names]
    assert len(set(aside)) == len(names)
    assert not {"mae", "a"} & set(aside)


def test_a_free_name() -> None:
    assert free_name("_split", ["x"]) == "_split"
    assert free_name("_split", ["_SPLIT", "__split"]) == "___split"
