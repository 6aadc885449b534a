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
    from cengine.api import execute, register
    from cengine.config.read import ConfigFile, load_config, parse_config
    from cengine.datasources.register import Snapshot
    from cengine.errors import CengineError, ConfigError, PreprocessError, SourceError, StoreError, TrainingError
    from cengine.evaluation.results import Results
    from cengine.inspection.run import Run, find_run
    from cengine.inspection.run import Run as FinishedRun
    from cengine.models.model import Model, load_model
    from cengine.pipeline.plan import Plan, plan
    from cengine.store.project import Project, open_project

__version__ = "0.1.0"

# Where a public name is; after a colon what it is called there.
_HOMES = {
    "CengineError": "cengine.errors",
    "ConfigError": "cengine.errors",
    "ConfigFile": "cengine.config.read",
    "FinishedRun": "cengine.inspection.run:Run",
    "Model": "cengine.models.model",
    "Plan": "cengine.pipeline.plan",
    "PreprocessError": "cengine.errors",
    "Project": "cengine.store.project",
    "Results": "cengine.evaluation.results",
    "Run": "cengine.inspection.run",
    "Snapshot": "cengine.datasources.register",
    "SourceError": "cengine.errors",
    "StoreError": "cengine.errors",
    "TrainingError": "cengine.errors",
    "execute": "cengine.api",
    "find_run": "cengine.inspection.run",
    "load_config": "cengine.config.read",
    "load_model": "cengine.models.model",
    "open_project": "cengine.store.project",
    "parse_config": "cengine.config.read",
    "plan": "cengine.pipeline.plan",
    "register": "cengine.api",
}

__all__ = [
    "CengineError", "ConfigError", "ConfigFile", "FinishedRun", "Model", "Plan", "PreprocessError", "Project", "Results", "Run", "Snapshot",
    "SourceError", "StoreError", "TrainingError", "__version__", "execute", "find_run", "load_config", "load_model", "open_project", "parse_config",
    "plan", "register",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(importlib.import_module(module), attribute or name)
    raise AttributeError(f"module 'cengine' has no attribute '{name}'")
