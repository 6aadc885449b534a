"""What a server tells of itself, in the text format of Prometheus 0.0.4."""

from __future__ import annotations

import bisect
import resource
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from cengine.models.outputs import told
from cengine.serving.bundle import Bundle, Label
from cengine.serving.rows import Given
from cengine.serving.session import Outputs

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = tuple(float(2**power) for power in range(0, 15))
# Edges of the histogram of predictions, in deviations of the train rows around their mean.
DEVIATIONS = (-3.0, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
OTHER = "(other)"
MAX_CLASSES_COUNTED = 100
# Versions that are no longer served but still told of, so that what they counted last is read.
MAX_METERS = 20

Labels = dict[str, str]
# Name, kind, help, and samples: what is behind the name, labels, a number or a histogram.
Family = tuple[str, str, str, Sequence[tuple[str, Labels, Any]]]


class Histogram:
    """Counts of values up to each of `edges`, and their sum."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """One value."""
        self.counts[bisect.bisect_left(self.edges, value)] += 1
        self.sum += value

    def add_all(self, values: np.ndarray) -> None:
        """Many; those that are no numbers are left out."""
        values = values[np.isfinite(values)]
        found = np.bincount(np.searchsorted(self.edges, values, side="left"), minlength=len(self.counts))
        self.counts = [count + int(more) for count, more in zip(self.counts, found, strict=True)]
        self.sum += float(values.sum())

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        """As Prometheus reads it."""
        totals = list(accumulate(self.counts))
        for edge, total in zip((*map(_number, self.edges), "+Inf"), totals, strict=True):
            yield f"{name}_bucket{_labels({**labels, 'le': edge})} {total}"
        yield f"{name}_sum{_labels(labels)} {_number(self.sum)}"
        yield f"{name}_count{_labels(labels)} {totals[-1]}"


class Meter:
    """What one version of a model was given, and what it predicted."""

    def __init__(self, bundle: Bundle) -> None:
        self.labels = {"model": bundle.name, "version": bundle.version}
        self.bundle = bundle
        self.rows = 0
        self.batches = Histogram(ROWS)
        self.missing = [0] * len(bundle.fields)
        self.unseen = [0] * len(bundle.fields)
        self.predictions = [_prediction_counts(label) for label in bundle.labels]

    def ran(self, given: Given, outputs: Outputs) -> None:
        """Counts a batch."""
        self.rows += given.num_rows
        self.batches.add(given.num_rows)
        for place, field in enumerate(self.bundle.fields):
            column = given.columns[place]
            values = column if isinstance(column, list) else column.tolist()
            gone = values.count(None)
            if field.kind == "float":
                gone += sum(1 for value in values if value != value)  # NaN
            self.missing[place] += gone
            if (known := field.vocabulary) is not None:
                self.unseen[place] += sum([value not in known for value in values]) - gone
        for label, counts in zip(self.bundle.labels, self.predictions, strict=True):
            _count(label, counts, outputs[label.prediction])

    def cells(self, which: str) -> Iterable[tuple[Labels, int]]:
        """Counts of `missing` or `unseen` cells by column; only a column with a vocabulary has unseen ones."""
        counts = self.missing if which == "missing" else self.unseen
        for field, count in zip(self.bundle.fields, counts, strict=True):
            if which == "missing" or field.vocabulary is not None:
                yield {**self.labels, "column": field.column}, count


def _prediction_counts(label: Label) -> Histogram | Counter[Any]:
    if label.classes is not None:
        return Counter()
    return Histogram([label.mean + by * label.deviation for by in DEVIATIONS])


def _count(label: Label, counts: Histogram | Counter[Any], predicted: np.ndarray) -> None:
    if isinstance(counts, Counter):
        counts.update(predicted.tolist())
    elif len(predicted) == 1:
        counts.add(float(predicted[0]))
    else:
        counts.add_all(predicted)


class Metrics:
    """All that the server counts."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.errors: Counter[str] = Counter()
        self.reloads: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, str], Histogram] = {}
        self.meters: dict[tuple[str, str], Meter] = {}
        self._began = time.time()

    def meter(self, bundle: Bundle) -> Meter:
        """The meter of this version."""
        key = (bundle.name, bundle.version)
        while key not in self.meters and len(self.meters) >= MAX_METERS:
            del self.meters[next(iter(self.meters))]
        return self.meters.setdefault(key, Meter(bundle))

    def answered(self, model: str, path: str, status: int, seconds: float) -> None:
        """Counts an answer; `path` is predict or infer."""
        self.requests[model, path, status] += 1
        histogram = self.seconds.get((model, path))
        if histogram is None:
            histogram = self.seconds[model, path] = Histogram(SECONDS)
        histogram.add(seconds)

    def text(self, *, is_ready: bool, waiting_rows: int) -> bytes:
        """All of it as text."""
        families = [*self._of_requests(), *self._of_models()]
        families += [
            ("ready", "gauge", "Whether requests are welcome: 0 while the server ends.", [("", {}, int(is_ready))]),
            ("queue_rows", "gauge", "Rows that wait or are predicted.", [("", {}, waiting_rows)]),
            ("start_time_seconds", "gauge", "When the server began, since 1970.", [("", {}, self._began)]),
            *_of_process(),
        ]
        lines: list[str] = []
        for name, kind, help_text, samples in families:
            full = name if name.startswith("process_") else f"cengine_{name}"
            lines += [f"# HELP {full} {help_text}", f"# TYPE {full} {kind}"]
            for suffix, labels, value in samples:
                lines += (
                    value.lines(full, labels)
                    if isinstance(value, Histogram)
                    else [f"{full}{suffix}{_labels(labels)} {_number(value)}"]
                )
        return "\n".join([*lines, ""]).encode()

    def _of_requests(self) -> Iterable[Family]:
        asked = [
            ("", {"model": model, "path": path, "status": str(status)}, count)
            for (model, path, status), count in sorted(self.requests.items())
        ]
        yield "requests_total", "counter", "Requests that were answered.", asked
        took = [("", {"model": model, "path": path}, one) for (model, path), one in sorted(self.seconds.items())]
        yield "request_seconds", "histogram", "From the body's end to the answer.", took
        errors = [("", {"kind": kind}, count) for kind, count in sorted(self.errors.items())]
        yield "errors_total", "counter", "Requests that were refused or failed.", errors
        reloads = [("", {"model": model, "result": result}, n) for (model, result), n in sorted(self.reloads.items())]
        yield "reloads_total", "counter", "Models that were loaded anew.", reloads

    def _of_models(self) -> Iterable[Family]:
        meters = list(self.meters.values())
        yield "rows_total", "counter", "Rows that were predicted.", [("", one.labels, one.rows) for one in meters]
        yield "batch_rows", "histogram", "Rows of a run.", [("", one.labels, one.batches) for one in meters]
        for name, what in (("missing", "missing"), ("unseen", "not among the train rows' values")):
            found = [(at, count, one.rows) for one in meters for at, count in one.cells(name)]
            yield f"{name}_cells_total", "counter", f"Cells that were {what}.", [("", at, n) for at, n, _ in found]
            shares = [("", at, n / rows if rows else 0.0) for at, n, rows in found]
            yield f"{name}_share", "gauge", f"Share of cells that were {what}, since this version is served.", shares
        yield from _of_predictions(meters)


def _of_predictions(meters: Sequence[Meter]) -> Iterable[Family]:
    numbers: list[tuple[str, Labels, Any]] = []
    classes: list[tuple[str, Labels, Any]] = []
    for one in meters:
        for label, counts in zip(one.bundle.labels, one.predictions, strict=True):
            at = {**one.labels, "label": label.column}
            if isinstance(counts, Histogram):
                numbers.append(("", at, counts))
                continue
            listed = counts.most_common(MAX_CLASSES_COUNTED)
            rest = sum(counts.values()) - sum(count for _, count in listed)
            listed += [(OTHER, rest)] if rest else []
            classes += [("", {**at, "class": told(name)}, count) for name, count in listed]
    yield "prediction", "histogram", "Predictions in the label's unit.", numbers
    yield "predicted_class_total", "counter", "Rows by the likeliest class.", classes


def _of_process() -> Iterable[Family]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    yield "process_cpu_seconds_total", "counter", "Seconds of processors.", [("", {}, seconds)]
    yield "process_peak_memory_bytes", "gauge", "The most memory held.", [("", {}, usage.ru_maxrss * 1024)]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
