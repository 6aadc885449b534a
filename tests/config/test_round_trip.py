"""YAML -> config -> nested YAML -> config is a fixed point: what `pull` writes means what was pushed."""

from __future__ import annotations

import string
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cengine.config.read import load_config, parse_config
from cengine.config.template import to_yaml
from cengine.metrics.table import METRICS
from cengine.networks.encodings import ENCODINGS
from cengine.networks.layers import LAYERS
from cengine.networks.losses import LOSSES
from cengine.networks.optimizers import OPTIMIZERS, SCHEDULES
from cengine.tables import KINDS
from cengine.transforms import FILLINGS, TRANSFORMS
from cengine.transforms.fill import SERIES_FILLINGS
from cengine.transforms.resample import RESAMPLINGS
from cengine.transforms.tuning import LABEL_TUNINGS

POST = Path(__file__).parents[3] / "shared" / "post" / "citibike.yaml"


def written(data):
    """The data as YAML text, a line for each key: any writer would do."""
    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.dump(data, stream)
    return stream.getvalue()


def check_fixed_point(text):
    first = parse_config(text).config
    nested = first.to_nested()
    second = parse_config(to_yaml(nested)).config
    assert second == first
    assert second.to_nested() == nested


@pytest.mark.parametrize("first", string.punctuation)
def test_a_text_that_begins_with_a_mark_of_yaml_comes_back(first) -> None:
    texts = [first, f"{first}0", f"{first} a", f"{first}{first}"]
    written_here = to_yaml({"a": {"b": {text: text for text in texts}, "c": texts}})
    assert YAML(typ="safe", pure=True).load(written_here) == {"a": {"b": {text: text for text in texts}, "c": texts}}


@pytest.mark.real_data
@pytest.mark.skipif(not POST.exists(), reason="the post's YAML is not beside the project")
def test_the_posts_yaml() -> None:
    check_fixed_point(POST.read_text())
    nested = load_config(POST).config.to_nested()
    assert nested["split"] == {
        "categorize": {"by": "start_station_name"},
        "index": {"ratio": {"eval": 0.1, "train": 0.9}},
        "where": ["birth_year > 1900"],
    }
    assert nested["labels"] == {"birth_year": {"transform": "no_transform", "loss": "mse", "metrics": ["mae"]}}
    assert nested["evaluator"] == {"slices": [["birth_year"], ["gender"], ["start_station_name"]]}
    assert nested["preprocessing"]["boolean"]["resampling"] == "threshold"


def test_a_threshold_is_a_share_and_reads_its_earlier_spelling() -> None:
    assert RESAMPLINGS["threshold"](cond="greater_equal", c_value="rain") == RESAMPLINGS["threshold"](
        cond="greater_or_equal", c_value="rain"
    )
    with pytest.raises(ValueError, match="less than or equal to 1"):
        RESAMPLINGS["threshold"](threshold=3)


