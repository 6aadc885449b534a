"""A table and a few lines of YAML become a trained, evaluated model.

    import cengine

    project = cengine.open_project()
    datasource = cengine.register(project, "csv", path="trips.csv")
    plan = cengine.plan(project, cengine.load_config("trips.yaml"), datasource)
    run = cengine.execute(plan)
    run.results.overall.to_pandas()

What is named here is public; nothing else is. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cengine.config.read import ConfigFile, load_config, parse_config
    from cengine.errors import CengineError, ConfigError, PreprocessError, SourceError, StoreError, TrainingError
    from cengine.evaluation.results import Results
    from cengine.pipeline.api import register
    from cengine.pipeline.execute import Run, execute
    from cengine.pipeline.finished import FinishedRun, find_run
    from cengine.pipeline.plan import Plan, plan
    from cengine.pipeline.register import Snapshot
    from cengine.store.project import Project, open_project

__version__ = "0.1.0"

_HOMES = {
    "CengineError": "cengine.errors",
    "ConfigError": "cengine.errors",
    "ConfigFile": "cengine.config.read",
    "FinishedRun": "cengine.pipeline.finished",
    "Plan": "cengine.pipeline.plan",
    "PreprocessError": "cengine.errors",
    "Project": "cengine.store.project",
    "Results": "cengine.evaluation.results",
    "Run": "cengine.pipeline.execute",
    "Snapshot": "cengine.pipeline.register",
    "SourceError": "cengine.errors",
    "StoreError": "cengine.errors",
    "TrainingError": "cengine.errors",
    "execute": "cengine.pipeline.execute",
    "find_run": "cengine.pipeline.finished",
    "load_config": "cengine.config.read",
    "open_project": "cengine.store.project",
    "parse_config": "cengine.config.read",
    "plan": "cengine.pipeline.plan",
    "register": "cengine.pipeline.api",
}

__all__ = [
    "CengineError", "ConfigError", "ConfigFile", "FinishedRun", "Plan", "PreprocessError", "Project", "Results", "Run", "Snapshot",
    "SourceError", "StoreError", "TrainingError", "__version__", "execute", "find_run", "load_config", "open_project", "parse_config",
    "plan", "register",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cengine' has no attribute '{name}'")
