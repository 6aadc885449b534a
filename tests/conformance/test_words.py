"""Every word comes back from what a fingerprint reads of it."""

from __future__ import annotations

import json

import pytest
from test_networks import LAYER_ARGUMENTS

from cengine.metrics.table import METRICS
from cengine.networks.encodings import ENCODINGS
from cengine.networks.layers import LAYERS
from cengine.networks.losses import LOSSES
from cengine.networks.optimizers import OPTIMIZERS, SCHEDULES
from cengine.tasks import TASKS
from cengine.transforms import FILLINGS, TRANSFORMS
from cengine.words import read

TABLES = {"encoding": ENCODINGS, "filling": FILLINGS, "layer": LAYERS, "loss": LOSSES, "metric": METRICS, "optimizer": OPTIMIZERS,
          "schedule": SCHEDULES, "task": TASKS, "transform": TRANSFORMS}  # fmt: skip
ARGUMENTS = {
    **LAYER_ARGUMENTS, "custom": {"custom_value": "a"}, "scale_by_min_max": {"min": -1, "max": 1}, "bucketize": {"num_buckets": 3},
    "hash_strings": {"hash_buckets": 5}, "dropout": {"rate": 0.25}, "piecewise_constant_decay": {"boundaries": [1], "values": [0.1, 0.01]},
}  # fmt: skip


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, table in TABLES.items() for name in table])
def test_reading_is_the_inverse_of_telling(what, name) -> None:
    word = TABLES[what][name](**ARGUMENTS.get(name, {}))
    assert read(json.loads(json.dumps(word.identity())), TABLES[what]) == word


def test_words_within_words_come_back() -> None:
    adam = OPTIMIZERS["adam"](learning_rate=SCHEDULES["cosine_decay"](alpha=0.5), clipnorm=1.0)
    assert read(json.loads(json.dumps(adam.identity())), OPTIMIZERS) == adam
