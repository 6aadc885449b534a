#!/usr/bin/env bash
# DuckDB 2.0.0 takes the columns of newline-delimited JSON from the first
# 20,480 objects. A key that first turns up later is left out of the table: it
# gets no column, its values are gone, and there is no error or warning. One
# would expect at least an error, since a late key is ordinary in logs, where
# a field is added by a newer release of the program that writes them. With
# sample_size=-1 the column is there. Anyone who loads such a file with the
# defaults and drops the original loses the new field, and a query that names
# it is told that the column does not exist.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb, json

con = duckdb.connect()
with open("log.json", "w") as f:
    for i in range(25000):
        f.write(json.dumps({"id": i}) + "\n")
    for i in range(25000, 30000):
        f.write(json.dumps({"id": i, "error": "disk full"}) + "\n")

def columns(options):
    return [r[0] for r in con.execute(
        f"DESCRIBE FROM read_json('log.json'{options})").fetchall()]

default = columns("")
whole = columns(", sample_size=-1")
rows = con.execute("SELECT count(*) FROM read_json('log.json')").fetchone()[0]
found = con.execute(
    "SELECT count(error) FROM read_json('log.json', sample_size=-1)").fetchone()[0]
print("duckdb", duckdb.__version__)
print("default sample:", default, "rows:", rows)
print("whole file as sample:", whole, "rows with an error:", found)
assert whole == ["id", "error"] and found == 5000, "the full sample has changed"
assert rows == 30000, "the rows are no longer all read"
assert default == ["id"], "the late key is no longer dropped silently"
PY
