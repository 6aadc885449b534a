"""A table of made-up bike-share trips, of any length.

It has the columns of BigQuery's public `citibike_trips` and looks like it: few busy stations and many quiet ones,
mostly short rides, rush hours and summers, riders around 35, one birth year in twelve unknown. City, stations and
riders are invented. The birth year can be learned in part: from the two stations (smoothly in their numbers, plus a bit
of its own for every station), the gender, the user type and, because older riders are slower, the duration.

The whole table is one query over the row numbers 0, 1, 2, ...: a row is a function of the seed and its number alone.
Random draws are integer mixing hashes, and no floating-point numbers are summed over rows, so that the table is the
same however many threads write it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS = {
    "tripduration": "INTEGER",
    "starttime": "TIMESTAMP",
    "stoptime": "TIMESTAMP",
    "start_station_id": "INTEGER",
    "start_station_name": "VARCHAR",
    "start_station_latitude": "DOUBLE",
    "start_station_longitude": "DOUBLE",
    "end_station_id": "INTEGER",
    "end_station_name": "VARCHAR",
    "end_station_latitude": "DOUBLE",
    "end_station_longitude": "DOUBLE",
    "bikeid": "INTEGER",
    "usertype": "VARCHAR",
    "birth_year": "INTEGER",
    "gender": "VARCHAR",
}
"""The columns of the table, in order, with their DuckDB types."""

MAX_ROWS = 1 << 32
"""Row numbers are hashed as 32-bit integers."""

_FORMATS = {
    ".csv": ("FORMAT csv, HEADER true", 156.7),
    ".csv.gz": ("FORMAT csv, HEADER true, COMPRESSION gzip", 34.3),
    ".csv.zst": ("FORMAT csv, HEADER true, COMPRESSION zstd", 27.8),
    ".parquet": ("FORMAT parquet, COMPRESSION zstd", 28.3),
}
"""Suffix -> options of COPY, and the bytes that a row takes, about."""

_AVENUES = [
    *("Acorn", "Alder", "Ash", "Aspen", "Birch", "Elder", "Fern", "Fig", "Hazel", "Holly"),
    *("Larch", "Laurel", "Lime", "Moss", "Olive", "Pecan", "Quince", "Rowan", "Sumac", "Yew"),
    *("Apricot", "Bamboo", "Basswood", "Catalpa", "Cypress", "Dogwood", "Ginkgo", "Hemlock", "Hickory", "Hornbeam"),
    *("Juniper", "Medlar", "Myrtle", "Persimmon", "Sequoia", "Sorrel", "Spindle", "Tamarack", "Tupelo", "Yarrow"),
]

_FIRST_DAY = "2013-07-01"
_NUM_HOURS = 1188 * 24

# A start, a route or an hour is drawn by looking up a random slot; likely ones own many of the 2^bits slots.
_START_BITS = 16
_ROUTE_BITS = 9
_HOUR_BITS = 18


def generate_trips(
    path: Path,
    num_rows: int,
    *,
    seed: int = 0,
    num_stations: int = 800,
    threads: int | None = None,
    memory: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Nothing; writes `num_rows` trips to `path`, in the format of its suffix: .csv, .csv.gz, .csv.zst or .parquet.

    The file appears only when complete: it is written to `path` + ".partial", then renamed. Missing parent folders are
    made.

    Args:
        path: The file to write; one that exists is replaced.
        num_rows: Rows to write, 0 to 2^32.
        seed: Another seed gives another city and other trips. Any integer; its lowest 31 bits count.
        num_stations: Stations of the city, 1 to 4,000.
        threads: Threads to use, all cores unless told. The table does not depend on it.
        memory: DuckDB's memory limit, such as "2GB".
        progress: Called now and then with (rows written so far, about; `num_rows`), with both equal at the end.

    Raises:
        ValueError: An unknown suffix, or a number out of its range.
    """
    path = Path(path)
    suffix = next((suffix for suffix in _FORMATS if path.name.endswith(suffix)), None)
    if suffix is None:
        raise ValueError(f"cannot write trips to {path.name!r}, expected a name that ends in {', '.join(_FORMATS)}")
    if not 0 <= num_rows <= MAX_ROWS:
        raise ValueError(f"num_rows is {num_rows}, expected 0 to {MAX_ROWS}")
    if not 1 <= num_stations <= 4_000:
        raise ValueError(f"num_stations is {num_stations}, expected 1 to 4,000")
    options, bytes_per_row = _FORMATS[suffix]

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    target = str(partial).replace("'", "''")
    connection = _connect(threads, memory)

    def report() -> None:
        if progress is not None:
            written = partial.stat().st_size / bytes_per_row if partial.exists() else 0
            progress(min(int(written), num_rows), num_rows)

    try:
        _create_macros(connection)
        _create_city(connection, seed, num_stations)
        _execute(connection, f"COPY ({_trips_query(seed, num_rows)}) TO '{target}' ({options})", report)
        partial.replace(path)
    finally:
        connection.close()
        partial.unlink(missing_ok=True)
    if progress is not None:
        progress(num_rows, num_rows)


