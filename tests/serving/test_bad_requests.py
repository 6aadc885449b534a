"""Requests that cannot be answered: each gets one message with what, where and how to mend it, and the server goes on."""

from __future__ import annotations

import http.client
import json
import socket

import pyarrow as pa
import pytest

GOOD = {"Size": 1, "grams": 1.5, "word": "red", "member": True, "at": "2026-11-28T13:42:39Z"}
WITHOUT = {name: cell for name, cell in GOOD.items() if name != "Size"}


def rows(*given, **changed) -> bytes:
    return json.dumps({"rows": list(given) or [{**GOOD, **changed}]}).encode()


JSON_BODIES = [
    (b"", 400, "the JSON cannot be read"),
    (b"{", 400, "the JSON cannot be read"),
    (b'{"rows": [NaN]}', 400, "the JSON cannot be read"),
    (b'{"rows": ["\xff"]}', 400, "the JSON cannot be read"),
    (b"[" * 100_000, 400, "nested too deeply"),
    (b"[]", 422, 'the body is {"rows"'),
    (b'{"row": []}', 422, 'the body is {"rows"'),
    (b'{"rows": {}}', 422, 'the body is {"rows"'),
    (b'{"rows": [], "more": 1}', 422, "the unknown key 'more'"),
    (rows(1), 422, "row 1: 1 is not an object"),
    (rows(GOOD, [1]), 422, "row 2: a list is not an object"),
    (rows(GOOD, WITHOUT), 422, "column 'Size', row 2: is missing: give null"),
    (rows({**WITHOUT, "Szie": 1}), 422, "column 'Szie', row 1: the model has no such column; did you mean 'Size'?"),
    (rows(xyzzy=1), 422, "column 'xyzzy', row 1: the model has no such column; leave it out"),
    (rows(Size="1"), 422, "column 'Size', row 1: '1' is no integer"),
    (rows(Size=1.5), 422, "column 'Size', row 1: 1.5 is no integer"),
    (rows(Size=True), 422, "column 'Size', row 1: true is no integer"),
    (rows(Size=2**63), 422, "is no integer of 64 bits"),
    (rows(Size={"a": 1}), 422, "column 'Size', row 1: an object is no integer"),
    (rows(grams="1.5"), 422, "column 'grams', row 1: '1.5' is no number"),
    (rows(grams=False), 422, "column 'grams', row 1: false is no number"),
    (rows(grams=[1.5]), 422, "column 'grams', row 1: a list is no number"),
    (rows(grams=10**400), 422, "no number of 64 bits"),
    (rows().replace(b"1.5", b"1e999"), 422, "out of range"),
    (rows(word=5), 422, "column 'word', row 1: 5 is no text"),
    (rows(member=1), 422, "column 'member', row 1: 1 is no boolean"),
    (rows(member="true"), 422, "column 'member', row 1: 'true' is no boolean"),
    (rows(at="yesterday"), 422, "column 'at', row 1: 'yesterday' is no time: ISO 8601"),
    (rows(at="2026-02-30"), 422, "is no time"),
    (rows(at=1.5), 422, "column 'at', row 1: 1.5 is no time"),
    (rows(GOOD, {**GOOD, "Size": "a", "member": 0}), 422, "column 'member', row 2: 0 is no boolean"),
    (rows(*[{**GOOD, "Size": "x"}] * 15), 422, "and 5 more"),
    (rows(word=7 * ["x" * 10_000]), 422, "a list is no text"),
    (rows(Size="y" * 10_000), 422, "y... is no integer"),
]


@pytest.mark.parametrize(("body", "status", "said"), JSON_BODIES)
def test_rows_as_json(server, body, status, said) -> None:
    answer = server("POST", "/predict/price", body, content_type="application/json")
    assert answer.status == status, answer.body
    assert said in answer.error
    assert len(answer.body) < 6000


def test_an_answer_names_row_column_and_value_for_programs_too(server) -> None:
    answer = server("POST", "/predict/price", rows(GOOD, {**GOOD, "grams": "heavy"}), content_type="application/json")
    assert answer.json["details"] == [
        {"row": 2, "column": "grams", "value": "'heavy'", "problem": "'heavy' is no number"}
    ]


