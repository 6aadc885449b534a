"""Finished runs side by side: which ones, their metrics, and the paired differences of each from the best."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp

from cengine.config.flatten import FlatSetting, flattened
from cengine.config.resolve import metrics_of
from cengine.engines.engine import Engine
from cengine.errors import StoreError
from cengine.evaluation.baselines import BesideConstant, beside_constant, yardsticks_of
from cengine.evaluation.paired import Difference, Side, differences, join_pair
from cengine.evaluation.predictions import with_columns
from cengine.evaluation.results import SliceTable
from cengine.evaluation.slices import OVERALL
from cengine.expressions.build import column
from cengine.inspection.run import Run, find_run
from cengine.inspection.slicing import slice_tables
from cengine.metrics.metric import Metric
from cengine.metrics.table import metric_label
from cengine.preprocess.targets import Target
from cengine.reports.compare import (
    Alone,
    ComparedSlices,
    Comparison,
    DataFacts,
    LabelFacts,
    LeftOut,
    Reached,
    RunFacts,
    compared,
)
from cengine.reports.summary import as_trained, metric_facts, plain, short
from cengine.store.lifecycle import SUCCEEDED
from cengine.store.project import Project
from cengine.tables import ROW_ID

MAX_FILE_NAME = 80
# Numbers that all slices of a page may have, so that it stays small with many runs.
MAX_SLICE_NUMBERS = 250_000
MAX_SLICES, MIN_SLICES = 1_000, 40

Report = Callable[[str], None]


@dataclass(frozen=True)
class Chosen:
    """The runs to compare, and which are not among them and why: `name`, `reason`."""

    runs: list[Run]
    left_out: list[LeftOut]


def choose_runs(project: Project, keys: Sequence[str], against: str | None = None) -> Chosen:
    """The runs of `ID|NAME[:RUN]`, all that succeeded for `ID|NAME:*`; without keys the newest of each pipeline.

    The run `against` is one of them. Raises StoreError where there are fewer than two.
    """
    runs: dict[str, Run] = {}
    left_out: list[LeftOut] = []
    if against is not None:
        _add(runs, find_run(project, against))
    for key in keys:
        name, _, number = key.rpartition(":")
        if name and number == "*":
            _add_all(project, name, runs, left_out)
        else:
            _add(runs, find_run(project, key))
    if not keys:
        for pipeline in project.records.pipelines.all():
            _try_to_add(project, str(pipeline.id), pipeline.name, runs, left_out)
    if len(runs) < 2:
        have = f"only {next(iter(runs))} can be compared" if runs else "there is no finished run"
        why = [f"{entry['name']}: {entry['reason']}" for entry in left_out]
        raise StoreError(
            f"two runs are needed, {have}",
            *why,
            "name them, for example: cengine pipeline compare 1 2:3, or 1:* for all of one",
        )
    return Chosen(list(runs.values()), left_out)


def compare_runs(chosen: Chosen, against: str | None = None, report: Report = lambda what: None) -> Comparison:
    """The comparison as plain data (see `reports/compare.py`); differences are from `against`, else from the best run."""
    runs = chosen.runs
    reference = None
    if against is not None:
        reference = find_run(runs[0].project, against).key
    names = _CommonNames(runs)
    groups: dict[tuple[Any, ...], list[tuple[Run, Target]]] = {}
    for run in runs:
        for target in run.targets:
            # The probability of two classes is that of the second: others are another question, as are other quantiles and what rows count.
            identity = (
                names.common(run, target.name),
                # Codes and thresholds of autoencoders may differ; which rows are known to be odd may not.
                target.task if target.task.has_label else str(run.resolved.anomaly),
                None if target.task.one_output_a_class else target.classes,
                target.label.sample_weight,
            )
            groups.setdefault(identity, []).append((run, target))
    labels: list[LabelFacts] = []
    with runs[0].engine() as engine:
        for (label, *_), members in groups.items():
            if len(members) > 1:
                report(f"measuring {label}")
                labels.append(_label_facts(engine, label, members, reference, names))
        _add_differences(engine, {run.key: run for run in runs}, labels, names, report)
    alone: list[Alone] = [
        {"label": label, "task": members[0][1].task.name, "run": members[0][0].key}
        for (label, *_), members in groups.items()
        if len(members) == 1
    ]
    comparison: Comparison = plain(compared([_run_facts(run) for run in runs], labels, alone, chosen.left_out))
    return comparison


def comparison_file(project: Project, runs: Sequence[Run]) -> Path:
    """Where the page of a comparison goes: named by ids only, never longer than MAX_FILE_NAME and a little."""
    keys = "_".join(run.key.replace(":", "-") for run in runs)
    if len(keys) > MAX_FILE_NAME:
        keys = f"{len(runs)}-runs-{hashlib.sha256(keys.encode()).hexdigest()[:12]}"
    return project.reports / f"compare-{keys}.html"


# Which runs


def _add(runs: dict[str, Run], run: Run) -> None:
    runs.setdefault(run.key, run)


def _try_to_add(project: Project, key: str, name: str, runs: dict[str, Run], left_out: list[LeftOut]) -> None:
    try:
        _add(runs, find_run(project, key))
    except StoreError as error:
        left_out.append({"name": name, "reason": error.problems[0].message})


def _add_all(project: Project, name: str, runs: dict[str, Run], left_out: list[LeftOut]) -> None:
    pipeline = project.records.pipelines.find(name)
    succeeded = 0
    for record in project.records.runs.all(pipeline_id=pipeline.id):
        if record.status == SUCCEEDED:
            succeeded += 1
            _try_to_add(project, record.key, f"{pipeline.name}, run {record.number}", runs, left_out)
    if not succeeded:
        find_run(project, str(pipeline.id))  # says why there is none


def _run_facts(run: Run) -> RunFacts:
    data: DataFacts = {
        "datasource": run.datasource_name,
        "snapshot": run.snapshot_record.number,
        "rows": run.snapshot.schema.num_rows,
    }
    settings: list[FlatSetting] = [{"path": f"data.{name}", "value": value} for name, value in data.items()]
    resolved = as_trained(run.resolved, run.split, run.training)
    settings += flattened(resolved, {target.name: target.task.name for target in run.targets})
    return RunFacts(run.key, run.pipeline.name, run.record.number, run.record.started_at, run.seconds, data, settings)


# Metrics and slices


def _label_facts(
    engine: Engine, label: str, members: Sequence[tuple[Run, Target]], against: str | None, names: _CommonNames
) -> LabelFacts:
    metrics = list(
        dict.fromkeys(
            m for run, target in members for m in metrics_of(target.label, target.task.name, run.resolved.metrics)
        )
    )
    facts = LabelFacts(
        label, members[0][1].task.name, [run.key for run, _ in members], [metric_facts(m) for m in metrics]
    )
    for run, target in members:
        for split, found in _values(engine, run, target, metrics).items():
            facts.values.setdefault(split, {})[run.key] = found
    _stand_beside(engine, members, metrics, facts)
    facts.choose_references(against)
    facts.slices = _slices(engine, members, metrics, names)
    return facts


def _stand_beside(
    engine: Engine, members: Sequence[tuple[Run, Target]], metrics: Sequence[Metric], facts: LabelFacts
) -> None:
    """Runs of folds on the splits of the others: on those rows of a split, as the first run that has it divides them, that they have predicted."""
    owners: dict[str, Run] = {}
    for run, _ in members:
        if not run.of_folds:
            for split in run.split.measured_names[1:]:
                owners.setdefault(split, run)
    for run, target in members:
        for split, owner in owners.items() if run.of_folds else ():
            number = exp.EQ(this=column("_split"), expression=exp.convert(owner.split.measured_names.index(split)))
            theirs = exp.select(column(ROW_ID)).from_(engine.parquet([owner.predictions_file])).where(number)
            common = exp.In(this=column(ROW_ID), query=theirs.subquery())
            rows = exp.select("*").from_(engine.parquet([run.predictions_file])).where(common).subquery("common_rows")
            (overall,) = slice_tables(run, engine, rows, target, metrics, [OVERALL])
            for row in overall.table.to_pylist():
                facts.values[split][run.key] = {
                    "num_rows": row["num_rows"],
                    "metrics": {metric_label(metric): _reached(run, target, metric, row) for metric in metrics},
                }


def _reached(run: Run, target: Target, metric: Metric, row: dict[str, Any]) -> BesideConstant:
    return beside_constant(target, metric, row, run.statistics, of_folds=run.of_folds)


def _values(engine: Engine, run: Run, target: Target, metrics: Sequence[Metric]) -> dict[str, Reached]:
    """By split: the metrics beside the constants; those that the run's YAML does not name are measured now."""
    found: dict[str, Reached] = {}
    for row in run.results.overall_rows:
        if row["label"] == target.name:
            own = found.setdefault(row["split"], {"num_rows": row["num_rows"], "metrics": {}})
            own["metrics"][row["metric"]] = {
                "model": row.get("model"),
                "low": row.get("low"),
                "high": row.get("high"),
                "constant": row.get("constant"),
                "constant_is": row.get("constant_is"),
                "skill": row.get("skill"),
                **yardsticks_of(row),
            }
    known = {name for own in found.values() for name in own["metrics"]}
    missing = [metric for metric in metrics if metric_label(metric) not in known]
    if missing:
        rows = engine.parquet([run.predictions_file])
        (overall,) = slice_tables(run, engine, rows, target, missing, [OVERALL])
        for row in overall.table.to_pylist():
            for metric in missing:
                name = metric_label(metric)
                found[row["split"]]["metrics"][name] = _reached(run, target, metric, row)
    return found


