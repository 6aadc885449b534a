"""What a server answers is what the model predicts, whatever the format of the request and whoever asks at the same time."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import bundles_served as bundles
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

BOUND = 1e-5
NULLS = dict.fromkeys(("Size", "grams", "word", "member", "at"))


def close(found, model, table) -> None:
    """Asserts that columns of an answer are the model's predictions: numbers within a share of the deviation, classes the same."""
    told = model.predict(table)
    assert list(found) == told.column_names
    for name in told.column_names:
        expected = told[name].to_pylist()
        if not isinstance(expected[0], float):
            assert found[name] == expected
            continue
        label = name.partition(":")[0] if ":" in name else model.labels[0]
        deviation = model.signature.statistics["labels"][label].get("deviation", 1.0)
        assert np.abs(np.array(found[name]) - np.array(expected)).max() <= BOUND * deviation


def columns(rows) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("name", bundles.PIPELINES)
def test_rows_in_every_format_get_the_models_predictions(server, models, name) -> None:
    model, path = models[name], f"/predict/{name}"
    table = bundles.table().select(list(model.features))
    rows = bundles.rows_of(table, model)
    answer = server.post(path, {"rows": rows})
    assert answer.status == 200, answer.body
    assert answer.json["model"] == name
    close(columns(answer.json["predictions"]), model, table)

    lines = "\n".join(map(json.dumps, rows)).encode()
    answer = server("POST", path, lines, content_type="application/x-ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    close(columns([json.loads(line) for line in answer.body.splitlines()]), model, table)

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = server("POST", path, sink.getvalue().to_pybytes(), content_type="application/vnd.apache.arrow.stream")
    assert answer.status == 200, answer.body
    close(pa.ipc.open_stream(answer.body).read_all().to_pydict(), model, table)

    text = io.BytesIO()
    pa_csv.write_csv(table, text)
    answer = server("POST", path, text.getvalue(), content_type="text/csv; charset=UTF-8", accept="application/json")
    assert answer.status == 200, answer.body
    close(columns(answer.json["predictions"]), model, table)
    answer = server("POST", path, text.getvalue(), content_type="text/csv")
    assert answer.body.splitlines()[0].decode() == ",".join(model.predict(table.slice(0, 1)).column_names)
    assert len(answer.body.splitlines()) == len(table) + 1


def tensors(table: pa.Table, *, nested: bool, masks: bool) -> list[dict]:
    """Columns as the inference protocol has them; nulls as null, or by the inputs that say so."""
    found = []
    kinds = {"Size": "INT64", "grams": "FP64", "word": "BYTES", "member": "BOOL", "at": "INT64"}
    for name, datatype in kinds.items():
        cells = table[name].cast(pa.int64()) if name == "at" else table[name]
        data = cells.to_pylist()
        if masks:
            gone = [cell is None for cell in data]
            found.append({"name": f"{name} is null", "shape": [len(data), 1], "datatype": "BOOL", "data": gone})
            blank = {"BYTES": "", "BOOL": False}.get(datatype, 0)
            data = [blank if cell is None else cell for cell in data]
        shaped = [[cell] for cell in data] if nested else data
        found.append({"name": name, "shape": [len(data), 1], "datatype": datatype, "data": shaped})
    return found


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("masks", [False, True])
def test_tensors_get_the_models_predictions(server, models, nested, masks) -> None:
    table = bundles.table()
    body = {"id": "mine", "inputs": tensors(table, nested=nested, masks=masks)}
    answer = server.post("/v2/models/both/infer", body).json
    assert answer["id"] == "mine"
    assert answer["model_name"] == "both"
    found = {one["name"]: one for one in answer["outputs"]}
    assert found["rich: prediction"]["datatype"] == "BYTES"
    both = models["both"].predict(table)
    assert found["rich: prediction"]["data"] == both["rich: prediction"].to_pylist()
    yes = np.array(found["rich: probabilities"]["data"]).reshape(-1, 2)[:, 1]
    assert np.abs(yes - both["rich: probability_yes"].to_numpy()).max() <= BOUND
    answer = server.post("/v2/models/price/infer", body).json
    close({one["name"]: one["data"] for one in answer["outputs"]}, models["price"], table)
    answer = server.post("/v2/models/kind/infer", {**body, "outputs": [{"name": "probabilities"}]}).json
    (only,) = answer["outputs"]
    assert only["shape"] == [len(table), 3]
    told = models["kind"].predict(table)
    shares = np.column_stack([told[f"probability_{one}"].to_numpy() for one in (7, 8, 9)])
    assert np.abs(np.array(only["data"]).reshape(-1, 3) - shares).max() <= BOUND
    whole = server.post("/v2/models/kind/infer", body).json["outputs"][0]
    assert whole["datatype"] == "INT64"
    assert whole["data"] == told["prediction"].to_pylist()


def test_a_client_that_others_wrote_gets_along_with_it(server, models) -> None:
    client_module = pytest.importorskip("tritonclient.http")
    table = bundles.table().slice(0, 20).combine_chunks()
    with client_module.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("both")
        told = client.get_model_metadata("both")
        assert {one["name"]: one["datatype"] for one in told["inputs"]}["word"] == "BYTES"
        assert client.get_server_metadata()["name"] == "cengine"
        assert {one["name"] for one in client.get_model_repository_index()} == set(bundles.PIPELINES)
        inputs = []
        for one in tensors(table, nested=False, masks=True):
            types = {"BYTES": object, "BOOL": bool, "INT64": np.int64, "FP64": np.float64}
            given = client_module.InferInput(one["name"], one["shape"], one["datatype"])
            given.set_data_from_numpy(np.array(one["data"], types[one["datatype"]]).reshape(-1, 1), binary_data=False)
            inputs.append(given)
        wanted = [
            client_module.InferRequestedOutput(name, binary_data=False)
            for name in ("rich: prediction", "kind: probabilities")
        ]
        answer = client.infer("both", inputs, request_id="7", outputs=wanted, model_version=told["versions"][-1])
        assert answer.get_response()["id"] == "7"
        predicted = models["both"].predict(table)
        assert [str(one) for one in answer.as_numpy("rich: prediction")] == predicted["rich: prediction"].to_pylist()
        client.load_model("both")
        with pytest.raises(
            client_module.InferenceServerException, match="no model 'btoh' is served; did you mean 'both'"
        ):
            client.infer("btoh", inputs)


def test_those_who_ask_at_the_same_time_get_their_own_answers(server, models) -> None:
    rows = bundles.rows_of(bundles.table(), models["price"])
    expected = models["price"].predict(bundles.table())["prediction"].to_pylist()
    # Some of them send what does not fit, and one sends many rows: the others must not feel it.
    before = server.metrics()

    def ask(place: int):
        if place % 7 == 0:
            return server.post("/predict/price", {"rows": [{**rows[place], "Size": "many"}]})
        if place % 50 == 1:
            return server.post("/predict/price", {"rows": rows * 4})
        return server.post("/predict/price", {"rows": rows[place : place + 3]})

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(ask, range(300)))
    for place, reply in enumerate(replies):
        if place % 7 == 0:
            assert reply.status == 422
            assert reply.error == "column 'Size', row 1: 'many' is no integer"
            continue
        found = [one["prediction"] for one in reply.json["predictions"]]
        wanted = expected * 4 if place % 50 == 1 else expected[place : place + 3]
        assert np.abs(np.array(found) - np.array(wanted)).max() < 1e-3
    after = server.metrics()
    name = 'cengine_requests_total{model="price",path="predict",status="422"}'
    assert after[name] - before.get(name, 0) == 43


