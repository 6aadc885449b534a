"""Makes points and windows of small tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cengine.config.checks import check
from cengine.config.mapping import mapping_text
from cengine.config.read import parse_config
from cengine.engines.duckdb import DuckDB
from cengine.learners.feedforward import Feedforward
from cengine.preprocess.series import SeriesReport, read_report, write_series
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.tables import ROW_ID


@dataclass
class Tried:
    folder: Path
    report: SeriesReport
    resolved: object
    numbers: dict
    """The split's number of each row."""
    split_names: tuple
    cuts_inner: bool
    """Whether the inner part was cut in time, since the split would have drawn rows of groups for it."""

    @property
    def points(self):
        return pq.read_table(self.folder / "part-points.parquet")

    @property
    def windows(self):
        table = pq.read_table(self.folder / "windows.parquet")
        return dict(zip(table["first"].to_pylist(), table["split"].to_pylist(), strict=True))


def resolved_of(config, schema):
    """The resolved configuration, as if some learner read windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feedforward, "reads_windows", True)
        text = config if isinstance(config, str) else mapping_text(config)
        return check(parse_config(text, "c.yaml"), schema)[0]


def tried(snapshot, config, folder, *, inner=False, threads=2, memory=2**28, engine=None):
    """Points and windows of a snapshot's rows; the grid is made on `engine`, or on the one that makes the rest."""
    resolved = resolved_of(config, snapshot.schema)
    rows = Rows(snapshot.files, snapshot.schema, (), ())
    split_folder, out = folder / "split", folder / "out"
    split_folder.mkdir(parents=True)
    out.mkdir()
    with DuckDB(
        folder / "scratch", memory_bytes=memory, threads=threads, folders=[folder, *_folders(snapshot)]
    ) as local:
        where = engine or local
        split = fit_split(where, rows, resolved.split, split_folder, inner=inner)
        cuts_inner = inner and "learnt" in pq.read_schema(split_folder / "cuts.parquet").names
        table = where.fetch(split.assigned(where, rows, [], inner=inner and not cuts_inner))
        numbers = dict(zip(table[ROW_ID].to_pylist(), table["_split"].to_pylist(), strict=True))
        report = write_series(where, rows, split, resolved, local, out, inner=inner)
    assert read_report(out) == report
    assert sorted(path.name for path in out.iterdir()) == ["part-points.parquet", "series.json", "windows.parquet"]
    return Tried(out, report, resolved, numbers, split.names, cuts_inner)


def _folders(snapshot):
    return {path.parent for path in snapshot.files}
