"""What a finished run is told by: evidence computed once and kept, the summary, the page and the notebook."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from cengine.config.resolve import metrics_of
from cengine.digests import fingerprint
from cengine.engines.engine import Engine
from cengine.expressions.build import column
from cengine.stages.evaluate import Evaluate
from cengine.store.disk import disk_errors
from cengine.store.permissions import make_folder, restrict
from cengine.store.writing import refuse_link, write_whole

if TYPE_CHECKING:
    from cengine.evaluation.diagnostics import Diagnosis
    from cengine.evaluation.search import WorstSlices
    from cengine.inspection.run import Run
    from cengine.reports.summary import Summary

EVIDENCE_VERSION = 2
# Told what is being done.
Report = Callable[[str], None]


@dataclass(frozen=True)
class ReportFiles:
    """Where a report was written."""

    page: Path
    notebook: Path
    summary: Path


def summary_of(run: Run, report: Report = lambda what: None) -> Summary:
    """The summary of a run (see `reports/summary.py`); what must be computed for it is kept."""
    from cengine.inspection.describe import run_columns
    from cengine.reports.summary import Evidence, summarize

    report("looking for the worst slices")
    diagnostics, worst = _evidence(run)
    report("describing the columns")
    columns = run_columns(run, used=True)
    record, snapshot = run.record, run.snapshot
    return summarize(
        Evidence(
            pipeline={
                "id": run.pipeline.id,
                "name": run.pipeline.name,
                "config_name": Path(run.pipeline.config_name).name,
            },
            run={
                "number": record.number,
                "key": run.key,
                "started_at": record.started_at,
                "ended_at": record.ended_at or record.started_at,
                "seconds": run.seconds,
                "saved_seconds": run.saved_seconds,
                "stages": [
                    {
                        "name": stage["name"],
                        "seconds": stage["seconds"],
                        "reused": stage["reused"],
                        "saved_seconds": stage["saved_seconds"],
                    }
                    for stage in record.stages
                ],
            },
            data={
                "datasource": run.datasource_name,
                "snapshot": run.snapshot_record.number,
                "num_rows": snapshot.schema.num_rows,
                "num_columns": len(snapshot.schema.columns),
                "content": snapshot.content,
                "where": list(run.resolved.split.where),
            },
            yaml=run.pipeline.config_text,
            resolved=run.resolved,
            targets=run.targets,
            results=run.results,
            diagnostics=diagnostics,
            worst=worst,
            training=run.training,
            split=run.row_split,
            seen=run.split,
            columns=columns,
        )
    )


def write_report(
    run: Run, *, other: Run | None = None, folder: Path | None = None, report: Report = lambda what: None
) -> ReportFiles:
    """Writes `report.html`, `report.ipynb` and `summary.json`, by default into the project's folder `reports/`."""
    from cengine.inspection.tensorboard import named_runs
    from cengine.reports.html import page
    from cengine.reports.notebook import write_notebook

    summary = summary_of(run, report)
    beside = summary_of(other, report) if other else None
    report("writing the page")
    target = folder or run.project.reports / f"run-{run.pipeline.id}-{run.record.number}"
    files = ReportFiles(target / "report.html", target / "report.ipynb", target / "summary.json")
    with disk_errors():
        if folder is None:
            make_folder(refuse_link(target))
        target.mkdir(parents=True, exist_ok=True)
        write_whole(files.summary, json.dumps(summary, ensure_ascii=False))
        write_whole(files.page, page(summary, other=beside, cache=run.project.cache))
        named_runs(run.project, [str(run.pipeline.id)]).linked()
        write_notebook(files.notebook, run.name, run.key, os.path.relpath(run.project.folder, target))
        if folder is None:
            restrict(target)
    return files


def _evidence(run: Run) -> tuple[dict[str, list[Diagnosis]], dict[str, WorstSlices]]:
    """Diagnostics and worst slices by label, computed once for each evaluation."""
    from cengine.reports.summary import plain

    identity = fingerprint({"version": EVIDENCE_VERSION, "evaluation": run.fingerprint(Evaluate)})
    with run.project.artifacts.building("evidence", identity) as building:
        if building is not None:
            building.details["parent"] = run.fingerprint(Evaluate)
            with run.engine() as engine:
                diagnostics, worst = _looked_at(run, engine, engine.parquet([run.predictions_file]))
            (building.folder / "evidence.json").write_text(
                json.dumps(plain({"diagnostics": diagnostics, "worst": worst}))
            )
    artifact = run.project.artifacts.find("evidence", identity)
    assert artifact is not None
    kept = json.loads((artifact.folder / "evidence.json").read_text())
    return kept["diagnostics"], kept["worst"]


def _looked_at(
    run: Run, engine: Engine, predictions: exp.Expr
) -> tuple[dict[str, list[Diagnosis]], dict[str, WorstSlices]]:
    from cengine.evaluation.diagnostics import diagnose
    from cengine.evaluation.search import searched_columns, worst_slices

    num_rows = _num_rows(engine, predictions)
    searched = searched_columns(engine, predictions, run.resolved)
    diagnostics: dict[str, list[Diagnosis]] = {}
    worst: dict[str, WorstSlices] = {}
    for target in run.targets:
        name = target.name
        diagnostics[name] = []
        if target.task.has_label:
            diagnostics[name] = diagnose(engine, predictions, target, num_rows, run.split.measured_names)
        primary = metrics_of(target.label, target.task.name, run.resolved.metrics)[0]
        worst[name] = worst_slices(
            engine, predictions, target, primary, [c for c in searched if c != name], run.split.measured_names
        )
    return diagnostics, worst


def _num_rows(engine: Engine, predictions: exp.Expr) -> dict[int, int]:
    """The rows of each split, by its number."""
    counts = (
        exp.select(column("_split"), exp.Count(this=exp.Star()).as_("n"))
        .from_(predictions.copy())
        .group_by("_split")
        .order_by("_split")
    )
    return {row["_split"]: row["n"] for row in engine.fetch(counts).to_pylist()}
