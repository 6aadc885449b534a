#!/usr/bin/env bash
# sqlglot 30.30.0, DuckDB to Spark: dayofweek and extract(dow ...) count from
# Sunday = 0 in DuckDB 2.0.0 and from Sunday = 1 in Spark (checked with
# pyspark 4.3.0). One would expect the translation to subtract one. It passes
# the call on as it is, without a word even under unsupported_level=RAISE, so
# a filter for weekends, dayofweek(d) IN (0, 6), finds Friday and no Sunday at
# all. isodow is rewritten, but with the correction for the opposite direction
# (from Monday = 1 to Sunday = 1), so Sunday comes out as 2 where DuckDB says
# 7. Weekday reports, rosters and opening hours are shifted by a day.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v java >/dev/null || { echo "this check needs Java 17 or newer for Spark" >&2; exit 2; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 sqlglot==30.30.0 pyspark==4.3.0
cd "$work"
"$work/venv/bin/python" - 2>"$work/log" <<'PY' || { tail -n 5 "$work/log" >&2; exit 1; }
import duckdb, pyspark, sqlglot
from pyspark.sql import SparkSession

spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.sql.shuffle.partitions", "1").getOrCreate())
print("duckdb", duckdb.__version__, "sqlglot", sqlglot.__version__, "pyspark", pyspark.__version__)

def both(sql):
    # RAISE makes sqlglot complain about anything it knows it cannot carry over.
    text = sqlglot.transpile(sql, read="duckdb", write="spark",
                             unsupported_level=sqlglot.ErrorLevel.RAISE)[0]
    ours = duckdb.sql(sql).fetchall()
    theirs = [tuple(row) for row in spark.sql(text).collect()]
    print(sql, "->", text)
    print("  duckdb", ours, "spark", theirs)
    return ours, theirs

sunday = "DATE '2024-06-02'"
ours, theirs = both(f"SELECT dayofweek({sunday}), extract(dow FROM {sunday}), isodow({sunday})")
assert ours == [(0, 0, 7)], "the numbering in DuckDB has changed"
assert theirs == [(1, 1, 2)], "the numbering of weekdays is now carried over"
weekend = ("SELECT d FROM (VALUES (DATE '2024-05-31'), (DATE '2024-06-01'), (DATE '2024-06-02')) t(d)"
           " WHERE dayofweek(d) IN (0, 6) ORDER BY d")
ours, theirs = both(weekend)
assert [r[0].day for r in ours] == [1, 2], "the weekend in DuckDB has changed"
assert [r[0].day for r in theirs] == [31], "the weekend is now carried over"
PY
