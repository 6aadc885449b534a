"""The formats that a model can be written in, and how a folder or a .zip of it comes to be: all of it, or nothing."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.errors import ExportError, StoreError, near_miss

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.models.model import Model

# By name: the function that writes it, in a module that is imported when it is asked for, and what the help says.
# The function takes a model, a folder that does not exist yet, the tables that the model was evaluated on, and whom to tell how many
# rows are compared; it gives back what `certificate.json` says of the format.
FORMATS: dict[str, tuple[str, str]] = {
    "onnx": ("cengine.exports.folders:write_onnx", "model.onnx, from raw columns to predictions, for any ONNX runtime"),
    "keras": ("cengine.exports.folders:write_keras", "model.keras, the network from encoded columns on"),
    "sql": ("cengine.exports.sql_files:write_sql", "model.sql, one SELECT from raw columns to predictions"),
    "bundle": ("cengine.exports.bundle:write_bundle", "all that serving it takes, its proof, and a Dockerfile"),
}
SQL_DIALECTS = ("bigquery", "postgres", "spark", "duckdb")
Say = Callable[[int], None]


def export(
    model: Model,
    name: str,
    target: Path,
    tables: Iterable[pa.Table],
    say: Say = lambda num_rows: None,
    **options: Any,
) -> Mapping[str, Any]:
    """Writes the model in a format into `target`, a folder or a .zip that does not exist yet; gives its part of the certificate.

    Raises ExportError where the model has no such form, or where it predicts something else than the model; nothing is left then.
    """
    if name not in FORMATS:
        raise ExportError(f"'{name}' is no format", *near_miss(name, FORMATS), f"there are: {', '.join(FORMATS)}")
    module, _, function = FORMATS[name][0].partition(":")
    write = getattr(importlib.import_module(module), function)
    with drafted(target) as draft:
        certificate: Mapping[str, Any] = write(model, draft, tables, say, **options)
    return certificate


def refuse_autoencoder(model: Model, what: str) -> None:
    """Raises ExportError for an autoencoder, whose scores are made beside its network; `what` is what was asked for."""
    if model.signature.learner.is_autoencoder:
        raise ExportError(
            f"an autoencoder has no {what} form: its scores are made of its network's outputs and the row itself",
            "cengine predict and run.model().save(FOLDER), which cengine.load_model reads, give them",
        )


@contextlib.contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends without an error, packed where that ends in .zip.

    Raises StoreError where there is such a file or folder already, or where the disk does not take it.
    """
    if target.exists():
        raise StoreError(f"{target} exists already", "name another folder, or remove it")
    draft = target.with_name(f".{target.name}.partial")
    packed = draft.with_name(f"{draft.name}.zip")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield draft
        if target.suffix == ".zip":
            _pack(draft, packed)
            packed.rename(target)
        else:
            draft.rename(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        packed.unlink(missing_ok=True)


def _pack(folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of a bundle, for the block, where it is a .zip. Raises StoreError for a file that is damaged or none."""
    import tempfile

    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="cengine-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"'{damaged}' has another check sum")
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise StoreError(f"{path} is no bundle, or is damaged: {error}") from error
        tops = [file.parent for file in Path(folder).rglob("model.json")]
        yield min(tops, key=lambda top: len(top.parts), default=Path(folder))
