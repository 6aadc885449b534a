"""Every type of column, alone and in two files: its values are kept, or the table is refused with the column's name."""

from __future__ import annotations

import datetime
import decimal
import itertools
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources.registering import kinds, register, rows, stored

from cengine.datasources.widening import NOTHING, candidates_of
from cengine.errors import SourceError
from cengine.inspection.profile import profile, sample_rows
from cengine.sources.folders import partition_types
from cengine.store.project import Project
from cengine.tables import DIGITS

UTC = datetime.UTC
MOMENT = datetime.datetime(2020, 2, 29, 12, 30, 15, 123456)
# Of every type of DuckDB two values, as SQL.
EXAMPLES = {
    "BOOLEAN": ("true", "false"), "TINYINT": ("-128", "1"), "SMALLINT": ("-32768", "1"), "INTEGER": ("-2147483648", "1"),
    "BIGINT": ("9007199254740993", "-9223372036854775808"), "UTINYINT": ("255", "0"), "USMALLINT": ("65535", "0"),
    "UINTEGER": ("4294967295", "0"), "UBIGINT": ("18446744073709551615", "9007199254740993"),
    "HUGEINT": ("-18446744073709551616", "170141183460469231731687303715884105727"),
    "UHUGEINT": ("340282366920938463463374607431768211455", "1"), "BIGNUM": ("'123456789012345678901234567890123456789012345'", "'1'"),
    "FLOAT": ("1.5", "'nan'"), "DOUBLE": ("0.1", "'-inf'"), "DECIMAL(38,3)": ("12345678901234567890.125", "-0.001"),
    "DECIMAL(20,0)": ("99999999999999999999", "1"), "VARCHAR": ("'a'", "''"), "UUID": ("'c0ffee00-0000-4000-8000-000000000000'", "null"),
    "ENUM('a', 'b[')": ("'a'", "'b['"), "DATE": ("'0001-01-01'", "'9999-12-31'"), "TIME": ("'12:00:01.5'", "'00:00:00'"),
    "TIME_NS": ("'12:00:01.123456789'", "'00:00:00'"), "TIME WITH TIME ZONE": ("'12:00:00+05'", "'12:00:00+00'"),
    "TIMESTAMP": ("'2020-02-29 12:30:15.123456'", "'0001-01-01'"), "TIMESTAMP_S": ("'2020-02-29 12:30:15'", "'9999-12-31'"),
    "TIMESTAMP_MS": ("'2020-02-29 12:30:15.123'", "null"), "TIMESTAMP_NS": ("'2020-02-29 12:30:15.123456789'", "'2020-01-01'"),
    "TIMESTAMP WITH TIME ZONE": ("'2020-02-29 12:30:15.123456+02'", "null"),
    "TIMESTAMPTZ_NS": ("'2020-02-29 12:30:15.123456789+02'", "null"), "INTERVAL": ("'1 month 3 days 5 microseconds'", "null"),
    "BLOB": ("'abc'", "null"), "BIT": ("'10101'", "null"), "INTEGER[]": ("[1, null]", "[]"), "INTEGER[2]": ("[1, 2]", "null"),
    "HUGEINT[]": ("[18446744073709551616]", "null"), "STRUCT(a INTEGER, b VARCHAR)": ("{'a': 1, 'b': 'x'}", "null"),
    "MAP(VARCHAR, INTEGER)": ("map {'a': 1}", "null"), "UNION(i INTEGER, s VARCHAR)": ("'x'", "null"), "VARIANT": ("1", "null"),
    "GEOMETRY": ("'POINT (1 2)'", "null"), "TUPLE(INTEGER, VARCHAR)": ("(1, 'a')", "null"),
}  # fmt: skip
# Types of types, and of nothing: no table has columns of them that hold a value.
WITHOUT_VALUES = {"TYPE", "NULL"}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "home")


@pytest.fixture
def connection():
    with duckdb.connect() as connected:
        connected.execute("SET TimeZone = 'UTC'")
        yield connected


