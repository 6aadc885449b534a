"""A bundle: a folder with a model, its proof, and all that serving it takes. `cengine.load_model` reads it too.

model.json certificate.json learner/   what `Model.save` writes; the certificate also has the digests of all files
model.onnx                             raw columns in, predictions out
model.keras                            the network with its encoded inputs, where it is one
golden.parquet golden.json             rows with what the training model said of them, by which a server tests itself
README.md openapi.json Dockerfile      for those who use it
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.digests import file_digest
from cengine.errors import StoreError
from cengine.exports.certificate import Comparison, certified
from cengine.exports.folders import KERAS, ONNX, add_onnx, by_output, certificate_before
from cengine.exports.formats import Say
from cengine.exports.made_up import made_up_rows
from cengine.exports.pages import dockerfile, readme
from cengine.exports.runtime import OnnxPredictor
from cengine.extras import DISTRIBUTION
from cengine.models.artifact import CERTIFICATE, write_json
from cengine.models.given import fitting
from cengine.models.model import Model, load_model
from cengine.models.outputs import names_of
from cengine.names import free_name
from cengine.serving.bundle import read_bundle
from cengine.serving.openapi import document

if TYPE_CHECKING:
    import pyarrow as pa

GOLDEN, GOLDEN_JSON = "golden.parquet", "golden.json"
NUM_GOLDEN = 100


def write_bundle(
    model: Model, folder: Path, tables: Iterable[pa.Table], say: Say = lambda num_rows: None
) -> Mapping[str, Any]:
    """Writes the bundle into a folder that does not exist yet; gives what its certificate says of the ONNX file.

    `tables` have the columns of the features, as `Model.predict` takes them. Raises ExportError as `onnx_of` does, and where
    the ONNX file predicts something else than the model.
    """
    rest = iter(tables)
    first = next(rest, None)
    model.save(folder)
    told = add_onnx(model, folder, [] if first is None else itertools.chain([first], rest), say, hash_outside=True)
    if (model.learner_folder / KERAS).is_file():
        shutil.copyfile(model.learner_folder / KERAS, folder / KERAS)
    rows = fitting(_chosen(model, first), model.signature.features)
    _write_golden(model, rows, folder)
    write_json(folder / "openapi.json", document([read_bundle(folder)], needs_token=False))
    (folder / "README.md").write_text(readme(model, told), encoding="utf-8")
    (folder / "Dockerfile").write_text(dockerfile(metadata.version(DISTRIBUTION)), encoding="utf-8")
    exports = {"exports": {"onnx": told}, "files": _digests(folder)}
    write_json(folder / CERTIFICATE, {**certificate_before(model), **exports})
    return told


def check_bundle(folder: Path) -> dict[str, Any]:
    """Compares the files with their digests, and `model.onnx` with the model once more, on golden rows and made-up ones.

    Gives what a certificate of today says of it. Raises StoreError for a folder that is no bundle or is damaged, ExportError
    where the predictions differ.
    """
    model = load_model(folder)
    _refuse_changes(folder, model.certificate.get("files"))
    rows, kept = _read_golden(model, folder)
    again = Comparison(model, lambda table: kept)
    again.add(rows)
    again.refuse_differences("the model on this machine")
    predictor = OnnxPredictor((folder / ONNX).read_bytes(), model.signature.features)
    comparison = certified(model, predictor.predict, [rows])
    comparison.refuse_differences(ONNX)
    return comparison.to_json(
        versions={name: metadata.version(name) for name in ("onnx", "onnxruntime", "keras", "jax")}
    )


def golden_rows(folder: Path, features: Iterable[str]) -> pa.Table:
    """The golden rows of a bundle, raw. Raises StoreError where they are missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(folder / GOLDEN, columns=list(features))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{folder / GOLDEN} is missing or damaged: {str(error).splitlines()[0]}") from error


def _chosen(model: Model, table: pa.Table | None) -> pa.Table:
    """Rows of the first table, evenly; made-up ones where there is none."""
    if table is None or not len(table):
        # The others have ends of types in them, which no table has.
        return made_up_rows(model.signature).take(list(range(0, 2 * NUM_GOLDEN, 2)))
    places = np.unique(np.linspace(0, len(table) - 1, min(NUM_GOLDEN, len(table))).astype(np.int64))
    return table.take(places)


def _write_golden(model: Model, rows: pa.Table, folder: Path) -> None:
    import pyarrow.parquet as pq

    predicted = model.predict(rows)
    beside = rows
    for name in predicted.column_names:
        beside = beside.append_column(free_name(name, beside.column_names), predicted[name])
    pq.write_table(beside, folder / GOLDEN)
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows.to_pylist()]
    found = {
        name: [_plain(value) for value in values.tolist()]
        for name, values in by_output(model, predicted.columns).items()
    }
    (folder / GOLDEN_JSON).write_text(
        json.dumps({"rows": plain, "predictions": found}, ensure_ascii=False, indent=1), encoding="utf-8"
    )


def _plain(value: Any) -> Any:
    """A cell as JSON has it: times in ISO 8601 and UTC, null for what is no number."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
        return moment.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_golden(model: Model, folder: Path) -> tuple[pa.Table, dict[str, np.ndarray]]:
    rows = golden_rows(folder, model.features)
    try:
        kept = json.loads((folder / GOLDEN_JSON).read_text(encoding="utf-8"))["predictions"]
        found = {name: np.asarray(kept[name]) for output in model.outputs for name in names_of(output)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / GOLDEN_JSON} is missing or damaged: {error}") from error
    return rows, found


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CERTIFICATE
    }


def _refuse_changes(folder: Path, known: Any) -> None:
    if not isinstance(known, dict):
        raise StoreError(
            f"{folder} is no bundle: its {CERTIFICATE} has no digests of files",
            "write one: cengine export RUN --format bundle -o FOLDER",
        )
    found = _digests(folder)
    changed = [
        f"{name} {'has changed' if name in found else 'is missing'}" for name in known if found.get(name) != known[name]
    ]
    if changed:
        raise StoreError(f"the bundle {folder} is not what was written", *changed, "write it again, or fetch it again")
