"""Made-up machines: the same ones for the same seed, and what the examples ask of them is in them."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from cengine.samples.machines import generate_machines


def test_a_machine_is_a_function_of_the_seed_and_its_number(tmp_path) -> None:
    num_rows = generate_machines(tmp_path / "a.parquet", 3, 20, seed=4)
    generate_machines(tmp_path / "b.parquet", 5, 20, seed=4)
    generate_machines(tmp_path / "c.parquet", 3, 20, seed=5)
    one, more, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in "abc")
    assert num_rows == len(one) > 0.9 * 3 * 20 * 144
    assert one.equals(more.slice(0, len(one)))
    assert not one.equals(other)


def test_worn_machines_vibrate_before_they_stop(tmp_path) -> None:
    generate_machines(tmp_path / "a.parquet", 6, 60)
    table = pq.read_table(tmp_path / "a.parquet")
    stopped, vibration, power = (table[name].to_numpy() for name in ("stopped", "vibration", "power"))
    begins = np.flatnonzero(np.diff(stopped) == 1) + 1
    assert len(begins) > 10
    assert np.mean([vibration[place - 20 : place].mean() for place in begins]) > 1.5 * vibration[stopped == 0].mean()
    assert power[stopped == 1].mean() < 1


def test_texts_are_the_same_table(tmp_path) -> None:
    generate_machines(tmp_path / "a.csv", 1, 2)
    generate_machines(tmp_path / "a.csv.gz", 1, 2)
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()
    with pytest.raises(ValueError, match=r"ends in \.csv"):
        generate_machines(tmp_path / "a.txt", 1, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "a.csv.gz"}


def test_the_command(terminal, monkeypatch) -> None:
    monkeypatch.chdir(terminal.files)
    told = terminal("sample", "series", "m.csv", "--machines", 2, "--days", 3).out
    assert "reports of 2 machines written to m.csv" in told
    assert "exists already" in terminal("sample", "series", "m.csv", code=4).err
