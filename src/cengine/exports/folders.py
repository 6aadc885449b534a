"""`--format onnx` and `--format keras`: one file of the model, and the proof that it predicts the same."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.digests import file_digest
from cengine.errors import ExportError
from cengine.exports.certificate import Comparison, certified
from cengine.exports.formats import Say, refuse_autoencoder
from cengine.exports.onnx import onnx_of
from cengine.exports.runtime import OnnxPredictor
from cengine.models.artifact import CERTIFICATE, write_json
from cengine.models.model import Model
from cengine.models.outputs import columns_of, names_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ONNX, KERAS, SIGNATURE = "model.onnx", "model.keras", "signature.json"


def write_onnx(
    model: Model, folder: Path, tables: Iterable[pa.Table], say: Say, *, hash_outside: bool = False
) -> Mapping[str, Any]:
    """The model as one ONNX file, compared with the model before anything else is written; see `onnx_of`."""
    folder.mkdir()
    told = add_onnx(model, folder, tables, say, hash_outside=hash_outside)
    write_json(folder / CERTIFICATE, {**certificate_before(model), "exports": {"onnx": told}})
    return told


def add_onnx(model: Model, folder: Path, tables: Iterable[pa.Table], say: Say, *, hash_outside: bool) -> dict[str, Any]:
    """Writes `model.onnx` into the folder; gives what the certificate says of it. Raises ExportError where it predicts otherwise."""
    file = onnx_of(model, hash_outside=hash_outside).SerializeToString()
    comparison = certified(model, OnnxPredictor(file, model.signature.features).predict, tables, say=say)
    comparison.refuse_differences(ONNX)
    (folder / ONNX).write_bytes(file)
    return certificate_of(comparison, folder / ONNX, "onnx", "onnxruntime")


def write_keras(model: Model, folder: Path, tables: Iterable[pa.Table], say: Say) -> Mapping[str, Any]:
    """The network as Keras keeps it, with `signature.json`, which names the encoded columns that it takes."""
    folder.mkdir()
    told = add_keras(model, folder, tables, say)
    shutil.copyfile(model.learner_folder / SIGNATURE, folder / SIGNATURE)
    write_json(folder / CERTIFICATE, {**certificate_before(model), "exports": {"keras": told}})
    return told


def add_keras(model: Model, folder: Path, tables: Iterable[pa.Table], say: Say) -> dict[str, Any]:
    """Writes `model.keras` into the folder; gives what the certificate says of it."""
    refuse_autoencoder(model, "Keras")
    source = model.learner_folder / KERAS
    if not source.is_file():
        raise ExportError(
            f"a model of the learner '{model.signature.learner.name}' is no Keras network",
            "run.model().save(FOLDER) keeps it for cengine.load_model and cengine predict",
        )
    shutil.copyfile(source, folder / KERAS)
    comparison = certified(model, _read_again(model, folder), tables, say=say)
    comparison.refuse_differences(KERAS)
    return certificate_of(comparison, folder / KERAS, "keras", "jax")


def certificate_before(model: Model) -> dict[str, Any]:
    """The model's certificate without what it says of files that it was read from."""
    return {key: value for key, value in model.certificate.items() if key not in ("exports", "files")}


def certificate_of(comparison: Comparison, file: Path, *packages: str) -> dict[str, Any]:
    """What the certificate says of a file that was compared, and of the packages that took part."""
    versions = {name: metadata.version(name) for name in packages}
    return comparison.to_json(sha256=file_digest(file), versions=versions)


def answers(model: Model, table: pa.Table) -> dict[str, np.ndarray]:
    """What a model says of rows, under the names of the outputs of its ONNX file."""
    return by_output(model, model.predict(table).columns)


def by_output(model: Model, columns: Sequence[pa.ChunkedArray]) -> dict[str, np.ndarray]:
    """Columns of predictions, in the order of `Model.predict`, under the names of the outputs of its ONNX file."""
    import numpy as np

    arrays, place = {}, 0
    for output in model.outputs:
        _, *others = columns_of(output)
        arrays[output["prediction"]] = np.asarray(columns[place].to_pylist())
        if others:
            found = columns[place + 1 : place + 1 + len(others)]
            _, name = names_of(output)
            arrays[name] = np.column_stack([column.to_numpy() for column in found])
        place += 1 + len(others)
    return arrays


def _read_again(model: Model, folder: Path) -> Any:
    copy = Model(dataclasses.replace(model.parts, learner_folder=folder))
    return lambda table: answers(copy, table)
