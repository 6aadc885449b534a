"""Tables of a Python program: what pandas, polars and pyarrow hold arrives as it is, or is refused with column and rows."""

from __future__ import annotations

import datetime
import decimal
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from registering import kinds, rows

import cengine
from cengine.errors import SourceError, StoreError
from cengine.store.project import open_project

MEMORY_BYTES = 2**29


@pytest.fixture
def project(tmp_path):
    return open_project(tmp_path / "project")


def registered(project, table):
    return cengine.register(project, table, memory_bytes=MEMORY_BYTES)


def test_pandas(project) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": [1, 2, 3],
            "x": [0.5, np.nan, 2.5],
            "word": ["a", None, "ü"],
            "flag": [True, False, True],
            "when": pandas.to_datetime(["2020-01-01 12:30:00.123456", None, "2021-01-01 00:00:00.000000"]),
            "class": pandas.Categorical(["p", "q", "p"]),
            "rank": pandas.Categorical([10, 20, 10]),
            "whole": pandas.array([1, None, 2**53 + 1], dtype="Int64"),
            "object": pandas.Series([datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)], dtype=object),
        }
    )
    snapshot = registered(project, frame)
    assert kinds(snapshot) == {
        "n": "integer",
        "x": "float",
        "word": "string",
        "flag": "boolean",
        "when": "timestamp",
        "class": "string",
        "rank": "integer",
        "whole": "integer",
        "object": "timestamp",
    }
    assert rows(snapshot, "n") == [
        {
            "n": 1,
            "x": 0.5,
            "word": "a",
            "flag": True,
            "when": datetime.datetime(2020, 1, 1, 12, 30, 0, 123456),
            "class": "p",
            "rank": 10,
            "whole": 1,
            "object": datetime.date(2020, 1, 1),
        },
        {
            "n": 2,
            "x": None,
            "word": None,
            "flag": False,
            "when": None,
            "class": "q",
            "rank": 20,
            "whole": None,
            "object": None,
        },
        {
            "n": 3,
            "x": 2.5,
            "word": "ü",
            "flag": True,
            "when": datetime.datetime(2021, 1, 1),
            "class": "p",
            "rank": 10,
            "whole": 2**53 + 1,
            "object": datetime.date(2021, 1, 1),
        },
    ]


def test_an_index_of_pandas(project) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2, 3]})
    assert list(registered(project, frame).schema.names) == ["x"]
    assert list(registered(project, frame[frame.x > 1]).schema.names) == ["x"]
    named = frame.rename_axis("id")
    assert rows(registered(project, named), "x")[0] == {"id": 0, "x": 1}
    two = frame.set_index(pandas.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["city", "day"]))
    assert rows(registered(project, two), "x")[2] == {"city": "b", "day": 1, "x": 3}
    with pytest.raises(SourceError, match=r"rename_axis"):
        registered(project, frame.set_index(pandas.Index(["a", "b", "c"])))
    with pytest.raises(SourceError, match="two columns named 'x'"):
        registered(project, frame.rename_axis("x"))


@pytest.mark.parametrize(("values", "told"), [
    ([1, "a", None], "int in row 0 (1), str in row 1 ('a')".replace("(1)", "('1')")),
    ([None, "a", 2.5], "str in row 1 ('a'), float in row 2 ('2.5')"),
    ([b"x", "y"], "bytes in row 0"),
    ([True, 1], "bool in row 0"),
    ([2**70, 1], "column 'mixed'"),
    ([1j, 2j], "column 'mixed'"),
])  # fmt: skip
def test_objects_of_several_types(project, values, told) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"mixed": pandas.Series(values, dtype=object)})
    with pytest.raises(SourceError) as caught:
        registered(project, frame)
    assert told in str(caught.value)
    assert "astype" in str(caught.value)


