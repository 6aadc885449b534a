"""Made-up trips: the same for any number of threads, whatever the format, and with the look of real ones."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from cengine.samples.trips import COLUMNS, generate_trips

NUM_ROWS = 20_000


def _rows(path: Path) -> list[tuple]:
    """All rows of a file, in order, whatever its format."""
    if path.suffix == ".parquet":
        return duckdb.sql(f"SELECT * FROM '{path}'").fetchall()
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    return duckdb.sql(f"SELECT * FROM read_csv('{path}', header = true, columns = {{{columns}}})").fetchall()


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of `NUM_ROWS` trips."""
    path = tmp_path_factory.mktemp("trips") / "trips.parquet"
    generate_trips(path, NUM_ROWS)
    return path


def test_schema(trips: Path) -> None:
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{trips}'").fetchall()
    assert {name: kind for name, kind, *_ in described} == COLUMNS
    assert [name for name, *_ in described] == list(COLUMNS)


def test_threads_do_not_matter(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    generate_trips(one, 300_000, threads=1)
    generate_trips(two, 300_000, threads=2)
    assert one.read_bytes() == two.read_bytes()


def test_longer_table_begins_with_the_shorter_one(trips: Path, tmp_path: Path) -> None:
    generate_trips(tmp_path / "short.parquet", 50)
    assert _rows(tmp_path / "short.parquet") == _rows(trips)[:50]


def test_seed_matters(trips: Path, tmp_path: Path) -> None:
    generate_trips(tmp_path / "other.parquet", 50, seed=-1)
    assert not set(_rows(tmp_path / "other.parquet")) & set(_rows(trips))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst", ".parquet"])
def test_every_format_holds_the_same_rows(suffix: str, trips: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / f"it's{suffix}"
    reports: list[tuple[int, int]] = []
    generate_trips(path, NUM_ROWS, progress=lambda done, total: reports.append((done, total)))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert reports[-1] == (NUM_ROWS, NUM_ROWS)
    assert _rows(path.rename(tmp_path / f"trips{suffix}")) == _rows(trips)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_tiny_tables(num_rows: int, tmp_path: Path) -> None:
    generate_trips(tmp_path / "tiny.csv", num_rows, num_stations=1)
    assert len(_rows(tmp_path / "tiny.csv")) == num_rows


def test_looks_like_real_trips(trips: Path) -> None:
    def value(expression: str) -> float:
        return duckdb.sql(f"SELECT {expression} FROM '{trips}'").fetchall()[0][0]

    assert value("avg((birth_year IS NULL)::INT)") == pytest.approx(0.084, abs=0.01)
    assert value("avg(abs(birth_year - 1979))") == pytest.approx(8.5, abs=0.6)
    assert value("median(birth_year)") == pytest.approx(1979, abs=2)
    assert value("median(tripduration)") == pytest.approx(650, abs=100)
    assert value("min(tripduration)") >= 61
    assert value("avg((usertype = 'Customer')::INT)") == pytest.approx(0.113, abs=0.03)
    assert value("bool_and(stoptime = starttime + to_seconds(tripduration))")
    assert value("bool_and(gender IN ('male', 'female', 'unknown'))")
    assert value("corr(start_station_id, end_station_id)") > 0.9


def test_station_names_are_unique(trips: Path) -> None:
    ends = " UNION ".join(
        f"SELECT {end}_station_id AS id, {end}_station_name AS name, {end}_station_latitude FROM '{trips}'"
        for end in ("start", "end")
    )
    num_stations, num_ids, num_names = duckdb.sql(
        f"SELECT count(*), count(DISTINCT id), count(DISTINCT name) FROM ({ends})"
    ).fetchall()[0]
    assert num_stations == num_ids == num_names
    assert 700 < num_stations <= 800


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_trips(tmp_path / "trips.csv.gz", 2_000_000, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "num_rows", "num_stations"), [("trips.xlsx", 1, 1), ("trips.csv", -1, 1), ("trips.csv", 1, 0)]
)
def test_refuses(name: str, num_rows: int, num_stations: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trips\.xlsx|num_rows is -1|num_stations is 0"):
        generate_trips(tmp_path / name, num_rows, num_stations=num_stations)
    assert not list(tmp_path.iterdir())
