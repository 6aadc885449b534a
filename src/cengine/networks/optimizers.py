"""`optimizer:` and its learning rate; the fields are Keras' own arguments."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, SerializeAsAny, model_validator

from cengine.networks.keras_setup import KerasOptimizer, KerasSchedule, import_keras
from cengine.words import Word, table_of

Momentum = Field(default=0.0, ge=0, lt=1)


class Schedule(Word):
    """A learning rate that changes with the step. `decay_steps` left out means all steps of the training."""

    def build(self, train_steps: int) -> KerasSchedule:
        """Keras' schedule of the class' name."""
        arguments = self.model_dump()
        if "decay_steps" in arguments and arguments["decay_steps"] is None:
            arguments["decay_steps"] = max(1, train_steps - arguments.get("warmup_steps", 0))
        return getattr(import_keras().optimizers.schedules, type(self).__name__)(**arguments)


class CosineDecay(Schedule):
    """Half a cosine from the initial rate down to `alpha` times it, after a linear warm-up."""

    name = "cosine_decay"
    initial_learning_rate: float = Field(default=0.001, ge=0)
    decay_steps: int | None = Field(default=None, ge=1, le=10**12)
    alpha: float = Field(default=0.0, ge=0, le=1)
    warmup_target: float | None = Field(default=None, gt=0)
    warmup_steps: int = Field(default=0, ge=0, le=10**12)

    @model_validator(mode="after")
    def _warms_up_to_something(self) -> CosineDecay:
        if (self.warmup_target is None) != (self.warmup_steps == 0):
            raise ValueError(
                "warmup_steps and warmup_target go together: from the initial rate to the target in so many steps"
            )
        return self


class ExponentialDecay(Schedule):
    """initial * decay_rate ** (step / decay_steps)."""

    name = "exponential_decay"
    initial_learning_rate: float = Field(default=0.001, gt=0)
    decay_steps: int | None = Field(default=None, ge=1, le=10**12)
    decay_rate: float = Field(default=0.1, gt=0, le=1)
    staircase: bool = False


class PolynomialDecay(Schedule):
    """From the initial to the end rate by a power of the step."""

    name = "polynomial_decay"
    initial_learning_rate: float = Field(default=0.001, gt=0)
    decay_steps: int | None = Field(default=None, ge=1, le=10**12)
    end_learning_rate: float = Field(default=0.0001, ge=0)
    power: float = Field(default=1.0, gt=0)
    cycle: bool = False


class InverseTimeDecay(Schedule):
    """initial / (1 + decay_rate * step / decay_steps)."""

    name = "inverse_time_decay"
    initial_learning_rate: float = Field(default=0.001, gt=0)
    decay_steps: int | None = Field(default=None, ge=1, le=10**12)
    decay_rate: float = Field(default=1.0, gt=0)
    staircase: bool = False


class PiecewiseConstantDecay(Schedule):
    """`values[i]` up to step `boundaries[i]`, the last value after."""

    name = "piecewise_constant_decay"
    boundaries: tuple[int, ...] = Field(min_length=1)
    values: tuple[float, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _lengths(self) -> PiecewiseConstantDecay:
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError("values must have one entry more than boundaries")
        if self.boundaries[0] < 1 or any(one >= other for one, other in itertools.pairwise(self.boundaries)):
            raise ValueError("boundaries are steps in rising order, the first at least 1")
        if self.boundaries[-1] > 10**12:
            raise ValueError("boundaries are at most 1,000,000,000,000")
        if min(self.values) < 0:
            raise ValueError(f"a learning rate cannot be negative, found {min(self.values):g} among the values")
        return self


SCHEDULES = table_of(CosineDecay, ExponentialDecay, PolynomialDecay, InverseTimeDecay, PiecewiseConstantDecay)


class Optimizer(Word):
    """How weights follow gradients; the class' name is Keras'."""

    within: ClassVar[Mapping[str, Mapping[str, type[Word]]]] = {"learning_rate": SCHEDULES}

    learning_rate: float | SerializeAsAny[Schedule] = 0.001
    weight_decay: float | None = Field(default=None, ge=0)
    clipnorm: float | None = Field(default=None, gt=0)
    clipvalue: float | None = Field(default=None, gt=0)
    global_clipnorm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _positive_rate(self) -> Optimizer:
        if isinstance(self.learning_rate, float) and not self.learning_rate > 0:
            raise ValueError("learning_rate must be positive")
        return self

    def build(self, train_steps: int) -> KerasOptimizer:
        """A new Keras optimizer; `train_steps` is the length of its schedule."""
        arguments = self.model_dump(exclude={"learning_rate"}, exclude_none=True)
        rate = self.learning_rate
        arguments["learning_rate"] = rate.build(train_steps) if isinstance(rate, Schedule) else rate
        return getattr(import_keras().optimizers, type(self).__name__)(**arguments)


class Adam(Optimizer):
    """Kingma and Ba 2014."""

    name = "adam"
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-7, gt=0)
    amsgrad: bool = False


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017)."""

    name = "adamw"
    weight_decay: float | None = Field(default=0.004, ge=0)
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-7, gt=0)
    amsgrad: bool = False


class SGD(Optimizer):
    """Gradient descent, with momentum where given."""

    name = "sgd"
    learning_rate: float | SerializeAsAny[Schedule] = 0.01
    momentum: float = Momentum
    nesterov: bool = False


class RMSprop(Optimizer):
    """Hinton 2012."""

    name = "rmsprop"
    rho: float = Field(default=0.9, ge=0, lt=1)
    momentum: float = Momentum
    epsilon: float = Field(default=1e-7, gt=0)
    centered: bool = False


class Adagrad(Optimizer):
    """Duchi and others 2011."""

    name = "adagrad"
    initial_accumulator_value: float = Field(default=0.1, ge=0)
    epsilon: float = Field(default=1e-7, gt=0)


class Adadelta(Optimizer):
    """Zeiler 2012."""

    name = "adadelta"
    rho: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-7, gt=0)


class Adamax(Optimizer):
    """Adam with the infinity norm."""

    name = "adamax"
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-7, gt=0)


class Nadam(Optimizer):
    """Adam with Nesterov momentum."""

    name = "nadam"
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-7, gt=0)


class Lion(Optimizer):
    """Chen and others 2023: the sign of the momentum."""

    name = "lion"
    beta_1: float = Field(default=0.9, gt=0, le=1)
    beta_2: float = Field(default=0.99, ge=0, le=1)


OPTIMIZERS = table_of(Adam, AdamW, SGD, RMSprop, Adagrad, Adadelta, Adamax, Nadam, Lion)
