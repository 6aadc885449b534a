"""Types of texts: settled by all cells, whatever the order of rows and files, and no value changed."""

from __future__ import annotations

import csv
import datetime
import decimal
import itertools
import json
import random
import re

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registering import kinds, register, rows, stored

from cengine.datasources.origins import source_of
from cengine.datasources.register import Snapshot, take_snapshot
from cengine.errors import SourceError
from cengine.sources.cells import DAY_FIRST, EITHER, MONTH_FIRST, Kind, Spelling, kind_of_cells
from cengine.store.project import Project, open_project

SAMPLE = 20_500
NUM_WIDE_ROWS = 4_000  # a sample of a hundred columns has fewer rows: it is of 400,000 cells at most


@pytest.fixture
def project(tmp_path) -> Project:
    return open_project(tmp_path / "project")


def told(project: Project, kind: str, path, **options) -> tuple[Snapshot, list[str]]:
    """The snapshot and what was said meanwhile."""
    said: list[str] = []
    return take_snapshot(
        project, source_of(kind, {"path": str(path), **options}), memory_bytes=2**29, threads=2, say=said.append
    ), said


def column(folder, cells, name="a.csv", header="x"):
    """A CSV of one column and a number beside it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(
            [[header, "n"], *([cell, number] for number, cell in enumerate(cells))]
        )
    return path


LATE = {
    "decimals": (["7"] * SAMPLE, ["0.5", "2.5"], "float", 0.5),
    "zeros before": (["10000"] * SAMPLE, ["01000"], "string", "01000"),
    "an exponent": (["7"] * SAMPLE, ["1e3"], "string", "1e3"),
    "hexadecimal": (["7"] * SAMPLE, ["0x1F"], "string", "0x1F"),
    "underscores": (["7"] * SAMPLE, ["1_000"], "string", "1_000"),
    "a sign": (["7"] * SAMPLE, ["+5"], "string", "+5"),
    "digits that a double does not keep": (["0.5"] * SAMPLE, ["9007199254740993"], "string", "9007199254740993"),
    "more digits than a whole number has": (["7"] * SAMPLE, ["9223372036854775808"], "string", "9223372036854775808"),
    "a whole number of 19 digits that a double keeps": (["0.5"] * SAMPLE, ["-9223372036854775808"], "float", -(2.0**63)),
    "a time of day": (["2020-01-01"] * SAMPLE, ["2020-01-01 12:30:00"], "timestamp", datetime.datetime(2020, 1, 1, 12, 30)),
    "an offset": (["2020-01-01 00:00:00"] * SAMPLE, ["2020-01-01 00:00:00+05:00"], "string", "2020-01-01 00:00:00+05:00"),
    "nanoseconds": (["2020-01-01 00:00:00"] * SAMPLE, ["2020-01-01 00:00:00.123456789"], "string", "2020-01-01 00:00:00.123456789"),
    "no day": (["2020-01-01"] * SAMPLE, ["2020-02-30"], "string", "2020-02-30"),
    "not a number": (["7"] * SAMPLE, ["nan"], "float", None),
    "a letter": (["false"] * SAMPLE, ["F"], "string", "F"),
    "a number after nothing": ([""] * SAMPLE, ["1.5"], "float", 1.5),
    "blanks around": (["7"] * SAMPLE, [" 5 "], "integer", 5),
    "zero below zero": (["7"] * SAMPLE, ["-0"], "integer", 0),
    "the other order": (["01/02/2020"] * SAMPLE, ["13/02/2020"], "timestamp", datetime.date(2020, 2, 13)),
}  # fmt: skip


@pytest.mark.parametrize("case", LATE)
def test_a_late_cell_counts_like_an_early_one(project, tmp_path, case) -> None:
    usual, late, kind, value = LATE[case]
    snapshots = [
        register(project, "csv", path=str(column(tmp_path / order, cells)))
        for order, cells in (("late", usual + late), ("early", late + usual))
    ]
    assert [kinds(snapshot)["x"] for snapshot in snapshots] == [kind, kind]
    assert snapshots[0].schema["x"] == snapshots[1].schema["x"]
    found = [stored(snapshot)["x"][place].as_py() for snapshot, place in ((snapshots[0], SAMPLE), (snapshots[1], 0))]
    assert found[0] == found[1] or found[0] != found[0]
    assert value is None or (found[0] == value and type(found[0]) is type(value))


def test_late_cells_of_a_wide_table_count_like_those_of_a_narrow_one(project, tmp_path) -> None:
    """From 64 columns on cells are proved in lists; several columns share a bit that says which are wrong."""
    cases = {name: case for name, case in LATE.items() if name != "the other order"}  # which all columns would share
    path = tmp_path / "wide.csv"
    columns = {f"c{number}": case for number, case in enumerate(cases.values())}
    plain = [f"p{number}" for number in range(100)]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*columns, *plain])
        for row in range(NUM_WIDE_ROWS):
            late = NUM_WIDE_ROWS - row
            cells = [more[-late] if late <= len(more) else usual[0] for usual, more, _, _ in columns.values()]
            writer.writerow([*cells, *[row % 7] * len(plain)])
    snapshot = register(project, "csv", path=str(path))
    assert {name: kinds(snapshot)[name] for name in columns} == {
        name: kind for name, (_, _, kind, _) in columns.items()
    }
    assert {kinds(snapshot)[name] for name in plain} == {"integer"}
    for name, (_, more, _, value) in columns.items():
        found = stored(snapshot)[name][NUM_WIDE_ROWS - len(more)].as_py()
        assert value is None or (found == value and type(found) is type(value))


def test_the_reason_of_a_type_is_told(project, tmp_path) -> None:
    path = column(tmp_path, ["7"] * SAMPLE + ["1.5", "8", "2.5"])
    assert told(project, "csv", path)[1] == [f"x: float, because of 2 cells, first `1.5` at line {SAMPLE + 2:,}"]
    assert told(project, "csv", path)[1]  # again of the snapshot that there is
    with path.open("a") as stream:
        stream.write('"two\nlines",1\nword,2\n')
    (said,) = told(project, "csv", path)[1]
    assert said == f"x: string, because of 4 cells, first `1.5` at line {SAMPLE + 2:,}"


def test_late_quotes_are_quotes(project, tmp_path) -> None:
    path = column(tmp_path, ["w"] * SAMPLE)
    with path.open("a") as stream:
        stream.write('"a,b",1\n"c",2\n"d ""e""",3\n5" pipe,4\n')
    assert stored(register(project, "csv", path=str(path)))["x"].to_pylist()[-4:] == ["a,b", "c", 'd "e"', '5" pipe']


