"""Finished runs side by side: which ones, their metrics, and the paired differences of each from the best."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cengine.config.flatten import flattened
from cengine.config.resolve import metrics_of
from cengine.engines.engine import Engine
from cengine.errors import StoreError
from cengine.evaluation.baselines import beside_constant, measure_baselines
from cengine.evaluation.paired import Difference, Side, differences, join_pair
from cengine.evaluation.predictions import with_columns
from cengine.evaluation.results import SliceTable
from cengine.evaluation.slices import OVERALL
from cengine.networks.metric import Metric
from cengine.networks.metrics import metric_label
from cengine.pipeline.finished import FinishedRun, find_run
from cengine.pipeline.slicing import slice_tables
from cengine.reports.compare import LabelFacts, RunFacts, compared
from cengine.reports.summary import metric_facts, plain, short
from cengine.store.lifecycle import SUCCEEDED
from cengine.store.project import Project
from cengine.training.heads import Head

MAX_FILE_NAME = 80
# Numbers that all slices of a page may have, so that it stays small with many runs.
MAX_SLICE_NUMBERS = 250_000
MAX_SLICES, MIN_SLICES = 1_000, 40

Report = Callable[[str], None]


@dataclass(frozen=True)
class Chosen:
    """The runs to compare, and which are not among them and why: `name`, `reason`."""

    runs: list[FinishedRun]
    left_out: list[dict[str, str]]


def choose_runs(project: Project, keys: Sequence[str], against: str | None = None) -> Chosen:
    """The runs of `ID|NAME[:RUN]`, all that succeeded for `ID|NAME:*`; without keys the newest of each pipeline.

    The run `against` is one of them. Raises StoreError where there are fewer than two.
    """
    runs: dict[str, FinishedRun] = {}
    left_out: list[dict[str, str]] = []
    if against is not None:
        _add(runs, find_run(project, against))
    for key in keys:
        name, _, number = key.rpartition(":")
        if name and number == "*":
            _add_all(project, name, runs, left_out)
        else:
            _add(runs, find_run(project, key))
    if not keys:
        for pipeline in project.records.all("pipelines"):
            _try_to_add(project, str(pipeline["id"]), pipeline["name"], runs, left_out)
    if len(runs) < 2:
        have = f"only {next(iter(runs))} can be compared" if runs else "there is no finished run"
        why = [f"{entry['name']}: {entry['reason']}" for entry in left_out]
        raise StoreError(
            f"two runs are needed, {have}", *why, "name them, for example: cengine pipeline compare 1 2:3, or 1:* for all of one"
        )
    return Chosen(list(runs.values()), left_out)


def compare_runs(chosen: Chosen, against: str | None = None, report: Report = lambda what: None) -> dict[str, Any]:
    """The comparison as plain data (see `reports/compare.py`); differences are from `against`, else from the best run."""
    runs = chosen.runs
    reference = None
    if against is not None:
        reference = find_run(runs[0].project, against).key
    names = _CommonNames(runs)
    groups: dict[tuple[Any, ...], list[tuple[FinishedRun, Head]]] = {}
    for run in runs:
        for head in run.heads:
            # The probability of two classes is that of the second: others are another question.
            identity = (names.common(run, head.label.name), head.task, head.classes if head.task == "binary" else None)
            groups.setdefault(identity, []).append((run, head))
    labels: list[LabelFacts] = []
    with runs[0].engine() as engine:
        for (label, *_), members in groups.items():
            if len(members) > 1:
                report(f"measuring {label}")
                labels.append(_label_facts(engine, label, members, reference, names))
        _add_differences(engine, {run.key: run for run in runs}, labels, names, report)
    alone = [{"label": label, "task": members[0][1].task, "run": members[0][0].key}
             for (label, *_), members in groups.items() if len(members) == 1]  # fmt: skip
    return dict(plain(compared([_run_facts(run) for run in runs], labels, alone, chosen.left_out)))


def comparison_file(project: Project, runs: Sequence[FinishedRun]) -> Path:
    """Where the page of a comparison goes: named by ids only, never longer than MAX_FILE_NAME and a little."""
    keys = "_".join(run.key.replace(":", "-") for run in runs)
    if len(keys) > MAX_FILE_NAME:
        keys = f"{len(runs)}-runs-{hashlib.sha256(keys.encode()).hexdigest()[:12]}"
    return project.reports / f"compare-{keys}.html"


# Which runs


def _add(runs: dict[str, FinishedRun], run: FinishedRun) -> None:
    runs.setdefault(run.key, run)


def _try_to_add(project: Project, key: str, name: str, runs: dict[str, FinishedRun], left_out: list[dict[str, str]]) -> None:
    try:
        _add(runs, find_run(project, key))
    except StoreError as error:
        left_out.append({"name": name, "reason": error.problems[0].message})


def _add_all(project: Project, name: str, runs: dict[str, FinishedRun], left_out: list[dict[str, str]]) -> None:
    pipeline = project.records.find("pipelines", name)
    succeeded = 0
    for record in project.records.all("runs", pipeline_id=pipeline["id"]):
        if record["status"] == SUCCEEDED:
            succeeded += 1
            key = f"{pipeline['id']}:{record['number']}"
            _try_to_add(project, key, f"{pipeline['name']}, run {record['number']}", runs, left_out)
    if not succeeded:
        find_run(project, str(pipeline["id"]))  # says why there is none


def _run_facts(run: FinishedRun) -> RunFacts:
    data = {"datasource": run.datasource_name, "snapshot": run.snapshot_record["number"], "rows": run.snapshot.schema.num_rows}
    settings = [{"path": f"data.{name}", "value": value} for name, value in data.items()]
    settings += flattened(run.resolved, {head.label.name: head.task for head in run.heads})
    return RunFacts(run.key, run.pipeline["name"], run.record["number"], run.record["started_at"], run.seconds, data, settings)


# Metrics and slices


def _label_facts(
    engine: Engine, label: str, members: Sequence[tuple[FinishedRun, Head]], against: str | None, names: _CommonNames
) -> LabelFacts:
    metrics = list(dict.fromkeys(m for run, head in members for m in metrics_of(head.label, head.task, run.resolved.metrics)))
    facts = LabelFacts(label, members[0][1].task, [run.key for run, _ in members], [metric_facts(m) for m in metrics])
    for run, head in members:
        for split, found in _values(engine, run, head, metrics).items():
            facts.values.setdefault(split, {})[run.key] = found
    facts.choose_references(against)
    facts.slices = _slices(engine, members, metrics, names)
    return facts


def _values(engine: Engine, run: FinishedRun, head: Head, metrics: Sequence[Metric]) -> dict[str, dict[str, Any]]:
    """By split: `num_rows` and the metrics beside the constants; those that the run's YAML does not name are measured now."""
    found: dict[str, dict[str, Any]] = {}
    for row in run.results.overall_rows:
        if row["label"] == head.label.name:
            own = found.setdefault(row["split"], {"num_rows": row["num_rows"], "metrics": {}})
            own["metrics"][row["metric"]] = {key: row.get(key) for key in ("model", "low", "high", "constant", "constant_is", "skill")}
    known = {name for own in found.values() for name in own["metrics"]}
    missing = [metric for metric in metrics if metric_label(metric) not in known]
    if missing:
        rows = engine.parquet([run.predictions_file])
        (overall,) = slice_tables(run, engine, rows, head, missing, [OVERALL])
        constants = measure_baselines(engine, rows, head, missing, run.statistics)
        for row in overall.table.to_pylist():
            for metric in missing:
                name = metric_label(metric)
                constant = constants[run.split.names.index(row["split"])][name]
                found[row["split"]]["metrics"][name] = beside_constant(head, metric, row, constant, run.statistics)
    return found


