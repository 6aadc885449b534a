"""Keras on JAX, imported once and quietly."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any, TypeAlias

# Keras has no types: these names say which of its things is meant, and no more is known of them.
KerasModel: TypeAlias = Any
KerasLayer: TypeAlias = Any
KerasTensor: TypeAlias = Any
KerasVariables: TypeAlias = Any
KerasOptimizer: TypeAlias = Any
KerasSchedule: TypeAlias = Any
KerasRegularizer: TypeAlias = Any

# Keras imports these where they are installed, for what we do not use of it: scikit-learn alone takes 1.5 s. A process of ours
# does without; one of somebody else's, a notebook, may want them.
UNUSED = ("sklearn", "pandas", "IPython", "PIL", "requests")
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
    may_hide = is_own_process and "keras" not in sys.modules
    unwanted = [name for name in UNUSED if name not in sys.modules] if may_hide else []
    for name in unwanted:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to let an import fail, which Keras is prepared for
    try:
        import keras
    finally:
        for name in unwanted:
            del sys.modules[name]
    found: ModuleType = keras
    return found