def test_one_order_of_day_and_month_for_all_files(project, tmp_path) -> None:
    for number, day in enumerate(("02/01/2020", "02/05/2020", "02/13/2020")):
        column(tmp_path / "m", [day] * 20, f"{number}.csv")
    snapshot, said = told(project, "csv", tmp_path / "m")
    assert sorted({row["x"] for row in rows(snapshot, "n")}) == [datetime.date(2020, 2, day) for day in (1, 5, 13)]
    assert said == []


def test_an_order_that_nothing_tells_is_said_and_can_be_settled(project, tmp_path) -> None:
    path = column(tmp_path, ["02/01/2020", "03/04/2020 10:30", "1/2/2020 9:05 PM"])
    snapshot, said = told(project, "csv", path)
    assert [row["x"] for row in rows(snapshot, "n")][:2] == [
        datetime.datetime(2020, 2, 1),
        datetime.datetime(2020, 3, 4, 10, 30),
    ]
    assert len(said) == 1
    assert "x: dates are read month first; day first fits every one of them, too: --date-format '%d/%m/%Y'" in said[0]
    path = column(tmp_path, ["02/01/2020", "03/04/2020"])
    snapshot, said = told(project, "csv", path, date_format="%d/%m/%Y")
    assert [row["x"] for row in rows(snapshot, "n")] == [datetime.date(2020, 1, 2), datetime.date(2020, 4, 3)]
    assert said == []


