"""The log of requests: Parquet files that cengine registers, with what came as it came."""

from __future__ import annotations

import json
import signal
import time

import bundles_served as bundles
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.serving.bundle import Field, read_bundle
from cengine.serving.journal import Batch, table_of
from cengine.serving.rows import RowReader
from cengine.serving.session import Session


@pytest.mark.parametrize("name", ["price", "both"])
def test_what_came_and_was_predicted_is_registered_as_a_datasource(serving, folders, models, tmp_path, name) -> None:
    log = tmp_path / "requests.parquet"
    server = serving(folders[name], "--log-requests", log)
    (version,) = server.get(f"/v2/models/{name}").json["versions"]
    table = bundles.table().select(list(models[name].features))
    rows = bundles.rows_of(table, models[name])
    began = time.time()
    predicted = []
    for start in range(0, 200, 20):
        predicted += server.post("/predict", {"rows": rows[start : start + 20]}).json["predictions"]
    assert server.post("/predict", {"rows": [{}]}).status == 422
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.slice(200, 100))
    answer = server(
        "POST", "/predict", sink.getvalue().to_pybytes(), content_type="application/vnd.apache.arrow.stream"
    )
    predicted += pa.ipc.open_stream(answer.body).read_all().to_pylist()
    assert server.stop() == 0
    assert [file.suffix for file in log.iterdir()] == [".parquet"]

    found = pq.read_table(log)
    assert found.column_names == [*models[name].features, *predicted[0], "version", "time"]
    assert found.select(list(models[name].features)).to_pylist() == table.slice(0, 300).to_pylist()
    assert found.select(list(predicted[0])).to_pylist() == predicted
    assert set(found["version"].to_pylist()) == {version}
    assert all(began - 1 < one.timestamp() < time.time() + 1 for one in found["time"].to_pylist())
    # And a pipeline can be run on it, as on any table.
    project = cengine.open_project(tmp_path / "project")
    datasource = cengine.register(project, "parquet", path=str(log))
    assert datasource.schema.num_rows == 300


def test_a_log_of_several_models_has_a_folder_of_each(serving, folders, tmp_path) -> None:
    server = serving(folders["price"], folders["kind"], "--log-requests", tmp_path / "log")
    row = {"Size": None, "grams": None, "word": None, "member": None, "at": None}
    for name in ("price", "kind"):
        assert server.post(f"/predict/{name}", {"rows": [row]}).status == 200
    server.signal(signal.SIGINT)
    assert server.stop() == 0
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == ["kind", "price"]
    assert pq.read_table(tmp_path / "log" / "kind").num_rows == 1


def test_a_disk_that_takes_nothing_is_told_and_costs_no_request(serving, folders, tmp_path) -> None:
    log = tmp_path / "log"
    server = serving(folders["price"], "--log-requests", log)
    log.rmdir()
    log.write_text("no folder")
    row = {"Size": None, "grams": None, "word": None, "member": None, "at": None}
    # More than are gathered before they are written.
    body = json.dumps({"rows": [row] * 51_000}).encode()
    assert server("POST", "/predict", body, content_type="application/json").status == 200
    assert "51,000 rows could not be logged" in server.says("could not be logged")
    assert server.metrics()['cengine_errors_total{kind="not_logged"}'] == 51_000
    assert server.post("/predict", {"rows": [row]}).status == 200
    assert server.stop() == 0


def test_columns_that_are_called_as_ours_keep_their_names(folders) -> None:
    bundle = read_bundle(folders["price"])
    names = {"Size": "time", "grams": "prediction", "word": "Version"}
    fields = tuple(Field(names.get(one.column, one.column), one.kind, one.vocabulary) for one in bundle.fields)
    given = RowReader(bundle.fields, 10).rows(bundle.golden["rows"][:2])
    outputs = Session(bundle).predict(given)
    renamed = type(bundle)(bundle.name, bundle.version, fields, bundle.labels, bundle.graph, bundle.golden)
    table = table_of(renamed, [Batch(given, outputs, 5)])
    assert table.column_names == ["time", "prediction", "Version", "member", "at", "_prediction", "_version", "_time"]
    assert table["time"].to_pylist() == [row["Size"] for row in bundle.golden["rows"][:2]]
