#!/usr/bin/env bash
# DuckDB 2.0.0 applies the nullstr option of read_csv to the header line as
# well. A column that is called like one of the null words loses its name:
# with nullstr='NA' the column NA (Namibia in a table of country codes, or
# sodium written in capitals) is called column1 in the result, also with
# header=true. One would expect the option to speak about values only, as it
# is described. There is no error or warning; a query that names the column
# fails, and SELECT * goes on with a made-up name that depends on the
# position. It hurts tables that have one column per country, element or
# answer code.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb

con = duckdb.connect()
with open("wide.csv", "w") as f:
    f.write("year,NA,ZA\n2020,1,7\n2021,NA,8\n")

def names(options):
    return [r[0] for r in con.execute(
        f"DESCRIBE FROM read_csv('wide.csv', header=true{options})").fetchall()]

plain = names("")
with_null = names(", nullstr='NA'")
print("duckdb", duckdb.__version__)
print("columns without nullstr:   ", plain)
print("columns with nullstr='NA': ", with_null)
assert plain == ["year", "NA", "ZA"], "the plain header has changed"
assert with_null == ["year", "column1", "ZA"], "the header keeps its name now"
PY