# Words with parameters beside their defaults, each as the YAML's mapping.
PARAMETERS = {
    "custom": [{"custom_value": value} for value in (0, 1, -2.5, "", "null", "1", True, False, "a: b # c")],
    "scale_by_min_max": [{}, {"min": -1.5, "max": 2.0}, {"max": 7}],
    "bucketize": [{}, {"num_buckets": 3}],
    "compute_and_apply_vocabulary": [{}, {"top_k": 5}, {"num_oov_buckets": 3, "top_k": 1}],
    "one_hot_encode": [{}, {"top_k": 5}],
    "hash_strings": [{}, {"hash_buckets": 5}],
    "calendar": [{}, {"parts": ["year", "day"]}],
    "threshold": [{}, {"cond": "less", "set_value": 2.5}],
    **{name: [{"event_value": v, "duration": 0.5} for v in (1, "on", True)] for name in ("leadup", "followup")},
    "shift": [{"shift_steps": -3}, {"shift_steps": 1, "fill_value": 0.5}],
    "map": [{"mapper": {"0": "runs", "1": 7}}],
    "embedding": [{}, {"dim": 3}],
    "piecewise_linear": [{}, {"num_bins": 5}],
    "bins": [{}, {"num_bins": 5}],
    "periodic": [{}, {"num_frequencies": 5, "sigma": 0.01}],
    "dense": [{"units": 3}, {"units": 3, "activation": "tanh", "kernel_regularizer": {"l2": 1e-05}}],
    **{name: [{"rate": 0.5}] for name in ("dropout", "alpha_dropout", "gaussian_dropout")},
    "gaussian_noise": [{"stddev": 0.1}],
    "activation": [{"activation": "gelu"}],
    **{
        name: [{"units": 3}, {"units": 3, "return_sequences": True, "dropout": 0.5}]
        for name in ("lstm", "gru", "simple_rnn")
    },
    "bidirectional": [{"layer": {"type": "gru", "units": 3}, "merge_mode": "sum"}],
    "conv1d": [{"filters": 3, "kernel_size": 5, "padding": "causal", "dilation_rate": 2}],
    "separable_conv1d": [{"filters": 3, "kernel_size": 5, "strides": 2}],
    "max_pooling1d": [{}, {"pool_size": 3, "strides": 1}],
    "average_pooling1d": [{"pool_size": 3}],
    "multi_head_attention": [{"num_heads": 2, "key_dim": 4}],
    "time_distributed": [{"layer": "relu"}, {"layer": {"type": "dense", "units": 3}}],
    "spatial_dropout1d": [{"rate": 0.5}],
    "masking": [{}, {"mask_value": -1.0}],
    "repeat_vector": [{"n": 4}],
    "permute": [{"dims": [2, 1]}],
    "reshape": [{"target_shape": [-1, 4]}],
    "batch_normalization": [{}, {"momentum": 0.5, "center": False}],
    "relu": [{}, {"max_value": 6.0}],
    "huber": [{}, {"delta": 2.5}],
    "quantile": [{}, {"at": [0.5]}, {"at": [0.025, 0.975]}],
    "binary_crossentropy": [{}, {"label_smoothing": 0.1}],
    "top_k": [{}, {"k": 2}],
    **{name: [{}, {"threshold": 0.25}] for name in ("precision", "recall", "f1")},
    "piecewise_constant_decay": [{"boundaries": [1, 2], "values": [0.1, 0.01, 0.001]}],
    "cosine_decay": [{}, {"alpha": 0.1, "decay_steps": 100}],
}


def words(table, key="method"):
    """A word of a table: a bare name, or a mapping with its parameters within or beside."""

    def spelled(name):
        found = []
        for parameters in PARAMETERS.get(name, [{}]):
            found.append({key: name, **({"parameters": parameters} if key == "method" else parameters)})
            if not parameters:
                found.append(name)
        return st.sampled_from(found)

    return st.sampled_from(sorted(table)).flatmap(spelled)


def maybe(strategies):
    """A mapping with some of the keys."""
    return st.fixed_dictionaries({}, optional=strategies)


NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"),
    min_size=1,
    max_size=8,
)
COLUMN = {
    "filling": words({**FILLINGS, **SERIES_FILLINGS}),
    "transform": st.lists(words(TRANSFORMS), min_size=1, max_size=3),
    "resampling": words(RESAMPLINGS),
}
FEATURE = maybe({**COLUMN, "missing_indicator": st.booleans(), "encoding": words(ENCODINGS)})
LABEL = maybe(
    {
        **COLUMN,
        "label_tuning": st.one_of(words(LABEL_TUNINGS), st.lists(words(LABEL_TUNINGS), min_size=1, max_size=3)),
        "loss": words(LOSSES, "type"),
        "metrics": st.lists(words(METRICS, "type"), min_size=1, max_size=3),
        "sample_weight": NAMES,
        "class_weight": st.one_of(st.just("balanced"), st.dictionaries(NAMES, st.floats(0, 9), min_size=1, max_size=3)),
    }
)
SHARES = st.sampled_from(
    [{"train": 0.9, "eval": 0.1}, {"eval": 0.25, "train": 0.5, "test_2": 0.25}, {"a": 0.001, "train": 0.999}]
)
RATE = st.one_of(st.floats(1e-9, 10.0), words(SCHEDULES, "type"))
OPTIMIZER = st.one_of(
    words(OPTIMIZERS, "type"),
    st.builds(lambda name, rate: {"type": name, "learning_rate": rate}, st.sampled_from(sorted(OPTIMIZERS)), RATE),
)


