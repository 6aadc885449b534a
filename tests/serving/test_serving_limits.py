"""How large a request may be, who may ask, where a server listens, and what is told where it cannot begin."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import bundles_served as bundles
import pytest
from served import ALONE, Server

ROW = {"Size": 1, "grams": 1.5, "word": "red", "member": True, "at": "2026-11-28T13:42:39Z"}
TOKEN = "a-secret-of-more-than-16-characters"


def refused(*words: object, module: str = "cengine.cli.main", command: tuple[str, ...] = ("serve",)) -> str:
    """What a server says that does not begin."""
    done = subprocess.run(
        [sys.executable, "-m", module, *command, *map(str, words)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_too_much_is_refused_with_its_number(serving, folders) -> None:
    server = serving(folders["price"], "--max-rows", 5, "--max-bytes", "4000", "--queue", 5)
    assert server.post("/predict", {"rows": [ROW] * 5}).status == 200
    answer = server.post("/predict", {"rows": [ROW] * 6})
    assert (answer.status, answer.error) == (413, "6 rows, the limit is 5 a request: send them in parts")
    names = {"Size": "INT64", "grams": "FP64", "word": "BYTES", "member": "BOOL", "at": "INT64"}
    inputs = [{"name": name, "shape": [6], "datatype": kind, "data": [None] * 6} for name, kind in names.items()]
    assert server.post("/v2/models/price/infer", {"inputs": inputs}).status == 413
    text = b"Size,grams,word,member,at\n" + b"1,1,red,true,\n" * 6
    assert server("POST", "/predict", text, content_type="text/csv").status == 413
    # Larger than what is read on for: the answer comes all the same.
    for size in (4001, 15_000, 200_000):
        answer = server("POST", "/predict", b"x" * size, content_type="application/json")
        assert (answer.status, answer.error) == (413, "the body is larger than 4,000 bytes: send the rows in parts")
    assert server.post("/predict", {"rows": [ROW]}).status == 200
    found = server.metrics()
    assert found['cengine_errors_total{kind="too_many_rows"}'] == 3
    assert found['cengine_errors_total{kind="too_large"}'] == 3


def test_where_too_many_rows_wait_it_says_when_to_come_again(serving, folders) -> None:
    server = serving(folders["price"], "--max-rows", 60_000, "--queue", 60_000)
    many = json.dumps({"rows": [ROW] * 60_000}).encode()
    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(lambda body: server("POST", "/predict", body, content_type="application/json"), [many] * 6)
        )
    statuses = {reply.status for reply in replies}
    assert statuses == {200, 503}
    for reply in replies:
        if reply.status == 503:
            assert reply.headers["retry-after"] == "1"
            assert "rows wait, the limit is 60,000" in reply.error or "too many large requests" in reply.error
    assert server.post("/predict", {"rows": [ROW]}).status == 200
    assert server.metrics()["cengine_queue_rows"] == 0


def test_only_who_has_the_token_gets_an_answer(serving, folders, tmp_path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    server = serving(folders["price"], "--host", "0.0.0.0", "--token-file", tmp_path / "token")
    asked = [
        ("POST", "/predict"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/v2/models/price"),
        ("GET", "/no"),
    ]
    asked += [("POST", "/v2/repository/models/price/load"), ("POST", "/v2/models/price/infer")]
    for method, path in asked:
        for given in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": f"Basic {TOKEN}"},
            {"authorization": TOKEN},
        ):
            answer = server(method, path, **given)
            assert answer.status == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer TOKEN" in answer.error
    for path in ("/v2/health/live", "/v2/health/ready", "/docs", "/docs/page.js"):
        assert server.get(path).status == 200
    assert server.post("/predict", {"rows": [ROW]}, authorization=f"Bearer {TOKEN}").status == 200
    assert server.get("/openapi.json", authorization=f"Bearer {TOKEN}").json["security"] == [{"token": []}]
    assert TOKEN not in "".join(server.said)


def test_another_host_needs_a_token_or_the_word_that_it_is_open(serving, folders) -> None:
    said = refused(folders["price"], "--host", "0.0.0.0")
    assert "whoever reaches 0.0.0.0 could ask the model" in said
    assert "--token-file FILE" in said
    assert serving(folders["price"], "--host", "0.0.0.0", "--open").get("/v2/health/ready").status == 200
    assert serving(folders["price"], "--host", "localhost").get("/v2/health/ready").status == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"short", "not of at least 16 printable ASCII characters"),
        (b"", "not of at least 16"),
        (b"with blanks in the middle", "without blanks"),
        ("sécrètsécrètsécrèt".encode(), "printable ASCII"),
        (b"\xff" * 20, "it is no text"),
    ],
)
def test_a_token_that_is_none_is_refused(folders, tmp_path, text, said) -> None:
    (tmp_path / "token").write_bytes(text)
    assert said in refused(folders["price"], "--token-file", tmp_path / "token")


def test_what_cannot_be_served_is_told_before_it_listens(folders, tmp_path) -> None:
    assert "the token cannot be read from" in refused(folders["price"], "--token-file", tmp_path / "none")
    assert "there is nothing at nothing" in refused("./nothing")
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty")
    assert "is no bundle: it has no model.json" in said
    assert "cengine export RUN --format bundle" in said
    (tmp_path / "no.zip").write_text("text")
    assert "cannot be read: File is not a zip file" in refused(tmp_path / "no.zip")
    assert "'a b' cannot be a model's name" in refused(f"a b={folders['price']}")
    assert "--queue 5 is less than the 100000 rows" in refused(folders["price"], "--queue", 5)
    assert "requests cannot be logged to" in refused(folders["price"], "--log-requests", "/proc/log")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in refused(folders["price"], "--port", port)
    assert "cannot listen at" in refused(folders["price"], "--host", "no-such-host.invalid", "--open")


def spoilt(folder, tmp_path, name: str, change) -> str:
    """A copy of a bundle of which one file is changed; what the server says of it."""
    copy = tmp_path / "spoilt"
    copy.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    (copy / name).write_bytes(change((copy / name).read_bytes()))
    return refused(copy, module="cengine.serving", command=())


def golden(change):
    """Golden rows changed as JSON."""

    def changed(text: bytes) -> bytes:
        data = json.loads(text)
        change(data)
        return json.dumps(data).encode()

    return changed


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.onnx", lambda data: data[: len(data) // 2], "onnxruntime cannot load it"),
        ("model.json", lambda data: data[:100], "is damaged: JSONDecodeError"),
        ("model.json", lambda data: b"[]", "is damaged: TypeError"),
        ("model.json", lambda data: data.replace(b'"integer"', b'"complex"', 1), "unknown kind 'complex'"),
        ("model.json", lambda data: data.replace(b'"Size"', b'"Sizes"', 1), "which is no column of it"),
        ("golden.json", golden(lambda data: data["rows"].clear()), "golden.json has no rows"),
        ("golden.json", golden(lambda data: data.pop("predictions")), "golden.json is damaged: KeyError"),
        ("golden.json", golden(lambda data: data["predictions"]["prediction"].pop()), "is of shape (99,)"),
        ("golden.json", golden(lambda data: data["rows"][3].pop("at")), "the golden rows do not fit the model: column 'at', row 4"),
    ],
)  # fmt: skip
def test_a_damaged_bundle_is_not_served(folders, tmp_path, name, change, said) -> None:
    assert said in spoilt(folders["price"], tmp_path, name, change)


@pytest.mark.parametrize("name", ["price", "kind", "both"])
def test_a_model_that_does_not_predict_its_golden_rows_is_not_served(folders, models, tmp_path, name) -> None:
    """A difference of twice the bound is refused, one of half of it is served."""
    model = models[name]
    output = {"kind": "probabilities", "both": "rich: probabilities"}.get(name, "prediction")
    label = {"both": "rich"}.get(name, model.labels[0])
    deviation = model.signature.statistics["labels"][label].get("deviation", 1.0)

    def by(share: float):
        def change(data) -> None:
            told = data["predictions"][output]
            if isinstance(told[17], list):
                told[17][1] += share * 1e-5
            else:
                told[17] += share * 1e-5 * deviation

        return golden(change)

    said = spoilt(folders[name], tmp_path, "golden.json", by(2))
    assert f"does not predict its golden rows: of '{label}' one is off by" in said
    copy = tmp_path / "spoilt"
    (copy / "golden.json").write_bytes(by(0.5)((folders[name] / "golden.json").read_bytes()))
    with Server(copy, command=ALONE) as server:
        assert server.get("/v2/health/ready").json == {"ready": True}


def test_one_word_too_few_is_an_error_of_use() -> None:
    for command in (("-m", "cengine.cli.main", "serve"), ("-m", "cengine.serving")):
        assert subprocess.run([sys.executable, *command], capture_output=True).returncode == 2


def test_both_ways_to_start_have_the_same_options(folders) -> None:
    import re

    def options(*command: str) -> set[str]:
        told = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True).stdout
        return set(re.findall(r"--[a-z][a-z-]+", told)) - {"--format"}

    found = options("cengine.cli.main", "serve")
    assert found == options("cengine.serving")
    assert {
        "--host",
        "--port",
        "--token-file",
        "--max-rows",
        "--max-bytes",
        "--queue",
        "--drain",
        "--log-requests",
        "--open",
    } <= found


def test_a_zip_is_served_as_its_folder_is(serving, folders, tmp_path) -> None:
    import shutil

    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", folders["price"].parent, folders["price"].name)
    server = serving(f"sold={packed}")
    assert server.get("/v2/models/sold").status == 200
    rows = json.loads((folders["price"] / "golden.json").read_text())["rows"]
    assert len(server.post("/predict", {"rows": rows}).json["predictions"]) == len(rows) == bundles.NUM_ROWS // 6
