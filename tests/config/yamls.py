"""Small YAMLs to test with: one block replaced at a time."""

from __future__ import annotations

import pytest

from cengine.config.read import parse_config
from cengine.errors import ConfigError

BLOCKS = {
    "features": "features: {tripduration: {}}",
    "labels": "labels: {birth_year: {loss: mse}}",
    "split": "split: {ratio: {train: 0.9, eval: 0.1}}",
    "trainer": "trainer: {type: regression, layers: [{type: dense, units: 8}]}",
}


def yaml(**blocks):
    """A YAML, a block a line, in the order above; further blocks follow."""
    return "\n".join((BLOCKS | blocks).values()) + "\n"


def read(**blocks):
    """The configuration of such a YAML."""
    return parse_config(yaml(**blocks), "c.yaml").config


def problems(text):
    """What is wrong with a text: (line:column, message, notes) for each problem."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    return [(str(p.location).removeprefix("c.yaml:"), p.message, p.notes) for p in caught.value.problems]


def only_problem(**blocks):
    """The one thing that is wrong."""
    (problem,) = problems(yaml(**blocks))
    return problem
