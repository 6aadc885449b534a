#!/usr/bin/env bash
# DuckDB 2.0.0 moves a cast in the select list down into its CSV reader. A
# column declared as INTEGER or DECIMAL (or sniffed as such) should have one
# value per cell, and casting it should start from that value. In fact the
# declared type is skipped when the cast is the only use of the column:
# x::DOUBLE then sees the text of the cell (1.25), but 1.0 as soon as the same
# query also selects x. In the same way an INTEGER column cast to VARCHAR
# gives 007 alone and 7 in company. A view over a file therefore answers
# differently depending on what else the query asks for, and differently from
# the table made from that view. It hurts anyone who checks a number by adding
# a second column to the query. No such thing happens with read_json or a
# table.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb

con = duckdb.connect()
with open("cells.csv", "w") as f:
    f.write("code,x\n007,1.25\n012,2.75\n100,3.5\n")
con.execute(
    "CREATE VIEW cells AS FROM read_csv('cells.csv', types={'code': 'INTEGER', 'x': 'INTEGER'})"
)
con.execute("CREATE TABLE stored AS FROM cells")

alone = con.execute("SELECT x::DOUBLE FROM cells").fetchall()
beside = con.execute("SELECT x::DOUBLE, x FROM cells").fetchall()
table = con.execute("SELECT x::DOUBLE FROM stored").fetchall()
text_alone = con.execute("SELECT code::VARCHAR FROM cells").fetchall()
text_beside = con.execute("SELECT code::VARCHAR, code FROM cells").fetchall()
print("duckdb", duckdb.__version__)
print("x::DOUBLE alone:           ", [r[0] for r in alone])
print("x::DOUBLE next to x:       ", [r[0] for r in beside])
print("x::DOUBLE from the table:  ", [r[0] for r in table])
print("code::VARCHAR alone:       ", [r[0] for r in text_alone])
print("code::VARCHAR next to code:", [r[0] for r in text_beside])
assert [r[0] for r in table] == [1.0, 3.0, 4.0], "the stored values have changed"
assert [r[0] for r in beside] == [1.0, 3.0, 4.0], "the cast next to the column has changed"
assert [r[0] for r in alone] == [1.25, 2.75, 3.5], "the lone cast now respects the declared type"
assert [r[0] for r in text_beside] == ["7", "12", "100"], "the text next to the column has changed"
assert [r[0] for r in text_alone] == ["007", "012", "100"], "the lone text cast now respects the type"
PY
