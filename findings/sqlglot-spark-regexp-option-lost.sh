#!/usr/bin/env bash
# sqlglot 30.30.0, DuckDB to Spark: regexp_matches(s, p, 'i') ignores case in
# DuckDB 2.0.0. The translation to Spark (checked with pyspark 4.3.0) is s
# RLIKE p: the third argument is dropped, and the search is case sensitive.
# One would expect the pattern to get the prefix (?i), which Spark knows, as
# the same call to Postgres becomes the case-insensitive operator ~*; or an
# error, since an argument is thrown away. Nothing is reported, even with
# unsupported_level=RAISE. Searches for a word in log lines or names find
# fewer rows after a move to Spark, and counts fall.
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

ours, theirs = both("SELECT count(*) FROM (VALUES ('Error'), ('ERROR'), ('error')) t(s)"
                    " WHERE regexp_matches(s, 'error', 'i')")
assert ours == [(3,)], "the option 'i' in DuckDB has changed"
assert theirs == [(1,)], "the option 'i' is now carried over to Spark"
postgres = sqlglot.transpile("SELECT regexp_matches(s, 'error', 'i')", read="duckdb", write="postgres")[0]
print("to Postgres:", postgres)
assert "~*" in postgres, "the translation to Postgres has changed"
PY
