"""Sheets of workbooks: every kind of cell, and what cannot be a table."""

from __future__ import annotations

import datetime
import sys

import pytest
from registering import kinds, register, rows
from workbooks import DAY, DURATION, TIME, TIME_OF_DAY, error, formula, styled, write

from cengine.errors import SourceError
from cengine.store.project import open_project

DAYS = 43_831  # 2020-01-01, counted as Excel does


@pytest.fixture
def read(tmp_path):
    """Registers a workbook: `read({"One": [["a"], [1]]})`."""
    pytest.importorskip("python_calamine", reason="pip install 'cengine-ml[excel]'")
    project = open_project(tmp_path / "project")

    def take(sheets, *, merged="", hidden=(), prefix="", **options):
        write(tmp_path / "t.xlsx", sheets, merged=merged, hidden=hidden, prefix=prefix)
        return register(project, "excel", path=str(tmp_path / "t.xlsx"), **options)

    return take


@pytest.mark.parametrize("prefix", ["", "x"])
def test_every_kind_of_cell(read, prefix) -> None:
    snapshot = read(
        {
            "One": [
                ["n", "x", "word", "flag", "day", "moment", "hour", "span", "sum", "code"],
                [
                    1,
                    0.5,
                    "a & b",
                    True,
                    styled(DAYS, DAY),
                    styled(DAYS + 0.5, TIME),
                    styled(0.5, TIME_OF_DAY),
                    styled(1.25, DURATION),
                    formula("A2+1", "2"),
                    "007",
                ],
                [2, 3, None, False, styled(DAYS + 1, DAY), styled(DAYS + 1, TIME), None, None, formula("A3+1", "3"), 8],
                [None] * 10,
                [3, None, "c", None, None, None, None, None, None, None],
            ]
        },
        prefix=prefix,
    )
    assert kinds(snapshot) == {
        "n": "integer",
        "x": "float",
        "word": "string",
        "flag": "boolean",
        "day": "timestamp",
        "moment": "timestamp",
        "hour": None,
        "span": "float",
        "sum": "integer",
        "code": "string",
    }
    assert rows(snapshot, "n") == [
        {
            "n": 1,
            "x": 0.5,
            "word": "a & b",
            "flag": True,
            "day": datetime.date(2020, 1, 1),
            "moment": datetime.datetime(2020, 1, 1, 12),
            "hour": datetime.time(12),
            "span": 108_000.0,
            "sum": 2,
            "code": "007",
        },
        {
            "n": 2,
            "x": 3.0,
            "word": None,
            "flag": False,
            "day": datetime.date(2020, 1, 2),
            "moment": datetime.datetime(2020, 1, 2),
            "hour": None,
            "span": None,
            "sum": 3,
            "code": "8",
        },
        {"n": 3, **dict.fromkeys(["x", "flag", "day", "moment", "hour", "span", "sum", "code"]), "word": "c"},
    ]


def test_the_header_and_what_is_above_it(read) -> None:
    sheet = [["Report of May"], [None], ["a", "b"], [1, "x"], [2, "y"]]
    expected = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert rows(read({"One": sheet}, header_row=3), "a") == expected
    assert rows(read({"One": [[None, None], *sheet[2:]]}), "a") == expected
    assert rows(read({"One": sheet}, header_row=3, merged="A1:B1"), "a") == expected
    assert [row["column_2"] for row in rows(read({"One": sheet[3:]}, no_header=True), "column_1")] == ["x", "y"]


def test_the_sheet(read) -> None:
    sheets = {"Trips": [["a"], [1]], "Notes": [["b"], [2]]}
    assert rows(read(sheets, sheet="Notes"), "b") == [{"b": 2}]
    assert rows(read(sheets, hidden=["Notes"]), "a") == [{"a": 1}]
    with pytest.raises(SourceError, match="has 2 sheets: Trips, Notes") as caught:
        read(sheets)
    assert "--sheet NAME" in str(caught.value)
    with pytest.raises(SourceError, match="did you mean 'Notes'"):
        read(sheets, sheet="notes")


@pytest.mark.parametrize(("sheet", "told"), [
    ([["a", "b"], [1, 2], [3, error("#DIV/0!")]], "cell B3 is an error, #DIV/0!"),
    ([["a", "b"], [1, formula("A2+1")]], "cell B2 is a formula that was never computed"),
    ([["a"], [9_007_199_254_740_993]], "cell A2 is 9007199254740993"),
    ([["a"], [1], [styled(DAYS, DAY)]], "whole number in A2 (1), day in A3 (2020-01-01)"),
    ([[None], [None, None, "a"], [None, None, 1], [None, None, True], [None, None, styled(DAYS, DAY)]], "day in C5"),
    ([["a", "a"], [1, 2]], "two columns named 'a'"),
    ([["a"]], "holds no rows"),
    ([], "holds no rows"),
])  # fmt: skip
def test_cells_that_are_no_values(read, sheet, told) -> None:
    with pytest.raises(SourceError) as caught:
        read({"One": sheet})
    assert told in str(caught.value)


def test_merged_cells_are_refused(read) -> None:
    with pytest.raises(SourceError, match="A2:A3 are merged"):
        read({"One": [["a", "b"], ["x", 1], [None, 2]]}, merged="A2:A3")


def test_many_rows_in_their_order(read) -> None:
    snapshot = read({"One": [["a", "b"], *([n, f"w{n % 7}"] for n in range(25_000))]})
    assert [row["a"] for row in rows(snapshot, "a")] == list(range(25_000))


def test_the_name_of_the_file_names_the_datasource(terminal) -> None:
    pytest.importorskip("python_calamine", reason="pip install 'cengine-ml[excel]'")
    write(terminal.files / "trips.xlsx", {"One": [["a"], [1]]})
    assert (
        "(trips): 1 rows"
        in terminal("datasource", "create", "excel", terminal.files / "trips.xlsx", "--sheet", "One").out
    )


def test_files_that_are_no_workbooks(terminal) -> None:
    pytest.importorskip("python_calamine", reason="pip install 'cengine-ml[excel]'")
    old = terminal.files / "old.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    assert "save it as .xlsx" in terminal("datasource", "create", "excel", old, code=4).err
    assert "create csv" in terminal("datasource", "create", "excel", terminal.write("t.csv", "a\n1\n"), code=4).err
    assert "is a folder" in terminal("datasource", "create", "excel", terminal.files, code=4).err
    assert "there is no file" in terminal("datasource", "create", "excel", "none.xlsx", code=4).err
    write(terminal.files / "t.xlsx", {"One": [["a"], [1]]})
    assert "create excel" in terminal("datasource", "create", "csv", terminal.files / "t.xlsx", code=4).err


def test_without_the_package_the_extra_is_named(terminal, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    write(terminal.files / "t.xlsx", {"One": [["a"], [1]]})
    assert "[excel]" in terminal("datasource", "create", "excel", terminal.files / "t.xlsx", code=4).err
