"""`architecture: feedforward`: layers one after the other, trained by gradient descent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from cengine.config.schema import AUTOENCODER, MOST_STEPS, TRAIN, Block, EarlyStopping, Finding, LabelFacts, WordKey
from cengine.learners.codes import code_size, usual_layers, with_code
from cengine.learners.learner import Course, Facts, Fitted, Learner, Load, Predictor, losses
from cengine.learners.reach import Reach, reach_of
from cengine.networks.layers import LAYER_ALIASES, LAYERS, Activation, Dense, Layer
from cengine.networks.optimizers import OPTIMIZERS, Adam, Optimizer
from cengine.tasks import Binary, Classes, Regression

if TYPE_CHECKING:
    from cengine.config.resolve import Label
    from cengine.learners.examples import Examples
    from cengine.preprocess.apply import Input
    from cengine.preprocess.targets import Target

MOST_LAYERS = 256
USUAL = {"train_batch_size": 256, "optimizer": Adam()}


class Feedforward(Learner):
    """A network of layers, one after the other."""

    name = "feedforward"
    words: ClassVar[Mapping[str, WordKey]] = {
        "layers": WordKey(LAYERS, "layer", many=True, aliases=LAYER_ALIASES),
        "optimizer": WordKey(OPTIMIZERS, "optimizer"),
    }
    blocks: ClassVar[Mapping[str, type[Block]]] = {"early_stopping": EarlyStopping}
    predicts_quantiles: ClassVar[bool] = True
    reconstructs: ClassVar[bool] = True

    architecture: Literal["feedforward"] = "feedforward"
    layers: tuple[SerializeAsAny[Layer], ...] = ()
    ensemble: int | None = Field(default=None, ge=2, le=256)
    last_activation: Activation | None = None
    num_output_units: int | None = Field(default=None, ge=1, le=1_000_000)
    optimizer: SerializeAsAny[Optimizer] | None = None
    train_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    epochs: int | float | None = Field(default=None, gt=0, le=10**9)
    train_batch_size: int | None = Field(default=None, ge=1, le=1_000_000)
    eval_batch_size: int = Field(default=4096, ge=1, le=1_000_000)
    save_checkpoints_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    early_stopping: EarlyStopping | Literal[False] | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_beside_a_length(cls, values: Any) -> Any:
        """Where the YAML says how long, what it leaves out does not depend on the rows; else `filled_in` says what it is."""
        if not isinstance(values, dict) or all(values.get(key) is None for key in ("train_steps", "epochs")):
            return values
        usual = {key: value for key, value in USUAL.items() if values.get(key) is None}
        return {**values, **usual, **({"early_stopping": None} if values.get("early_stopping") is False else {})}

    @model_validator(mode="after")
    def _one_length(self) -> Feedforward:
        if self.train_steps is not None and self.epochs is not None:
            raise ValueError("give train_steps or epochs, not both")
        return self

    @model_validator(mode="before")
    @classmethod
    def _with_a_code(cls, values: Any) -> Any:
        """Of an autoencoder the layer with the code is named, and linear where nothing else is said."""
        if not isinstance(values, dict) or values.get("type") != AUTOENCODER or not values.get("layers"):
            return values
        return {**values, "layers": with_code(values["layers"])}

    @model_validator(mode="after")
    def _code_of_an_autoencoder(self) -> Feedforward:
        if not self.is_autoencoder:
            if any(isinstance(layer, Dense) and layer.called for layer in self.layers):
                raise ValueError("a layer with the name 'code' is that of an autoencoder")
            return self
        for key in ("ensemble", "last_activation", "num_output_units"):
            if getattr(self, key) is not None:
                raise ValueError(
                    f"`{key}` is for labels; leave it out, an autoencoder's outputs follow from its features"
                )
        return self

    @field_validator("layers")
    @classmethod
    def _not_too_many(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        if len(layers) > MOST_LAYERS:
            raise ValueError(f"more than {MOST_LAYERS} layers")
        return layers

    @property
    def code_size(self) -> int:
        return code_size(self.layers)

    def beside(self, num_features: int) -> Feedforward:
        if not self.is_autoencoder or self.layers:
            return self
        return self.model_copy(update={"layers": usual_layers(num_features)})

    @property
    def chooses(self) -> bool:
        return bool(self.early_stopping) or not self.has_length

    @property
    def has_length(self) -> bool:
        """Whether the YAML says how long to train."""
        return self.train_steps is not None or self.epochs is not None

    def filled_in(self, num_rows: int) -> Feedforward:
        from cengine.learners.length import filled_in

        return filled_in(self, num_rows)

    def told(self, num_rows: int) -> str | None:
        from cengine.learners.length import told

        return None if self.has_length or not num_rows else told(self, num_rows)

    @property
    def one_output_a_class(self) -> bool:
        return self.num_output_units == 2

    # What fits

    def problems(self, label: LabelFacts) -> Iterator[Finding]:
        yield from self._layers_of_sequences()
        yield from self._outputs(label.label, label.num_labels)
        found = self._reach(label)
        if found is not None and found.misses_all:
            told = f"last_activation '{self.last_activation}' {found.told}, {found.beside(label.label)}: none of it can be predicted"
            yield Finding(told, "last_activation", ("leave last_activation out, or take linear",))

    def suspicions(self, label: LabelFacts | None = None) -> Iterator[Finding]:
        if label is not None:
            found = self._reach(label)
            if found is not None and found.misses_some:
                told = f"last_activation '{self.last_activation}' {found.told}, {found.beside(label.label)}: a part of it cannot be predicted"
                yield Finding(told, "last_activation")
            return
        steps, every = self.train_steps, self.save_checkpoints_steps
        if steps and every and every > steps:
            told = f"save_checkpoints_steps ({every}) is more than train_steps ({steps}): one checkpoint, at the end"
            yield Finding(told, "save_checkpoints_steps")

    def _reach(self, label: LabelFacts) -> Reach | None:
        return reach_of(self.last_activation, label.label, *label.ends) if self.last_activation and label.ends else None

    def _layers_of_sequences(self) -> Iterator[Finding]:
        """The first that plain rows are nothing for."""
        for place, layer in enumerate(self.layers):
            if layer.of_sequences:
                yield Finding(
                    f"layer '{layer.name}' is for sequences, and architecture '{self.name}' reads plain rows",
                    "layers",
                    (
                        "sequences need `architecture: sequential`, and a `timeseries:` block that says what they are made of",
                    ),
                    (place,),
                )
                return

    def _outputs(self, label: Label, num_labels: int) -> Iterator[Finding]:
        yield from self._units(label, num_labels)
        yield from self._activation(label)

    def _units(self, label: Label, num_labels: int) -> Iterator[Finding]:
        units = self.num_output_units
        if label.task == Regression.name and units not in (None, 1, num_labels):
            yield Finding(f"a regression label needs 1 output unit, found {units}", "num_output_units")
        quantiles = label.asked().quantiles
        if quantiles and units not in (None, len(quantiles)):
            yield Finding(
                f"loss 'quantile' of label '{label.name}' needs an output unit for each of its {len(quantiles)} quantiles, found {units}",
                "num_output_units",
                ("leave num_output_units out",),
            )
        if label.task == Binary.name and label.loss is not None and units not in (None, 1):
            yield Finding(
                f"loss '{label.loss.name}' needs 1 output unit, found {units}",
                "num_output_units",
                ("leave num_output_units out, or take loss: sparse_categorical_crossentropy",),
            )

    def _activation(self, label: Label) -> Iterator[Finding]:
        activation = self.last_activation
        if label.task == Binary.name and activation not in (None, "sigmoid", "hard_sigmoid"):
            yield Finding(
                f"two classes with one output need last_activation: sigmoid, found '{activation}'", "last_activation"
            )
        if label.task == Classes.name and activation not in (None, "softmax", "sigmoid"):
            yield Finding(f"classes need last_activation: softmax, found '{activation}'", "last_activation")
        if not label.asked().has_classes and activation == "softmax":
            yield Finding(
                "last_activation 'softmax' gives shares of classes, not a number", "last_activation", ("take linear",)
            )

    # What it takes

    def settings(self, labels: Sequence[Label]) -> dict[str, Any]:
        return {
            "trainer": self.model_dump(mode="json", exclude=self._told_apart),
            "layers": [layer.identity() for layer in self.layers],
            "optimizer": self.optimizer.identity() if self.optimizer else None,
            "losses": losses(labels),
        }

    @property
    def _told_apart(self) -> set[str]:
        """Keys that stand beside the others in `settings`, or change nothing. An ensemble of none is what was before there were any."""
        return {"layers", "optimizer", "eval_batch_size", *(() if self.ensemble else ("ensemble",))}

    def num_steps(self, num_rows: int) -> int:
        from cengine.learners.loop import Plan

        if self.train_steps or not num_rows:
            return self.train_steps or 0
        return Plan.of(self, num_rows, 1).num_steps

    def load(self, facts: Facts, first_step: int = 0, last_step: int | None = None) -> Load:
        from cengine.learners.loop import EVALUATION_SAMPLE_ROWS, TRAIN_SAMPLE_ROWS, Plan

        multiplied, weights = self._num_weights(facts)
        plan = Plan.of(self, facts.rows[TRAIN], 4 * facts.num_encoded)
        steps = max(0, (last_step or plan.num_steps) - first_step)
        beside = {name for name in (facts.judged, facts.shown) if name is not None}
        measured = math.ceil(steps / plan.every) * (
            min(facts.rows[TRAIN], TRAIN_SAMPLE_ROWS)
            + sum(min(facts.rows[name], EVALUATION_SAMPLE_ROWS) for name in beside)
        )
        return {
            "cells": sum(facts.rows.values()) * facts.num_encoded,
            "steps": steps,
            "drawn_cells": steps * plan.batch_rows * facts.num_encoded,
            "products": steps * plan.batch_rows * multiplied,
            "updates": steps * weights,
            "weights": weights,
            "fixed: network": 1,
            "measured_rows": measured,
            "measured_products": measured * multiplied,
        }

    def products(self, facts: Facts) -> int:
        return self._num_weights(facts)[0]

    def _num_weights(self, facts: Facts) -> tuple[int, int]:
        """Weights that each row is multiplied by, and all weights, near enough to tell time by."""
        width = sum(encoding.width(size) for size, encoding in facts.inputs)
        looked_up = sum(encoding.num_weights(size) for size, encoding in facts.inputs)
        multiplied, members = 0, 1  # the first layer's products are shared
        for units in [*(layer.units for layer in self.layers if isinstance(layer, Dense)), facts.num_labels]:
            multiplied += (width + 1) * units * members
            width, members = units, self.ensemble or 1
        return multiplied, multiplied + looked_up

    # What it does

    def first_step(self, kept: Path) -> int:
        from cengine.learners.checkpoints import CHECKPOINTS, newest_step

        return newest_step(kept / CHECKPOINTS)

    def fit(self, examples: Examples, targets: Sequence[Target], course: Course) -> Fitted:
        if self.is_autoencoder:
            from cengine.learners.autoencoder import fit_autoencoder

            return fit_autoencoder(self, examples, targets[0], course)
        from cengine.learners.heads import heads_of
        from cengine.learners.training import fit_network

        return fit_network(self, examples, heads_of(targets, self), course)

    def read(self, folder: Path, inputs: Sequence[Input], targets: Sequence[Target]) -> Predictor:
        from cengine.learners.heads import heads_of
        from cengine.learners.model import know_layers, load_predictor, training_model
        from cengine.learners.predict import NetworkPredictor

        know_layers(inputs)
        if self.is_autoencoder:
            from cengine.learners.autoencoder import read_autoencoder

            return read_autoencoder(folder, targets[0])
        heads = heads_of(targets, self)
        return NetworkPredictor(training_model(load_predictor(folder), len(heads)), heads)