def test_another_column_shows_the_order(project, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1/2/2020,3-4-2021\n" * SAMPLE + "13/2/2020,3-4-2021\n")
    snapshot, said = told(project, "csv", path)
    assert set(stored(snapshot)["b"].to_pylist()) == {datetime.date(2021, 4, 3)}
    assert [note.partition(";")[0] for note in said] == ["b: dates are read day first"]


def test_formats_of_dates(project, tmp_path) -> None:
    path = column(tmp_path, ["20200131", "20200201"])
    assert kinds(told(project, "csv", path)[0])["x"] == "integer"
    assert kinds(told(project, "csv", path, date_format="%Y%m%d")[0])["x"] == "timestamp"
    path = column(tmp_path, ["20200131", "99999999"])
    assert kinds(told(project, "csv", path, date_format="%Y%m%d")[0])["x"] == "integer"
    path = column(tmp_path, ["31.Jan 20 23:05", "01.Feb 20 00:00"])
    snapshot = told(project, "csv", path, date_format="%d.%b %y %H:%M")[0]
    assert rows(snapshot, "n")[0]["x"] == datetime.datetime(2020, 1, 31, 23, 5)
    for wrong, says in (
        ("%d/%m", "needs a year"),
        ("%Q", "%Q is not known"),
        ("dd/mm/yyyy", "needs a year"),
        ("%Y-%m-%d %I", "%I and %p"),
        ("%", "not known"),
    ):
        with pytest.raises(SourceError, match=says):
            source_of("csv", {"path": str(path), "date_format": wrong})


def test_an_empty_column_of_one_file_says_nothing(project, tmp_path) -> None:
    column(tmp_path / "m", [""] * 60, "a.csv")
    column(tmp_path / "m", ["1.5"] * 60, "b.csv")
    snapshot = register(project, "csv", path=str(tmp_path / "m"))
    assert (kinds(snapshot)["x"], snapshot.schema["x"].num_nulls) == ("float", 60)


def test_letters_and_booleans(project, tmp_path) -> None:
    folder = tmp_path / "b"
    for name, cells, kind in (
        ("f", ["F", "M"], "string"),
        ("t", ["t", "f"], "string"),
        ("w", ["TRUE", "false"], "boolean"),
        ("n", ["true", "0"], "integer"),
        ("y", ["yes", "no"], "string"),
        ("o", ["true", "2"], "string"),
    ):
        assert kinds(register(project, "csv", path=str(column(folder, cells, f"{name}.csv"))))["x"] == kind, name


def test_zeros_in_the_name_of_a_folder_stay(project, tmp_path) -> None:
    column(tmp_path / "f", ["1"], "code=007/a.csv")
    assert rows(register(project, "csv", path=str(tmp_path / "f")), "n")[0]["code"] == "007"


CLASSES = ["bit", "whole", "long", "decimal", "bare", "word", "boolean", "date", "time", "zoned", DAY_FIRST, MONTH_FIRST, EITHER,
           f"{DAY_FIRST} at", f"{EITHER} at", "format", "whole as format", "other"]  # fmt: skip


def test_a_kind_stands_if_it_admits_all_cells() -> None:
    """Whatever part of a column the sample shows, and in which order."""
    small = [frozenset(s) for size in range(4) for s in itertools.combinations(CLASSES, size)]
    for order in (DAY_FIRST, MONTH_FIRST):
        for seen in small:
            kind = kind_of_cells(seen, order)
            for more in itertools.chain(([one] for one in CLASSES), itertools.combinations(CLASSES, 2)):
                whole = seen | set(more)
                if all(map(kind.holds, whole)):
                    found = kind_of_cells(whole, order)
                    assert (found.name, found.sql_type, found.order) == (kind.name, kind.sql_type, kind.order), (
                        seen,
                        more,
                    )


# A rule in Python beside the one in SQL

ODD = ["0", "1", "-1", "-0", "7", "007", "+5", " 5", "5 ", "1e3", "1e+3", "1.5e-3", "0x1F", "1_000", "1.5", "1.", ".5", "-.5", "00.5", "1.50", "1,5",
       "0.30000000000000004", "0.1234567890123456789", "9007199254740993", "9007199254740992", "9007199254740993.0", "9223372036854775807",
       "9223372036854775808", "-9223372036854775808", "1e400", "1e-400", "inf", "-inf", "nan", "NaN", "NA", "true", "false", "TRUE", "T", "F", "yes",
       "2020-01-01", "2020-1-1", "2020/01/02", "2020-02-30", "0000-01-01", "9999-12-31", "10000-01-01", "2020-01-01 10:00", "2020-01-01T10:00:00",
       "2020-01-01 10:00:00.123", "2020-01-01 10:00:00.1234567", "2020-01-01 24:00:00", "2020-01-01 10:00:00+05:00", "2020-01-01T10:00:00Z",
       "0001-01-01 00:00:00+05:00", "01/02/2020", "13/02/2020", "02/13/2020", "31/02/2020", "1.2.2020", "13.02.2020", "1/2/2020 9:05", "1/2/2020 1:05 PM",
       "12:30", "12:30:00", "", "a", "ä", "  ", "x y", "'", "\\", "-", ".", "1-2", "1/2/20", "(5)", "5%", "1 000", "٣", "1️⃣", "Infinity", "epoch"]  # fmt: skip
FAMILIES = [
    st.integers(-(10**20), 10**20).map(str), st.integers(-50, 50).map(str), st.floats(allow_nan=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**6), max_value=10**6).map(str),
    st.dates().map(str), st.datetimes().map(lambda t: t.isoformat(sep=" ")), st.dates().map(lambda d: d.strftime("%d/%m/%Y").zfill(10)),
    st.text("0123456789+-.eE_xX ", max_size=6), st.sampled_from(["true", "false", "0", "1"]), st.sampled_from(ODD),
]  # fmt: skip


