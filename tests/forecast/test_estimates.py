"""Estimates: what earlier runs took is learnt from, completion never falls, every price is used."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import YAML, Terminal, table_text

from cengine.forecast.completion import MOST_SHARE, Completion
from cengine.forecast.costs import costs_of, month_cost
from cengine.forecast.estimates import MEASURES, Interval, Measured, history, while_busy
from cengine.forecast.estimates import expected as expected_of
from cengine.runs.limits import Limits, Spent
from cengine.stages import table
from cengine.stages.stage import KEPT, PEAK, SECONDS
from cengine.stopping import Reason
from cengine.store.processes import own_identity
from cengine.store.settings import Prices

NAMED = {stage.name: stage for stage in table.STAGES}
STAGES = tuple(NAMED)
COMMANDS = ("datasource", "create", "csv", "--name", "t", "--path")


def load(size: float) -> dict[str, float]:
    """Everything that any stage's time grows with, for a table of so many rows."""
    return {
        "cells": 8 * size,
        "rows": size / 10,
        "sliced_rows": size / 3,
        "steps": size / 256,
        "drawn_cells": 8 * size,
        "products": 5000 * size,
        "updates": 20 * size,
        "measured_rows": size,
        "measured_products": 5000 * size,
    }


def expected(measure: str, stage: str, to_do: dict[str, float], past: list[Measured]) -> Interval:
    return expected_of(measure, NAMED[stage], to_do, past)


def truth(stage: str, size: float, fixed: float, rest: float) -> float:
    """Seconds on a machine that is so many times as slow as the one that the rates are from."""
    rates = NAMED[stage].rates[SECONDS]
    return fixed * rates["fixed"] + rest * sum(
        rate * load(size).get(name, 0) for name, rate in rates.items() if name != "fixed"
    )


@pytest.mark.parametrize("stage", STAGES)
@given(fixed=st.floats(0.3, 3), rest=st.floats(0.3, 3), size=st.sampled_from([1e5, 1e6, 5e6]))
def test_another_machine_is_learnt_from_three_runs(stage, fixed, rest, size) -> None:
    past = [
        Measured(stage, load(rows), load(rows), {SECONDS: truth(stage, rows, fixed, rest)}) for rows in (5e4, 4e5, 2e6)
    ]
    found = expected(SECONDS, stage, load(size), past)
    true = truth(stage, size, fixed, rest)
    assert 0.7 * true < found.expected < 1.3 * true
    assert found.low < true < found.high
    assert (
        found.high / found.low
        < expected(SECONDS, stage, load(size), []).high / expected(SECONDS, stage, load(size), []).low
    )


def test_without_history_the_interval_is_wide_and_everything_grows_with_the_table() -> None:
    for measure in MEASURES:
        for stage in STAGES:
            small, large = (expected(measure, stage, load(size), []) for size in (1e4, 1e8))
            assert 0 < small.low < small.expected < small.high
            assert small.expected <= large.expected
            assert small.high / small.expected == pytest.approx(math.exp(1.28 * 0.7))


def test_the_newest_and_the_likest_count_most() -> None:
    slow = Measured("Fit", load(1e6), load(1e6), {SECONDS: 4 * truth("Fit", 1e6, 1, 1)})
    fast = Measured("Fit", load(1e6), load(1e6), {SECONDS: truth("Fit", 1e6, 1, 1)})
    small = Measured("Fit", load(1e3), load(1e3), {SECONDS: 40 * truth("Fit", 1e3, 1, 1)})
    many = [slow] * 20 + [fast] * 20
    assert expected(SECONDS, "Fit", load(1e6), many).expected < expected(SECONDS, "Fit", load(1e6), many[::-1]).expected
    assert expected(SECONDS, "Fit", load(1e6), [small, fast, fast]).expected < 3 * truth("Fit", 1e6, 1, 1)


def test_what_history_is_made_of() -> None:
    def run(process: str | None, **stage) -> SimpleNamespace:
        row = {
            "name": "Fit",
            "reused": False,
            "seconds": 6.0,
            "load": {"cells": 10},
            "slowdown": 3.0,
            "peak_bytes": 7,
        } | stage
        return SimpleNamespace(process=process, stages=[row, {"name": "Train", "reused": False, "seconds": None}])

    here = own_identity()
    (found,) = history([run(here), run("elsewhere@1/2/3"), run(None), run(here, reused=True), run(here, load=None)])
    # As it would have been without the others on the machine.
    assert found == Measured("Fit", {"cells": 10}, {"cells": 10}, {SECONDS: 2.0, PEAK: 7})
    assert KEPT not in found.measures
    busy = while_busy(expected(SECONDS, "Fit", {"cells": 10}, [found]), 3.0)
    assert busy.expected == pytest.approx(3 * expected(SECONDS, "Fit", {"cells": 10}, [found]).expected)
    assert busy.low < busy.expected < busy.high


# Completion

moves = st.lists(
    st.tuples(st.sampled_from(STAGES), st.floats(-10, 2000), st.floats(1, 1000), st.booleans()), max_size=40
)


