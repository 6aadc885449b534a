"""What holds for every word of every table."""

from __future__ import annotations

import json

import pytest

from cengine.networks.encodings import ENCODINGS
from cengine.networks.layers import LAYERS
from cengine.networks.losses import LOSS_ALIASES, LOSSES
from cengine.networks.metrics import METRIC_ALIASES, METRICS
from cengine.networks.optimizers import OPTIMIZERS, SCHEDULES
from cengine.sources import SOURCES
from cengine.transforms import FILLINGS, TRANSFORMS
from cengine.transforms.resample import LABEL_TUNINGS, RESAMPLINGS

TABLES = {
    "filling": FILLINGS, "transform": TRANSFORMS, "resampling": RESAMPLINGS, "label_tuning": LABEL_TUNINGS, "encoding": ENCODINGS,
    "layer": LAYERS, "loss": LOSSES, "metric": METRICS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "source": SOURCES,
}  # fmt: skip
WORDS = [pytest.param(name, word, id=f"{what}-{name}") for what, table in TABLES.items() for name, word in table.items()]
REQUIRED = {
    "custom": {"custom_value": 1}, "dense": {"units": 2}, "dropout": {"rate": 0.1}, "alpha_dropout": {"rate": 0.1},
    "gaussian_dropout": {"rate": 0.1}, "gaussian_noise": {"stddev": 0.1}, "activation": {"activation": "relu"},
    "piecewise_constant_decay": {"boundaries": [1], "values": [0.1, 0.2]}, "csv": {"path": "x"}, "parquet": {"path": "x"},
    "json": {"path": "x"}, "postgres": {"uri": "postgresql://u@h/d", "table": "x"}, "mysql": {"uri": "mysql://u@h/d", "query": "select 1"},
    "sqlite": {"uri": "x.db", "table": "x"}, "duckdb": {"uri": "x.db", "table": "x"}, "delta": {"path": "x"}, "iceberg": {"path": "x"},
    "excel": {"path": "x"}, "bq": {"project": "some-project", "dataset": "bikes", "table": "trips"},
}  # fmt: skip


@pytest.mark.parametrize(("name", "word"), WORDS)
def test_word_is_listed_under_its_name_and_documented(name, word) -> None:
    assert word.name == name
    assert name == name.lower()
    assert word.__doc__, f"{word.__name__} has no docstring"
    assert len(word.__doc__.strip().splitlines()[0]) > 3


@pytest.mark.parametrize(("name", "word"), WORDS)
def test_identity_is_plain_data_that_tells_parameters_apart(name, word) -> None:
    built = word(**REQUIRED.get(name, {}))
    identity = built.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["word"] == name
    assert identity["version"] == word.version
    assert set(identity) == {"word", "version", *word.model_fields}
    assert word(**json.loads(json.dumps(built.parameters()))) == built


@pytest.mark.parametrize(("name", "word"), WORDS)
def test_word_refuses_parameters_it_does_not_know(name, word) -> None:
    with pytest.raises(ValueError, match="no_such_parameter"):
        word(**REQUIRED.get(name, {}), no_such_parameter=1)


@pytest.mark.parametrize(("aliases", "table"), [(LOSS_ALIASES, LOSSES), (METRIC_ALIASES, METRICS)])
def test_aliases_lead_to_words_and_hide_none(aliases, table) -> None:
    assert set(aliases.values()) <= set(table)
    assert not set(aliases) & set(table)


def test_identity_of_an_optimizer_holds_that_of_its_schedule() -> None:
    rate = SCHEDULES["cosine_decay"](alpha=0.5)
    assert OPTIMIZERS["adam"](learning_rate=rate).identity()["learning_rate"] == rate.identity()
    assert OPTIMIZERS["adam"](learning_rate=0.5).identity() != OPTIMIZERS["adam"](learning_rate=rate).identity()
