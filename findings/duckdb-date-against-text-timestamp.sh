#!/usr/bin/env bash
# DuckDB 2.0.0 compares a DATE column with a text by cutting the text down to
# a date. A filter d >= '2018-06-03 08:00:00' therefore keeps the day
# 2018-06-03, and d = '2018-06-03 23:59:59' is true, whereas the same
# comparison with a timestamp (a typed literal or a datetime parameter) says
# no. One would expect the text to be read as what it is, or an error because
# the clock time does not fit a date. The same goes for bound parameters: from
# Python, passing str or datetime for the same moment gives different row
# counts. Half-open windows, such as the last 24 hours, gain a whole day when
# the bounds arrive as text, as they do from command lines, JSON and web
# forms.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import datetime, duckdb

con = duckdb.connect()
con.execute("CREATE TABLE days AS SELECT DATE '2018-06-01' + i::INTEGER AS d FROM range(5) t(i)")

def count(condition, *parameters):
    return con.execute(f"SELECT count(*) FROM days WHERE {condition}", parameters).fetchone()[0]

moment = datetime.datetime(2018, 6, 3, 8)
as_text = count("d >= '2018-06-03 08:00:00'")
as_typed = count("d >= TIMESTAMP '2018-06-03 08:00:00'")
bound_text = count("d >= ?", str(moment))
bound_typed = count("d >= ?", moment)
equal = count("d = '2018-06-03 23:59:59'")
print("duckdb", duckdb.__version__)
print("days from 3 June, 08:00, of five: literal text", as_text, "literal timestamp", as_typed)
print("bound str", bound_text, "bound datetime", bound_typed)
print("days equal to '2018-06-03 23:59:59':", equal)
assert (as_typed, bound_typed) == (2, 2), "the typed comparison has changed"
assert (as_text, bound_text) == (3, 3), "the text is no longer cut to a date"
assert equal == 1, "a date no longer equals a text with another time"
PY