def test_columns_of_pandas_that_are_no_table(project) -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(SourceError, match="levels of names"):
        registered(project, pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("a", "b"), ("a", "c")])))
    with pytest.raises(SourceError, match="two columns named 'a'"):
        registered(project, pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(SourceError, match="to_frame"):
        registered(project, pandas.Series([1]))
    with pytest.raises(SourceError, match="no columns"):
        registered(project, pandas.DataFrame())
    with pytest.raises(SourceError, match="holds no rows"):
        registered(project, pandas.DataFrame({"a": []}))
    assert len(set(registered(project, pandas.DataFrame([[1, 2]])).schema.names)) == 2


def test_arrow(project) -> None:
    table = pa.table(
        {
            "n": [1, 2],
            "price": [decimal.Decimal("1.50"), None],
            "class": pa.array(["a", "b"]).dictionary_encode(),
            "list": [[1], None],
        }
    )
    expected = table.set_column(2, "class", pa.array(["a", "b"])).to_pylist()
    found = registered(project, table)
    assert rows(found, "n") == expected
    assert registered(project, table.to_batches()[0]).content == found.content
    assert (
        registered(project, pa.RecordBatchReader.from_batches(table.schema, table.to_batches())).content
        == found.content
    )
    assert registered(project, Capsule(table)).content == found.content
    with pytest.raises(SourceError, match="two columns named 'a'"):
        registered(project, pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]))


class Capsule:
    """A table of some other package."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Broken:
    """One that fails when it is read."""

    def __arrow_c_stream__(self, requested_schema=None):
        raise RuntimeError("the server is away")


def test_polars(project) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "n": [1, 2],
            "word": ["a", None],
            "x": [0.5, None],
            "day": [datetime.date(2020, 1, 1), None],
            "class": polars.Series(["p", "q"], dtype=polars.Categorical),
        }
    )
    assert rows(registered(project, frame), "n") == frame.to_dicts()
    with pytest.raises(SourceError, match="collect"):
        registered(project, frame.lazy())


def test_what_is_no_table(project) -> None:
    for thing in ({"a": [1]}, [{"a": 1}], np.zeros((2, 2)), 5, None):
        with pytest.raises(SourceError, match="no table that can be registered"):
            registered(project, thing)
    with pytest.raises(SourceError, match="the server is away"):
        registered(project, Broken())
    with pytest.raises(SourceError, match="no option 'path'"):
        cengine.register(project, pa.table({"a": [1]}), path="t.csv")
    with pytest.raises(SourceError, match=r'register\(project, "csv", path="t.csv"\)'):
        cengine.register(project, "t.csv")
    with pytest.raises(SourceError, match="did you mean 'parquet'"):
        cengine.register(project, "parqet", path="t.parquet")


def test_a_name_makes_a_datasource(terminal) -> None:
    project = open_project(terminal.folder)
    table = pa.table({"n": list(range(100)), "y": list(range(100))})
    first = cengine.register(project, table, name="trips", memory_bytes=MEMORY_BYTES)
    assert cengine.register(project, table, name="trips", memory_bytes=MEMORY_BYTES).content == first.content
    listed = terminal("datasource", "list", "--json").json
    assert [(row["name"], row["rows"], row["active"]) for row in listed] == [("trips", 100, True)]
    cengine.register(project, table.slice(0, 50), name="trips", memory_bytes=MEMORY_BYTES)
    assert terminal("datasource", "show", "--json").json["rows"] == 50
    assert "cengine.register(project, table, name='trips')" in terminal("datasource", "commit", "trips", code=4).err
    path = terminal.write("t.csv", "a\n1\n")
    with pytest.raises(StoreError, match="already"):
        cengine.register(project, "csv", path=str(path), name="trips", memory_bytes=MEMORY_BYTES)
    cengine.register(project, "csv", path=str(path), name="other", memory_bytes=MEMORY_BYTES)
    assert "nothing has changed" in terminal("datasource", "commit", "other").out


def test_the_python_of_the_documentation_works(tmp_path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "cengine.register(" in block)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "('duration', 'user')\n"
