"""The suites that are shipped for the authors of plug-ins hold for ours: else they would ask too much, or nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from cengine.engines.duckdb import DuckDB
from cengine.engines.table import engine_class
from cengine.learners.feedforward import Feedforward
from cengine.networks.layers import LAYERS
from cengine.networks.optimizers import Adam
from cengine.sources import Csv
from cengine.testing import EngineSuite, LearnerSuite, SourceSuite


class TestFeedforward(LearnerSuite):
    learner = Feedforward(
        type="regression", layers=(LAYERS["dense"](units=16),), train_steps=200, optimizer=Adam(learning_rate=0.02)
    )


class TestCsv(SourceSuite):
    def make(self, table: pa.Table, folder) -> Csv:
        pyarrow.csv.write_csv(table, folder / "t.csv")
        return Csv(path=str(folder / "t.csv"))

    def missing(self, folder) -> Csv:
        return Csv(path=str(folder / "nowhere.csv"))


class TestDuckDB(EngineSuite):
    def opened(self, setup) -> DuckDB:
        return DuckDB.open(setup)


class TestPostgres(EngineSuite):
    @pytest.fixture(autouse=True)
    def _server(self, postgres) -> None:
        self.uri = postgres.new_database()

    def opened(self, setup):
        return engine_class("postgres").open(
            type(setup)(setup.scratch, setup.memory_bytes, setup.threads, settings={"uri": self.uri})
        )


# What must not pass does not.


class Forgetful(Feedforward):
    """Tells predictions as they are encoded, and writes what only Python reads."""

    def fit(self, examples, targets, course):
        fitted = super().fit(examples, targets, course)
        np.save(course.folder / "more.npy", np.array([object()]), allow_pickle=True)
        return fitted

    def read(self, folder, inputs, targets):
        predictor = super().read(folder, inputs, targets)

        class Encoded:
            def predict(self, batch):
                return {name: (found - 1980) / 12 for name, found in predictor.predict(batch).items()}

        return Encoded()


class ForgetfulSuite(LearnerSuite):
    learner = Forgetful(type="regression", train_steps=20)


@pytest.mark.parametrize("name", ["test_its_predictions_beat_a_constant", "test_its_files_need_no_code_to_be_read"])
def test_a_learner_that_does_not_do_so_is_found_out(tmp_path, name) -> None:
    with pytest.raises((AssertionError, ValueError)):
        getattr(ForgetfulSuite(), name)(tmp_path)
