"""The YAML that a run keeps: all that its columns take is written out, and it means what the pushed one meant."""

from __future__ import annotations

import pytest

from cengine.config.checks import check
from cengine.config.mapping import mapping_text
from cengine.config.read import parse_config
from cengine.config.resolve import explicit, resolve
from cengine.tables import Column, TableSchema

SCHEMA = TableSchema(
    (
        Column("age: years", "DOUBLE", "float", 3, 0.0, 99.0),
        Column("birth year", "BIGINT", "integer", 0, 1900, 2000),
        Column('is "new"', "BOOLEAN", "boolean", 0, False, True),
        Column("yes", "VARCHAR", "string", 0),
        Column("at", "TIMESTAMP", "timestamp", 0),
        Column("y", "DOUBLE", "float", 0, 0.0, 5.0),
        Column("kind", "VARCHAR", "string", 0),
    ),
    100,
)
YAMLS = {
    "defaults": """
features: {"age: years": {}, birth_year: {}, 'is "new"': {}, "yes": {}, at: {}}
labels: {y: {}}
split: {ratio: {train: 0.9, eval: 0.1}}
trainer: {type: regression, train_steps: 3, layers: [{type: dense, units: 4}, {type: dropout, rate: 0.5}]}
""",
    "flat, with defaults by kind": """
features:
  "AGE: years": {transform: [log, scale_to_z_score], encoding: {method: piecewise_linear, parameters: {num_bins: 4}}}
  birth year: {filling: {method: custom, parameters: {custom_value: 1900}}}
  "yes": {transform: {method: compute_and_apply_vocabulary, parameters: {top_k: 5}}, encoding: {method: embedding, parameters: {dim: 3}}}
labels:
  y: {loss: {type: huber, delta: 2.5}, metrics: [mae, r2], transform: no_transform}
split: {categorize_by: "yes", index_ratio: {train: 0.9, eval: 0.1}, where: ["y > 0.5"], seed: 3}
trainer: {type: regression, epochs: 2.5, optimizer: {type: sgd, learning_rate: {type: cosine_decay, alpha: 0.1, initial_learning_rate: 0.1, decay_steps: 9}},
          early_stopping: 4, layers: [{type: dense, units: 4, kernel_regularizer: {l2: 1e-05}}]}
evaluator: {"yes": {}, birth_year: {}}
default: {float: {filling: min, transform: scale_to_0_1}, integer: {filling: max}}
""",
    "classes": """
features: {y: {filling: mean}}
labels: {kind: {metrics: [accuracy, {type: top_k, k: 2}]}}
split: {categorize: {by: "yes", categories: {train: [a, null, 1], eval: [b]}}}
trainer: {type: classification, epochs: 1}
evaluator: {metrics: [log_loss], slices: [["yes", birth year], [y]]}
""",
}


@pytest.mark.parametrize("name", YAMLS)
def test_it_means_the_same(name) -> None:
    file = parse_config(YAMLS[name])
    resolved, warnings = check(file, SCHEMA)
    text = mapping_text(explicit(file.config, resolved, SCHEMA.lookup).to_nested())
    own = parse_config(text)
    again, told = check(own, SCHEMA)
    assert again == resolved == resolve(own.config, SCHEMA)
    assert [warning.message for warning in told] == [warning.message for warning in warnings]
    assert mapping_text(explicit(own.config, again, SCHEMA.lookup).to_nested()) == text
    assert own.config.preprocessing == {}
    assert all(column.filling and column.transform and column.encoding for column in own.config.features.values())
