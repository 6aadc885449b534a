"""Whatever stands where in a YAML: a configuration, or a ConfigError that says where; never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checks import SCHEMA
from yamls import yaml

from cengine.config.checks import check
from cengine.config.read import ConfigFile, parse_config
from cengine.config.source import MAX_DEPTH, parse_document
from cengine.errors import ConfigError

# Every block, and every place of a word, once in the nested spelling and once in the flat one.
NESTED = {
    "version": 1,
    "features": {
        "tripduration": {"filling": "mean", "transform": ["log", "scale_to_z_score"]},
        "start_station_id": {
            "transform": {"method": "compute_and_apply_vocabulary", "parameters": {"top_k": 40, "num_oov_buckets": 2}},
            "encoding": {"method": "embedding", "parameters": {"dim": 4}},
        },
        "usertype": {"filling": {"method": "custom", "parameters": {"custom_value": "none"}}},
        "starttime": {},
    },
    "labels": {
        "birth_year": {
            "loss": {"type": "huber", "delta": 2.0},
            "metrics": ["mae", {"type": "rmse"}],
            "transform": "scale_to_z_score",
        }
    },
    "split": {
        "categorize": {"by": "start_station_name"},
        "index": {"by": "starttime", "ratio": {"train": 0.8, "eval": 0.1, "test": 0.1}},
        "where": ["birth_year > 1900", "usertype = 'Subscriber'"],
        "seed": 3,
    },
    "trainer": {
        "type": "regression",
        "architecture": "feedforward",
        "layers": [
            {"type": "dense", "units": 8, "activation": "relu", "kernel_regularizer": {"l2": 0.01}},
            {"type": "dropout", "rate": 0.1},
            "batch_normalization",
        ],
        "last_activation": "linear",
        "num_output_units": 1,
        "optimizer": {
            "type": "adam",
            "learning_rate": {
                "type": "exponential_decay",
                "initial_learning_rate": 0.01,
                "decay_steps": 10,
                "decay_rate": 0.9,
            },
        },
        "train_steps": 20,
        "train_batch_size": 64,
        "save_checkpoints_steps": 10,
        "early_stopping": {"patience": 2, "min_delta": 0.1},
        "seed": 1,
    },
    "evaluator": {"slices": [["usertype"], ["usertype", "member"]], "metrics": ["r2"]},
    "preprocessing": {"integer": {"filling": "max", "transform": "scale_to_0_1"}},
}
FLAT = {
    "features": ["tripduration", "usertype"],
    "labels": {"member": {"loss": "binary_crossentropy", "metrics": "auc"}},
    "split": {
        "categorize_by": "usertype",
        "categories": {"train": ["a", "b"], "eval": ["c", 1]},
        "where": "birth_year > 1900",
    },
    "trainer": {"type": "classification", "optimizer": "adam", "epochs": 2.5, "early_stopping": 3},
    "evaluator": {"usertype": {}, "metrics": "accuracy"},
    "default": {"string": {"transform": {"method": "hash_strings", "parameters": {"hash_buckets": 9}}}},
}
# What may stand in the place of anything, as YAML.
ODD = [
    "{}", "{a: 1}", "{dense: 8}", "{type: {dense: 8}}", "{method: [a]}", "{type: null}", "{parameters: {}}", "{type: dense, parameters: [1]}",
    "[]", "[1]", "[[x]]", "[null]", "[{}]", "[[[{a: [b]}]]]", "0", "-1", "1.5", "1e400", ".nan", "-.inf", "123456789012345678901234567890",
    "4294967296", "null", "true", "2020-01-01", "2020-01-01 12:00:00+05:00", "12:30:00", "0x1F", "0o17", "''", "' '", '"\\0"', '"\\ud800"',
    "ünï", "x" * 5_000, "9" * 5_000, "[" * 60 + "]" * 60, "{a: " * 60 + "}" * 60,
    "!mine 3", "!!int x", "!!str 3", "!!float 1", "!!bool maybe", "!!null x", "!!set {a, b}", "!!omap [a: 1]", "!!binary aGk=", "!!timestamp x", "!!seq {a: 1}",
    "!!map [1]", "!!python/object/apply:os.system [ls]", "!<tag:yaml.org,2002:str> 3", "! 3", "&a [*a]", "&a {a: *a}", "*nowhere", "&a", "&a x",
    "{1: 2}", "{null: 1}", "{true: 1}", "{1.5: 1}", "{[a]: 1}", "{{a: b}: c}", "{? [x] : y}", "{2020-01-01: 1}", "{a: 1, a: 2}", "{1: a, '1': b}", "{'': 1}",
    "{<<: 1}", "{<<: {a: 1}}", "{<<: [{a: 1}, 2]}", "{!mine a: 1}", "{&k a: *k}", "2020-13-45", "9999-99-99", "=", "<<", "~", "@x", "`x`", "%x", "|", ">",
    "? a", "- a", "a: b", "'x", "{", "[", "}",
]  # fmt: skip


class Raw(str):
    """YAML as it is."""


def emitted(value: Any) -> str:
    """The value in flow style."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{key if isinstance(key, Raw) else json.dumps(key)}: {emitted(item)}" for key, item in value.items()
            )
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(emitted, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value)


def document(config: dict[str, Any]) -> str:
    """A YAML with a block a line."""
    return "\n".join(f"{key}: {emitted(value)}" for key, value in config.items()) + "\n"


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of a configuration; one that ends in ("key", k) is that of a key."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(item, (*path, key))
        if isinstance(value, dict) and path:
            yield (*path, "key", key)


