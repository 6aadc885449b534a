"""A configuration as a dict: it means what the same YAML means, and mistakes are told with their path of keys."""

from __future__ import annotations

import copy
import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import YAML

import cengine
from cengine.config.mapping import mapping_document
from cengine.config.source import parse_document
from cengine.errors import ConfigError

CONFIG = {
    "features": {"x": {"transform": "log"}, "word": {}},
    "labels": {"y": {"loss": "mse", "metrics": ["mae"]}},
    "split": {"categorize_by": "word", "index_ratio": {"train": 0.8, "eval": 0.2}, "where": ["x > 0.5"]},
    "trainer": {"type": "regression", "layers": [{"type": "dense", "units": 4}], "train_steps": 20},
    "evaluator": {"word": {}},
}


def changed(**blocks):
    return {**copy.deepcopy(CONFIG), **blocks}


def test_a_dict_means_what_its_yaml_means() -> None:
    plain = parse_document(YAML).root.plain()
    assert cengine.parse_config(plain).config == cengine.parse_config(YAML).config
    assert cengine.load_config(CONFIG).config == cengine.parse_config(CONFIG).config


def test_the_text_of_a_dict_is_its_yaml() -> None:
    file = cengine.parse_config(CONFIG)
    assert cengine.parse_config(file.document.text).config == file.config


@pytest.mark.parametrize(
    ("config", "place", "told"),
    [
        (changed(features={"x": {"transform": "lgo"}}), "features.x.transform", "unknown transform"),
        (changed(labels={"a b": {"loss": "msee"}}), "labels['a b'].loss", "unknown loss"),
        (
            changed(
                trainer={
                    "type": "regression",
                    "layers": [{"type": "dense", "units": 4}, {"type": "dens"}],
                    "train_steps": 1,
                }
            ),
            "trainer.layers[1]",
            "dens",
        ),
        (changed(split={"ratio": {"train": 0.8, "eval": 0.1}}), "split.ratio", "add up to"),
        (changed(fetures={}), "fetures", "unknown block"),
        (
            {key: value for key, value in CONFIG.items() if key != "labels"},
            "the whole configuration",
            "'labels' is missing",
        ),
        (changed(split={"ratio": {"train": float("nan"), "eval": 0.1}}), "split.ratio.train", "nan"),
        (changed(labels={"y": {"loss": print}}), "labels.y.loss", "cannot stand in a configuration"),
        (changed(labels={("y",): {}}), "labels", "a key must be a text"),
    ],
)
def test_a_mistake_is_told_with_its_path_of_keys(config, place, told) -> None:
    with pytest.raises(ConfigError) as caught:
        cengine.parse_config(config)
    lines = str(caught.value).splitlines()
    assert any(line.strip().startswith(f"--> {place}") for line in lines), lines
    assert told in str(caught.value)
    assert ":1" not in str(caught.value)


def test_numbers_of_other_packages_tuples_and_days() -> None:
    config = changed(
        trainer={
            "type": "regression",
            "layers": ({"type": "dense", "units": np.int64(4)},),
            "train_steps": np.int32(20),
        }
    )
    assert (
        cengine.parse_config(config).config
        == cengine.parse_config(
            changed(trainer={"type": "regression", "layers": [{"type": "dense", "units": 4}], "train_steps": 20})
        ).config
    )
    assert mapping_document({"a": datetime.date(2020, 1, 2)}).root.plain() == {"a": "2020-01-02"}


def test_a_dict_within_itself_and_an_empty_one() -> None:
    config = changed()
    config["features"]["x"] = config
    with pytest.raises(ConfigError, match="within one another"):
        cengine.parse_config(config)
    with pytest.raises(ConfigError, match="empty"):
        cengine.parse_config({})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=5))
def test_any_dict_comes_back_as_it_is(data) -> None:
    assert mapping_document(data).root.plain() == data


def test_it_is_pushed_and_run(terminal) -> None:
    from cengine.datasources.catalogue import active_datasource
    from cengine.runs.pushed import pipeline_config, push_pipeline
    from cengine.store.project import open_project

    terminal(
        "datasource",
        "create",
        "csv",
        terminal.write("t.csv", "x,word,y\n" + "".join(f"{n + 1},{'ab'[n % 2]},{n}\n" for n in range(100))),
    )
    project = open_project(terminal.folder)
    record, new = push_pipeline(project, "mine", cengine.load_config(CONFIG), active_datasource(project))
    assert new
    assert pipeline_config(record).config == cengine.load_config(CONFIG).config
    terminal("pipeline", "run", "mine", "-y")
