"""Text headers as SQL names."""

from __future__ import annotations

import pytest

from cengine.sources.names import sql_names


@pytest.mark.parametrize(("header", "name"), [
    ("birth year", "birth_year"), ("Birth Year", "birth_year"), ("  padded  ", "padded"), ("a-b.c/d", "a_b_c_d"), ("2nd", "_2nd"),
    ("", "column"), ("???", "column"), ("Größe", "größe"), ("日本", "日本"), ('"; drop table x; --', "drop_table_x"), ("x" * 200, "x" * 200),
    ("_row_id", "row_id"), ("select", "select"),
])  # fmt: skip
def test_one_name(header, name) -> None:
    assert sql_names([header]) == [name]


def test_names_differ() -> None:
    assert sql_names(["a b", "a_b", "A B", "a b 2"]) == ["a_b", "a_b_2", "a_b_3", "a_b_2_2"]
    assert len(set(sql_names(["", "", " "]))) == 3
