"""What looks wrong is said when a table is registered: one line for each kind, and none for a table in which nothing does."""

from __future__ import annotations

import pytest
from terminal import table_text


@pytest.fixture
def told(terminal):
    """The notes for a CSV file."""

    def create(text: str, *options: object, name: str = "t.csv") -> list[str]:
        answer = terminal("datasource", "create", "csv", terminal.write(name, text), *options)
        return [line.removeprefix("note: ") for line in answer.err.splitlines() if line.startswith("note: ")]

    return create


def lines(*cells: object, num: int = 60) -> str:
    """Rows of an integer, a word and a number, and one of these cells in each."""
    return "".join(f"{n},w{n % 7},{n / 4},{cells[n % len(cells)]}\n" for n in range(num))


HEADER = "n,word,x,y\n"


def test_nothing_is_said_of_a_usual_table(told) -> None:
    assert told(table_text(300)) == []
    assert told(HEADER + lines(1, 2), "--name", "two") == []
    assert (
        told("year,2018,2019,2020\n" + "".join(f"w{n % 5},{n},{n + 1},{n + 2}\n" for n in range(50)), "--name", "three")
        == []
    )
    assert told("zip,y\n" + "".join(f"{n % 40:05},{n % 3}\n" for n in range(100)), "--name", "four") == []


def test_a_header_made_of_values(told) -> None:
    rows = "".join(
        f"{20 + n % 50}, State-gov, {70_000 + n}, Bachelors, {'<=' if n % 2 else '>'}50K\n" for n in range(60)
    )
    (first, *_) = told(rows)
    assert "the header looks like a row of data (20, State-gov, 70000, Bachelors, ...)" in first
    assert "--no-header" in first
    assert not any("header" in line for line in told(rows, "--no-header", "--name", "two"))


def test_a_header_of_words_among_the_words(told) -> None:
    assert "--no-header" in told("".join(f"{'abc'[n % 3]},{'xyzw'[n % 4]},k{n // 2 % 4}\n" for n in range(60)))[0]


def test_a_header_that_stands_in_the_data(told) -> None:
    (line, *more) = told(HEADER + lines(1, 2) + HEADER + lines(3, 4))
    assert "the header stands in the data once more, first in row 61" in line
    assert not any("header" in other for other in more)


def test_a_row_of_units(told) -> None:
    (line,) = told("n,length,mass\n-,km,kg\n" + "".join(f"{n % 9},{n % 7},{n % 5}\n" for n in range(60)))
    assert "the first row looks like a second header ('-', 'km', 'kg')" in line


def test_a_text_column_that_is_numbers_but_for_some_cells(told) -> None:
    text = HEADER + lines(1, 2) + "60,w1,2.5,n/a\n61,w2,3.5,n/a\n" + lines(3, 5)
    (line,) = told(text)
    assert (
        line
        == "column 'y' is text, but all its cells are numbers except 2, first 'n/a' in row 61; if it means null: --null n/a"
    )
    assert told(text, "--null", "n/a", "--name", "two") == []
    (line,) = told(HEADER + lines(1, 2) + "60,w1,2.5,about 3\n61,w2,3.5,5 km\n" + lines(3, 5), "--name", "three")
    assert line == "column 'y' is text, but all its cells are numbers except 2, first 'about 3' in row 61"


def test_decimal_commas(told) -> None:
    text = "a;b\n" + "".join(f"{n % 9},5;{n % 3}\n" for n in range(50))
    (line,) = told(text, "--delimiter", ";")
    assert "column 'a' is text" in line
    assert "--decimal ," in line
    assert told(text, "--delimiter", ";", "--decimal", ",", "--name", "two") == []


def test_a_footer(told) -> None:
    (line,) = told(HEADER + lines(1, 2) + "Total,,900,90\n")
    assert line == "the last row looks like a footer ('Total'): take it out"
    (line,) = told(HEADER + lines(1, 2) + "1770,,,\n", "--name", "two")
    assert "footer ('1770')" in line


def test_columns_of_one_value_and_identifiers(told) -> None:
    text = "id,k,e,y\n" + "".join(f"user-{n},same,,{n % 3}\n" for n in range(60))
    assert told(text) == [
        "2 columns ('k', 'e') hold one value only and tell a model nothing",
        "column 'id' has another text in every row: as a feature it could only be learnt by heart",
    ]


def test_a_wide_table_has_one_line_a_kind(told) -> None:
    names = [f"c{n}" for n in range(200)]
    found = told(",".join([*names, "y"]) + "\n" + "".join("same," * 200 + f"{n % 3}\n" for n in range(40)))
    assert found == ["200 columns ('c0', 'c1', 'c2', 'c3', ...) hold one value only and tell a model nothing"]


def test_notes_are_part_of_json_and_control_characters_of_none(terminal) -> None:
    path = terminal.write("t.csv", HEADER + lines(1, 2) + "60,w1,2.5,\x1b[31mred\n" + lines(3, 5))
    answer = terminal("datasource", "create", "csv", path, "--json")
    assert "all its cells are numbers except 1" in answer.json["notices"][0]
    assert "\x1b" not in answer.err
    assert "\x1b" not in answer.out
