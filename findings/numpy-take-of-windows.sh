#!/usr/bin/env bash
# A sliding window view of NumPy 2.3.5 costs no memory, and indexing it with
# row numbers copies those rows alone. Its method `take` with the same numbers
# gives the same array, but first makes a contiguous copy of the whole view:
# 8 rows of a view of 200,000 windows of 168 numbers allocate 134 MB on the
# way, 25,000 times the 5 kB of the result. `take` is what is usually advised
# as the faster way to pick rows. Of twenty million points with windows of a
# week of hours the copy would be 13 GB for each batch. The view is valid and
# the result is right; nothing but time and memory tells of the copy.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import tracemalloc

import numpy as np

points = np.arange(200_000, dtype=np.float32)
windows = np.lib.stride_tricks.sliding_window_view(points, 168)
chosen = np.arange(0, len(windows), len(windows) // 8)[:8]


def peak(pick):
    tracemalloc.start()
    found = pick()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, size


indexed, of_index = peak(lambda: windows[chosen])
taken, of_take = peak(lambda: windows.take(chosen, axis=0))
print("numpy", np.__version__, "result", indexed.nbytes, "bytes")
print(f"indexing allocates {of_index:,} bytes at most, take {of_take:,}")
assert np.array_equal(indexed, taken), "the two are not the same any more"
assert of_index < 4 * indexed.nbytes, "indexing copies more than its rows now"
assert of_take > 0.9 * windows.nbytes, "take copies no more than its rows now"
PY
