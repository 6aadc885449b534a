"""The notebook of a run: what the page shows, and the way to the data behind it, through the public Python API."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from cengine.store.writing import write_whole

# ASCII that may mean something in Markdown, HTML or TeX; an underscore between letters means nothing.
_MARKUP = re.compile(r"[!-+./;-@\[-^`{-~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def notebook(title: str, key: str, project_path: str, logdir: str) -> dict[str, Any]:
    """The notebook of the run `key` (`1:2`) in the notebook format 4.5; it runs from top to bottom as it is.

    The project and what TensorBoard reads are named by their paths from the notebook's folder. The same arguments give the
    same notebook.
    """
    cells = [_cell(number, *cell) for number, cell in enumerate(_cells(title, key, project_path, logdir))]
    about = {
        "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
        "language_info": {"name": "python"},
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}


def write_notebook(file: Path, title: str, key: str, project_path: str, logdir: str | None = None) -> None:
    """Writes the notebook; TensorBoard reads the links to all runs of the pipeline, where nothing else is named."""
    links = PurePosixPath(project_path) / "tensorboard" / key.partition(":")[0]
    made = notebook(title, key, project_path, str(links) if logdir is None else logdir)
    write_whole(file, json.dumps(made, ensure_ascii=False, indent=1) + "\n")


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    # Plain data rather than nbformat: importing that takes three seconds where Jupyter is installed. Tests validate with it.
    cell = {"cell_type": kind, "id": f"cell-{number:02d}", "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def _cells(title: str, key: str, project_path: str, logdir: str) -> list[tuple[str, Any]]:
    """Kind and text of each cell."""
    return [
        ("markdown", f"# {as_markdown(title)}\n\nHow good the model of this run is. Run all cells: nothing is computed anew that the "
                     "project has kept, and nothing is read from the network."),
        ("code", "import cengine\n\n"
                 f"project = cengine.open_project({project_path!r})\n"
                 f"run = cengine.find_run(project, {key!r})\n\n"
                 "for verdict in run.results.verdicts:\n"
                 '    print(f"{verdict[\'split\']}: {verdict[\'sentence\']}")'),
        ("markdown", "## The answer\n\nEach metric beside a linear model's and the best constant's. The same as data: `run.results.overall`."),
        ("code", 'run.view("answer")'),
        ("markdown", "## How it was trained\n\nLoss and metrics at each checkpoint, the network, its weights, and the hyper-parameters of all runs of "
                     "this pipeline. The dot named after the run is the checkpoint whose weights were kept. TensorBoard smooths curves, "
                     "and these have few points: set Smoothing to 0 to see what was measured."),
        ("code", 'print(*run.training_told, sep="\\n")'),
        ("code", "import os\nimport sys\n\n"
                 "# The TensorBoard that was installed with cengine, wherever Jupyter was started from.\n"
                 'os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")\n\n'
                 f"logdir = {shlex.quote(logdir)!r}\n"
                 "%load_ext tensorboard\n"
                 "%tensorboard --logdir $logdir"),
        ("markdown", "## Which features matter\n\nHow much worse the model is without each; of trees also what each adds to a prediction. "
                     "The same as data: `run.results.truth`."),
        ("code", 'run.view("features")'),
        ("markdown", "## By slice\n\nChoose a metric and the columns to slice by. To see a second run beside this one: "
                     '`run.view("slices", other=cengine.find_run(project, "ID:RUN"))`'),
        ("code", 'run.view("slices")'),
        ("markdown", "## The worst slices\n\nFound by looking at every column with few values and at every pair of them, corrected for how many were tried."),
        ("code", 'run.view("worst")'),
        ("markdown", "## Where it errs"),
        ("code", 'run.view("errors")'),
        ("code", 'run.view("rows")'),
        ("markdown", "## The data\n\nStatistics of each column in each split, and where the splits differ."),
        ("code", 'run.view("columns")'),
        ("markdown", "## Predictions\n\nA row for each evaluated row, a `pyarrow.Table`; `predictions.to_pandas()` makes a data frame of it."),
        ("code", "predictions = run.predictions()\n"
                 'print(f"{predictions.num_rows:,} rows:", ", ".join(predictions.column_names))\n'
                 "predictions.slice(0, 3).to_pylist()"),
        ("markdown", "## The model\n\n`model.predict(table)` predicts new rows: a data frame or an Arrow table with the columns that it was "
                     "trained on. `model.save(folder)` "
                     "keeps it where no project is needed."),
        ("code", "model = run.model()\nmodel.summary()"),
    ]  # fmt: skip


def as_markdown(text: str) -> str:
    """The text on one line, in which nothing is markup; characters that are not seen are left out."""
    seen = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", seen)