def _slices(
    engine: Engine, members: Sequence[tuple[FinishedRun, Head]], metrics: Sequence[Metric], names: _CommonNames
) -> list[dict[str, Any]]:
    """Each set of columns that a run slices by, over all runs whose table has them; the largest slices of each."""
    sets = list(dict.fromkeys(names.all_common(run, columns) for run, _ in members for columns in run.resolved.slices))
    if not sets:
        return []
    limit = MAX_SLICE_NUMBERS // (len(members) * len(metrics) * 3 * len(sets))
    limit = min(MAX_SLICES, max(MIN_SLICES, limit))
    tables: dict[tuple[str, ...], list[tuple[str, SliceTable]]] = {columns: [] for columns in sets}
    for run, head in members:
        own = {names.all_own(run, columns): columns for columns in sets}
        for columns, found in _slice_tables_of(engine, run, head, metrics, list(own)).items():
            tables[own[columns]].append((run.key, found))
    labels = [metric_label(metric) for metric in metrics]
    return [_merged(columns, split, parts, labels, limit) for columns, parts in tables.items()
            for split in dict.fromkeys(name for _, part in parts for name in part.table["split"].unique().to_pylist())]  # fmt: skip


def _slice_tables_of(
    engine: Engine, run: FinishedRun, head: Head, metrics: Sequence[Metric], sets: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], SliceTable]:
    """A run's slices by set: the kept ones, and measured now what the run's YAML does not ask for."""
    wanted = {metric_label(metric) for metric in metrics}
    stored = {found.columns: found for found in run.results.slices if found.label == head.label.name}
    found = {columns: part for columns, part in stored.items() if columns in sets and wanted <= set(part.table.column_names)}
    missing = [columns for columns in sets if columns not in found and all(name in run.snapshot.schema for name in columns)]
    if missing:
        names = [name for columns in missing for name in columns]
        rows = with_columns(engine, run.rows_with(names), run.predictions_file, names)
        measured = slice_tables(run, engine, rows, head, metrics, missing)
        found |= {part.columns: part for part in measured}
    return {columns: found[columns] for columns in sets if columns in found}