@st.composite
def columns(draw):
    """Cells of one family, a few odd ones among them."""
    family = draw(st.sampled_from(FAMILIES))
    cells = draw(st.lists(family, min_size=8, max_size=8))
    for place in draw(st.lists(st.integers(0, 7), max_size=2)):
        cells[place] = draw(st.sampled_from(ODD))
    return cells


def says_the_same(text: str, value, order: str) -> bool:
    """Whether a stored value means what a text says, by rules of its own."""
    if value is None:
        return text in ("", "NULL", "null", "\\N")
    if isinstance(value, str):
        return value == text
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int):
        return (text.lower() in ("true", "false") and value == (text.lower() == "true")) or (
            re.fullmatch(r" *-?(0|[1-9]\d*) *", text) is not None and int(text) == value
        )
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return re.fullmatch(r"(?i)[+-]?(nan|inf|infinity)", text) is not None and repr(float(text)) == repr(value)
        exact = decimal.Decimal(text.strip())
        kept = (
            value,
            repr(value),
            f"{value:.16e}",
        )  # the number itself is exact for -2**63, of which neither text shows all digits
        return re.match(r" *[+-]?0\d", text) is None and any(decimal.Decimal(one) == exact for one in kept)
    if isinstance(value, datetime.datetime):
        return same_time(text, value, order)
    return re.fullmatch(r"\d+[-/.]\d+[-/.]\d+", text) is not None and same_time(
        text, datetime.datetime(value.year, value.month, value.day), order
    )


def same_time(text: str, value: datetime.datetime, order: str) -> bool:
    day, _, clock = text.replace("T", " ").partition(" ")
    numbers = [int(number) for number in re.split("[-/.]", day)]
    year, month, of_month = (
        numbers
        if len(day.split("-")[0].split("/")[0]) == 4
        else (numbers[2], *(numbers[1::-1] if order == DAY_FIRST else numbers[:2]))
    )
    said = datetime.datetime(year, month, of_month)
    found = re.fullmatch(r"(\d+):(\d+)(?::(\d+)(?:\.(\d+))?)?( ?[AP]M)?(Z|[+-]\d\d:?\d\d)?", clock or "0:00")
    assert found, text
    hours, minutes, seconds, fraction, half, zone = found.groups()
    said += datetime.timedelta(
        hours=int(hours) % 12 + 12 * ("P" in half) if half else int(hours),
        minutes=int(minutes),
        seconds=int(seconds or 0),
        microseconds=int((fraction or "0").ljust(6, "0")[:6]),
    )
    if zone and zone != "Z":
        said -= (1 if zone[0] == "+" else -1) * datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return said == value.replace(tzinfo=None)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(columns(), min_size=12, max_size=12), st.randoms(use_true_random=False))
