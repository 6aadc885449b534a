"""How fast tables are registered from where they live: rows a second, and beside the local file.

python bench/sources.py --rows 3000000 --servers s3 postgres     # starts servers on loopback; see tests/servers.py

Prints the wall time and the CPU seconds of this process and of the server; on a busy machine compare the latter.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import duckdb
from servers import mysql_server, postgres_server, s3_server

from cengine.datasources.origins import source_of
from cengine.datasources.register import take_snapshot
from cengine.samples.trips import COLUMNS, generate_trips
from cengine.store.project import open_project

MEMORY_BYTES = 4 * 2**30
NUM_FILES = 4


def main() -> None:
    """Registers the same trips from files and from the servers asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--servers", nargs="+", choices=["s3", "postgres", "mysql"], default=["s3", "postgres"])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cengine-bench-"))
    try:
        files = folder / "trips"
        files.mkdir()
        generate_trips(folder / "all.parquet", arguments.rows)
        for number in range(NUM_FILES):
            low, high = (arguments.rows * n // NUM_FILES for n in (number, number + 1))
            rows = f"SELECT * EXCLUDE (file_row_number) FROM read_parquet('{folder}/all.parquet', file_row_number=true)"
            rows += f" WHERE file_row_number >= {low} AND file_row_number < {high}"
            duckdb.sql(f"COPY ({rows}) TO '{files}/part-{number}.parquet' (FORMAT parquet, COMPRESSION zstd)")
        local = registered(folder, "local Parquet", "parquet", path=str(files))
        for name in arguments.servers:
            {"s3": from_s3, "postgres": from_postgres, "mysql": from_mysql}[name](folder, files, local)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def registered(
    folder: Path, title: str, kind: str, beside: float | None = None, server: int | None = None, **options: str
) -> float:
    """The seconds it took; prints them."""
    project = open_project(tempfile.mkdtemp(dir=folder))
    began, cpu, server_cpu = time.monotonic(), time.process_time(), cpu_seconds(server)
    snapshot = take_snapshot(project, source_of(kind, options), memory_bytes=MEMORY_BYTES)
    seconds = time.monotonic() - began
    peak = psutil.Process().memory_info().rss / 1e9
    ratio = f", {seconds / beside:.2f} x the local files" if beside else ""
    print(
        f"{title}: {snapshot.schema.num_rows:,} rows in {seconds:.1f} s, {snapshot.schema.num_rows / seconds:,.0f} rows/s{ratio}; "
        f"CPU {time.process_time() - cpu:.1f} s here, {cpu_seconds(server) - server_cpu:.1f} s in the server; {peak:.1f} GB RSS",
        flush=True,
    )
    shutil.rmtree(project.folder.parent, ignore_errors=True)
    return seconds


def cpu_seconds(pid: int | None) -> float:
    """What a server and its children have used."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    # Of children that ended too: PostgreSQL has a process for each connection.
    total = sum(process.cpu_times()[:4])
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


def from_s3(folder: Path, files: Path, local: float) -> None:
    """From an object store."""
    with s3_server() as server:
        os.environ.update(server.environment)
        address = server.new_bucket()
        for file in sorted(files.iterdir()):
            server.client().upload_file(str(file), address.removeprefix("s3://"), f"trips/{file.name}")
        registered(folder, "Parquet in S3", "parquet", local, server.server.process.pid, path=f"{address}/trips")


def from_postgres(folder: Path, files: Path, local: float) -> None:
    """From PostgreSQL."""
    import psycopg

    kinds = {"VARCHAR": "text", "DOUBLE": "double precision"}
    with postgres_server() as server:
        uri = server.new_database()
        with psycopg.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE trips ({', '.join(f'{name} {kinds.get(kind, kind)}' for name, kind in COLUMNS.items())})"
            )
            with cursor.copy("COPY trips FROM STDIN (FORMAT csv)") as copy:
                for text in csv_of(files):
                    copy.write(text)
            cursor.execute("VACUUM ANALYZE trips")
        registered(folder, "PostgreSQL", "postgres", local, server.server.process.pid, uri=uri, table="trips")


def from_mysql(folder: Path, files: Path, local: float) -> None:
    """From MariaDB."""
    kinds = {"VARCHAR": "varchar(100)", "TIMESTAMP": "datetime"}
    with mysql_server() as server:
        name = server.new_database()
        table = folder / "trips.tsv"
        duckdb.sql(
            f"COPY (FROM '{files}/*.parquet') TO '{table}' (HEADER false, DELIMITER '\t', NULLSTR '\\N', QUOTE '')"
        )
        with server.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE trips ({', '.join(f'{name} {kinds.get(kind, kind)}' for name, kind in COLUMNS.items())})"
            )
            cursor.execute(f"LOAD DATA INFILE '{table}' INTO TABLE trips")
        registered(folder, "MariaDB", "mysql", local, server.server.process.pid, uri=server.url(name), table="trips")


def csv_of(files: Path) -> Iterator[bytes]:
    """The rows as CSV, piece by piece."""
    table = files.parent / "trips.csv"
    duckdb.sql(f"COPY (FROM '{files}/*.parquet') TO '{table}' (HEADER false)")
    with table.open("rb") as stream:
        while text := stream.read(2**20):
            yield text
    table.unlink()


if __name__ == "__main__":
    main()
