#!/usr/bin/env bash
# DuckDB 2.0.0: TRY_CAST is there to turn a cell that does not fit into NULL,
# and it does so for a table. Straight over read_csv it raises a conversion
# error instead, even when the column is text by declaration
# (all_varchar=true), because the cast is handed to the CSV reader as if it
# were a plain CAST. Selecting the raw column as well, or storing the file in
# a table first, brings the NULL back. Whoever cleans dirty files in one
# statement (CREATE TABLE ... AS SELECT TRY_CAST(...) FROM read_csv(...)), the
# very job of TRY_CAST, is stopped by the first cell such as n/a.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb

con = duckdb.connect()
with open("dirty.csv", "w") as f:
    f.write("id,v\n1,10\n2,n/a\n3,30\n")
source = "read_csv('dirty.csv', all_varchar=true)"
con.execute(f"CREATE TABLE raw AS FROM {source}")

def answer(sql):
    try:
        return [row[0] for row in con.execute(sql).fetchall()]
    except duckdb.ConversionException:
        return "conversion error"

table = answer("SELECT TRY_CAST(v AS INTEGER) FROM raw")
beside = answer(f"SELECT TRY_CAST(v AS INTEGER), v FROM {source}")
alone = answer(f"SELECT TRY_CAST(v AS INTEGER) FROM {source}")
print("duckdb", duckdb.__version__)
print("from a table:             ", table)
print("from the file, next to v: ", beside)
print("from the file, alone:     ", alone)
assert table == [10, None, 30], "TRY_CAST over a table has changed"
assert beside == [10, None, 30], "TRY_CAST next to the column has changed"
assert alone == "conversion error", "TRY_CAST over read_csv no longer raises"
PY
