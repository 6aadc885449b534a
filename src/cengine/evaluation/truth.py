"""What an evaluation says beside its metrics: leaks, repeated rows, which features matter, the worst rows.

Written by Evaluate, read by all that tell of a run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from cengine.metrics.verdicts import FEW_ROWS
from cengine.preprocess.weights import class_name

if TYPE_CHECKING:
    from cengine.config.resolve import Resolved
    from cengine.engines.engine import Engine
    from cengine.evaluation.attributions import Attributions
    from cengine.evaluation.dependence import Dependence
    from cengine.evaluation.importance import Important
    from cengine.evaluation.leaks import Association
    from cengine.evaluation.repeats import Repeated
    from cengine.evaluation.results import OverallRow
    from cengine.evaluation.worst_rows import WorstRows
    from cengine.preprocess.source import Rows
    from cengine.preprocess.split import Split
    from cengine.preprocess.targets import Target

FILE = "truth.json"
# A model that makes less than a thousandth of a constant's errors is rather told the answer than good.
TOO_GOOD = 0.999
MOST_CLASSES = 6


class Truth(TypedDict):
    """What is known beside the metrics; an evaluation of an earlier version has none of it, and each list is empty."""

    associations: list[Association]
    repeated: list[Repeated]
    important: Important | None
    dependences: list[Dependence]
    worst_rows: list[WorstRows]
    weights: list[str]
    """Sentences on rows that do not all count alike."""
    attributions: list[Attributions]


class Caution(TypedDict):
    """A reason to mistrust the metrics: `kind` is leak, too_good, repeated, calibration or weights, `is_warning` false for what is usual."""

    kind: str
    sentence: str
    is_warning: bool


def empty_truth() -> Truth:
    """Of an evaluation that did not look."""
    return {
        "associations": [],
        "repeated": [],
        "important": None,
        "dependences": [],
        "worst_rows": [],
        "weights": [],
        "attributions": [],
    }


def found_in_rows(engine: Engine, rows: Rows, split: Split, resolved: Resolved) -> Truth:
    """What the raw rows say: one query for leaks, and one for repeated rows."""
    from cengine.evaluation.leaks import associations
    from cengine.evaluation.repeats import repeated_rows

    return {
        **empty_truth(),
        "associations": associations(engine, rows, split, resolved) if resolved.labels else [],
        "repeated": repeated_rows(engine, rows, split, resolved),
    }


def write_truth(truth: Truth, folder: Path) -> None:
    """Writes it as JSON; of attributions and weights nothing is said if there are none, as in evaluations of before there were any."""
    told = {name: found for name, found in truth.items() if found or name not in ("attributions", "weights")}
    (folder / FILE).write_text(json.dumps(told, ensure_ascii=False, indent=1, default=str), encoding="utf-8")


def read_truth(folder: Path) -> Truth:
    """What `write_truth` wrote."""
    file = folder / FILE
    return cast(Truth, empty_truth() | (json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}))


def cautions(truth: Truth, overall: Sequence[OverallRow]) -> list[Caution]:
    """Reasons to mistrust the metrics, the gravest first."""
    leaks = [one["sentence"] for one in truth["associations"] if one["sentence"]]
    found: list[Caution] = [{"kind": "leak", "sentence": sentence, "is_warning": True} for sentence in leaks]
    found += [{"kind": "too_good", "sentence": one, "is_warning": True} for one in _too_good(overall, leaks)]
    for repeated in truth["repeated"]:
        if repeated["sentence"]:
            found.append({"kind": "repeated", "sentence": repeated["sentence"], "is_warning": not repeated["usual"]})
    found += [{"kind": "weights", "sentence": one, "is_warning": False} for one in truth["weights"]]
    return found


def weights_told(targets: Sequence[Target]) -> list[str]:
    """How rows count where they do not all count alike, in sentences."""
    found = []
    for target in targets:
        if target.label.sample_weight:
            found.append(
                f"{target.name}: each row counts as much as its {target.label.sample_weight} says, in training, metrics and constants."
            )
        if target.class_weights:
            shares = zip(target.classes, target.class_weights, strict=True)
            told = ", ".join(f"{class_name(value)} {share:.3g}" for value, share in list(shares)[:MOST_CLASSES])
            more = "" if len(target.classes) <= MOST_CLASSES else " and so on"
            found.append(
                f"{target.name}: in training rows count by their class, {told}{more}; metrics count them alike. Probabilities lean "
                "towards the classes that count more."
            )
    return found


def _too_good(overall: Sequence[OverallRow], leaks: Sequence[str]) -> list[str]:
    """A sentence for each split and label whose first metric is next to perfect."""
    first: dict[tuple[str, str], OverallRow] = {}
    for row in overall:
        first.setdefault((row["split"], row["label"]), row)
    sentences = []
    for row in first.values():
        if row["skill"] is not None and row["skill"] >= TOO_GOOD and row["num_rows"] >= FEW_ROWS:
            where = "" if leaks else ": look for a column that is made from the label"
            sentences.append(
                f"{row['metric']} {row['model']:.4g} of {row['label']} on {row['split']} is too good to be true{where}."
            )
    return sentences