def replaced(value: Any, path: tuple[Any, ...], odd: str) -> Any:
    """The configuration with one place replaced."""
    if not path:
        return Raw(odd)
    if path[0] == "key" and isinstance(value, dict) and len(path) == 2 and "key" not in value:
        return {(Raw(odd) if key == path[1] else key): item for key, item in value.items()}
    if isinstance(value, dict):
        return {key: replaced(item, path[1:], odd) if key == path[0] else item for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, path[1:], odd) if number == path[0] else item for number, item in enumerate(value)]
    return value  # replaced already


PLACES = [(config, path) for config in (NESTED, FLAT) for path in paths(config)]


def read(text: str) -> ConfigFile | None:
    """The configuration, or None where a ConfigError says what is wrong and where."""
    try:
        file = parse_config(text, "c.yaml")
        check(file, SCHEMA)
    except ConfigError as error:
        assert error.exit_code == 3
        assert error.problems
        lines = text.splitlines()
        for problem in error.problems:
            assert problem.message
            assert problem.location is not None, problem.message
            assert 1 <= problem.location.line <= len(lines) + 1
            assert problem.location.column >= 1
        assert len(error.render()) < 200_000
        return None
    return file


def test_the_configurations_are_valid_before_they_are_changed() -> None:
    assert read(document(NESTED)) is not None
    assert read(document(FLAT)) is not None


def test_anything_in_any_place() -> None:
    # Every odd thing in five places, which together are all of them; the slow test tries more of the pairs.
    for number, odd in enumerate(ODD):
        for config, path in PLACES[number % 40 :: 40]:
            read(document(replaced(config, path, odd)))


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD, ids=[str(number) for number in range(len(ODD))])
def test_anything_in_many_places(odd: str) -> None:
    for config, path in PLACES[ODD.index(odd) % 6 :: 6]:
        read(document(replaced(config, path, odd)))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from((NESTED, FLAT)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, len(ODD) - 1)), min_size=2, max_size=4),
)
def test_several_odd_things_at_once(config: dict[str, Any], changes: list[tuple[int, int]]) -> None:
    places = list(paths(config))
    for place, odd in changes:
        config = replaced(config, places[place % len(places)], ODD[odd])
    read(document(config))


def refused(text: str) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    (problem,) = caught.value.problems
    return str(problem.location).removeprefix("c.yaml:"), problem.message


@pytest.mark.parametrize(
    ("blocks", "place", "message"),
    [
        (
            {"trainer": "trainer: {type: regression, layers: [{type: {dense: 8}}]}"},
            "4:45",
            "expected the name of a layer, found a mapping",
        ),
        (
            {"trainer": "trainer: {type: regression, optimizer: {type: [adam]}}"},
            "4:47",
            "expected the name of an optimizer, found a list",
        ),
        ({"trainer": "trainer: {type: {name: regression}}"}, "4:17", "'type' must be a name, found a mapping"),
        ({"features": "features: {a: {filling: {method: 3}}}"}, "1:34", "expected the name of a filling, found 3"),
        ({"labels": "labels: {a: {loss: {type: null}}}"}, "2:21", "expected the name of a loss, found nothing"),
    ],
)
def test_something_else_where_a_name_stands(blocks: dict[str, str], place: str, message: str) -> None:
    assert refused(yaml(**blocks)) == (place, message)


def test_a_message_says_how_a_word_is_written() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml(trainer="trainer: {type: regression, layers: [{type: {dense: 8}}]}"))
    assert caught.value.problems[0].notes == ("write dense, or with parameters {type: dense, PARAMETER: VALUE}",)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: " + "[" * 500, "1:53", "values are nested more than 50 levels deep"),
        ("\n".join(f"{'  ' * level}a:" for level in range(60)), "50:99", "values are nested more than 50 levels deep"),
        (
            "\n".join(["l0: &l0 [1]", *(f"l{n}: &l{n} [*l{n - 1}]" for n in range(1, 90))]),
            "1:10",
            "values are nested more than 50 levels deep once aliases are expanded",
        ),
        ("a: 1\n? [b]\n: 2", "2:3", "a key is a name, found a list or a mapping"),
        ("a: !!bool maybe", "1:4", "'maybe' cannot be read as true or false"),
        ("a: " + "9" * 5000, "1:4", f"'{'9' * 20}...' cannot be read as a whole number"),
        ('a: "\\ud800"', "1:4", "the text holds an escape that stands for no character"),
        ("a: {<<: 3}", "1:9", "`<<` takes in a mapping, such as `<<: *name`"),
        ("!mine k: 1", "1:1", "tags and special YAML types are not allowed here"),
        ("a: 1\nb: \x07", "2:4", "YAML does not allow the character U+0007"),
        ("a: 1\nnull: 2\n'null': 3", "3:1", "the key 'null' is given twice"),
    ],
)
def test_what_yaml_allows_and_a_configuration_does_not(text: str, place: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "c.yaml")
    (problem,) = caught.value.problems
    assert (str(problem.location).removeprefix("c.yaml:"), problem.message) == (place, message)


def test_fifty_levels_are_read() -> None:
    assert parse_document("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)).root.plain()["a"]


def test_keys_and_times_are_as_they_are_written() -> None:
    text = "{null: a, true: b, 1.50: c, 0x1F: d, 2018-06-01: e, '': f, t: 2018-06-01 12:00:00+05:00, d: 2020-13-45}"
    assert parse_document(text).root.plain() == {
        "null": "a",
        "true": "b",
        "1.50": "c",
        "0x1F": "d",
        "2018-06-01": "e",
        "": "f",
        "t": "2018-06-01 12:00:00+05:00",
        "d": "2020-13-45",
    }
