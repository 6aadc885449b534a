#!/usr/bin/env bash
# sqlglot 30.30.0, DuckDB to Spark: regexp_replace(s, p, r) changes the first
# match only in DuckDB 2.0.0; the option 'g' asks for all. In Spark (checked
# with pyspark 4.3.0) the function of that name always replaces all matches.
# One would expect the translation to differ for the two forms, or a complaint
# from unsupported_level=RAISE. Both forms become the very same Spark text, so
# the first-only form quietly replaces everything: banana turns into bonono
# where DuckDB says bonana. Cleaning steps such as taking off one prefix, one
# separator or the first zero damage the rest of the text after a move to
# Spark.
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

ours, theirs = both("SELECT regexp_replace('banana', 'a', 'o')")
assert ours == [("bonana",)], "regexp_replace in DuckDB has changed"
assert theirs == [("bonono",)], "the first-only form is now carried over"
ours, theirs = both("SELECT regexp_replace('banana', 'a', 'o', 'g')")
assert ours == theirs == [("bonono",)], "the form with 'g' has changed"
PY