def _slices(
    engine: Engine, members: Sequence[tuple[Run, Target]], metrics: Sequence[Metric], names: _CommonNames
) -> list[ComparedSlices]:
    """Each set of columns that a run slices by, over all runs whose table has them; the largest slices of each."""
    sets = list(dict.fromkeys(names.all_common(run, columns) for run, _ in members for columns in run.resolved.slices))
    if not sets:
        return []
    limit = min(MAX_SLICES, max(MIN_SLICES, MAX_SLICE_NUMBERS // (len(members) * len(metrics) * 3 * len(sets))))
    tables: dict[tuple[str, ...], list[tuple[str, SliceTable]]] = {columns: [] for columns in sets}
    for run, target in members:
        own = {names.all_own(run, columns): columns for columns in sets}
        for columns, found in _slice_tables_of(engine, run, target, metrics, list(own)).items():
            tables[own[columns]].append((run.key, found))
    labels = [metric_label(metric) for metric in metrics]
    return [
        _merged(columns, split, parts, labels, limit)
        for columns, parts in tables.items()
        for split in dict.fromkeys(name for _, part in parts for name in part.table["split"].unique().to_pylist())
    ]


def _slice_tables_of(
    engine: Engine, run: Run, target: Target, metrics: Sequence[Metric], sets: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], SliceTable]:
    """A run's slices by set: the kept ones, and measured now what the run's YAML does not ask for."""
    wanted = {metric_label(metric) for metric in metrics}
    stored = {found.columns: found for found in run.results.slices if found.label == target.name}
    found = {
        columns: part for columns, part in stored.items() if columns in sets and wanted <= set(part.table.column_names)
    }
    missing = [columns for columns in sets if columns not in found and all(name in run.seen.schema for name in columns)]
    if missing:
        names = [name for columns in missing for name in columns]
        rows = with_columns(engine, run.rows_with(names), run.predictions_file, names)
        measured = slice_tables(run, engine, rows, target, metrics, missing)
        found |= {part.columns: part for part in measured}
    return {columns: found[columns] for columns in sets if columns in found}


def _merged(
    columns: tuple[str, ...], split: str, tables: Sequence[tuple[str, SliceTable]], metrics: Sequence[str], limit: int
) -> ComparedSlices:
    """One set of slices of one split, the runs' metrics beside each other, slices with most rows first."""
    rows: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for key, part in tables:
        for row in part.table.filter(pa.compute.equal(part.table["split"], split)).to_pylist():
            rows.setdefault(tuple(plain(row[name]) for name in part.keys), {})[key] = row
    ordered = sorted(rows.items(), key=lambda item: -max(row["num_rows"] for row in item[1].values()))[:limit]
    ends = {"value": "", "low": ": low", "high": ": high"}
    return {
        "columns": list(columns),
        "split": split,
        "num_slices": len(rows),
        "num_left_out": len(rows) - len(ordered),
        "values": [[values[i] for values, _ in ordered] for i in range(len(columns))],
        "runs": {
            key: {
                "num_rows": [found[key]["num_rows"] if key in found else None for _, found in ordered],
                "metrics": {
                    name: {
                        end: [short(found[key][name + suffix]) if key in found else None for _, found in ordered]
                        for end, suffix in ends.items()
                    }
                    for name in metrics
                },
            }
            for key, _ in tables
        },
    }


# Differences


def _add_differences(
    engine: Engine, runs: dict[str, Run], labels: Sequence[LabelFacts], common: _CommonNames, report: Report
) -> None:
    """Fills in the differences of every run from its label's reference, joining each pair of runs once."""
    wanted: dict[tuple[str, str], list[tuple[LabelFacts, str]]] = {}
    for label in labels:
        for split, reference in label.references.items():
            for key in label.values[split]:
                if key != reference:
                    wanted.setdefault((reference, key), []).append((label, split))
    engine.scratch.mkdir(parents=True, exist_ok=True)
    file = engine.scratch / "pair.parquet"
    for number, ((reference, key), parts) in enumerate(wanted.items(), start=1):
        report(f"comparing {key} with {reference} ({number} of {len(wanted)})")
        names = {label.name for label, _ in parts}
        pair = join_pair(engine, _side(runs[reference], names, common), _side(runs[key], names, common), file)
        for label in {id(label): label for label, _ in parts}.values():
            metrics = _metrics(runs, label, common)
            found: dict[str, list[Difference]] = {}
            for difference in differences(engine, pair, label.name, metrics):
                found.setdefault(difference.split, []).append(difference)
            for split in [split for other, split in parts if other is label]:
                label.differences[split, key] = found.get(split, [])
                label.num_common[split, key] = pair.num_rows.get(split, 0)
        file.unlink()


def _metrics(runs: dict[str, Run], label: LabelFacts, common: _CommonNames) -> list[Metric]:
    targets = [(runs[key], _side(runs[key], {label.name}, common).targets[label.name]) for key in label.runs]
    return list(
        dict.fromkeys(
            m for run, target in targets for m in metrics_of(target.label, target.task.name, run.resolved.metrics)
        )
    )


def _side(run: Run, labels: set[str], common: _CommonNames) -> Side:
    targets = {common.common(run, target.name): target for target in run.targets}
    return Side(
        run.predictions_file,
        run.split.measured_names,
        {name: target for name, target in targets.items() if name in labels},
        run.of_folds,
    )


class _CommonNames:
    """One name for a column that the runs' tables spell otherwise, `birth_year` and `birth year`: that of the last run's table."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._tables = [run.seen.schema.lookup for run in reversed(runs)]

    def common(self, run: Run, name: str) -> str:
        """What a run's column is called in the comparison."""
        own = run.seen.schema.lookup
        alike = (table.like(name) for table in self._tables)
        return next((found for found in alike if found is not None and own.like(found) == name), name)

    def all_common(self, run: Run, names: Sequence[str]) -> tuple[str, ...]:
        """The same of several columns."""
        return tuple(self.common(run, name) for name in names)

    def all_own(self, run: Run, names: Sequence[str]) -> tuple[str, ...]:
        """What a run's table calls columns of the comparison; those that it lacks stay as they are."""
        own = run.seen.schema.lookup
        found = [(name, own.like(name)) for name in names]
        return tuple(mine if mine is not None and self.common(run, mine) == name else name for name, mine in found)
