"""A trained model, used on new rows: no project, no YAML and no snapshot is needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.errors import PreprocessError
from cengine.memory import default_memory_bytes
from cengine.models.artifact import Parts, read_parts, write_parts
from cengine.models.given import fitting
from cengine.models.outputs import outputs_of
from cengine.models.signature import Signature
from cengine.preprocess.apply import inputs_of

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.learners.learner import Predictor
    from cengine.networks.keras_setup import KerasModel
    from cengine.preprocess.apply import Input

ENGINE_MEMORY_BYTES = 2**30
_GIVEN = "given"


class Model:
    """A trained model."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def parts(self) -> Parts:
        """What it consists of."""
        return self._parts

    @property
    def learner_folder(self) -> Path:
        """Where the learner's files are."""
        return self._parts.learner_folder

    @property
    def signature(self) -> Signature:
        """What enters and what is predicted."""
        return self._parts.signature

    @cached_property
    def certificate(self) -> dict[str, Any]:
        """How good it was on the rows that it was evaluated on, and under `train` what its features held in the rows it was trained on."""
        return self._parts.certificate()

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the stages that it comes from, by name."""
        return self._parts.fingerprints

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return tuple(feature.name for feature in self.signature.features)

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that it predicts."""
        return tuple(target.name for target in self.signature.targets)

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """What is predicted of each label, and under which names: see `models.outputs`."""
        return outputs_of(
            [
                {"label": one.name, "task": one.task.name, "classes": one.classes, "at": one.task.quantiles}
                for one in self.signature.targets
            ]
        )

    def predict(self, table: object) -> pa.Table:
        """Predictions for each row, in the table's order, as a pyarrow Table.

        `table` is a pandas or polars DataFrame, a pyarrow Table, or anything with `__arrow_c_stream__`; it needs the columns of
        `features`, in any order, and may have others. A missing cell is filled as it was in training.

        The column `prediction` has a number in the label's own unit, or the likeliest class as the label's column had it, and for
        classes `probability_CLASS` the probability of each, for `loss: quantile` `quantile_0.05` and so on. With several labels the
        names are `LABEL: prediction` and `LABEL: probability_CLASS`.

        Of an autoencoder there are `score`, `score_max`, `above_threshold`, and the code as `code_0`, `code_1` and so on.

        Raises PreprocessError for columns that are missing or of another kind, before anything is predicted.
        """
        import pyarrow as pa

        from cengine.models.blocks import Encoding

        return pa.concat_tables([Encoding(self).predictions(block) for block in self.encoded(table)])

    def embed(self, table: object) -> pa.Table:
        """The code of each row, in the table's order: columns `code_0`, `code_1` and so on of float64.

        Raises PreprocessError as `predict` does, and for a model that is no autoencoder.
        """
        if not self.signature.learner.is_autoencoder:
            raise PreprocessError("only an autoencoder has a code", "its YAML says `trainer: {type: autoencoder}`")
        found = self.predict(table)
        return found.select([name for name in found.column_names if name.startswith("code_")])

    def encoded(self, table: object) -> Iterator[pa.Table]:
        """The rows of such a table as they enter the learner, in blocks; at least one. Raises PreprocessError as `predict` does."""
        from sqlglot import exp

        from cengine.engines.duckdb import DuckDB
        from cengine.expressions.build import column
        from cengine.expressions.dialects import render
        from cengine.models.blocks import Encoding, Given, block_rows

        rows, size = fitting(table, self.signature.features), block_rows(self)
        given = Given(exp.to_table(_GIVEN), {name: column(name) for name in self.features})
        memory_bytes = min(ENGINE_MEMORY_BYTES, default_memory_bytes())
        with (
            tempfile.TemporaryDirectory(prefix="cengine-") as scratch,
            DuckDB(Path(scratch), memory_bytes=memory_bytes, folders=()) as engine,
        ):
            # Rendered once: to render a tree takes longer than to encode few rows.
            query = render(Encoding(self).query(engine, given), engine.dialect)
            for at in range(0, max(len(rows), 1), size):
                engine.register(_GIVEN, rows.slice(at, size))
                yield engine.fetch(query)

    def save(self, folder: str | Path) -> Path:
        """Writes the model as a folder that needs no project, for `cengine.load_model`. Raises StoreError where the folder exists."""
        return write_parts(self._parts, Path(folder))

    def __repr__(self) -> str:
        return f"Model({self.signature.learner.architecture!r}, features={self.features!r}, labels={self.labels!r})"

    def summary(self) -> None:
        """Prints what the learner tells of its model, where it tells anything: of a network its layers."""
        if (told := getattr(self.predictor, "summary", None)) is not None:
            told()

    @property
    def network(self) -> KerasModel:
        """The Keras model of a learner that trains one. Its inputs are encoded rows, see `signature.json` beside it."""
        from cengine.learners.model import know_layers, load_model

        know_layers(self.inputs)
        return load_model(self._parts.learner_folder)

    @cached_property
    def inputs(self) -> list[Input]:
        """The columns that enter the learner, in order."""
        return inputs_of(self.signature.features, self.signature.statistics)

    @cached_property
    def predictor(self) -> Predictor:
        """What the learner has learnt."""
        return self.signature.learner.read(self._parts.learner_folder, self.inputs, self.signature.targets)


def load_model(folder: str | Path) -> Model:
    """The model that `Model.save` wrote. Raises StoreError where there is none, or where it is damaged or of a later version."""
    return Model(read_parts(Path(folder)))
