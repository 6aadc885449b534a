#!/usr/bin/env bash
# DuckDB 2.0.0 hands 128-bit integers to Arrow as decimal128(38, 0). Values
# that do not fit should raise an error, or travel as text. Instead the upper
# half of UHUGEINT comes out negative: the greatest value arrives in pyarrow
# 26.0.1 as -1, although the column is unsigned and fetchall() gives the right
# number. Below that, values with 39 digits end up in a decimal that is
# declared to hold 38, which the validation of pyarrow itself rejects. This
# hurts people who keep hashes (such as md5_number) or 128-bit keys in
# UHUGEINT and move them to pandas, polars or another tool through Arrow: half
# of all evenly spread keys change value, silently.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb, pyarrow as pa

con = duckdb.connect()
top = 2**128 - 1
query = f"SELECT {top}::UHUGEINT AS k UNION ALL SELECT {2**127}::UHUGEINT ORDER BY k"
direct = [r[0] for r in con.execute(query).fetchall()]
table = con.sql(query).to_arrow_table()
arrow = [int(v) for v in table["k"].to_pylist()]
print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
print("fetchall:", direct)
print("arrow:   ", arrow, table.schema.field("k").type)
assert direct == [2**127, top], "fetchall has changed"
assert table.schema.field("k").type == pa.decimal128(38, 0), "the Arrow type has changed"
assert arrow == [-(2**127), -1], "UHUGEINT no longer turns negative in Arrow"

small = con.sql(f"SELECT {10**38}::HUGEINT AS k").to_arrow_table()
try:
    small.validate(full=True)
except pa.ArrowInvalid:
    print("10^38 arrives in a decimal that pyarrow's own validation rejects")
else:
    raise SystemExit("10^38 now passes the validation of pyarrow")

hashed = con.sql(
    "SELECT md5_number(i::VARCHAR) AS k FROM range(1000) t(i)").to_arrow_table()["k"].to_pylist()
negative = sum(v < 0 for v in hashed)
print("negative among 1,000 values of md5_number:", negative)
assert negative > 300, "md5_number is no longer damaged on the way to Arrow"
PY