def test_no_value_is_changed_and_no_order_decides(tmp_path_factory, table, shuffled: random.Random) -> None:
    """Every stored value means what its text says, or the column is text and kept as it is; rows and files may be in any order."""
    folder = tmp_path_factory.mktemp("odd")
    lines = [[*cells, str(number)] for number, cells in enumerate(zip(*table, strict=True))]
    header = [*(f"c{number}" for number in range(len(table))), "n"]

    def written(name: str, parts: list[list[list[str]]]):
        for number, part in enumerate(parts):
            path = folder / name / f"{number}.csv"
            path.parent.mkdir(exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([header, *part])
        return register(open_project(folder / "project"), "csv", path=str(folder / name), delimiter=",")

    other = list(lines)
    shuffled.shuffle(other)
    one, several = written("one", [lines]), written("several", [other[:3], other[3:]])
    assert one.schema == several.schema
    found = rows(one, "n")
    assert found == rows(several, "n") or any(value != value for row in found for value in row.values())
    orders = [DAY_FIRST, MONTH_FIRST]
    for name, cells in zip(header, table, strict=False):
        values = [row[name] for row in found]
        assert any(
            all(says_the_same(text, value, order) for text, value in zip(cells, values, strict=True))
            for order in orders
        ), (
            cells,
            values,
        )


def test_floats_that_are_proved_together_are_proved(engine) -> None:
    """Three columns in one pattern: what it takes is right in each of them, whatever stands beside it."""
    spelling, kind = Spelling(), Kind("float", "DOUBLE", frozenset({"decimal"}))
    texts = [None, "1.5", "-0.25", ".5", "7", "5.", "1|2", "|", "1.5|", "", "1.5\n", "\n", *ODD]
    engine.register("texts", pa.table({"t": texts}))
    read = f"(SELECT t, {spelling.value('t', kind)} AS v FROM texts)"
    alone = engine.fetch(f"SELECT t, {spelling.fits('t', 'v', kind, [])} AS fits FROM {read}").to_pylist()
    right = {row["t"] for row in alone if row["fits"] or row["t"] is None}
    names = ("a", "b", "c")
    rows = [(one, "1.5", other) for one in texts for other in texts]
    engine.register("cells", pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)}))
    values = ", ".join(f"{spelling.value(name, kind)} AS v_{name}" for name in names)
    sure = spelling.surely_numbers({name: f"v_{name}" for name in names})
    found = engine.fetch(f"SELECT a, c, {sure} AS sure FROM (SELECT *, {values} FROM cells)").to_pylist()
    assert all(row["sure"] is not None for row in found)
    assert {cell for row in found if row["sure"] for cell in (row["a"], row["c"])} <= right
    usual = {None, "1.5", "-0.25", ".5", "7", "5."}
    assert all(row["sure"] for row in found if {row["a"], row["c"]} <= usual)


# JSON


def test_json_is_typed_by_all_values(project, tmp_path) -> None:
    path = tmp_path / "t.jsonl"
    records = [{"a": n, "o": {"x": 1}, "d": "2020-01-01", "i": n} for n in range(25_000)]
    records += [
        {"a": 0.5, "late": "b", "o": {"x": 0.5, "y": "z"}, "d": "2020-01-01 12:00:00", "i": 2**64},
        {"a": 3, "i": 1.5},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    snapshot = register(project, "json", path=str(path))
    assert kinds(snapshot) == {"a": "float", "o": None, "d": "string", "i": "string", "late": "string"}
    last = stored(snapshot).slice(25_000).drop_columns(["_row_id"]).to_pylist()
    assert last[0] == {"a": 0.5, "o": {"x": 0.5, "y": "z"}, "d": "2020-01-01 12:00:00", "i": str(2**64), "late": "b"}
    assert last[1]["i"] == "1.5"


def test_the_spelling_of_numbers(engine) -> None:
    spelling = Spelling(decimal=",", thousands=".")
    for text, kind, value in (
        ("1.234,5", "float", 1234.5),
        ("1.234", "integer", 1234),
        ("12.34", "text", "12.34"),
        ("1,5", "float", 1.5),
        ("7", "integer", 7),
    ):
        found = engine.fetch(f"SELECT {spelling.class_of('t')} AS c FROM (SELECT '{text}' AS t)")["c"][0].as_py()
        decided = spelling.kind_of([found])
        assert decided.name == kind, text
        assert (
            engine.fetch(f"SELECT {spelling.value('t', decided)} AS v FROM (SELECT '{text}' AS t)")["v"][0].as_py()
            == value
        )
