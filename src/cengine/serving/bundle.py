"""A bundle as the server reads it: the plain JSON and the ONNX file of a folder, or of a .zip of it. See `exports/` for what is in one."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cengine.errors import CengineError
from cengine.models.inputs import hash_input, null_input
from cengine.models.outputs import columns_of, outputs_of
from cengine.serving.cells import KINDS

MODEL, GRAPH, GOLDEN, CERTIFICATE = "model.json", "model.onnx", "golden.json", "certificate.json"
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Field:
    """A column that enters. `vocabulary` is what the train rows had, where the model knows a list of it, else None.

    `example` is what stands for a missing cell: it is of no single row.
    """

    column: str
    kind: str
    vocabulary: frozenset[Any] | None
    example: Any = None

    @property
    def null_input(self) -> str:
        """The input that says which cells are missing."""
        return null_input(self.column)

    @property
    def hash_input(self) -> str:
        """The input that has the hashes of the cells, where the graph cannot compute them."""
        return hash_input(self.column)


@dataclass(frozen=True)
class Label:
    """What is predicted: `names` are the columns of answers. Of a number `classes` is None, and `deviation` that of the train rows.

    `prediction` is the output with a number in the label's unit, or the likeliest class; `several`, where it is not empty, the one with
    the probability of each class, or with each quantile.
    """

    column: str
    kind: str
    prediction: str
    several: str
    classes: tuple[Any, ...] | None
    names: tuple[str, ...]
    mean: float = 0.0
    deviation: float = 1.0

    def columns(self) -> list[tuple[str, str, int | None]]:
        """The columns of answers: name, output, and the place of the class or quantile in it, as `Model.predict` names them."""
        first, *others = self.names
        return [(first, self.prediction, None), *((name, self.several, n) for n, name in enumerate(others))]


@dataclass(frozen=True)
class Bundle:
    """What a server needs of a model. `version` is an identity of the content."""

    name: str
    version: str
    fields: tuple[Field, ...]
    labels: tuple[Label, ...]
    graph: bytes
    golden: dict[str, Any]

    def columns(self) -> list[tuple[str, str, int | None]]:
        """The columns of answers of all labels."""
        return [column for label in self.labels for column in label.columns()]


def read_bundle(path: Path, name: str | None = None) -> Bundle:
    """The bundle of a folder or .zip. Its name is that of its pipeline, else the folder's, unless one is given.

    Raises CengineError for what is none, or is damaged.
    """
    files = _files(path)
    try:
        model, golden = json.loads(files[MODEL]), json.loads(files[GOLDEN])
        fields = tuple(_field(one) for one in model["features"])
        labels = _labels(model["targets"])
        run = json.loads(files[CERTIFICATE]).get("run") if CERTIFICATE in files else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CengineError(f"the bundle {path} is damaged: {type(error).__name__}: {error}") from error
    version = hashlib.sha256(files[MODEL] + b"\0" + files[GRAPH]).hexdigest()[:12]
    told = str(run).partition(", run ")[0] if run else path.name.removesuffix(".zip")
    return Bundle(name or fit_name(told), version, fields, labels, files[GRAPH], golden)


def fit_name(text: str) -> str:
    """The text as a name that stands in an address."""
    return _UNFIT.sub("_", text).strip("._") or "model"


def _files(path: Path) -> dict[str, bytes]:
    """The files by name. Raises CengineError where one is missing."""
    if not path.exists():
        raise CengineError(f"there is nothing at {path}", "a bundle is a folder or .zip; a run is ID|NAME[:RUN]")
    try:
        found = _unzipped(path) if path.is_file() else _read(path)
    except (OSError, zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise CengineError(f"{path} cannot be read: {error}") from error
    missing = [name for name in (MODEL, GRAPH, GOLDEN) if name not in found]
    if missing:
        raise CengineError(
            f"{path} is no bundle: it has no {missing[0]}",
            "write one: cengine export RUN --format bundle -o FOLDER",
        )
    return found


def _read(folder: Path) -> dict[str, bytes]:
    names = (MODEL, GRAPH, GOLDEN, CERTIFICATE)
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def _unzipped(file: Path) -> dict[str, bytes]:
    """The files at the top of a .zip, or of the one folder in it. Nothing is written to disk."""
    with zipfile.ZipFile(file) as packed:
        names = packed.namelist()
        tops = [name.removesuffix(MODEL) for name in names if name.rpartition("/")[2] == MODEL]
        top = min(tops, key=len, default="")
        wanted = (MODEL, GRAPH, GOLDEN, CERTIFICATE)
        return {name: packed.read(top + name) for name in wanted if top + name in names}


def _field(told: dict[str, Any]) -> Field:
    if told["kind"] not in KINDS:
        raise ValueError(f"column '{told['column']}' is of the unknown kind '{told['kind']}'")
    learnt = told["statistics"].get("transforms") or [{}]
    vocabulary = learnt[0].get("vocabulary")
    known = None if vocabulary is None else frozenset(vocabulary)
    return Field(told["column"], told["kind"], known, told["statistics"].get("filling"))


def _labels(told: Sequence[dict[str, Any]]) -> tuple[Label, ...]:
    plain = [
        {"label": one["column"], "task": one["task"], "classes": one["classes"], "at": one.get("quantiles")}
        for one in told
    ]
    return tuple(_label(one, output) for one, output in zip(told, outputs_of(plain), strict=True))


def _label(told: dict[str, Any], output: dict[str, Any]) -> Label:
    classes, learnt = output["classes"], told["statistics"]
    return Label(
        told["column"],
        told["kind"],
        output["prediction"],
        output["probabilities"] or output.get("quantiles", ""),
        tuple(classes) if classes else None,
        tuple(columns_of(output)),
        float(learnt.get("mean") or 0.0),
        float(learnt.get("deviation") or told.get("scale") or 1.0),
    )
