#!/usr/bin/env bash
# DuckDB 2.0.0 decides for each file of a folder anew whether 02/05/2020 is
# day or month first. Daily exports in US spelling show why that hurts: the
# file of 5 February alone reads as 2 May, the one of 13 February as 13
# February, since only there the other order is impossible. Read together with
# union_by_name=true one would expect one format for the one column. Instead
# the three files come back as one DATE column with 2 January, 2 May and 13
# February, with no error or warning. The answer for a row depends on which
# other dates happen to stand in its file. Time series put together from daily
# files are scattered over the year. Setting dateformat is the way out.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb, os

con = duckdb.connect()
os.mkdir("daily")
for day in ("01", "05", "13"):
    with open(f"daily/2020-02-{day}.csv", "w") as f:
        f.write("id,d\n" + "".join(f"{i},02/{day}/2020\n" for i in range(3)))

def dates(options):
    rows = con.execute(
        f"SELECT DISTINCT d::DATE FROM read_csv('daily/*.csv', union_by_name=true{options})"
        " ORDER BY 1").fetchall()
    return [str(r[0]) for r in rows]

guessed = dates("")
stated = dates(", dateformat='%m/%d/%Y'")
kinds = con.execute(
    "SELECT DISTINCT typeof(d) FROM read_csv('daily/*.csv', union_by_name=true)").fetchall()
print("duckdb", duckdb.__version__)
print("guessed:", guessed, "as", kinds[0][0])
print("stated: ", stated)
assert stated == ["2020-02-01", "2020-02-05", "2020-02-13"], "a stated dateformat has changed"
assert kinds == [("DATE",)], "the column is no longer read as DATE"
assert guessed == ["2020-01-02", "2020-02-13", "2020-05-02"], "the files are no longer read in two orders"
PY
