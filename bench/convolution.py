"""A training step with convolutions: ours in the compiled loop, Keras' in it, and Keras' as one compiled call a step.

    python bench/convolution.py [--steps 100] [--rounds 5]

Two convolutions of 32 filters, kernels of 5, padded `causal`, on batches of 256 sequences of 24 steps and 7 numbers. Prints
milliseconds a step and the ratios, taken in turn; quote the ratios, machines differ and are shared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from cengine.networks.keras_setup import import_keras

BATCH, LENGTH, WIDTH, FILTERS, TAPS = 256, 24, 7, 32, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keras = import_keras()
    from cengine.networks.sliced import SlicedConv1D, SlicedSeparableConv1D

    layers = keras.layers
    for what, ours, theirs, padding in (
        ("conv1d", SlicedConv1D, layers.Conv1D, "causal"),
        ("separable_conv1d", SlicedSeparableConv1D, layers.SeparableConv1D, "same"),
    ):
        kinds = {
            "ours in the loop": training(ours, padding, arguments.steps, in_loop=True),
            "Keras in the loop": training(theirs, padding, max(2, arguments.steps // 10), in_loop=True),
            "Keras, a call a step": training(theirs, padding, arguments.steps, in_loop=False),
        }
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(arguments.rounds):
            for name, seconds in kinds.items():
                times[name].append(1000 * seconds())
        for name, found in times.items():
            print(f"{what:<18}{name:<22}{statistics.median(found):9.2f} ms a step", flush=True)
        mine = times["ours in the loop"]
        single, looped = (
            statistics.median(one / other for one, other in zip(mine, times[name], strict=True))
            for name in ("Keras, a call a step", "Keras in the loop")
        )
        print(
            f"{what:<18}ours beside a call a step: {single:.2f} (must 1.0, aim 0.8); beside Keras' in the loop: {looped:.3f}\n"
        )


def training(convolution: type, padding: str, steps: int, *, in_loop: bool) -> Callable[[], float]:
    """A function that trains for so many steps, and gives the seconds of one."""
    import jax
    import jax.numpy as jnp

    keras = import_keras()
    keras.utils.set_random_seed(0)
    entered = hidden = keras.Input((LENGTH, WIDTH))
    for _ in range(2):
        hidden = convolution(FILTERS, TAPS, padding=padding, activation="relu")(hidden)
    model = keras.Model(entered, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(hidden)))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(steps, BATCH, LENGTH, WIDTH)), jnp.float32)
    y = jnp.asarray(random.normal(size=(steps, BATCH)), jnp.float32)

    def loss(weights, others, x, y):
        outputs, others = model.stateless_call(weights, others, x, training=True)
        return jnp.mean((outputs[:, 0] - y) ** 2), others

    gradient = jax.value_and_grad(loss, has_aux=True)

    def step(state, x, y):
        weights, others, slots = state
        (_, others), gradients = gradient(weights, others, x, y)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return list(weights), list(others), list(slots)

    one = jax.jit(step, donate_argnums=0)
    many = jax.jit(
        lambda state, x, y: jax.lax.fori_loop(0, steps, lambda i, state: step(state, x[i], y[i]), state),
        donate_argnums=0,
    )
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = tuple([jnp.array(v.value) for v in group] for group in groups)

    def seconds() -> float:
        nonlocal state
        began = time.perf_counter()
        if in_loop:
            state = many(state, x, y)
        else:
            for i in range(steps):
                state = one(state, x[i], y[i])
        jax.block_until_ready(state)
        return (time.perf_counter() - began) / steps

    seconds()  # compiles
    return seconds


if __name__ == "__main__":
    main()
