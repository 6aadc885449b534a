"""What the serving process loads, and what a run that is served by its name goes through."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bundles_served as bundles
import pyarrow as pa
import pytest
from served import ALONE, COMMAND, Server

import cengine

NEVER = (
    "keras",
    "jax",
    "duckdb",
    "sqlglot",
    "pydantic",
    "tensorflow",
    "pandas",
    "sqlalchemy",
    "onnx",
    "fastapi",
    "starlette",
)
LISTED = """
import atexit, os, sys
def told():
    with open(os.environ["MODULES_FILE"], "w") as file:
        file.write("\\n".join(sorted(name for name, module in sys.modules.items() if module is not None)))
if "serve" in sys.argv or "cengine.serving" in sys.orig_argv:
    atexit.register(told)
"""

BLOCKED = """
import sys
class No:
    def find_spec(self, name, path=None, target=None):
        if name == "msgspec":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, No())
"""


@pytest.fixture
def listed(tmp_path) -> dict[str, str]:
    """An environment in which a server writes down at its end what it has loaded."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(LISTED)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "MODULES_FILE": str(tmp_path / "modules.txt")}


@pytest.mark.parametrize("command", [COMMAND, ALONE])
def test_it_loads_nothing_that_it_does_not_need(folders, listed, command) -> None:
    rows = json.loads((folders["price"] / "golden.json").read_text())["rows"]
    with Server(folders["price"], folders["kind"], command=command, **listed) as server:
        assert server.post("/predict/price", {"rows": rows}).status == 200
        for path in ("/metrics", "/openapi.json", "/docs", "/v2/models/kind"):
            assert server.get(path).status == 200
        server.post("/v2/repository/models/kind/load", {})
        assert server.stop() == 0
    found = set(Path(listed["MODULES_FILE"]).read_text().split())
    assert "onnxruntime" in found
    assert found.isdisjoint(NEVER)
    assert "pyarrow" not in found


def test_arrow_is_loaded_when_such_a_body_comes(folders, listed) -> None:
    table = bundles.table().select(["Size", "grams", "word", "member", "at"]).slice(0, 5)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with Server(folders["price"], **listed) as server:
        assert (
            server(
                "POST", "/predict", sink.getvalue().to_pybytes(), content_type="application/vnd.apache.arrow.stream"
            ).status
            == 200
        )
    found = set(Path(listed["MODULES_FILE"]).read_text().split())
    assert "pyarrow" in found
    assert found.isdisjoint(NEVER)


@pytest.mark.slow
def test_a_run_is_served_by_its_name_and_its_newest_with_the_next_loading(serving, tmp_path, listed) -> None:
    project = cengine.open_project(tmp_path / "project")
    datasource = cengine.register(project, bundles.table(), name="table")
    config = cengine.parse_config(bundles.PIPELINES["price"])
    run = cengine.execute(cengine.plan(project, config, datasource), name="price")
    environment = {**listed, "CENGINE_PROJECT": str(tmp_path / "project")}
    server = serving("price", **environment)
    rows = bundles.rows_of(bundles.table(), run.model())
    told = server.post("/predict", {"rows": rows}).json
    expected = run.model().predict(bundles.table())["prediction"].to_pylist()
    assert max(abs(a["prediction"] - b) for a, b in zip(told["predictions"], expected, strict=True)) < 1e-3
    assert server.get("/v2/models/price").json["versions"] == [told["version"]]
    assert server.post("/v2/repository/models/price/load", {}).json["versions"] == [told["version"]]
    assert server.stop() == 0
    found = set(Path(listed["MODULES_FILE"]).read_text().split())
    assert found.isdisjoint(NEVER)
