"""Every activation, layer and encoder as SQL, against Keras, on every engine; a new word without such a form fails here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from engines_tried import opened
from sql_tried import ENGINES, loaded, ran

from cengine.exports.sql import assembled
from cengine.exports.sql_dialects import dialect_named
from cengine.exports.sql_layers import Layers
from cengine.exports.sql_tracing import KNOWN, Traced
from cengine.networks import encoders
from cengine.networks.activations import ACTIVATIONS
from cengine.networks.keras_setup import import_keras
from cengine.networks.layers import ROW_LAYERS
from cengine.tensors import FLOAT, INT64

WIDTH, CODES = 4, 7
# Between them what is above and below each bend of a function, and what exponentials have no numbers for.
POINTS = [
    0.0,
    -0.0,
    1e-30,
    -1e-30,
    0.3,
    -0.3,
    1.0,
    -1.0,
    2.9,
    -2.9,
    3.1,
    -3.1,
    5.9,
    6.1,
    20.0,
    -20.0,
    100.0,
    -100.0,
    1e18,
    -1e18,
]
ARGUMENTS = {
    "dense": {"units": 3, "activation": "tanh"}, "dropout": {"rate": 0.5}, "alpha_dropout": {"rate": 0.5},
    "gaussian_dropout": {"rate": 0.5}, "gaussian_noise": {"stddev": 0.1}, "activation": {"activation": "softmax"},
    "relu": {"max_value": 2.5, "negative_slope": 0.1, "threshold": 0.5},
}  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory):
    """An engine with a table of numbers x0..x3 and codes x4."""
    with opened(request.param, tmp_path_factory.mktemp("scratch"), request) as engine:
        loaded(engine, rows())
        yield engine


def rows() -> pa.Table:
    random = np.random.default_rng(3)
    numbers = np.array([np.roll(POINTS, place * 7) for place in range(WIDTH)], np.float32)
    numbers = np.hstack(
        [numbers, random.normal(0, 2, (WIDTH, 30)).astype(np.float32), np.zeros((WIDTH, 1), np.float32)]
    )
    codes = np.arange(numbers.shape[1]) % CODES
    columns = {f"x{place}": numbers[place].astype(np.float64) for place in range(WIDTH)}
    return pa.table({**columns, f"x{WIDTH}": codes, "row": np.arange(numbers.shape[1])})


def arrays() -> tuple[np.ndarray, np.ndarray]:
    table = rows()
    numbers = np.column_stack([table[f"x{place}"].to_numpy() for place in range(WIDTH)]).astype(np.float32)
    return numbers, table[f"x{WIDTH}"].to_numpy().astype(np.int32).reshape(-1, 1)


def statement(dialect: str, forms) -> str:
    """One statement of the forms, each a function of the tensors of the numbers and the codes."""
    graph, spoken = Traced(), dialect_named(dialect)
    numbers, codes = graph.input("numbers", FLOAT, (None, WIDTH)), graph.input("codes", INT64, (None, 1))
    outputs = {name: form(numbers, codes).name for name, form in forms.items()}
    layers = Layers(graph, spoken, [*(f"x{place}" for place in range(WIDTH + 1)), "r"])
    layers.give("numbers", [f"x{place}" for place in range(WIDTH)])
    layers.give("codes", [f"x{WIDTH}"])
    layers.calculate(outputs.values())
    last = max(layers.values[output].level for output in outputs.values())
    selected = [("row", "r")]
    for name, output in outputs.items():
        texts = layers.read(layers.values[output], last)
        selected += [(f"{name} {place}", text) for place, text in enumerate(texts)]
    first = [*((f"x{place}", f"x{place}") for place in range(WIDTH + 1)), ("r", spoken.quoted("row"))]
    parts = [first, *[[("r", "r"), *level] for level in layers.levels(last)]]
    return assembled(spoken, "rows", parts, selected)


def compared(engine, forms, expected) -> None:
    """Compares the answer of an engine with arrays (rows, n) by name, where these are numbers of 32 bits."""
    found = ran(engine, statement(engine.dialect, forms)).sort_by("row")
    wrong = []
    for name, wanted in expected.items():
        wanted = np.asarray(wanted, np.float64)
        cells = np.column_stack(
            [np.array(found[f"{name} {place}"].to_pylist(), float) for place in range(wanted.shape[1])]
        )
        usable = np.isfinite(wanted)
        assert usable.mean() > 0.8, name
        far = abs(cells - wanted) > 2e-6 + 2e-6 * np.maximum(
            abs(wanted), abs(arrays()[0]).max(axis=1, keepdims=True) * 0.2 * (name in OF_ROWS)
        )
        if (far & usable).any():
            row, place = np.argwhere(far & usable)[0]
            wrong.append((name, arrays()[0][row].tolist(), cells[row, place], wanted[row, place]))
    assert not wrong


# Layers that take sums over rows in which a number is a million times another, whose digits 32 bits do not hold.
OF_ROWS = ("dense", "layer_normalization")


def test_every_activation_is_what_keras_calculates(engine) -> None:
    keras = import_keras()
    forms = {name: (lambda x, _, form=form: form(x)) for name, form in ACTIVATIONS.items()}
    compared(engine, forms, {name: keras.activations.get(name)(arrays()[0]) for name in ACTIVATIONS})


def test_every_layer_is_what_keras_calculates(engine) -> None:
    random = np.random.default_rng(5)
    forms, expected = {}, {}
    for name, word in ROW_LAYERS.items():
        layer = word(**ARGUMENTS.get(name, {})).build()
        layer(arrays()[0])
        # No variance of a batch is below 0.
        layer.set_weights([abs(random.normal(0.5, 1, weights.shape)) for weights in layer.get_weights()])
        forms[name] = lambda x, _, word=word, layer=layer: word.predicting(layer, x)
        expected[name] = (
            layer(arrays()[0], training=False) if "dropout" in name or "batch" in name else layer(arrays()[0])
        )
    compared(engine, forms, expected)


def test_every_encoder_is_what_keras_calculates(engine) -> None:
    numbers, codes = arrays()
    made = {
        "one hot": encoders.OneHotCode([CODES]),
        "ordinal": encoders.OrdinalCode(CODES),
        "bins": encoders.PiecewiseLinearBins([-2.0, -0.5, 0.0, 0.25, 3.0]),
        "periodic": encoders.PeriodicCode(3, 0.3),
    }
    usual = np.where(abs(numbers[:, 1:2]) > 10, 0, numbers[:, 1:2])
    forms = {
        "one hot": lambda x, codes: made["one hot"].predicting(codes),
        "ordinal": lambda x, codes: made["ordinal"].predicting(codes),
        "bins": lambda x, codes: made["bins"].predicting(encoders.Columns([1]).predicting(x)),
        # Of larger numbers the sine is left to chance by 32 bits.
        "periodic": lambda x, codes: made["periodic"].predicting(
            x.graph.where(
                encoders.Columns([1]).predicting(x).apply("Abs").apply("Greater", 10.0, dtype=np.dtype(bool)),
                x.graph.constant(0.0, x.dtype),
                encoders.Columns([1]).predicting(x),
            )
        ),
    }
    expected = {
        "one hot": made["one hot"](codes),
        "ordinal": made["ordinal"](codes),
        "bins": made["bins"](numbers[:, 1:2]),
        "periodic": made["periodic"](usual),
    }
    compared(engine, forms, expected)


def test_operations_have_one_list() -> None:
    """Whatever is recorded has words: what is not in the list is refused where it is recorded."""
    from cengine.errors import ExportError

    graph = Traced()
    x = graph.input("x", FLOAT, (None, 2))
    with pytest.raises(ExportError, match="the operation 'Gru' of this model has no words in SQL"):
        x.apply("Gru")
    assert "MatMul" in KNOWN
