#!/usr/bin/env bash
# polars 2.1.0 with pyarrow 26.0.1: pa.table(df) takes a polars frame through
# the Arrow C interface, and a Categorical column arrives as
# dictionary<string_view>. The table looks fine and prints, but pyarrow can do
# next to nothing with that column: casting it to string or string_view,
# decoding it and even writing the table to Parquet all raise
# ArrowNotImplementedError. One would expect a column that came in through the
# public interface to be at least writable. With df.to_arrow() the dictionary
# holds large_string and all of this works, so the outcome depends on which of
# two documented ways was taken. It hurts code that accepts any Arrow-capable
# frame and therefore uses pa.table().
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import polars as pl, pyarrow as pa, pyarrow.parquet as pq

frame = pl.DataFrame({"city": pl.Series(["Rome", "Oslo", "Rome"], dtype=pl.Categorical)})
actions = {
    "cast to string": lambda t: t["city"].cast(pa.string()),
    "cast to string_view": lambda t: t["city"].cast(pa.string_view()),
    "decode": lambda t: t["city"].chunk(0).dictionary_decode(),
    "write to Parquet": lambda t: pq.write_table(t, "city.parquet"),
}

def outcome(action, table):
    try:
        action(table)
        return "works"
    except pa.ArrowNotImplementedError:
        return "not implemented"

by_interface, by_method = pa.table(frame), frame.to_arrow()
print("polars", pl.__version__, "pyarrow", pa.__version__)
print("pa.table(frame): ", by_interface.schema.field("city").type)
print("frame.to_arrow():", by_method.schema.field("city").type)
first = {name: outcome(a, by_interface) for name, a in actions.items()}
second = {name: outcome(a, by_method) for name, a in actions.items()}
for name in actions:
    print(f"{name}: {first[name]} / {second[name]}")
assert by_interface.schema.field("city").type.value_type == pa.string_view(), "the type has changed"
assert set(first.values()) == {"not implemented"}, "pyarrow can now handle the column"
for name in ("cast to string", "decode", "write to Parquet"):
    assert second[name] == "works", "the way through to_arrow() has changed"
PY