HEADER = "Size,grams,word,member,at\n"
CSV_BODIES = [
    ("", 422, "column 'Size': is missing"),
    ("Size,grams,word,member\n1,1,red,true\n", 422, "column 'at': is missing"),
    (
        HEADER.replace("grams", "gramms") + "1,1,red,true,\n",
        422,
        "column 'gramms': the model has no such column; did you mean 'grams'?",
    ),
    (HEADER.replace("\n", ",Size\n") + "1,1,red,true,,1\n", 422, "column 'Size': is there twice"),
    (HEADER + "1,1,red\n", 422, "row 1: 3 cells, the header has 5"),
    (HEADER + "1,1,red,true,\n1_000,1,red,true,\n", 422, "column 'Size', row 2: '1_000' is no integer"),
    (HEADER + '1,"1,5",red,true,\n', 422, "column 'grams', row 1: '1,5' is no number"),
    (HEADER + "1,0x10,red,true,\n", 422, "column 'grams', row 1: '0x10' is no number"),
    (HEADER + "1,1,red,yes,\n", 422, "column 'member', row 1: 'yes' is no boolean"),
    (HEADER + "1,1,red,true,12\n", 422, "column 'at', row 1: '12' is no time"),
    (HEADER + '1,1,"red,true,\n', 400, "the CSV cannot be read"),
    (HEADER + "9223372036854775808,1,red,true,\n", 422, "is no integer of 64 bits"),
]


@pytest.mark.parametrize(("text", "status", "said"), CSV_BODIES)
def test_rows_as_csv(server, text, status, said) -> None:
    answer = server("POST", "/predict/price", text.encode(), content_type="text/csv")
    assert answer.status == status, answer.body
    assert said in answer.error


def arrow(**changed: pa.Array) -> bytes:
    table = pa.table(
        {"Size": [1], "grams": [1.5], "word": ["red"], "member": [True], "at": pa.array([0], pa.timestamp("us"))}
    )
    for name, cells in changed.items():
        table = (
            table.append_column(name, cells)
            if name not in table.column_names
            else table.set_column(table.column_names.index(name), name, cells)
        )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the Arrow table cannot be read"),
        (b"ARROW1 but no more", 400, "the Arrow table cannot be read"),
        (arrow()[:-200], 400, "the Arrow table cannot be read"),
        (arrow(Size=pa.array(["1"])), 422, "column 'Size': is of type string, the model has integer"),
        (arrow(Size=pa.array([1.5])), 422, "column 'Size':"),
        (arrow(member=pa.array([1])), 422, "column 'member': is of type int64, the model has boolean"),
        (arrow(Sizes=pa.array([1])), 422, "column 'Sizes': the model has no such column; did you mean 'Size'?"),
    ],
)
def test_rows_as_arrow(server, body, status, said) -> None:
    answer = server("POST", "/predict/price", body, content_type="application/vnd.apache.arrow.stream")
    assert answer.status == status, answer.body
    assert said in answer.error


def tensor(name: str = "Size", datatype: str = "INT64", shape: object = (1, 1), data: object = (1,), **more) -> dict:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


OTHERS = [
    tensor("grams", "FP64"),
    tensor("word", "BYTES", data=["red"]),
    tensor("member", "BOOL", data=[True]),
    tensor("at"),
]


@pytest.mark.parametrize(
    ("inputs", "status", "said"),
    [
        ([], 422, "column 'Size': is missing"),
        ([tensor()], 422, "column 'grams': is missing"),
        ([tensor(), tensor(), *OTHERS], 422, "column 'Size': is there twice"),
        ([tensor("Siez"), *OTHERS], 422, "column 'Siez': the model has no such input; did you mean 'Size'?"),
        ([tensor(datatype="BYTES"), *OTHERS], 422, "input 'Size' is of datatype BYTES, the model has INT64"),
        ([tensor(datatype="FP64"), *OTHERS], 422, "input 'Size' is of datatype FP64, the model has INT64"),
        ([tensor(shape=[2, 1]), *OTHERS], 422, "input 'Size' has 1 values, its shape [2, 1] says 2"),
        ([tensor(shape=[1, 2], data=[1, 2]), *OTHERS], 422, "is of shape [1, 2]"),
        ([tensor(shape=[]), *OTHERS], 422, "is of shape []"),
        ([tensor(shape=[-1, 1]), *OTHERS], 422, "is of shape [-1, 1]"),
        ([tensor(data=[[1, 2]]), *OTHERS], 422, "each input has a cell a row"),
        ([tensor(data=["1"]), *OTHERS], 422, "column 'Size', row 1: '1' is no integer"),
        ([tensor(data=5), *OTHERS], 422, "the JSON does not fit: Expected `array`, got `int` - at `$.inputs[0].data`"),
        ([tensor(shape="1"), *OTHERS], 422, "the JSON does not fit"),
        (
            [tensor(), *OTHERS, tensor("Size is null", "BOOL", data=[1])],
            422,
            "column 'Size is null', row 1: 1 is no boolean",
        ),
        (
            [tensor(), *OTHERS, tensor("Size is null", "INT64", data=[1])],
            422,
            "is of datatype INT64, the model has BOOL",
        ),
    ],
)
def test_tensors(server, inputs, status, said) -> None:
    answer = server.post("/v2/models/price/infer", {"inputs": inputs})
    assert answer.status == status, answer.body
    assert said in answer.error