def _merged(
    columns: tuple[str, ...], split: str, tables: Sequence[tuple[str, SliceTable]], metrics: Sequence[str], limit: int
) -> dict[str, Any]:
    """One set of slices of one split, the runs' metrics beside each other, slices with most rows first."""
    rows: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for key, part in tables:
        for row in part.table.filter(pa.compute.equal(part.table["split"], split)).to_pylist():
            rows.setdefault(tuple(plain(row[name]) for name in part.keys), {})[key] = row
    ordered = sorted(rows.items(), key=lambda item: -max(row["num_rows"] for row in item[1].values()))[:limit]
    ends = {"value": "", "low": ": low", "high": ": high"}
    return {
        "columns": list(columns), "split": split, "num_slices": len(rows), "num_left_out": len(rows) - len(ordered),
        "values": [[values[i] for values, _ in ordered] for i in range(len(columns))],
        "runs": {key: {
            "num_rows": [found[key]["num_rows"] if key in found else None for _, found in ordered],
            "metrics": {name: {end: [short(found[key][name + suffix]) if key in found else None for _, found in ordered]
                               for end, suffix in ends.items()} for name in metrics},
        } for key, _ in tables},
    }  # fmt: skip


# Differences


def _add_differences(
    engine: Engine, runs: dict[str, FinishedRun], labels: Sequence[LabelFacts], common: _CommonNames, report: Report
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


def _metrics(runs: dict[str, FinishedRun], label: LabelFacts, common: _CommonNames) -> list[Metric]:
    heads = [(runs[key], _side(runs[key], {label.name}, common).heads[label.name]) for key in label.runs]
    return list(dict.fromkeys(m for run, head in heads for m in metrics_of(head.label, head.task, run.resolved.metrics)))


def _side(run: FinishedRun, labels: set[str], common: _CommonNames) -> Side:
    heads = {common.common(run, head.label.name): head for head in run.heads}
    return Side(run.predictions_file, run.split.names, {name: head for name, head in heads.items() if name in labels})


class _CommonNames:
    """One name for a column that the runs' tables spell otherwise, `birth_year` and `birth year`: that of the last run's table."""

    def __init__(self, runs: Sequence[FinishedRun]) -> None:
        self._tables = [run.snapshot.schema.lookup for run in reversed(runs)]

    def common(self, run: FinishedRun, name: str) -> str:
        """What a run's column is called in the comparison."""
        own = run.snapshot.schema.lookup
        alike = (table.like(name) for table in self._tables)
        return next((found for found in alike if found is not None and own.like(found) == name), name)

    def all_common(self, run: FinishedRun, names: Sequence[str]) -> tuple[str, ...]:
        """The same of several columns."""
        return tuple(self.common(run, name) for name in names)

    def all_own(self, run: FinishedRun, names: Sequence[str]) -> tuple[str, ...]:
        """What a run's table calls columns of the comparison; those that it lacks stay as they are."""
        own = run.snapshot.schema.lookup
        found = [(name, own.like(name)) for name in names]
        return tuple(mine if mine is not None and self.common(run, mine) == name else name for name, mine in found)