def as_texts(snapshot, name: str = "c") -> list[str | None]:
    """The values of a column as DuckDB writes them, in order."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        files = [str(file) for file in snapshot.files]
        return [
            row[0]
            for row in connection.execute(
                f"SELECT CAST({name} AS VARCHAR) FROM read_parquet(?) ORDER BY y", [files]
            ).fetchall()
        ]


def files_of(folder: Path, *columns: pa.Array) -> str:
    """A folder with a Parquet file for each column `c`, and whole numbers `y` that go on over the files."""
    folder.mkdir()
    start = 0
    for number, values in enumerate(columns):
        pq.write_table(pa.table({"c": values, "y": range(start, start + len(values))}), folder / f"{number}.parquet")
        start += len(values)
    return str(folder)


def test_examples_are_of_every_type_that_duckdb_names(connection) -> None:
    known = {row[0] for row in connection.execute("SELECT DISTINCT logical_type FROM duckdb_types()").fetchall()}
    ours = {name.split("(")[0] for name in EXAMPLES if not name.endswith("]")} | {"LIST", "ARRAY"}
    assert known - ours == WITHOUT_VALUES


def test_every_type_of_a_duckdb_database(project, tmp_path) -> None:
    """Values come over as DuckDB itself writes them; a moment loses no more than the mark of its zone."""
    columns = {f"c{number}": kind for number, kind in enumerate(EXAMPLES)}
    with duckdb.connect(str(tmp_path / "all.duckdb")) as made:
        made.execute("SET TimeZone = 'UTC'")
        made.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in columns.items())}, y INTEGER)")
        for y in (0, 1):
            values = ", ".join(f"CAST({EXAMPLES[kind][y]} AS {kind})" for kind in columns.values())
            made.execute(f"INSERT INTO t SELECT {values}, {y}")
        rows = made.execute(
            f"SELECT {', '.join(f'CAST({name} AS VARCHAR)' for name in columns)} FROM t ORDER BY y"
        ).fetchall()
    snapshot = register(project, "duckdb", uri=str(tmp_path / "all.duckdb"), table="t")
    wrong = {}
    for (name, kind), expected in zip(columns.items(), zip(*rows, strict=True), strict=True):
        found = as_texts(snapshot, name)
        # A tuple comes over as a struct, whose parts have names.
        if kind != "TUPLE(INTEGER, VARCHAR)" and [moment_of(value) for value in found] != [
            moment_of(value) for value in expected
        ]:
            wrong[kind] = (found, list(expected))
    assert wrong == {}


def type_in_parquet(folder: Path, kind: str) -> str | None:
    """The type that a column of Parquet has of this type, None if there is none."""
    with duckdb.connect() as connection:
        try:
            connection.execute(
                f"COPY (SELECT CAST({EXAMPLES[kind][0]} AS {kind}) AS c) TO '{folder}/one.parquet' (FORMAT parquet)"
            )
        except duckdb.Error:
            return None
        return connection.execute(f"DESCRIBE SELECT * FROM '{folder}/one.parquet'").fetchall()[0][1]


def write_pairs(file: Path, kinds_of: dict[str, str], first: int) -> dict[str, list[str | None]]:
    """Writes a column of two values for each name; gives the values as the file holds them."""
    names = list(kinds_of)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = [
            ", ".join(
                [f"CAST({EXAMPLES[kind][place]} AS {kind}) AS {name}" for name, kind in kinds_of.items()]
                + [f"{first + place} AS y"]
            )
            for place in (0, 1)
        ]
        connection.execute(
            f"COPY (SELECT {rows[0]} UNION ALL SELECT {rows[1]} ORDER BY y) TO '{file}' (FORMAT parquet)"
        )
        found = connection.execute(
            f"SELECT {', '.join(f'CAST({name} AS VARCHAR)' for name in names)} FROM '{file}' ORDER BY y"
        ).fetchall()
        return dict(zip(names, map(list, zip(*found, strict=True)), strict=True))


def number_of(text: str | None) -> object:
    """What a text says as an exact number, or as itself."""
    try:
        number = decimal.Decimal({"true": "1", "false": "0"}.get(str(text), str(text)))
    except decimal.InvalidOperation:
        return text
    return "nan" if number.is_nan() else number


def moment_of(text: str | None) -> object:
    return text.removesuffix("+00").removesuffix(" 00:00:00") if text else text


@pytest.mark.slow
def test_every_pair_of_types_over_two_files(project, tmp_path) -> None:
    """Each value is the same number, time or text afterwards, or the refusal names the column."""
    types = {kind: found for kind in EXAMPLES if (found := type_in_parquet(tmp_path, kind)) is not None}
    pairs = [pair for pair in itertools.combinations(types, 2) if candidates_of([types[kind] for kind in pair])]
    wrong, num_kept = {}, 0
    for start in range(0, len(pairs), 30):
        folder = tmp_path / f"pairs-{start}"
        folder.mkdir()
        columns = {f"c{number}": pair for number, pair in enumerate(pairs[start : start + 30])}
        kept = registered_pairs(project, folder, columns)
        for name, (found, values) in kept.items():
            same = found == values or [number_of(value) for value in found] == [number_of(value) for value in values]
            if not same and [moment_of(value) for value in found] != [moment_of(value) for value in values]:
                wrong[columns[name]] = (found, values)
        num_kept += len(kept)
    assert wrong == {}
    assert num_kept > len(pairs) / 2


def registered_pairs(
    project: Project, folder: Path, columns: dict[str, tuple[str, str]]
) -> dict[str, tuple[list, list]]:
    """The values of columns of two types as they were registered, and as the files hold them, without those that are refused."""
    for _ in range(3):
        first, second = (
            write_pairs(folder / f"{place}.parquet", {name: pair[place] for name, pair in columns.items()}, 2 * place)
            for place in (0, 1)
        )
        try:
            snapshot = register(project, "parquet", path=str(folder))
        except SourceError as refusal:
            told = "\n".join(line for problem in refusal.problems for line in (problem.message, *problem.notes))
            refused = re.findall(r"column '(c\d+)' is", told)
            assert refused, told
            columns = {name: pair for name, pair in columns.items() if name not in refused}
        else:
            return {name: (as_texts(snapshot, name), [*first[name], *second[name]]) for name in columns}
    raise AssertionError("columns are refused one after the other")


@pytest.mark.parametrize(("one", "other", "expected"), [
    ({"c": pa.array([104, 2**53 + 1])}, {"c": pa.array([105.0, 106.0])}, "integer"),
    ({"c": pa.array([104, 105])}, {"c": pa.array([1.5, None])}, "float"),
    ({"c": pa.array([1, 2], pa.uint16())}, {"c": pa.array([2**63 - 1, 0], pa.uint64())}, "integer"),
    ({"c": pa.array([1, 2], pa.uint16())}, {"c": pa.array([2**64 - 1, 0], pa.uint64())}, "string"),
    ({"c": pa.array([True, None])}, {"c": pa.array([0, 1])}, "integer"),
    ({"c": pa.array([None, None], pa.null())}, {"c": pa.array([[1], None])}, None),
    ({"c": pa.array([None, None])}, {"c": pa.array([MOMENT, None])}, "timestamp"),
    ({"c": pa.array([datetime.date(2020, 1, 1), None])}, {"c": pa.array([MOMENT, None])}, "timestamp"),
    ({"c": pa.array([1.5, 2.5], pa.float32())}, {"c": pa.array([0.1, 0.2])}, "float"),
    ({"c": pa.array([decimal.Decimal("1.25"), None])}, {"c": pa.array([2**60 + 1, 5])}, "float"),
])  # fmt: skip
def test_the_type_of_two_files_in_either_order(project, tmp_path, one, other, expected) -> None:
    first = register(project, "parquet", path=files_of(tmp_path / "ab", one["c"], other["c"]))
    second = register(project, "parquet", path=files_of(tmp_path / "ba", other["c"], one["c"]))
    assert kinds(first)["c"] == kinds(second)["c"] == expected
    assert first.schema["c"].sql_type == second.schema["c"].sql_type
    given = [*one["c"].to_pylist(), *other["c"].to_pylist()]
    found = [row["c"] for row in rows(first, "y")]
    if expected == "string":
        given = [str(value) for value in given]
    if isinstance(given[0], datetime.date) and not isinstance(given[0], datetime.datetime):
        given[0] = datetime.datetime.combine(given[0], datetime.time())
    assert found == given


@pytest.mark.parametrize(("one", "other", "told"), [
    (pa.array([2**53 + 1]), pa.array([0.5]), "9007199254740993"),
    (pa.array([MOMENT]), pa.array([MOMENT], pa.timestamp("us", "UTC")), "zone"),
    (pa.array([True]), pa.array([2]), "2, for one"),
    (pa.array([[1]]), pa.array(["a"]), "VARCHAR"),
    (pa.array([b"x"]), pa.array(["x"]), "BLOB"),
])  # fmt: skip
def test_what_no_type_holds_is_refused_with_files_and_column(project, tmp_path, one, other, told) -> None:
    folder = files_of(tmp_path / "ab", one, other)
    with pytest.raises(SourceError) as refused:
        register(project, "parquet", path=folder)
    assert all(part in str(refused.value) for part in ("column 'c'", "0.parquet", "1.parquet", told))


def test_ids_that_are_whole_in_one_file_and_decimal_in_the_other_are_told(project, tmp_path) -> None:
    snapshot = register(project, "parquet", path=files_of(tmp_path / "ab", pa.array([104]), pa.array([104.0, None])))
    assert snapshot.notes == (
        "c: integer, since all values are whole numbers; BIGINT in '0.parquet' and DOUBLE in '1.parquet'",
    )
    assert len(set(stored(snapshot)["_row_id"].to_pylist())) == 3


def test_identities_are_those_of_one_file_with_the_type(project, tmp_path) -> None:
    apart = register(project, "parquet", path=files_of(tmp_path / "ab", pa.array([1.0, None]), pa.array([2**60 + 1])))
    one = register(project, "parquet", path=files_of(tmp_path / "a", pa.array([1, None, 2**60 + 1])))
    assert stored(apart).sort_by("y").equals(stored(one).sort_by("y"))


def test_whole_numbers_beyond_64_bits_keep_every_digit(project, tmp_path) -> None:
    values = [2**64 - 1 - number for number in range(400)]
    snapshot = register(project, "parquet", path=files_of(tmp_path / "a", pa.array(values, pa.uint64())))
    assert (snapshot.schema["c"].sql_type, snapshot.schema["c"].kind) == (DIGITS, "string")
    assert [int(row["c"]) for row in rows(snapshot, "y")] == values
    assert len(set(stored(snapshot)["_row_id"].to_pylist())) == 400
    assert profile(project, snapshot)[0]["distinct"] == 400


def test_unsigned_numbers_within_64_bits_are_integers(project, tmp_path) -> None:
    snapshot = register(project, "parquet", path=files_of(tmp_path / "a", pa.array([2**63 - 1, 0, None], pa.uint64())))
    assert (snapshot.schema["c"].sql_type, snapshot.schema["c"].maximum) == ("BIGINT", 2**63 - 1)


def test_nanoseconds_with_a_zone(project, tmp_path) -> None:
    whole = register(
        project, "parquet", path=files_of(tmp_path / "a", pa.array([MOMENT], pa.timestamp("ns", "Europe/Berlin")))
    )
    assert whole.schema["c"].sql_type == "TIMESTAMP WITH TIME ZONE"
    assert rows(whole, "y")[0]["c"] == MOMENT.replace(tzinfo=UTC)
    fine = pa.array([1_582_979_415_123_456_789], pa.timestamp("ns", "UTC"))
    kept = register(project, "parquet", path=files_of(tmp_path / "b", fine))
    assert kept.schema["c"].sql_type == "TIMESTAMP_NS"
    assert stored(kept)["c"].cast(pa.int64()).to_pylist() == [1_582_979_415_123_456_789]
    assert "nanoseconds" in kept.notes[0]
    assert profile(project, kept)[0]["min"].startswith("2020-02-29 12:30:15.123456")
    assert sample_rows(project, kept, 1, None).num_rows == 1


@pytest.mark.parametrize(
    ("micros", "kind"), [(1_600_000_000_000 * 10**6, "us"), (-70_000_000_000 * 10**6, "us"), (2**63 - 1, "us")]
)
def test_times_beyond_the_calendar_are_refused_with_row_and_column(project, tmp_path, micros, kind) -> None:
    folder = files_of(tmp_path / "a", pa.array([0, micros, None]).cast(pa.timestamp(kind)))
    with pytest.raises(SourceError) as refused:
        register(project, "parquet", path=folder)
    assert "column 'c' of" in str(refused.value)
    assert any(note.startswith("row 2: ") for problem in refused.value.problems for note in problem.notes)


def test_the_first_and_the_last_moment_are_taken(project, tmp_path) -> None:
    ends = [datetime.datetime.min, datetime.datetime.max]
    snapshot = register(
        project,
        "parquet",
        path=files_of(tmp_path / "a", pa.array(ends), pa.array([datetime.date.min, datetime.date.max])),
    )
    assert [row["c"] for row in rows(snapshot, "y")][:2] == ends
    assert profile(project, snapshot)[0]["max"].startswith("9999-12-31")


@pytest.mark.parametrize(("texts", "expected"), [
    (["7", "10"], "BIGINT"), (["007", "10"], "VARCHAR"), (["-0"], "VARCHAR"), (["-5", "0"], "BIGINT"),
    ([str(2**63 - 1)], "BIGINT"), ([str(2**63)], "VARCHAR"), (["2020-01-01"], "DATE"), (["2020-13-01"], "VARCHAR"), (["٣"], "VARCHAR"),
])  # fmt: skip
def test_a_folder_name_is_a_number_only_as_numbers_are_written(texts, expected) -> None:
    for order in (texts, texts[::-1]):
        assert partition_types([(("code", text),) for text in [*order, None]]) == {"code": expected}


def test_a_code_in_a_folder_name_keeps_its_zeros(project, tmp_path) -> None:
    for code in ("007", "010"):
        (tmp_path / f"code={code}").mkdir()
        (tmp_path / f"code={code}" / "t.csv").write_text("y\n1\n2\n")
    snapshot = register(project, "csv", path=str(tmp_path))
    assert set(stored(snapshot)["code"].to_pylist()) == {"007", "010"}


def test_the_candidates_do_not_depend_on_order() -> None:
    for types in itertools.permutations(["TINYINT", "DOUBLE", "DECIMAL(10,2)", NOTHING]):
        assert candidates_of(types) == candidates_of(sorted(types))
