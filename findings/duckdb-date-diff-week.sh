#!/usr/bin/env bash
# DuckDB 2.0.0: date_diff(part, a, b) is described as the number of part
# boundaries between two dates, and counts that way for day, month, quarter
# and year: from 31 May to 1 June is one month. For week it does something
# else, namely whole spans of seven days: from Sunday to the Monday after it
# gives 0, and so does Wednesday to Monday, although date_trunc('week', ...)
# puts the two days in different weeks. One would expect the difference of the
# truncated weeks. Anyone who numbers weeks since a start date (cohorts,
# sprints, retention) gets groups that do not agree with date_trunc, and
# BigQuery or SQL Server, whose functions of the same name count boundaries,
# give other answers.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb

con = duckdb.connect()

def diff(part, a, b):
    return con.execute(f"SELECT date_diff('{part}', DATE '{a}', DATE '{b}')").fetchone()[0]

month = diff("month", "2024-05-31", "2024-06-01")
year = diff("year", "2023-12-31", "2024-01-01")
print("duckdb", duckdb.__version__)
print("31 May to 1 June in months:", month, "- New Year's Eve to New Year's Day in years:", year)
assert (month, year) == (1, 1), "months or years no longer count boundaries"

pairs = con.execute("""
    SELECT count(*), count(*) FILTER (
        date_diff('week', a, b)
        <> date_diff('day', date_trunc('week', a), date_trunc('week', b)) // 7)
    FROM (SELECT DATE '2024-06-03' + i::INTEGER AS a, DATE '2024-06-03' + j::INTEGER AS b
          FROM range(28) t(i), range(28) u(j) WHERE j >= i)""").fetchone()
sunday, wednesday = diff("week", "2024-06-09", "2024-06-10"), diff("week", "2024-06-05", "2024-06-10")
print("Sunday to Monday in weeks:", sunday, "- Wednesday to Monday in weeks:", wednesday)
print("pairs of days within four weeks:", pairs[0], "of which disagree with date_trunc:", pairs[1])
assert (sunday, wednesday) == (0, 0), "date_diff('week') now counts week boundaries"
assert pairs[1] > 0, "date_diff('week') now agrees with date_trunc"
PY
