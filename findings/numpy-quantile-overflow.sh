#!/usr/bin/env bash
# numpy 2.4.6: the median of [-1.7e308, 1.7e308] is 0.0 by np.median, and one
# would expect np.quantile(..., 0.5) to say the same, since any quantile of
# finite numbers lies between the least and the greatest of them. It returns
# minus infinity, and np.percentile(..., 25) plus infinity, because the
# distance of the two neighbours is computed first and overflows. Both results
# lie outside the range of the data, and the second has the wrong sign.
# method='midpoint' fails in the same way. It hurts robust statistics over
# columns that use the largest float as a stand-in for unbounded (limits of an
# optimiser, sentinel values), where a quantile is chosen precisely because
# single extreme values should not matter.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np

data = np.array([-1.7e308, 1.7e308])
with np.errstate(all="ignore"):
    median = float(np.median(data))
    half = float(np.quantile(data, 0.5))
    quarter = float(np.percentile(data, 25))
    midpoint = float(np.quantile(data, 0.5, method="midpoint"))
scaled = float(np.quantile(data / 4, 0.5)) * 4
print("numpy", np.__version__)
print("median", median, "quantile 0.5", half, "percentile 25", quarter, "midpoint", midpoint)
print("quantile 0.5 of the same data divided by four, times four:", scaled)
assert median == 0.0 and scaled == 0.0, "the exact answer has changed"
assert np.isinf(half), "np.quantile no longer overflows"
assert np.isinf(quarter), "np.percentile no longer overflows"
assert np.isinf(midpoint), "the method midpoint no longer overflows"
PY
