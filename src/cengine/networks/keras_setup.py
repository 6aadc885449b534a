"""Keras on JAX, imported once and quietly."""

from __future__ import annotations

import os
from types import ModuleType


def import_keras() -> ModuleType:
    """The keras module on the JAX backend. Nothing is written into the home folder.

    A plain `import keras` writes a settings file into the home and picks TensorFlow. Both are set before; a home
    that cannot be keeps Keras from writing, and from reading what somebody else left there.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("KERAS_HOME", f"{os.devnull}/keras")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("JAX_PLATFORMS", "")
    import keras

    return keras
