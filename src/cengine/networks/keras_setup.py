"""Keras on JAX, imported once and quietly."""

from __future__ import annotations

import os
import tempfile
from types import ModuleType


def import_keras() -> ModuleType:
    """The keras module on the JAX backend. Nothing is written into the home folder.

    A plain `import keras` writes a settings file into the home and picks TensorFlow; both are set before.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    if "KERAS_HOME" not in os.environ:
        os.environ["KERAS_HOME"] = f"{tempfile.gettempdir()}/cengine-keras-{os.getuid()}"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("JAX_PLATFORMS", "")
    import keras

    return keras