@st.composite
def splits(draw):
    way = draw(
        st.sampled_from(["ratio", "index_ratio", "category_ratio", "categories", "nested", "folds", "category_folds"])
    )
    found = draw(
        maybe({"where": st.lists(NAMES, min_size=1, max_size=2), "seed": st.integers(0, 2**40), "index_by": NAMES})
    )
    if way == "categories":
        values = st.lists(st.one_of(NAMES, st.integers(), st.booleans(), st.none()), min_size=1, max_size=3)
        train = draw(values)
        taken = {str(value) for value in train}  # a group is in one split
        evaluated = draw(values.map(lambda found: [value for value in found if str(value) not in taken]))
        return found | {"categorize_by": draw(NAMES), "categories": {"train": train, "eval": evaluated}}
    if way == "nested":
        return {"categorize": {"by": draw(NAMES)}, "index": {"by": draw(NAMES), "ratio": draw(SHARES)}}
    if way.endswith("folds"):
        found.pop("index_by", None)  # folds have no order
        groups = {"categorize_by": draw(NAMES)} if way == "category_folds" or draw(st.booleans()) else {}
        return found | groups | {way: draw(st.integers(2, 20))}
    return found | ({"categorize_by": draw(NAMES)} if way != "ratio" else {}) | {way: draw(SHARES)}


SECONDS = st.integers(1, 10**15).map(lambda micros: micros // 10**6 if micros % 10**6 == 0 else micros / 10**6)
SERIES = st.fixed_dictionaries(
    {"process_sequence_w_timestamp": NAMES, "sequence_length": st.integers(1, 1000)},
    optional={
        "process_sequence_w_category": NAMES,
        "resampling_rate_in_secs": SECONDS,
        "trip_gap_threshold_in_secs": SECONDS,
        "sequence_shift": st.integers(1, 9),
        "horizon": st.integers(1, 99),
        "empty_periods": st.sampled_from(["drop", "keep"]),
        "known_in_advance": st.lists(NAMES, max_size=2),
        "season": st.integers(1, 99),
        "label_as_input": st.booleans(),
    },
)
CONFIG = st.fixed_dictionaries(
    {
        "features": st.dictionaries(NAMES, st.one_of(st.none(), FEATURE), min_size=1, max_size=4),
        "labels": st.dictionaries(NAMES, LABEL, min_size=1, max_size=2),
        "split": splits(),
        "trainer": st.fixed_dictionaries(
            {"type": st.sampled_from(["regression", "classification"])},
            optional={
                "layers": st.lists(words(LAYERS, "type"), max_size=3),
                "optimizer": OPTIMIZER,
                "train_steps": st.integers(1, 10**9),
                "last_activation": st.sampled_from(["linear", "sigmoid"]),
                "num_output_units": st.integers(1, 9),
                "early_stopping": st.sampled_from([True, False, 4, {"patience": 2, "min_delta": 0.5}]),
                "seed": st.integers(0, 9),
                "train_batch_size": st.integers(1, 10**6),
                "save_checkpoints_steps": st.integers(1, 10**6),
            },
        ),
    },
    optional={
        "version": st.just(1),
        "evaluator": st.one_of(
            st.dictionaries(NAMES.filter(lambda n: n not in ("slices", "metrics")), st.just({}), max_size=3),
            maybe(
                {
                    "slices": st.lists(st.one_of(NAMES, st.lists(NAMES, min_size=1, max_size=3)), max_size=3),
                    "metrics": st.lists(words(METRICS, "type"), min_size=1, max_size=2),
                }
            ),
        ),
        "timeseries": SERIES,
        "default": st.dictionaries(st.sampled_from(KINDS), maybe(COLUMN), max_size=3),
    },
)


@settings(max_examples=150, deadline=None)
@given(CONFIG)
def test_any_config(config) -> None:
    check_fixed_point(written(config))


def test_every_word_is_generated() -> None:
    required = [
        name
        for table in (
            FILLINGS,
            TRANSFORMS,
            RESAMPLINGS,
            LABEL_TUNINGS,
            ENCODINGS,
            LAYERS,
            LOSSES,
            METRICS,
            OPTIMIZERS,
            SCHEDULES,
        )
        for name, word in table.items()
        if any(field.is_required() for field in word.model_fields.values())
    ]
    assert set(required) <= set(PARAMETERS)
