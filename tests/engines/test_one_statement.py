"""A query is one statement on every engine: whatever gets into its text, what follows it is not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlglot import exp

from cengine.engines.engine import Setup
from cengine.engines.table import engine_class
from cengine.errors import CengineError

# What no check of ours lets through: a slot that is written as it is.
SEVERAL = exp.select(exp.Var(this="1 AS n; SELECT 2"))


def test_postgres_runs_no_second_statement(postgres, tmp_path: Path) -> None:
    settings = {"uri": postgres.new_database()}
    with engine_class("postgres").open(Setup(tmp_path, memory_bytes=2**28, threads=1, settings=settings)) as engine:
        with pytest.raises(CengineError, match="syntax error"):
            engine.fetch(SEVERAL)
        (row,) = engine.fetch(exp.select(exp.convert(1).as_("n"))).to_pylist()
        assert row == {"n": 1}


def test_a_query_of_postgres_changes_nothing(postgres, tmp_path: Path) -> None:
    """It is described in a transaction that only reads."""
    settings = {"uri": postgres.new_database()}
    with engine_class("postgres").open(Setup(tmp_path, memory_bytes=2**28, threads=1, settings=settings)) as engine:
        with postgres.connect(settings["uri"].rsplit("/", 1)[1]) as connection:
            connection.execute("CREATE SEQUENCE marks")
        with pytest.raises(CengineError, match="read-only"):
            engine.fetch(exp.select(exp.Var(this="nextval('marks')").as_("n")))
