#!/usr/bin/env bash
# DuckDB 2.0.0 writes HUGEINT and UHUGEINT columns to Parquet as DOUBLE. One
# would expect an exact decimal (Parquet has one, and DECIMAL(38,0) is written
# as such) or a refusal. Instead the values are rounded without a word:
# distinct identifiers above 2^53 become equal, so a later join or count of
# distinct values is wrong. It also reaches people who never typed HUGEINT,
# because sum() of any integer column has that type: the exported total of a
# BIGINT column is off by one or more once it passes 2^53. Casting to
# DECIMAL(38,0) before COPY keeps the digits.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb

con = duckdb.connect()
con.execute("CREATE TABLE ids AS SELECT (9007199254740992 + i)::HUGEINT AS id FROM range(4) t(i)")
con.execute("COPY ids TO 'ids.parquet'")
con.execute("COPY (SELECT id::DECIMAL(38,0) AS id FROM ids) TO 'exact.parquet'")
con.execute("CREATE TABLE amounts AS SELECT unnest([9007199254740992, 1]::BIGINT[]) AS amount")
con.execute("COPY (SELECT sum(amount) AS total FROM amounts) TO 'total.parquet'")

def one(sql):
    return con.execute(sql).fetchone()

stored = one("SELECT any_value(typeof(id)), count(DISTINCT id) FROM 'ids.parquet'")
exact = one("SELECT any_value(typeof(id)), count(DISTINCT id) FROM 'exact.parquet'")
before = one("SELECT typeof(sum(amount)), sum(amount) FROM amounts")
after = one("SELECT typeof(total), total::HUGEINT FROM 'total.parquet'")
print("duckdb", duckdb.__version__)
print("four identifiers after COPY:           ", stored)
print("four identifiers cast to DECIMAL first:", exact)
print("a sum of BIGINT before and after COPY: ", before, after)
assert exact == ("DECIMAL(38,0)", 4), "the decimal route has changed"
assert stored[0] == "DOUBLE" and stored[1] < 4, "HUGEINT is no longer stored as DOUBLE"
assert before == ("HUGEINT", 9007199254740993), "the type of sum() has changed"
assert after == ("DOUBLE", 9007199254740992), "the exported sum is now exact"
PY
