#!/usr/bin/env bash
# sqlglot 30.30.0, DuckDB to Spark: log(x) with one argument is the logarithm
# to base 10 in DuckDB 2.0.0 and the natural logarithm in Spark (checked with
# pyspark 4.3.0). The translator knows log10 and ln, so one would expect
# LOG10(x). It writes LOG(x), which is valid in Spark and returns 4.6 in place
# of 2 for 100. Nothing is reported, not even with unsupported_level=RAISE.
# Decibels, pH values, orders of magnitude and every score on a logarithmic
# scale are off by a factor of 2.3 after a move to Spark, while the curves
# keep their shape, so the mistake is easy to miss.
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

ours, theirs = both("SELECT log(100)")
assert abs(ours[0][0] - 2) < 1e-12, "log() in DuckDB has changed its base"
assert abs(theirs[0][0] - 4.605170185988092) < 1e-9, "log(x) is now carried over with its base"
ours, theirs = both("SELECT log10(100), ln(100)")
assert all(abs(a - b) < 1e-9 for a, b in zip(ours[0], theirs[0])), "log10 or ln has changed"
PY
