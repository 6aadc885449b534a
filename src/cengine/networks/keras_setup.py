"""Keras on JAX, imported once and quietly."""

from __future__ import annotations

import os
import sys
from types import ModuleType

# Keras imports scikit-learn where it is installed, for wrappers that we do not use: 1.5 s. A process of ours does without;
# one of somebody else's, a notebook, may want them.
is_own_process = False


def import_keras() -> ModuleType:
    """The keras module on the JAX backend. Nothing is written into the home folder.

    A plain `import keras` writes a settings file into the home and picks TensorFlow. Both are set before; a home
    that cannot be keeps Keras from writing, and from reading what somebody else left there.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("KERAS_HOME", f"{os.devnull}/keras")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("JAX_PLATFORMS", "")
    unwanted = is_own_process and not {"keras", "sklearn"} & sys.modules.keys()
    if unwanted:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's own way to let an import fail, which Keras is prepared for
    try:
        import keras
    finally:
        if unwanted:
            del sys.modules["sklearn"]
    return keras