def test_what_the_protocol_does_not_know_is_refused(server) -> None:
    inputs = [tensor(), *OTHERS]
    answer = server.post("/v2/models/price/infer", {"inputs": inputs, "outputs": [{"name": "predictions"}]})
    assert (answer.status, answer.error) == (422, "the model has no output 'predictions'; it has 'prediction'")
    answer = server.post("/v2/models/price/infer", {"inputs": inputs}, inference_header_content_length="10")
    assert answer.status == 415
    assert "binary_data=False" in answer.error
    assert server.post("/v2/models/price/infer", {"id": 5, "inputs": inputs}).status == 422


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/predict/price", 405, "GET is not for this path: POST"),
        ("DELETE", "/metrics", 405, "DELETE is not for this path: GET, HEAD"),
        ("POST", "/v2/health/ready", 405, "GET, HEAD"),
        ("GET", "/nowhere", 404, "there is nothing at /nowhere"),
        ("GET", "/v2/models/price/weights", 404, "there is nothing at /v2/models/price/weights"),
        ("POST", "/predict", 404, "several models are served, name one: /predict/price|kind|range|both"),
        ("POST", "/predict/prcie", 404, "no model 'prcie' is served; did you mean 'price'?"),
        ("POST", "/predict/price/7", 404, "model 'price' has no version '7'; it has"),
        ("POST", "/predict/price/7/8", 404, "/predict/NAME/VERSION at most"),
        ("GET", "/v2/models/price/versions/7", 404, "model 'price' has no version '7'"),
        ("POST", "/v2/repository/models/none/load", 404, "no model 'none' is served"),
        ("POST", "/v2/repository/models/price/unload", 404, "there is nothing at"),
        ("POST", "/predict/%2e%2e/%2e%2e/etc/passwd", 404, "at most"),
    ],
)
def test_paths(server, method, path, status, said) -> None:
    answer = server(method, path, content_type="application/json")
    assert answer.status == status, answer.body
    assert said in answer.error
    assert answer.headers["content-type"] == "application/json"
    if status == 405:
        assert answer.headers["allow"] in said or said in answer.headers["allow"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "the header Content-Type is missing: one of application/json"),
        ({"content_type": "application/x-www-form-urlencoded"}, "send the header Content-Type with one of"),
        ({"content_type": "application/json; charset=latin-1"}, "texts are read as UTF-8 only"),
        ({"content_type": "application/json", "content_encoding": "gzip"}, "compressed bodies are not read"),
    ],
)
def test_formats_that_are_not_read(server, headers, said) -> None:
    answer = server("POST", "/predict/price", rows(), **headers)
    assert answer.status == 415
    assert said in answer.error


def test_a_page_of_another_host_loads_no_models(server) -> None:
    answer = server("POST", "/v2/repository/models/price/load", b"", origin="http://elsewhere.example")
    assert (answer.status, answer.error) == (403, "a page of another host may not load models")


def test_what_is_no_http_or_ends_in_the_middle_harms_nobody(server) -> None:
    for text in (
        b"\x00\x01\x02\r\n\r\n",
        b"POST /predict/price HTTP/1.1\r\nContent-Length: 50\r\n\r\nabc",
        b"GET / HTTP/9\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(text)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/predict/price")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    for part in (rows()[:20], rows()[20:]):
        connection.send(b"%x\r\n%s\r\n" % (len(part), part))
    connection.send(b"0\r\n\r\n")
    assert connection.getresponse().status == 200
    connection.close()
    assert "bug" not in "".join(server.said)
