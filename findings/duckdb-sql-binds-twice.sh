#!/usr/bin/env bash
# DuckDB 2.0.0 (Python) warns whoever takes an Arrow table from
# execute(query): it would make an extra copy of the rows, and
# sql(query).to_arrow_table() is to be used instead. But sql() binds and plans
# the query to know its columns, and to_arrow_table() does so again. Of a query
# with thousands of aggregates, as a table of a thousand columns is described
# by, planning is nearly all of the work, and the copy is one row: what is
# recommended then takes a third more CPU. For a query whose result is
# large and whose text is short it is the other way round.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 pyarrow==22.0.0
"$work/venv/bin/python" - <<'PY'
import time
import warnings

import duckdb
import pyarrow

NUM_COLUMNS = 1000
con = duckdb.connect()
con.execute("SET threads = 1")
con.execute("CREATE TABLE wide AS SELECT " + ", ".join(f"random() AS c{i}" for i in range(NUM_COLUMNS)) + " FROM range(200)")
parts = ", ".join(f"sum(c{i}), min(c{i}), max(c{i}), count(c{i})" for i in range(NUM_COLUMNS))
query = f"SELECT {parts} FROM wide"


def least_cpu(run):
    seconds = []
    for _ in range(7):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


recommended = least_cpu(lambda: con.sql(query).to_arrow_table())
bind_only = least_cpu(lambda: con.sql(query))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    warned = least_cpu(lambda: con.execute(query).to_arrow_table())
print("duckdb", duckdb.__version__, "pyarrow", pyarrow.__version__)
print(f"sql(query).to_arrow_table():     {recommended:.3f} s of CPU, of which sql(query) alone {bind_only:.3f}")
print(f"execute(query).to_arrow_table(): {warned:.3f} s of CPU")
print("the warning:", told[0].message)
assert any("extra copy" in str(one.message) for one in told), "execute no longer warns"
assert bind_only > 0.2 * recommended, "sql() no longer binds the query by itself"
assert recommended > 1.2 * warned, "the recommended way is no longer slower for a wide query of one row"
PY
