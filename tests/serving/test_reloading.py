"""Models are swapped and servers end under load, and no request is lost or answered wrongly."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import bundles_served as bundles
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from load import load, request

SECONDS = 3.0


@pytest.fixture
def place(folders, tmp_path) -> Path:
    """A bundle that may be replaced by another one."""
    return Path(shutil.copytree(folders["price"], tmp_path / "bundle"))


def replaced(place: Path, by: Path) -> None:
    """Another bundle stands at the same place, complete from one moment to the next."""
    new = place.with_name("new")
    shutil.copytree(by, new)
    old = place.rename(place.with_name("old"))
    new.rename(place)
    shutil.rmtree(old)


@pytest.fixture(scope="module")
def second(folders, tmp_path_factory) -> Path:
    """A bundle of the same columns and label whose model says 1,000 more."""
    import onnx

    folder = Path(shutil.copytree(folders["price"], tmp_path_factory.mktemp("second") / "price"))
    graph = onnx.load(folder / "model.onnx")
    for node in graph.graph.node:
        node.output[:] = ["less" if name == "prediction" else name for name in node.output]
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.float64(1000), "thousand"))
    graph.graph.node.append(onnx.helper.make_node("Add", ["less", "thousand"], ["prediction"]))
    onnx.save(graph, folder / "model.onnx")
    golden = json.loads((folder / "golden.json").read_text())
    golden["predictions"]["prediction"] = [one + 1000 for one in golden["predictions"]["prediction"]]
    (folder / "golden.json").write_text(json.dumps(golden))
    return folder


def under_load(server, folders_by_version: dict[str, Path], seconds: float, meanwhile):
    """Load on /predict while `meanwhile()` runs; each answer is checked against the golden predictions of the version that it names."""
    golden = {
        version: json.loads((folder / "golden.json").read_text()) for version, folder in folders_by_version.items()
    }
    rows = next(iter(golden.values()))["rows"]
    seen = set()

    def is_right(number: int, status: int, body: bytes) -> bool:
        if status != 200:
            return False
        told = json.loads(body)
        seen.add(told["version"])
        expected = golden[told["version"]]["predictions"]["prediction"][number]
        return bool(np.abs(told["predictions"][0]["prediction"] - expected) < 1e-3)

    url = f"{server.url}/predict"
    requests = [request(url, json.dumps({"rows": [row]}).encode()) for row in rows]
    beside = threading.Thread(target=meanwhile)
    beside.start()
    result = load(url, requests, connections=8, seconds=seconds, check=is_right)
    beside.join()
    return result, seen


def test_a_reload_loses_no_request(serving, place, second) -> None:
    server = serving(place)
    (first_version,) = server.get("/v2/models/price").json["versions"]
    first = place.with_name("first")
    shutil.copytree(place, first)

    replaced(place, second)
    assert server.post("/v2/repository/models/price/load", {}).json["versions"] != [first_version]
    (second_version,) = server.get("/v2/models/price").json["versions"]
    replaced(place, first)
    loaded = []

    def reload() -> None:
        for number in range(4):
            time.sleep(SECONDS / 6)
            if number % 2:
                server.signal(signal.SIGHUP)
                server.says("loaded price")
            else:
                loaded.append(server.post("/v2/repository/models/price/load", {}).status)
            replaced(place, (second, first)[number % 2])

    result, seen = under_load(server, {first_version: first, second_version: second}, SECONDS, reload)
    assert loaded == [200, 200]
    assert (result.lost, result.wrong, result.refused) == (0, 0, 0)
    assert set(result.statuses) == {200}
    assert len(result.latencies) > 100
    assert seen == {first_version, second_version}
    assert server.metrics()['cengine_reloads_total{model="price",result="loaded"}'] == 5
    # What is no longer served is not found.
    versions = server.get("/v2/models/price").json["versions"]
    (gone,) = {first_version, second_version} - set(versions)
    assert server.get(f"/v2/models/price/versions/{gone}").status == 404


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGTERM, 1.0), (signal.SIGINT, 0.5)])
def test_an_end_under_load_loses_no_request(serving, folders, number, seconds) -> None:
    server = serving(folders["price"])
    (version,) = server.get("/v2/models/price").json["versions"]

    def end() -> None:
        time.sleep(seconds)
        server.signal(number)

    result, _ = under_load(server, {version: folders["price"]}, 10.0, end)
    assert (result.lost, result.wrong) == (0, 0)
    assert set(result.statuses) == {200}
    assert result.refused > 0
    assert server.stop() == 0
    assert result.seconds < 5


def test_while_it_ends_it_is_not_ready_and_answers_what_it_began(serving, folders, models) -> None:
    import http.client

    server = serving(folders["price"])
    rows = bundles.rows_of(bundles.table(), models["price"])
    body = json.dumps({"rows": rows}).encode()
    slow = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    slow.putrequest("POST", "/predict")
    slow.putheader("Content-Length", str(len(body)))
    slow.putheader("Content-Type", "application/json")
    slow.endheaders(body[:1000])
    time.sleep(0.2)
    watching = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    watching.request("GET", "/v2/health/ready")
    assert watching.getresponse().read() == b'{"ready":true}'
    server.signal(signal.SIGTERM)
    time.sleep(0.3)
    watching.request("GET", "/v2/health/ready")
    ready = watching.getresponse()
    assert (ready.status, ready.read()) == (503, b'{"ready":false}')
    assert ready.headers["connection"] == "close"
    with pytest.raises(ConnectionRefusedError):
        server.get("/v2/health/live")
    slow.send(body[1000:])
    answer = slow.getresponse()
    assert answer.status == 200
    assert len(json.loads(answer.read())["predictions"]) == len(rows)
    assert server.stop() == 0


def test_a_request_that_does_not_end_is_cut_off_after_the_time_for_it(serving, folders) -> None:
    import socket

    server = serving(folders["price"], "--drain", "0.6")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.2)
        began = time.monotonic()
        assert server.stop() == 1
        assert time.monotonic() - began < 5
    assert "cut off" in "".join(server.said)


def test_a_bundle_that_became_damaged_leaves_the_model_that_answers(serving, place) -> None:
    server = serving(place)
    before = server.get("/v2/models/price").json
    golden = json.loads((place / "golden.json").read_text())
    (place / "model.onnx").write_bytes(b"nothing")
    answer = server.post("/v2/repository/models/price/load", {})
    assert answer.status == 500
    assert "onnxruntime cannot load it" in answer.error
    server.signal(signal.SIGHUP)
    server.says("what answered so far goes on")
    assert server.get("/v2/models/price").json == before
    found = server.post("/predict", {"rows": golden["rows"][:1]}).json["predictions"][0]["prediction"]
    assert abs(found - golden["predictions"]["prediction"][0]) < 1e-3
    assert server.metrics()['cengine_reloads_total{model="price",result="failed"}'] == 2


def test_versions_of_a_model_answer_side_by_side(serving, folders, second) -> None:
    server = serving(f"price={folders['price']}", f"price={second}", f"other={folders['kind']}")
    first_version, last_version = server.get("/v2/models/price").json["versions"]
    golden = {
        v: json.loads((f / "golden.json").read_text())
        for v, f in ((first_version, folders["price"]), (last_version, second))
    }
    rows = golden[first_version]["rows"][:5]
    for path, version in (
        ("/predict/price", last_version),
        (f"/predict/price/{first_version}", first_version),
        (f"/predict/price/{last_version}", last_version),
    ):
        told = server.post(path, {"rows": rows}).json
        assert told["version"] == version
        expected = golden[version]["predictions"]["prediction"][:5]
        assert np.abs(np.array([one["prediction"] for one in told["predictions"]]) - np.array(expected)).max() < 1e-3
    assert server.get(f"/v2/models/price/versions/{first_version}/ready").status == 200
    assert server.get("/v2/models/other").json["name"] == "other"
