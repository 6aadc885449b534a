"""The Keras model: encoders, the YAML's layers, one output a label; and the file that makes it whole."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.errors import StoreError, TrainingError
from cengine.learners.entering import encoded
from cengine.learners.heads import Head
from cengine.networks.keras_setup import KerasModel, KerasTensor, import_keras
from cengine.networks.layers import Dense, Layer
from cengine.preprocess.apply import Input

if TYPE_CHECKING:
    from cengine.learners.feedforward import Feedforward
    from cengine.learners.windows import Frame

SIGNATURE_VERSION = 1


def build_model(
    inputs: Sequence[Input], trainer: Feedforward, heads: Sequence[Head], frame: Frame | None = None
) -> KerasModel:
    """A Keras model (numbers (b, n) float32, codes (b, c) int32) -> one output (b, units) a head, in the head's unit.

    With a `frame` it reads windows, (b, length, n) and (b, length, c), and what is known ahead; see `window_model.py`.

    The layer `output_i` gives what training works on: standardized for regression. Initial weights depend on the
    trainer's seed alone.
    """
    keras = import_keras()
    keras.utils.clear_session()
    keras.utils.set_random_seed(trainer.seed)
    if frame is not None:
        from cengine.learners.window_model import build_window_model

        return build_window_model(inputs, trainer, heads, frame)
    numbers = keras.Input((sum(i.size is None for i in inputs),), dtype="float32", name="numbers")
    codes = keras.Input((sum(i.size is not None for i in inputs),), dtype="int32", name="codes")
    try:
        hidden = encoded(inputs, numbers, codes)
        for layer in trainer.layers:
            hidden = _with_members(layer, hidden, trainer.ensemble) if trainer.ensemble else layer.connected(hidden)
        outputs = [_output(head, i, hidden) for i, head in enumerate(heads)]
    except ValueError as error:
        raise TrainingError(f"the network cannot be built: {str(error).splitlines()[0]}", "see `layers:`") from error
    return keras.Model([numbers, codes], outputs, name="cengine")


def _with_members(layer: Layer, hidden: KerasTensor, members: int) -> KerasTensor:
    """A layer of an ensemble: of a dense one each member scales the products for itself."""
    if not isinstance(layer, Dense):
        return layer.connected(hidden)
    from cengine.networks.members import MemberScale

    keras = import_keras()
    shared = layer.model_copy(update={"activation": "linear", "use_bias": False}).build()(hidden)
    is_first = len(hidden.shape) == 2
    start = keras.initializers.RandomNormal(stddev=1.0) if is_first else "ones"
    return keras.layers.Activation(layer.activation)(MemberScale(members, layer.use_bias, start)(shared))


def _output(head: Head, place: int, hidden: KerasTensor) -> KerasTensor:
    keras = import_keras()
    if head.members > 1:
        raw = _outputs_of_members(head, place, hidden)
    else:
        raw = keras.layers.Dense(head.units, activation=head.activation, name=f"output_{place}")(hidden)
    return keras.layers.Rescaling(head.output_scale, head.output_offset, name=f"unit_{place}")(raw)


def _outputs_of_members(head: Head, place: int, hidden: KerasTensor) -> KerasTensor:
    from cengine.networks.members import MemberMean, MemberOutputs, outputs_initializer

    start = outputs_initializer(hidden.shape[-1], head.units)
    own = MemberOutputs(head.members, head.units, head.activation, start, name=f"output_{place}")(hidden)
    return MemberMean(head.members, name=f"mean_{place}")(own)


def training_model(model: KerasModel, num_heads: int) -> KerasModel:
    """The same model up to the layers `output_i`; it shares all weights."""
    return import_keras().Model(model.inputs, [model.get_layer(f"output_{i}").output for i in range(num_heads)])


def save_model(model: KerasModel, folder: Path, signature: dict[str, Any]) -> None:
    """Writes `model.keras` and `signature.json` (the columns of each input, the heads)."""
    model.save(folder / "model.keras")
    (folder / "signature.json").write_text(
        json.dumps({"version": SIGNATURE_VERSION, **signature}, indent=1, ensure_ascii=False)
    )


def know_layers(inputs: Sequence[Input]) -> None:
    """Registers the layers of other packages, by which columns enter a model that is to be read."""
    import_keras()  # a plain `import keras` takes another backend
    for one in inputs:
        one.encoding.know_layers()


def load_model(folder: Path) -> KerasModel:
    """The model that `save_model` wrote; safe mode, so that no code in the file is run. Raises StoreError where the file is damaged."""
    return _keras_with_own_layers().saving.load_model(_whole(folder / "model.keras"), compile=False, safe_mode=True)


def load_predictor(folder: Path) -> KerasModel:
    """The same, to predict with, 1.5 s sooner: no code is compiled for random weights that are then overwritten.

    A copy of it that is trained anew would begin with zeros.
    """
    saving, file = _keras_with_own_layers().saving, _whole(folder / "model.keras")
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"), object_hook=_with_zeros)
    model = saving.deserialize_keras_object(config, safe_mode=True)
    model.load_weights(file)
    return model


def _keras_with_own_layers() -> Any:
    """Keras, in which our layers are registered: importing their modules does that."""
    from cengine.networks import encoders, forecasting, members, sliced  # noqa: F401  the others are imported for their layers alone

    return encoders.keras


def _whole(file: Path) -> Path:
    """The file, if its archive and the check sums of its parts are whole."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        damaged = str(error)
    if damaged is not None:
        raise StoreError(
            f"the trained model {file} is damaged: {damaged}",
            "cengine cache verify --repair removes it, and the next run builds it again",
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
            {
                "label": head.target.name,
                "task": head.target.task.name,
                "classes": list(head.target.classes),
                "activation": head.activation,
                "transforms": [word.identity() for word in head.target.label.transforms],
                **_quantiles_of(head),
            }
            for head in heads
        ],
    }


def _quantiles_of(head: Head) -> dict[str, Any]:
    """Which quantiles the outputs are, where they are: as the network gives them they may cross."""
    return {"quantiles": list(head.target.task.quantiles)} if head.target.task.quantiles else {}