@pytest.mark.parametrize("cells", [NULLS, {**NULLS, "Size": 3.0, "grams": 2, "at": 1_700_000_000_000_000}])
def test_missing_cells_and_whole_floats_are_what_they_are(server, models, cells) -> None:
    answer = server.post("/predict/price", {"rows": [cells]})
    schema = bundles.table().select(list(NULLS)).schema
    typed = {**cells, "Size": None if cells["Size"] is None else 3}
    table = pa.Table.from_pylist([typed], schema=schema)
    close(columns(answer.json["predictions"]), models["price"], table)


def test_no_rows_are_no_predictions(server) -> None:
    assert server.post("/predict/kind", {"rows": []}).json["predictions"] == []
    header = b"Size,grams,word,member,at\n"
    assert (
        server("POST", "/predict/kind", header, content_type="text/csv").body
        == b"prediction,probability_7,probability_8,probability_9\n"
    )


def test_what_is_counted_is_what_came(serving, folders, models) -> None:
    server = serving(folders["price"])
    (version,) = server.get("/v2/models/price").json["versions"]
    rows = bundles.rows_of(bundles.table().slice(0, 50), models["price"])
    given = [{**row, "word": bundles.ODD if place else "strange", "grams": None} for place, row in enumerate(rows)]
    server.post("/predict", {"rows": given})
    found = server.metrics()
    at = f'model="price",version="{version}"'
    assert found[f"cengine_rows_total{{{at}}}"] == 50
    assert found[f'cengine_missing_cells_total{{{at},column="grams"}}'] == 50
    assert found[f'cengine_missing_share{{{at},column="grams"}}'] == 1
    assert found[f'cengine_unseen_cells_total{{{at},column="word"}}'] == 1
    assert found[f'cengine_unseen_share{{{at},column="word"}}'] == 0.02
    assert found[f'cengine_prediction_count{{{at},label="y"}}'] == 50
    assert found['cengine_requests_total{model="price",path="predict",status="200"}'] == 1
    assert found['cengine_request_seconds_count{model="price",path="predict"}'] == 1
    assert found["cengine_ready"] == 1
    assert found["cengine_queue_rows"] == 0