@given(
    seconds=st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1e5)),
    begun=st.floats(0, 1),
    first=st.floats(0, 900),
    moves=moves,
)
def test_completion_never_falls_and_is_not_whole_before_the_end(seconds, begun, first, moves) -> None:
    completion = Completion(seconds, {"Train": first}, begun)
    before = 0.0
    for stage, done, total, over in moves:
        if over:
            completion.end(stage)
        share = completion.share(stage, done, total)
        assert before <= share <= max(MOST_SHARE, begun)
        assert completion.seconds_left(stage, done, total, 5.0) >= 0
        before = share


def test_stages_weigh_what_they_take() -> None:
    completion = Completion({"Transform": 10.0, "Train": 80.0, "Evaluate": 10.0}, {"Train": 200})
    assert completion.share() == 0
    assert completion.share("Transform", 50, 100) == pytest.approx(0.05)
    completion.end("Split")  # stored: it weighs nothing
    completion.end("Transform")
    assert completion.share("Train", 200, 1000) == pytest.approx(0.1)  # the first 200 steps were done before
    assert completion.share("Train", 600, 1000) == pytest.approx(0.5)
    # Half of training took a minute, so the other half will; then evaluation.
    trusted = math.sqrt(0.5)
    assert completion.seconds_left("Train", 600, 1000, 60.0) == pytest.approx(trusted * 60 + (1 - trusted) * 40 + 10)
    assert Completion({"Train": 1.0}, begun=0.4).share("Train", 1, 2) == pytest.approx(0.7)


# Money


def test_every_price_is_used() -> None:
    prices = Prices(cpu_hour=2.0, gpu_hour=30.0, num_gpus=2, gb_scanned=5.0, gb_month=3.0)
    rows = [
        {"name": "Fit", "seconds": 3600.0, "saved_seconds": 0.0, "scanned_bytes": 2 * 10**9, "reused": False},
        {"name": "Train", "seconds": 1800.0, "saved_seconds": 0.0, "scanned_bytes": 0, "reused": False},
        {"name": "Split", "seconds": 0.0, "saved_seconds": 7200.0, "scanned_bytes": 10**9, "reused": True},
        {"name": "Evaluate", "seconds": None, "saved_seconds": None},
    ]
    found = costs_of(rows, prices, threads=4)
    assert found.compute == pytest.approx(4 * 2 + 2 * 5)
    assert found.training == pytest.approx(0.5 * (4 * 2 + 2 * 30))
    assert found.saved == pytest.approx(2 * 4 * 2 + 5)
    assert month_cost(2 * 10**9, prices) == 6


def test_what_is_scanned_is_the_columns_that_are_read(tmp_path) -> None:
    """By a price of a unit of money a byte, beside the Parquet files' own metadata."""
    terminal = Terminal(tmp_path / "project", tmp_path)
    terminal(*COMMANDS, terminal.write("t.csv", table_text(3000)))
    terminal("pipeline", "push", terminal.write("p.yaml", YAML), "p")
    (terminal.project.folder / "settings.yaml").write_text("prices: {gb_scanned: 1000000000, gb_month: 1000000000}\n")
    (part,) = (terminal.project.folder / "artifacts" / "snapshot").glob("*/*/part-*.parquet")
    group = pq.read_metadata(part).row_group(0)
    sizes = {group.column(i).path_in_schema: group.column(i).total_compressed_size for i in range(group.num_columns)}
    placed = sizes["word"] + sizes["y"] + sizes["_row_id"]
    wanted = 3 * placed + 4 * (placed + sizes["x"]) + placed  # Split, Fit and Transform, Evaluate: labels and slices
    plan = terminal("pipeline", "run", "p", "--explain", "--json").json
    # Features of few values are looked at for the worst slices; x is a number of a hundred, and may be one.
    beside = sum(s["estimate"]["scanned_bytes"] for s in plan["stages"]) - wanted
    assert beside in (0, sizes["x"])
    terminal("pipeline", "run", "p", "-y")
    terminal("pipeline", "run", "p", "-y")
    second, first = terminal("pipeline", "runs", "p", "--json").json
    assert first["cost"] == pytest.approx(wanted + beside)
    assert (second["cost"], second["saved_cost"]) == (0, pytest.approx(first["cost"]))
    stored = sum(terminal.project.artifacts.find(s["name"], s["fingerprint"]).num_bytes for s in plan["stages"])
    assert first["kept_bytes"] == second["kept_bytes"] == stored
    assert first["kept_month_cost"] == pytest.approx(stored)
    again = terminal("pipeline", "run", "p", "--explain", "--json").json["estimate"]
    assert (again["seconds"]["high"], again["cost"]["high"], again["num_bytes"]["expected"]) == (0, 0, stored)
    assert "a month" in terminal("pipeline", "run", "p", "--explain").out
    assert "Kept (€/month)" in terminal("pipeline", "runs", "p").out


def test_limits_leave_room_for_evaluation_but_not_everything() -> None:
    limits = Limits(max_minutes=10.0, max_cost=8.0)
    assert limits.reached(Spent(499.0, 0.0), Spent(100.0, 0.0)) is None
    assert limits.reached(Spent(500.0, 0.0), Spent(100.0, 0.0)) is Reason.OUT_OF_TIME
    assert limits.reached(Spent(299.0, 0.0), Spent(10_000.0, 0.0)) is None
    assert limits.reached(Spent(0.0, 7.0), Spent(0.0, 1.0)) is Reason.OUT_OF_MONEY
    assert Limits().reached(Spent(1e9, 1e9), Spent(0.0, 0.0)) is None
    assert not Limits()
