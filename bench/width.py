"""What registering costs by the number of columns, beside DuckDB's own reading of the same file, in seconds of CPU.

python bench/width.py [--columns 100 200 400 1000 2000] [--rows 200] [--tries 5]

Medians of so many tries, each with a table of its own: a single one of a tenth of a second is up to twice as long by chance.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import duckdb

import cengine
import cengine.api  # what is imported is no part of what is measured


def table(file: Path, num_columns: int, num_rows: int, first: int = 0) -> Path:
    """A CSV of small whole numbers."""
    with file.open("w") as stream:
        stream.write(",".join(f"c{j}" for j in range(num_columns)) + "\n")
        stream.writelines(
            ",".join(str(i * j % 7) for j in range(num_columns)) + "\n" for i in range(first, first + num_rows)
        )
    return file


def cpu(work) -> float:
    """Seconds of CPU of this process, all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, nargs="+", default=[100, 200, 400, 1000, 2000])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--tries", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = cengine.open_project(Path(folder) / "project")
        warm = table(Path(folder) / "warm.csv", 3, 10)
        cengine.register(project, "csv", path=str(warm))
        for width in options.columns:
            ours, theirs = [], []
            for number in range(options.tries):
                file = table(Path(folder) / f"{width}-{number}.csv", width, options.rows, number)
                ours.append(cpu(lambda file=file: cengine.register(project, "csv", path=str(file))))
                theirs.append(cpu(lambda file=file: duckdb.sql(f"FROM read_csv('{file}')").to_arrow_table()))
            mine, read = statistics.median(ours), statistics.median(theirs)
            print(
                f"{width:5} columns: {mine:6.2f} s, read_csv {read:6.2f} s, {mine / read:4.1f} times, {1000 * mine / width:4.1f} ms a column"
            )


if __name__ == "__main__":
    main()
