#!/usr/bin/env bash
# DuckDB 2.0.0 needs more than linear time to plan a long chain of additions.
# A sum of products, a*b + c*d + ..., is what a linear model or a weighted
# score becomes when it is written as SQL, with one term per feature. Four
# times the terms should cost about four times the planning, yet here it costs
# more than eight times; the row count plays no part, for the table has a
# single row. The same terms with brackets that make a balanced tree are
# planned in a small part of the time, and so are they inside list_sum([...]),
# so the length of the text is not to blame but the depth of the chain. (Above
# 1,000 terms max_expression_depth has to be raised first.) Generated queries
# with several thousand terms take minutes before a row is read.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb, time

con = duckdb.connect()
con.execute("SET max_expression_depth TO 100000")
columns = 60
con.execute("CREATE TABLE features AS SELECT "
            + ", ".join(f"{i}.5::DOUBLE AS c{i}" for i in range(columns)))

def terms(n):
    return [f"c{i % columns} * c{(i // columns + i) % columns}" for i in range(n)]

def balanced(parts):
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({balanced(parts[:half])} + {balanced(parts[half:])})"

def seconds(expression, repeats):
    best = None
    for _ in range(repeats):
        start = time.perf_counter()
        con.execute(f"SELECT {expression} FROM features").fetchall()
        taken = time.perf_counter() - start
        best = taken if best is None else min(best, taken)
    return best

seconds(" + ".join(terms(50)), 2)
short = seconds(" + ".join(terms(400)), 3)
long = seconds(" + ".join(terms(1600)), 1)
tree = seconds(balanced(terms(1600)), 2)
listed = seconds("list_sum([" + ", ".join(terms(1600)) + "])", 2)
print("duckdb", duckdb.__version__)
print(f"chain of 400 terms {short:.2f} s, of 1,600 terms {long:.2f} s, ratio {long / short:.0f}")
print(f"1,600 terms as a balanced tree {tree:.2f} s, in list_sum {listed:.2f} s")
assert long / short > 8, "planning a long chain is now close to linear"
assert long / tree > 4, "a balanced tree is no longer much faster than the chain"
PY
