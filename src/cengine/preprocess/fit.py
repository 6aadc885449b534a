"""Fit: what the words learn of the train rows. A frozen, JSON-able value; applying it is `apply`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from cengine.config.resolve import Feature, Label, Resolved
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import column
from cengine.networks.encodings import Auto, Encoding
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split
from cengine.preprocess.summarize import Question, summarize
from cengine.preprocess.weights import fit_weights
from cengine.summaries import Needs, Summary
from cengine.tasks import Binary, task_named
from cengine.transforms import Filling, NoLookups, Transform, Value, as_input
from cengine.transforms.fill import Max, Min, filled

Statistics = dict[str, Any]
MAX_CLASSES = 10_000


def fit(engine: Engine, rows: Rows, split: Split, resolved: Resolved) -> Statistics:
    """Statistics of every feature and label over the train rows.

    Each column passes its words one after the other; in each round the next word of every column asks what it needs,
    and all questions are answered together. So the number of queries grows with the longest chain, not with columns.
    """
    tracks: list[_Track] = [_FeatureTrack(feature, rows) for feature in resolved.features]
    tracks += [_LabelTrack(label, rows) for label in resolved.labels]
    num_rows = split.report.rows["train"]

    def train(names: Sequence[str]) -> exp.Select:
        assigned = split.assigned(engine, rows, [*names]).subquery("assigned", copy=False)
        of_train = exp.EQ(this=column(rows.split_column), expression=exp.convert(0))
        return exp.select("*").from_(assigned, copy=False).where(of_train, copy=False)

    while True:
        open_tracks = [track for track in tracks if track.advance()]
        if not open_tracks:
            break
        summaries = summarize(engine, train, num_rows, [track.question() for track in open_tracks])
        for track, summary in zip(open_tracks, summaries, strict=True):
            track.answer(summary)
    for track in tracks:
        if isinstance(track, _LabelTrack) and track.label.sample_weight:
            columns = [track.label.sample_weight, track.name]
            assigned = split.assigned(engine, rows, columns)
            track.statistics |= fit_weights(
                engine, assigned, rows, track.label, track.filled, track.statistics, num_rows
            )
    return {
        "num_train_rows": num_rows,
        "features": {track.name: track.statistics for track in tracks if isinstance(track, _FeatureTrack)},
        "labels": {track.name: track.statistics for track in tracks if isinstance(track, _LabelTrack)},
    }


def num_queries(resolved: Resolved) -> int:
    """How many queries `fit` asks of a table whose ranges are not known beforehand."""
    words = [_feature_needs(feature) for feature in resolved.features]
    words += [[(needs, False) for needs in _label_needs(label)] for label in resolved.labels]
    weighing = sum(3 + (not task_named(label.task).has_classes) for label in resolved.labels if label.sample_weight)
    rounds = itertools.zip_longest(*([one for one in chain if one[0]] for chain in words), fillvalue=(Needs(), False))
    return weighing + sum(
        any(needs.range or (needs.moments and not bounded) for needs, bounded in asked)
        + any(needs.moments for needs, _ in asked)
        + any(needs.counts for needs, _ in asked)
        + any(bool(needs.probabilities) for needs, _ in asked)
        for asked in rounds
    )


def _feature_needs(feature: Feature) -> list[tuple[Needs, bool]]:
    """What each word of a feature asks, and whether the bounds of its values are already known."""
    own = [(feature.filling.needs(), False)]
    bounded = _keeps_range(feature.filling, feature.kind)
    for word in feature.transforms:
        own.append((word.needs(), bounded))
        bounded = bounded and word.name == "no_transform"
    return own if isinstance(feature.encoding, Auto) else [*own, (feature.encoding.needs(), False)]


def _label_needs(label: Label) -> list[Needs]:
    """What the words of a label ask, one after the other."""
    own = [label.filling.needs()] if label.filling else []
    if task_named(label.task).has_classes:
        return [*own, Needs(counts=True)]
    learnt = [word.needs() for word in label.transforms if word.name != "no_transform"]
    raw = _needs_of_numbers(label)
    return [*own, raw, *learnt, *([Needs(moments=True)] if learnt else [])]


def _needs_of_numbers(label: Label) -> Needs:
    """What is learnt of a label of numbers as it is: the median comes first, then the quantiles that are asked for."""
    return Needs(range=True, moments=True, probabilities=(0.5, *label.asked().quantiles))


def write_statistics(statistics: Statistics, folder: Path) -> None:
    """Writes them as JSON."""
    (folder / "statistics.json").write_text(json.dumps(statistics, ensure_ascii=False))


def read_statistics(folder: Path) -> Statistics:
    """The statistics that `write_statistics` wrote."""
    found: Statistics = json.loads((folder / "statistics.json").read_text())
    return found


@dataclass
class _Track:
    """A column on its way through its words."""

    name: str
    value: Value
    bounds: tuple[float, float] | None
    words: list[Filling | Transform | Encoding | str]
    statistics: dict[str, Any] = field(default_factory=dict)

    def advance(self) -> bool:
        """Passes the words that need nothing; whether one is left that asks."""
        while self.words and not self.needs():
            self.answer(Summary(0))
        return bool(self.words)

    def needs(self) -> Needs:
        word = self.words[0]
        if (
            isinstance(word, str) or self.value.kind == "code"
        ):  # an index is only re-labelled, by words that learn nothing
            return Needs()
        return word.needs()

    def question(self) -> Question:
        word = self.words[0]
        asked = self.value
        if isinstance(word, Transform):
            asked = word.asked(self.value)
        elif isinstance(word, Encoding):  # learns of what the network reads
            asked = as_input(self.value)
        bounds = self.bounds if asked is self.value else None
        return Question(f"column '{self.name}'", asked.expression, asked.kind, self.needs(), bounds)

    def answer(self, summary: Summary) -> None:
        word = self.words.pop(0)
        if isinstance(word, Filling):
            self._fill(word, summary)
        elif isinstance(word, Transform):
            self._transform(word, summary)

    def _fill(self, word: Filling, summary: Summary) -> None:
        fill = word.fit(summary, self.value.kind)
        self.statistics["filling"] = fill
        self.value = filled(self.value, fill)
        if self.bounds is not None and fill is not None:
            known = self.value.kind == "integer" and isinstance(fill, int | float)
            self.bounds = _narrow(min(self.bounds[0], fill), max(self.bounds[1], fill)) if known else None
        elif _keeps_range(word, self.value.kind) and fill is not None:
            self.bounds = (float(summary.minimum), float(summary.maximum))

    def _transform(self, word: Transform, summary: Summary) -> None:
        statistics = word.fit(summary, f"column '{self.name}', transform {word.name}")
        self.statistics.setdefault("transforms", []).append(statistics)
        if word.name != "no_transform":
            self.bounds = None
            # Words that look values up end a chain or are followed by words that only re-label the index.
            self.value = word.apply(self.value, statistics, NoLookups())[0]


class _FeatureTrack(_Track):
    def __init__(self, feature: Feature, rows: Rows) -> None:
        super().__init__(
            feature.name,
            Value(column(feature.name), feature.kind),
            _known_bounds(feature, rows),
            [feature.filling, *feature.transforms],
        )
        if not isinstance(feature.encoding, Auto):
            self.words.append(feature.encoding)

    def answer(self, summary: Summary) -> None:
        word = self.words[0]
        if isinstance(word, Encoding):
            self.words.pop(0)
            self.statistics["encoding"] = word.fit(summary)
        else:
            super().answer(summary)


class _LabelTrack(_Track):
    """A label; besides its words' statistics it learns its mean and median (or classes), raw and transformed."""

    def __init__(self, label: Label, rows: Rows) -> None:
        self.label = label
        words: list[Filling | Transform | Encoding | str] = [label.filling] if label.filling else []
        classes = task_named(label.task).has_classes
        plain = all(word.name == "no_transform" for word in label.transforms)
        words += ["classes"] if classes else (["raw"] if plain else ["raw", *label.transforms, "transformed"])
        super().__init__(label.name, Value(column(label.name), label.kind), _known_bounds(label, rows), words)
        if plain and not classes:
            self.statistics["transforms"] = [{} for _ in label.transforms]

    @property
    def filled(self) -> Value:
        """The label as it is in the table, filled where the YAML says so."""
        value = Value(column(self.name), self.label.kind)
        return value if self.label.filling is None else filled(value, self.statistics["filling"])

    def needs(self) -> Needs:
        match self.words[0]:
            case "raw":
                return _needs_of_numbers(self.label)
            case "transformed":
                return Needs(moments=True)
            case "classes":
                return Needs(counts=True)
        return super().needs()

    def answer(self, summary: Summary) -> None:
        match self.words[0]:
            case "raw":
                self.words.pop(0)
                self.statistics.update(
                    mean=summary.mean,
                    deviation=summary.deviation,
                    median=summary.quantiles[0],
                    minimum=summary.minimum,
                    maximum=summary.maximum,
                )
                if self.label.asked().quantiles:
                    self.statistics["quantiles"] = list(summary.quantiles[1:])
                self._standardize(summary)
            case "transformed":
                self.words.pop(0)
                self._standardize(summary)
            case "classes":
                self.words.pop(0)
                self._classes(summary)
            case _:
                super().answer(summary)

    def _standardize(self, summary: Summary) -> None:
        self.statistics["offset"], self.statistics["scale"] = summary.mean, summary.deviation or 1.0

    def _classes(self, summary: Summary) -> None:
        """Classes in the order of their values, so that of two classes the greater (1, true, yes) is the positive one."""
        ordered = sorted(summary.counts, key=lambda pair: pair[0])
        self._check_classes(ordered)
        self.statistics["classes"] = [value for value, _ in ordered]
        self.statistics["counts"] = [count for _, count in ordered]

    def _check_classes(self, ordered: Sequence[tuple[Any, int]]) -> None:
        if len(ordered) < 2:
            found = f"only {ordered[0][0]!r}" if ordered else "no value"
            raise PreprocessError(f"label '{self.name}': the train rows hold {found}; there is nothing to tell apart")
        if len(ordered) > MAX_CLASSES:
            raise PreprocessError(
                f"label '{self.name}' has {len(ordered):,} classes, more than {MAX_CLASSES:,}",
                "is it a number? set `type: regression`",
            )
        loss = self.label.loss
        if loss is not None and loss.tasks == (Binary.name,) and len(ordered) != 2:
            raise PreprocessError(
                f"loss '{loss.name}' needs two classes; label '{self.name}' has {len(ordered)}",
                "leave `loss` out, or take sparse_categorical_crossentropy",
            )


def _keeps_range(filling: Filling, kind: str) -> bool:
    """Whether filling leaves the range of numbers as it is: the filling is the least or the greatest of them."""
    return kind in ("integer", "float") and isinstance(filling, Min | Max)


def _known_bounds(feature: Feature | Label, rows: Rows) -> tuple[float, float] | None:
    """Bounds of a column of whole numbers, from what the files themselves say of their least and greatest values."""
    known = rows.schema[feature.name]
    if feature.kind != "integer" or known.minimum is None or known.maximum is None:
        return None
    return _narrow(float(known.minimum), float(known.maximum))


def _narrow(low: float, high: float) -> tuple[float, float] | None:
    """The bounds where sums within them are exact. Others have to be those of the train rows, not of the whole table:

    one huge value in a row that is not trained on would leave the others no digits.
    """
    return (low, high) if high - low < 2**30 else None


__all__ = ["Statistics", "fit", "read_statistics", "write_statistics"]
