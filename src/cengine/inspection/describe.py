"""Statistics of a table's columns, worked out once: of a finished run by split, and of a datasource."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from cengine.datasources.register import Say, Snapshot
from cengine.datasources.table import table_of
from cengine.digests import fingerprint
from cengine.engines.engine import Engine
from cengine.evaluation.drift import ColumnInUse, DescribedColumn, with_drift
from cengine.inspection.looking import engine_at
from cengine.preprocess.describe import ColumnStatistics, describe
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.store.project import Project

if TYPE_CHECKING:
    from cengine.inspection.run import Run

# Raised when what `describe` gives changes: what was kept is then not used.
DESCRIBE_VERSION = 1
STAGE = "describe"


def run_columns(run: Run, *, used: bool = False) -> list[DescribedColumn]:
    """Statistics of a run's table, by split, with the roles of columns and how the splits differ: of all, or of those that are `used`."""
    roles = _roles(run)
    names = [name for name in run.rows.schema.names if name in roles] if used else None
    found = columns_of(run.project, lambda: run.rows, run.split, run.fingerprint(run.placing), run.table_engine, names)
    in_use: list[ColumnInUse] = [{**column, "roles": roles.get(column["name"], [])} for column in found]
    return with_drift(in_use)


def datasource_columns(project: Project, snapshot: Snapshot, say: Say = lambda text: None) -> list[DescribedColumn]:
    """Statistics of all columns of a snapshot, as one split `all`; without roles and drift."""
    table = table_of(project, snapshot, say=say)
    found = columns_of(project, table.rows, None, snapshot.content, lambda: engine_at(table))
    return [{**column, "roles": [], "drift": None} for column in found]


def columns_of(
    project: Project,
    rows: Callable[[], Rows],
    split: Split | None,
    parent: str,
    engine: Callable[[], Engine],
    names: list[str] | None = None,
) -> list[ColumnStatistics]:
    """What `describe` gives for all columns or these; kept, and found again by `parent`, which says what rows there are in which split."""
    identity = fingerprint({"version": DESCRIBE_VERSION, "parent": parent})
    if names is not None:
        if project.artifacts.find(STAGE, identity) is not None:
            return [column for column in columns_of(project, rows, split, parent, engine) if column["name"] in names]
        identity = fingerprint({"version": DESCRIBE_VERSION, "parent": parent, "names": names})
    with project.artifacts.building(STAGE, identity) as building:
        if building is not None:
            building.details["parent"] = parent
            with engine() as opened:
                found = describe(opened, rows(), split, names)
            (building.folder / "columns.json").write_text(
                json.dumps(found, ensure_ascii=False, allow_nan=False), encoding="utf-8"
            )
    return list(json.loads((project.artifacts.folder(STAGE, identity) / "columns.json").read_text(encoding="utf-8")))


def _roles(run: Run) -> dict[str, list[str]]:
    """What the configuration does with a column; a column may be used for several things."""
    resolved = run.resolved
    used = {
        "feature": [feature.name for feature in resolved.features],
        "label": [label.name for label in resolved.labels],
        "slice": [name for names in resolved.slices for name in names],
        "split group": [run.split.by] if run.split.by else [],
    }
    roles: dict[str, list[str]] = {}
    for role, names in used.items():
        for name in dict.fromkeys(names):
            roles.setdefault(name, []).append(role)
    return roles
