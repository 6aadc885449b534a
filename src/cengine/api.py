"""What a Python program calls: it records what it does, like the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cengine.datasources.catalogue import owner_of, registered
from cengine.datasources.origins import default_name, source_of
from cengine.datasources.register import Snapshot
from cengine.errors import SourceError, StoreError
from cengine.inspection.run import Run
from cengine.memory import default_memory_bytes
from cengine.pipeline.plan import Plan
from cengine.runs.pushed import pipeline_of, push_pipeline
from cengine.runs.runs import run_pipeline
from cengine.store.project import Project


def register(
    project: Project, kind: object, *, name: str | None = None, memory_bytes: int | None = None, **options: Any
) -> Snapshot:
    """A snapshot of a table, as a datasource of the project.

    `kind` is a type with its options, `register(project, "csv", path="trips*.csv")`, or a table in memory itself: a pandas or polars
    DataFrame, a pyarrow table, anything with `__arrow_c_stream__`. A datasource of the same place and `name` gets a new snapshot; without
    a name it is called after its file, folder or table. Raises SourceError, StoreError.
    """
    from cengine.sources.frames import Frame

    if isinstance(kind, str):
        source = source_of(kind, options)
    elif options:
        raise SourceError(f"a table in memory has no option '{next(iter(options))}'", "known: name, memory_bytes")
    else:
        source = Frame.of(kind)
    return registered(
        project, source, name, _default_name(source.name, options), memory_bytes or default_memory_bytes()
    )


def _default_name(kind: str, options: dict[str, Any]) -> str:
    try:
        return default_name(kind, options)
    except StoreError:  # a query, a table in memory
        return kind


def execute(plan: Plan, *, name: str | None = None) -> Run:
    """Executes a plan as a run of the project; what is stored already is reused.

    It is a run of the pipeline `name`; without a name, of the one that has this configuration on this datasource, which is called after
    its file where it is new. Raises what the stages raise, StoreError where the datasource is gone; the records say how the run ended.
    """
    datasource, snapshot_id = owner_of(plan.project, plan.snapshot)
    if name is not None:
        pipeline = push_pipeline(plan.project, name, plan.file, datasource)[0]
    else:
        pipeline = pipeline_of(plan.project, plan.file, datasource, Path(plan.file.document.name).stem)
    record, outcome = run_pipeline(pipeline, plan, snapshot_id, plan.options)
    return Run(plan.project, pipeline, record, outcome)
