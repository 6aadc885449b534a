#!/usr/bin/env bash
# DuckDB 2.0.0 guesses the types of a CSV file from its first 20,480 lines. If
# a column holds whole numbers there and decimals further down, the column is
# BIGINT, and one would expect the first decimal to raise a conversion error,
# as the first word does, or at least to be listed when the caller asks for
# rejects. Instead every decimal is rounded to a whole number: no error, no
# warning, and an empty table of rejects. The guesser itself is stricter than
# the reader, for with sample_size=-1 the same column is DOUBLE. Sums and
# means over long files are wrong by an amount nobody sees; a price column
# that starts with round prices is enough.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb

con = duckdb.connect()
with open("prices.csv", "w") as f:
    f.write("id,price\n")
    for i in range(60000):
        f.write(f"{i},{i % 10}\n")
    for i in range(3000):
        f.write(f"{60000 + i},{i % 10}.5\n")

def total(options):
    return con.execute(
        f"SELECT any_value(typeof(price)), sum(price) FROM read_csv('prices.csv'{options})"
    ).fetchall()[0]

guessed = total(", store_rejects=true")
rejects = con.execute("SELECT count(*) FROM reject_errors").fetchone()[0]
whole = total(", sample_size=-1")
print("duckdb", duckdb.__version__)
print("type and sum with the default sample:", guessed, "rejects:", rejects)
print("type and sum with the whole file as sample:", whole)
assert whole == ("DOUBLE", 285000.0), "the exact sum has changed"
assert guessed == ("BIGINT", 286500), "decimals are no longer rounded silently"
assert rejects == 0, "rounded cells are now listed as rejects"

with open("words.csv", "w") as f:
    f.write("price\n" + "1\n" * 60000 + "cheap\n")
try:
    con.execute("SELECT sum(price) FROM 'words.csv'").fetchall()
except duckdb.ConversionException:
    print("a late word in the same place does raise a conversion error")
else:
    raise SystemExit("a late word no longer raises")
PY
