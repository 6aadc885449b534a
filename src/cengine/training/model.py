"""The Keras model: encoders, the YAML's layers, one output a label; and the file that makes it whole."""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cengine.config.schema import TrainerConfig
from cengine.errors import StoreError, TrainingError
from cengine.networks.encodings import Embedding, OneHot, Ordinal, Periodic, PiecewiseLinear
from cengine.networks.keras_setup import import_keras
from cengine.preprocess.apply import Input
from cengine.training.heads import Head

SIGNATURE_VERSION = 1


def build_model(inputs: Sequence[Input], trainer: TrainerConfig, heads: Sequence[Head]) -> Any:
    """A Keras model (numbers (b, n) float32, codes (b, c) int32) -> one output (b, units) a head, in the head's unit.

    The layer `output_i` gives what training works on: standardized for regression. Initial weights depend on the
    trainer's seed alone.
    """
    keras = import_keras()
    keras.utils.clear_session()
    keras.utils.set_random_seed(trainer.seed)
    numbers = keras.Input((sum(i.size is None for i in inputs),), dtype="float32", name="numbers")
    codes = keras.Input((sum(i.size is not None for i in inputs),), dtype="int32", name="codes")
    try:
        hidden = _encoded(inputs, numbers, codes)
        for layer in trainer.layers:
            hidden = layer.build()(hidden)
        outputs = []
        for i, head in enumerate(heads):
            raw = keras.layers.Dense(head.units, activation=head.activation, name=f"output_{i}")(hidden)
            outputs.append(keras.layers.Rescaling(head.output_scale, head.output_offset, name=f"unit_{i}")(raw))
    except ValueError as error:
        raise TrainingError(f"the network cannot be built: {str(error).splitlines()[0]}", "see `layers:`") from error
    return keras.Model([numbers, codes], outputs, name="cengine")


def training_model(model: Any, num_heads: int) -> Any:
    """The same model up to the layers `output_i`; it shares all weights."""
    return import_keras().Model(model.inputs, [model.get_layer(f"output_{i}").output for i in range(num_heads)])


def save_model(model: Any, folder: Path, signature: dict[str, Any]) -> None:
    """Writes `model.keras` and `signature.json` (the columns of each input, the heads)."""
    model.save(folder / "model.keras")
    (folder / "signature.json").write_text(json.dumps({"version": SIGNATURE_VERSION, **signature}, indent=1, ensure_ascii=False))


def load_model(folder: Path) -> Any:
    """The model that `save_model` wrote; safe mode, so that no code in the file is run. Raises StoreError where the file is damaged."""
    from cengine.training import encoders

    return encoders.keras.saving.load_model(_whole(folder / "model.keras"), compile=False, safe_mode=True)


def load_predictor(folder: Path) -> Any:
    """The same, to predict with, 1.5 s sooner: no code is compiled for random weights that are then overwritten.

    A copy of it that is trained anew would begin with zeros.
    """
    from cengine.training import encoders

    file = _whole(folder / "model.keras")
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"), object_hook=_with_zeros)
    model = encoders.keras.saving.deserialize_keras_object(config, safe_mode=True)
    model.load_weights(file)
    return model


def _whole(file: Path) -> Path:
    """The file, if its archive and the check sums of its parts are whole."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        damaged = str(error)
    if damaged is not None:
        raise StoreError(
            f"the trained model {file} is damaged: {damaged}", "cengine cache verify --repair removes it, and the next run builds it again"
        )
    return file


def _with_zeros(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "class_name": "Zeros", "config": {}} if part.get("module") == "keras.initializers" else part


def signature_of(inputs: Sequence[Input], heads: Sequence[Head]) -> dict[str, Any]:
    """Which encoded columns the model's two inputs hold, in order, and what its outputs mean."""
    return {
        "numbers": [i.column for i in inputs if i.size is None],
        "codes": [{"column": i.column, "size": i.size} for i in inputs if i.size is not None],
        "outputs": [
            {"label": head.label.name, "task": head.task, "classes": list(head.classes), "activation": head.activation,
             "transforms": [word.identity() for word in head.label.transforms]}
            for head in heads
        ],
    }  # fmt: skip


def _encoded(inputs: Sequence[Input], numbers: Any, codes: Any) -> Any:
    """All inputs side by side, as the first layer reads them."""
    from cengine.training import encoders

    keras = encoders.keras
    number_inputs = [i for i in inputs if i.size is None]
    code_inputs = [i for i in inputs if i.size is not None]
    plain = [n for n, i in enumerate(number_inputs) if not isinstance(i.encoding, PiecewiseLinear | Periodic)]
    parts = []
    if len(plain) == len(number_inputs) and plain:
        parts.append(numbers)
    elif plain:
        parts.append(encoders.Columns(plain)(numbers))
    for n, column in enumerate(number_inputs):
        if isinstance(column.encoding, PiecewiseLinear):
            parts.append(encoders.PiecewiseLinearBins(column.statistics["edges"])(encoders.Columns([n])(numbers)))
        elif isinstance(column.encoding, Periodic):
            waves = encoders.PeriodicCode(column.encoding.num_frequencies, column.encoding.sigma)(encoders.Columns([n])(numbers))
            parts.append(keras.layers.Dense(column.encoding.dim, activation="relu")(waves))
    for one_hot, neighbours in itertools.groupby(enumerate(code_inputs), lambda numbered: isinstance(numbered[1].encoding, OneHot)):
        found = [(n, column.size or 1, column.encoding) for n, column in neighbours]
        if one_hot:
            parts.append(encoders.OneHotCode([size for _, size, _ in found])(encoders.Columns([n for n, _, _ in found])(codes)))
            continue
        for n, size, encoding in found:
            code = encoders.Columns([n])(codes)
            if isinstance(encoding, Ordinal):
                parts.append(encoders.OrdinalCode(size)(code))
            elif isinstance(encoding, Embedding):
                parts.append(keras.layers.Flatten()(keras.layers.Embedding(size, encoding.width(size))(code)))
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate()(parts)
