"""The Keras model of windows: points are encoded as rows are, then the YAML's layers or the linear net, and an output for each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cengine.errors import TrainingError
from cengine.learners.entering import encoded
from cengine.learners.examples import AHEAD_CODES, AHEAD_NUMBERS, CODES, NUMBERS
from cengine.learners.heads import Head
from cengine.networks.keras_setup import KerasModel, KerasTensor, import_keras
from cengine.networks.layers.convolution import Conv1D
from cengine.networks.layers.pooling import GlobalAveragePooling1D
from cengine.preprocess.apply import Input

# What a window goes through where its label is none that a linear map of its own past could give.
USUAL_LAYERS = (
    Conv1D(filters=32, kernel_size=5, padding="causal", activation="relu"),
    Conv1D(filters=32, kernel_size=5, padding="causal", activation="relu"),
    GlobalAveragePooling1D(),
)

if TYPE_CHECKING:
    from cengine.learners.feedforward import Feedforward
    from cengine.learners.windows import Frame


def build_window_model(
    inputs: Sequence[Input], trainer: Feedforward, heads: Sequence[Head], frame: Frame
) -> KerasModel:
    """A Keras model of windows -> one output (b, labels, units) a head, in the head's unit.

    It takes numbers (b, length, n) float32 and codes (b, length, c) int32, and of points to come what is known ahead,
    (b, horizon, ...).
    """
    keras = import_keras()
    past = _entering(inputs, frame.length, NUMBERS, CODES)
    ahead_inputs = known_ahead(inputs, frame)
    ahead = _entering(ahead_inputs, frame.num_labels, AHEAD_NUMBERS, AHEAD_CODES) if ahead_inputs else []
    try:
        if not trainer.layers and len(frame.own) == len(heads) and all(frame.own):
            known = encoded(ahead_inputs, *ahead) if ahead else None
            static = _told_apart(inputs, past[1])
            outputs = [_forecast(head, place, past[0], known, static, frame) for place, head in enumerate(heads)]
        else:
            hidden = encoded(inputs, *past)
            for layer in trainer.layers or USUAL_LAYERS:
                hidden = layer.connected(hidden)
            hidden = _flat(hidden)
            if ahead:
                hidden = keras.layers.Concatenate()([hidden, _flat(encoded(ahead_inputs, *ahead))])
            outputs = [_output(head, place, hidden, frame) for place, head in enumerate(heads)]
    except ValueError as error:
        raise TrainingError(f"the network cannot be built: {str(error).splitlines()[0]}", "see `layers:`") from error
    return keras.Model([*past, *ahead], outputs, name="cengine")


def known_ahead(inputs: Sequence[Input], frame: Frame) -> list[Input]:
    """The inputs that are known of points to come."""
    numbers = [one for one in inputs if one.size is None]
    codes = [one for one in inputs if one.size is not None]
    return [numbers[place] for place in frame.ahead_numbers] + [codes[place] for place in frame.ahead_codes]


def _entering(inputs: Sequence[Input], num_points: int, numbers: str, codes: str) -> list[KerasTensor]:
    keras = import_keras()
    num_numbers = sum(one.size is None for one in inputs)
    return [
        keras.Input((num_points, num_numbers), dtype="float32", name=numbers),
        keras.Input((num_points, len(inputs) - num_numbers), dtype="int32", name=codes),
    ]


def _flat(hidden: KerasTensor) -> KerasTensor:
    return hidden if len(hidden.shape) == 2 else import_keras().layers.Flatten()(hidden)


def _told_apart(inputs: Sequence[Input], codes: KerasTensor) -> KerasTensor | None:
    """The codes of the last point as the network reads them, (b, n): what tells series apart is among them. None where there are none."""
    from cengine.networks.forecasting import Tail

    own = [one for one in inputs if one.size is not None]
    return encoded(own, None, _flat(Tail(1)(codes))) if own else None


def _forecast(
    head: Head,
    place: int,
    numbers: KerasTensor,
    ahead: KerasTensor | None,
    static: KerasTensor | None,
    frame: Frame,
) -> KerasTensor:
    """The default network of a label whose own past enters: numbers of other features are read at the last point."""
    from cengine.networks.forecasting import Forecast, forecast

    keras, own = import_keras(), frame.own[place]
    assert own is not None
    asked = Forecast(
        frame.length,
        frame.num_labels,
        own.place,
        frame.season,
        units=head.units,
        own_scale=own.scale,
        own_offset=own.offset,
    )
    found = forecast(numbers, asked, ahead, static)
    output = keras.layers.Activation(head.activation, name=f"output_{place}")(found)
    return keras.layers.Rescaling(head.output_scale, head.output_offset, name=f"unit_{place}")(output)


def _output(head: Head, place: int, hidden: KerasTensor, frame: Frame) -> KerasTensor:
    keras = import_keras()
    raw = keras.layers.Dense(frame.num_labels * head.units, name=f"points_{place}")(hidden)
    of_points = keras.layers.Reshape((frame.num_labels, head.units))(raw)
    output = keras.layers.Activation(head.activation, name=f"output_{place}")(of_points)
    return keras.layers.Rescaling(head.output_scale, head.output_offset, name=f"unit_{place}")(output)
