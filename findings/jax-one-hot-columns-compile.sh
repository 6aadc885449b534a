#!/usr/bin/env bash
# JAX on a CPU takes ten seconds to compile 300 one-hot columns that are put side by side and multiplied once.
#
# Seen with jax and jaxlib 0.10.2, numpy 2.4.6, Python 3.11, on two processors: 75, 150 and 300 calls of one_hot for one column each
# (4 values, 140 rows), concatenated and multiplied with one matrix, take 1.9, 4.3 and 10 s to compile. The same numbers written as
# one comparison of the columns with a constant row compile in less than 0.1 s, however many there are. Nothing is run: it is the
# compiler that works, and a Keras model with a layer for each categorical column, as tutorials build it, meets it before its first step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import time

import jax
import jax.numpy as jnp
import numpy as np

COLUMNS, VALUES, ROWS = 300, 4, 140


def one_by_one(codes, kernel):
    columns = [jax.nn.one_hot(codes[:, place], VALUES) for place in range(COLUMNS)]
    return jnp.concatenate(columns, axis=1) @ kernel


def at_once(codes, kernel):
    repeated = codes[:, np.repeat(np.arange(COLUMNS), VALUES)]
    return (repeated == np.tile(np.arange(VALUES), COLUMNS)).astype(jnp.float32) @ kernel


codes = np.random.default_rng(0).integers(0, VALUES, (ROWS, COLUMNS)).astype(np.int32)
kernel = np.random.default_rng(1).normal(size=(COLUMNS * VALUES, 64)).astype(np.float32)
seconds, results = {}, {}
for function in (one_by_one, at_once):
    lowered = jax.jit(function).lower(codes, kernel)
    began = time.process_time()
    compiled = lowered.compile()
    seconds[function.__name__] = time.process_time() - began
    results[function.__name__] = np.asarray(compiled(codes, kernel))
print(f"jax {jax.__version__}, numpy {np.__version__}")
print(", ".join(f"{name}: {spent:.2f} s of CPU to compile" for name, spent in seconds.items()))
assert np.allclose(results["one_by_one"], results["at_once"], atol=1e-4), "the two do not give the same numbers"
assert seconds["one_by_one"] > 15 * seconds["at_once"], "one by one is no longer slow to compile"
PYTHON
echo "as described"