def _connect(threads: int | None, memory: str | None) -> DuckDBPyConnection:
    """A new database in memory that keeps the order of rows."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET preserve_insertion_order = true")
    # A join keeps the order of the side that streams through it as long as one thread reads that side. One thread reads
    # `range`; the optimizer must not swap the sides where there are fewer row numbers than rows to look up.
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    if threads is not None:
        connection.execute(f"SET threads = {int(threads)}")
    if memory is not None:
        connection.execute("SET memory_limit = ?", [memory])
    return connection


def _execute(connection: DuckDBPyConnection, statement: str, report: Callable[[], None]) -> None:
    """Nothing; runs the statement in a second thread, and from this one calls `report` four times a second."""
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(connection.execute, statement)
        try:
            while not wait([running], timeout=0.25).done:
                report()
        except BaseException:
            connection.interrupt()
            raise
    running.result()


def _create_macros(connection: DuckDBPyConnection) -> None:
    """Nothing; defines the SQL macros: random numbers out of 32-bit integers, and the distance of two places nearby.

    `mix` permutes 0 ... 2^32 - 1, in the form of C. Wellons, "Prospecting for Hash Functions" (2018), with multipliers
    below 2^31, so that no product leaves BIGINT. `uniform(h, k)` is the k-th draw of the row whose hash is h;
    `normal(h, k)` uses up the draws k and k + 1 (G. Box and M. Muller, 1958).
    """
    connection.execute("""
        CREATE MACRO shake(x, shift, multiplier) AS (xor(x, x >> shift) * multiplier) & 4294967295;
        CREATE MACRO settle(x) AS xor(x, x >> 15);
        CREATE MACRO mix(x) AS settle(shake(shake(x, 16, 2146121005), 15, 830770091));
        CREATE MACRO draw(h, k) AS mix((h + k * 2654435769) & 4294967295);
        CREATE MACRO uniform(h, k) AS (draw(h, k) + 0.5::DOUBLE) / 4294967296::DOUBLE;
        CREATE MACRO normal(h, k) AS sqrt(-2 * ln(uniform(h, k))) * cos(2 * pi() * uniform(h, k + 1));
        CREATE MACRO bump(x, centre, width) AS exp(-pow((x - centre) / width, 2));
        CREATE MACRO kilometres(latitude, longitude, latitude_2, longitude_2) AS
            sqrt(pow(111.2 * (latitude - latitude_2), 2) + pow(84.3 * (longitude - longitude_2), 2));
    """)


def _create_city(connection: DuckDBPyConnection, seed: int, num_stations: int) -> None:
    """Nothing; creates `stations`, and `starts`, `routes` and `hours`, from whose slots the trips are drawn.

    The stations stand on a grid and are numbered street by street, back and forth, so that near numbers are near
    places. `smooth_youth` and `own_youth` divide the riders' ages, as logarithms. A route is the likelier, the more
    popular its end and the shorter the way.
    """
    num_avenues = min(len(_AVENUES), max(1, round((num_stations / 2) ** 0.5)))
    connection.execute(f"""
        CREATE TABLE stations AS
        SELECT station,
            (72 + 4 * station + h % 4)::INTEGER AS id,
            format('{{}} {{}} St & {{}} {{}}', if(2 * avenue < {num_avenues}, 'W', 'E'), street + 1,
                {_AVENUES}[avenue + 1], if(avenue % 3 = 0, 'Pl', 'Ave')) AS name,
            round(40.66 + 0.0042 * (street + 0.6 * uniform(h, 1)), 5) AS latitude,
            round(-74.02 + 0.0045 * (avenue + 0.6 * uniform(h, 2)), 5) AS longitude,
            (1e7 / (row_number() OVER (ORDER BY h, station) + 12) ** 0.9)::BIGINT AS popularity,
            0.29 * sin(3 * pi() * northness) - 0.4 * (northness - 0.5) AS smooth_youth,
            0.11 * normal(h, 3) AS own_youth,
            uniform(h, 5) ** 3 AS tourism
        FROM (
            SELECT range AS station, {_hash("range", 2 * seed)} AS h, range // {num_avenues} AS street,
                if(street % 2 = 0, range % {num_avenues}, {num_avenues - 1} - range % {num_avenues}) AS avenue,
                (range + 0.5) / {num_stations} AS northness
            FROM range({num_stations}))
    """)
    starts = "SELECT 0 AS grp, station AS value, popularity AS weight FROM stations"
    routes = """
        SELECT a.station AS grp, b.station AS value,
            kilometres(a.latitude, a.longitude, b.latitude, b.longitude) AS distance,
            1 + (b.popularity * if(grp = value, 0.25, 1) * exp(-distance / 0.95))::BIGINT AS weight
        FROM stations a CROSS JOIN stations b"""
    hours = f"""
        SELECT 0 AS grp, TIMESTAMP '{_FIRST_DAY}' + to_hours(range) AS value, hour(value) + 0.5 AS clock,
            (1e4 * (1 + range / {_NUM_HOURS}) * (1 + 0.55 * cos((dayofyear(value) - 205) / 58.1))
                * if(isodow(value) > 5, 0.08 + 0.9 * bump(clock, 15, 5.2),
                    0.05 + 1.1 * bump(clock, 8.5, 1.3) + 0.5 * bump(clock, 15, 5.5) + 1.5 * bump(clock, 18, 1.9))
            )::BIGINT AS weight
        FROM range({_NUM_HOURS})"""
    connection.execute(f"CREATE TABLE starts AS {_slots(starts, _START_BITS)}")
    connection.execute(f"CREATE TABLE routes AS {_slots(routes, _ROUTE_BITS)}")
    connection.execute(f"CREATE TABLE hours AS {_slots(hours, _HOUR_BITS)}")


def _slots(weighted: str, bits: int) -> str:
    """A SELECT of (slot, value) that shares out 2^bits slots by weight among the values of each group.

    `weighted` has the columns (grp, value, weight). The slots of group g are numbered from g * 2^bits on. Weights are
    integers, so that their running sum is exact.
    """
    return f"""
        SELECT value,
            (grp << {bits}) + unnest(range((above << {bits}) // total, ((above + weight) << {bits}) // total)) AS slot
        FROM (
            SELECT *, (sum(weight) OVER (PARTITION BY grp))::BIGINT AS total,
                (sum(weight) OVER (PARTITION BY grp ORDER BY value) - weight)::BIGINT AS above
            FROM ({weighted}))"""


def _hash(number: str, salt: int) -> str:
    """SQL: the hash of a number of 32 bits, another one for every salt."""
    return f"mix(xor(mix({salt % 2**32}::BIGINT), {number}))"


def _trips_query(seed: int, num_rows: int) -> str:
    """A SELECT of the trips with the columns of `COLUMNS`: draws journey, then rider, then duration."""
    return f"""
        WITH journeys AS (
            SELECT h, hours.value + to_seconds(draw(h, 4) % 3600) AS starttime,
                a.id AS a_id, a.name AS a_name, a.latitude AS a_latitude, a.longitude AS a_longitude,
                b.id AS b_id, b.name AS b_name, b.latitude AS b_latitude, b.longitude AS b_longitude,
                uniform(h, 5) < 0.035 + 0.2 * a.tourism + 0.11 * (isodow(hours.value) > 5)::INT AS is_customer,
                0.5 * (a.smooth_youth + b.smooth_youth) + a.own_youth + b.own_youth AS youth
            FROM (SELECT {_hash("range", 2 * seed + 1)} AS h FROM range({num_rows}))
            JOIN starts ON starts.slot = draw(h, 1) >> {32 - _START_BITS}
            JOIN routes ON routes.slot = (starts.value << {_ROUTE_BITS}) + (draw(h, 2) >> {32 - _ROUTE_BITS})
            JOIN hours ON hours.slot = draw(h, 3) >> {32 - _HOUR_BITS}
            JOIN stations a ON a.station = starts.value
            JOIN stations b ON b.station = routes.value
        ), riders AS (
            SELECT *, uniform(h, 6) < if(is_customer, 0.65, 0.012) AS is_unknown,
                CASE
                    WHEN is_unknown OR uniform(h, 7) < if(is_customer, 0.5, 0.015) THEN 'unknown'
                    WHEN uniform(h, 8) < if(is_customer, 0.6, 0.76) THEN 'male'
                    ELSE 'female'
                END AS gender,
                14 + 23 * exp(0.36 * normal(h, 9) - if(is_customer, 0.3 * youth + 0.1, youth)
                    - if(gender = 'female', 0.13, -0.03)) AS age
            FROM journeys
        ), rides AS (
            SELECT *, (greatest(61, exp(0.38 * normal(h, 11) + 0.014 * (age - 38) + if(is_customer, 0.75, 0))
                * if(a_id = b_id, 900, 70 + 360 * kilometres(a_latitude, a_longitude, b_latitude, b_longitude))
                * if(uniform(h, 13) < 0.0015, least(1 / uniform(h, 14), 1000), 1)))::INTEGER AS tripduration
            FROM riders
        )
        SELECT tripduration,
            starttime,
            starttime + to_seconds(tripduration) AS stoptime,
            a_id AS start_station_id,
            a_name AS start_station_name,
            a_latitude AS start_station_latitude,
            a_longitude AS start_station_longitude,
            b_id AS end_station_id,
            b_name AS end_station_name,
            b_latitude AS end_station_latitude,
            b_longitude AS end_station_longitude,
            (14529 + draw(h, 15) % 10000)::INTEGER AS bikeid,
            if(is_customer, 'Customer', 'Subscriber') AS usertype,
            CASE
                WHEN is_unknown THEN NULL
                WHEN draw(h, 16) % 4000 = 0 THEN 1885 + draw(h, 17) % 15
                WHEN is_customer AND gender = 'unknown' AND draw(h, 18) % 5 < 3 THEN 1969
                ELSE greatest(2015 - floor(age), 1900 + draw(h, 17) % 32)
            END::INTEGER AS birth_year,
            gender
        FROM rides"""
