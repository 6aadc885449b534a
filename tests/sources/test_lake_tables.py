"""Delta and Iceberg tables: rows, partitions and versions of real tables, locally and in an object store."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest
from registering import register, rows
from terminal import Terminal

from cengine.errors import SourceError

TABLE = pa.table(
    {
        "x": [1, 2, 3],
        "money": pa.array([decimal.Decimal("1.50")] * 3, pa.decimal128(10, 2)),
        "day": [datetime.date(2020, 1, n) for n in (1, 2, 3)],
        "word": ["a", "b", "a"],
    }
)
MORE = pa.table({name: [None] for name in TABLE.column_names}, TABLE.schema).set_column(0, "x", pa.array([4]))


@pytest.fixture
def project(terminal: Terminal):
    terminal.project.folder.mkdir(parents=True)
    return terminal.project


@pytest.fixture
def delta(tmp_path) -> str:
    """A partitioned Delta table of three versions: rows, more rows, a row taken out."""
    deltalake = pytest.importorskip("deltalake", reason="pip install 'cengine-ml[delta]'")
    path = str(tmp_path / "delta")
    deltalake.write_deltalake(path, TABLE, partition_by=["word"])
    deltalake.write_deltalake(path, MORE, mode="append")
    deltalake.DeltaTable(path).delete("x = 2")
    return path


def test_delta_and_its_versions(terminal, project, delta) -> None:
    assert [row["x"] for row in rows(register(project, "delta", path=delta), "x")] == [1, 3, 4]
    first = register(project, "delta", path=delta, at_version=0)
    assert rows(first, "x") == TABLE.to_pylist()
    terminal("datasource", "create", "delta", "--name", "old", "--path", delta, "--version", 1)
    assert terminal("datasource", "show", "old", "--json").json["rows"] == 4
    terminal("datasource", "create", "delta", "--name", "t", "--path", delta)
    assert "nothing has changed" in terminal("datasource", "commit", "t").out
    import deltalake

    deltalake.write_deltalake(delta, TABLE, mode="overwrite")
    assert "snapshot 2 of t: 3 rows" in terminal("datasource", "commit", "t").out
    assert "nothing has changed" in terminal("datasource", "commit", "old").out
    # The state of the first version is back.
    assert register(project, "delta", path=delta).content == first.content


def test_delta_in_an_object_store(project, s3, monkeypatch) -> None:
    deltalake = pytest.importorskip("deltalake", reason="pip install 'cengine-ml[delta]'")
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    path = f"{s3.new_bucket()}/trips"
    deltalake.write_deltalake(
        path, TABLE, partition_by=["word"], storage_options={"AWS_ALLOW_HTTP": "true"}, mode="overwrite"
    )
    assert rows(register(project, "delta", path=path), "x") == TABLE.to_pylist()


def test_what_is_no_delta_table(project, delta, tmp_path) -> None:
    with pytest.raises(SourceError, match="no version 9; the newest is 2"):
        register(project, "delta", path=delta, at_version=9)
    with pytest.raises(SourceError, match="no folder _delta_log"):
        register(project, "delta", path=str(tmp_path))
    with pytest.raises(SourceError, match="version"):
        register(project, "delta", path=delta, at_version=-1)
    for file in (tmp_path / "delta").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        register(project, "delta", path=delta)


@pytest.fixture
def iceberg(tmp_path, monkeypatch):
    """An Iceberg table of two snapshots in a catalog called `mine`: its folder, and the numbers of the snapshots."""
    pytest.importorskip("pyiceberg", reason="pip install 'cengine-ml[iceberg]'")
    from pyiceberg import catalog as catalogs
    from pyiceberg.utils.config import Config

    monkeypatch.setenv("PYICEBERG_CATALOG__MINE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__MINE__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__MINE__WAREHOUSE", f"file://{tmp_path}/warehouse")
    monkeypatch.setattr(catalogs, "_ENV_CONFIG", Config())  # it reads the environment once, when it is imported
    catalog = catalogs.load_catalog("mine")
    catalog.create_namespace("city")
    table = catalog.create_table("city.trips", schema=TABLE.schema)
    table.append(TABLE)
    table.append(MORE)
    return str(tmp_path / "warehouse" / "city" / "trips"), [entry.snapshot_id for entry in table.history()]


def test_iceberg_by_catalog_and_by_folder(terminal, project, iceberg) -> None:
    folder, snapshots = iceberg
    by_catalog = register(project, "iceberg", catalog="mine", table="city.trips")
    assert [row["x"] for row in rows(by_catalog, "x")] == [1, 2, 3, 4]
    assert register(project, "iceberg", path=folder).content == by_catalog.content
    old = register(project, "iceberg", path=folder, snapshot_id=snapshots[0])
    assert rows(old, "x") == TABLE.to_pylist()
    terminal(
        "datasource",
        "create",
        "iceberg",
        "--name",
        "t",
        "--catalog",
        "mine",
        "--table",
        "city.trips",
        "--snapshot_id",
        snapshots[0],
    )
    assert "nothing has changed" in terminal("datasource", "commit", "t").out


def test_what_is_no_iceberg_table(project, iceberg, tmp_path) -> None:
    folder, _ = iceberg
    wrong = [
        ({"catalog": "mine", "table": "city.trisp"}, "tables there: city.trips"),
        ({"catalog": "mine", "table": "none.trips"}, "namespaces there: city"),
        ({"catalog": "other", "table": "a.b"}, "PYICEBERG_CATALOG__OTHER__URI"), ({"path": str(tmp_path)}, "no metadata/"),
        ({"path": folder, "snapshot_id": 5}, "no snapshot 5"),
        ({"catalog": "mine"}, "--catalog and --table, or --path"), ({}, "--catalog and --table, or --path"),
    ]  # fmt: skip
    for options, says in wrong:
        with pytest.raises(SourceError) as caught:
            register(project, "iceberg", **options)
        assert says in str(caught.value)


@pytest.mark.parametrize(("kind", "package"), [("delta", "deltalake"), ("iceberg", "pyiceberg.table")])
def test_a_missing_package_is_told_with_the_command(project, tmp_path, monkeypatch, kind, package) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=rf"pip install 'cengine-ml\[{kind}\]'"):
        register(project, kind, path=str(tmp_path))
