"""LightGBM, loaded when trees are first needed."""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType

from cengine.errors import TrainingError
from cengine.extras import install_command

EXTRA = "trees"
# With fewer rows threads wait for each other longer than they work.
ROWS_OF_ONE_THREAD = 20_000
MISSING = "boosted trees need the package lightgbm"


def is_installed() -> bool:
    """Whether the package is there; it is not loaded."""
    return importlib.util.find_spec("lightgbm") is not None


def threads_for(num_rows: int) -> int:
    """LightGBM's `num_threads`: 1 for few rows, else 0, which takes all cores or what OMP_NUM_THREADS says. It changes no result."""
    return 1 if num_rows < ROWS_OF_ONE_THREAD else 0


def import_lightgbm() -> ModuleType:
    """The module lightgbm. Raises TrainingError where it is not installed, or where the system lacks what it is linked with.

    Its threads wait without spinning: beside other work on the same cores that takes a third of the CPU time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read once, when the OpenMP library is loaded
    try:
        import lightgbm
    except ImportError:
        raise TrainingError(MISSING, install_command(EXTRA)) from None
    except OSError as error:
        raise TrainingError(
            f"lightgbm is installed, but cannot be loaded: {error}", "on Debian and Ubuntu: apt-get install libgomp1"
        ) from error
    found: ModuleType = lightgbm
    return found
