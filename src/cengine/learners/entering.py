"""How columns enter a network: rows, or the points of windows, side by side as the first layer reads them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from cengine.networks.keras_setup import KerasTensor
from cengine.preprocess.apply import Input


def encoded(inputs: Sequence[Input], numbers: KerasTensor, codes: KerasTensor) -> KerasTensor:
    """All inputs side by side, as the first layer reads them."""
    from cengine.networks import encoders

    number_inputs = [i for i in inputs if i.size is None]
    code_inputs = [i for i in inputs if i.size is not None]
    parts = []
    for places in _sharing(number_inputs):
        all_of_them = number_inputs[places[0]].encoding.together and len(places) == len(number_inputs)
        columns = numbers if all_of_them else encoders.Columns(places)(numbers)
        parts.append(_built([number_inputs[n] for n in places], columns))
    for places in _neighbours(code_inputs):
        parts.append(_built([code_inputs[n] for n in places], encoders.Columns(places)(codes)))
    return parts[0] if len(parts) == 1 else encoders.keras.layers.Concatenate()(parts)


def _built(inputs: Sequence[Input], columns: KerasTensor) -> KerasTensor:
    return inputs[0].encoding.build(columns, [i.size for i in inputs], inputs[0].statistics)


def _sharing(inputs: Sequence[Input]) -> list[list[int]]:
    """The places of inputs that share a layer, all of them together, then those of each of the others."""
    shared = [n for n, one in enumerate(inputs) if one.encoding.together]
    return [*([shared] if shared else []), *([n] for n, one in enumerate(inputs) if not one.encoding.together)]


def _neighbours(inputs: Sequence[Input]) -> list[list[int]]:
    """The places of inputs that share a layer, as far as they stand side by side, and those of each of the others, in order."""
    groups: list[list[int]] = []
    for shared, places in itertools.groupby(range(len(inputs)), lambda n: inputs[n].encoding.together):
        found = list(places)
        groups += [found] if shared else [[n] for n in found]
    return groups
