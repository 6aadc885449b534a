"""The post's YAML on the real trips as a table of BigQuery: few of its bytes come here, and the split is that of the files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from terminal import Terminal

from cengine.tables import ROW_ID

SHARED = Path(__file__).parents[3] / "shared"
TRIPS = SHARED / "data" / "citibike"
POST = SHARED / "post" / "citibike.yaml"
MOST_BYTES_SHARE = 0.30
PLACE = (
    "--project",
    "bigquery-public-data",
    "--dataset",
    "new_york",
    "--table",
    "citibike_trips",
    "--table_type",
    "public",
)

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.heavy,
    pytest.mark.skipif(not TRIPS.is_dir(), reason=f"the real trips are not here: {TRIPS}"),
]


def renamed(file: Path, folder: Path) -> None:
    """The file with headers that BigQuery allows: what its columns are called is part of what a row is."""
    header, rest = gzip.decompress(file.read_bytes()).split(b"\n", 1)
    (folder / file.stem).write_bytes(header.lower().replace(b" ", b"_") + b"\n" + rest)


def encoded(terminal: Terminal) -> pa.Table:
    (folder,) = terminal.project.folder.glob("artifacts/Transform/*/*")
    return pq.read_table(folder / "encoded.parquet", columns=["_split", ROW_ID])


def test_the_posts_yaml_on_a_table_that_stays_in_bigquery(bigquery, tmp_path, record_property) -> None:
    months = [pacsv.read_csv(path) for path in sorted(TRIPS.glob("JC-2018*.csv.gz"))]
    rows = pa.concat_tables(months, promote_options="permissive")
    rows = rows.rename_columns([name.lower().replace(" ", "_") for name in rows.column_names])
    table = bigquery.put("bigquery-public-data.new_york.citibike_trips", rows)
    text = (
        POST.read_text()
        .replace("train_steps: 230000", "train_steps: 40")
        .replace("save_checkpoints_steps: 15000", "save_checkpoints_steps: 20")
    )
    there, here = (Terminal(tmp_path / name, tmp_path) for name in ("there", "here"))
    yaml = there.write("citibike.yaml", text)

    there("datasource", "create", "bq", "--name", "citibike_trips", *PLACE)
    there("pipeline", "push", yaml, "nyc_citibike_experiment")
    before = dict(bigquery.wire.sent)
    there("pipeline", "run", 1, "-y")
    received = {what: bigquery.wire.sent[what] - before.get(what, 0) for what in ("arrow", "rest")}
    share = sum(received.values()) / table.num_bytes
    record_property("received", f"{received}, {share:.1%} of {table.num_bytes} bytes")
    print(f"received {received}, {share:.1%} of the table's {table.num_bytes:,} bytes")
    assert share <= MOST_BYTES_SHARE

    (tmp_path / "trips").mkdir()
    for file in TRIPS.glob("JC-2018*.csv.gz"):
        renamed(file, tmp_path / "trips")
    here("datasource", "create", "csv", "--name", "citibike_trips", "--path", f"{tmp_path}/trips/*.csv")
    here("pipeline", "push", yaml, "nyc_citibike_experiment")
    here("pipeline", "run", 1, "-y")
    remote, local = (encoded(terminal) for terminal in (there, here))
    assert remote.num_rows == local.num_rows > 250_000
    evaluated = [set(found[ROW_ID].drop_null().to_pylist()) for found in (remote, local)]
    assert evaluated[0] == evaluated[1]
    assert len(evaluated[0]) > 25_000
