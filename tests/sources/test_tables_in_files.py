"""Tables in files: kinds and compressions, folders and globs, types, odd names, and identities of rows."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from terminal import table_text

from cengine.datasources.origins import source_of
from cengine.datasources.register import take_snapshot
from cengine.errors import SourceError
from cengine.store.project import open_project

MEMORY_BYTES = 2**29
RECORDS = [{"x": i, "word": "abc"[i % 3], "y": i / 2} for i in range(50)]


@pytest.fixture
def register(tmp_path):
    """Registers files: `register("csv", path)`; each `place` is a project of its own."""

    def take(kind, path, *, place="project", memory_bytes=MEMORY_BYTES, threads=2, **options):
        project = open_project(tmp_path / place)
        source = source_of(kind, {"path": str(path), **options})
        return take_snapshot(project, source, memory_bytes=memory_bytes, threads=threads)

    return take


def rows(snapshot) -> list[dict]:
    """The rows without their identities."""
    return read(snapshot).drop_columns(["_row_id"]).to_pylist()


def read(snapshot) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in snapshot.files], promote_options="permissive")


def identities(snapshot) -> list[int]:
    return read(snapshot)["_row_id"].to_pylist()


def write_records(folder, name: str):
    """The records in a file whose kind the name tells."""
    table = pa.Table.from_pylist(RECORDS)
    path = folder / name
    if ".parquet" in name:
        pq.write_table(table, path)
        return path
    if ".csv" in name:
        text = "x,word,y\n" + "".join(f"{r['x']},{r['word']},{r['y']}\n" for r in RECORDS)
    else:
        lines = [json.dumps(record) for record in RECORDS]
        text = "[" + ",".join(lines) + "]" if "array" in name else "\n".join(lines) + "\n"
    data = text.encode()
    if name.endswith(".gz"):
        data = gzip.compress(data)
    if name.endswith(".zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", [
    "t.csv", "t.csv.gz", "t.csv.zst", "t.parquet", "t.json", "t.jsonl", "t.json.gz", "t.json.zst", "array.json", "array.json.gz",
])  # fmt: skip
def test_every_kind_and_compression_gives_the_same_rows(register, tmp_path, name) -> None:
    kind = next(kind for kind in ("csv", "parquet", "json") if kind in name)
    snapshot = register(kind, write_records(tmp_path, name))
    assert rows(snapshot) == RECORDS
    assert [(c.name, c.kind) for c in snapshot.schema.columns] == [("x", "integer"), ("word", "string"), ("y", "float")]
    assert snapshot.schema["x"].minimum == 0
    assert snapshot.schema["x"].maximum == 49


def test_a_row_has_the_same_identity_in_any_format(register, tmp_path) -> None:
    found = [
        identities(register(kind, write_records(tmp_path, f"t.{kind}"), place=kind))
        for kind in ("csv", "parquet", "json")
    ]
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 50
    assert all(0 <= number < 2**62 for number in found[0])


def many(folder, texts: dict[str, str]):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_folders_and_globs(register, tmp_path) -> None:
    folder = many(
        tmp_path / "f",
        {
            "a.csv": "x\n1\n",
            "b.csv": "x\n2\n",
            "sub/c.csv": "x\n3\n",
            "_hidden.csv": "x\n9\n",
            ".d.csv": "x\n9\n",
            "n.md": "x",
        },
    )
    assert sorted(r["x"] for r in rows(register("csv", folder))) == [1, 2, 3]
    assert sorted(r["x"] for r in rows(register("csv", f"{folder}/*.csv"))) == [1, 2, 9]
    assert sorted(r["x"] for r in rows(register("csv", f"{folder}/[ab].csv"))) == [1, 2]
    assert sorted(r["x"] for r in rows(register("csv", f"{folder}/**/c.csv"))) == [3]


def test_a_type_holds_the_values_of_all_files(register, tmp_path) -> None:
    folder = many(
        tmp_path / "f", {"a.csv": "x,y,z\n1,2,2020-01-01\n", "b.csv": "x,y,z\n1.5,word,2020-01-01 12:00:00\n"}
    )
    snapshot = register("csv", folder)
    assert [c.kind for c in snapshot.schema.columns] == ["float", "string", "timestamp"]
    found = sorted(rows(snapshot), key=lambda row: row["x"])
    assert [(row["x"], row["y"]) for row in found] == [(1.0, "2"), (1.5, "word")]


def test_columns_in_another_order_or_spelling_are_the_same(register, tmp_path) -> None:
    folder = many(tmp_path / "f", {"a.csv": "Birth Year,x\n1980,1\n", "b.csv": "x,birth year\n2,1990\n"})
    snapshot = register("csv", folder)
    assert sorted((r["Birth Year"], r["x"]) for r in rows(snapshot)) == [(1980, 1), (1990, 2)]
    assert snapshot.renamed == {"birth year": "Birth Year"}
    many(tmp_path / "f", {"c.csv": "x,birth_year\n3,2000\n", "d.csv": "x,birth_year\n4,2001\n"})
    assert rows(register("csv", folder))[0].keys() == {"birth_year", "x"}
    many(tmp_path / "f", {"e.csv": "x,birthday\n3,2000\n"})
    with pytest.raises(SourceError, match="different columns"):
        register("csv", folder)


def test_headers_that_cannot_stay_are_told(register, tmp_path) -> None:
    (tmp_path / "t.csv").write_text('Age,age,age,,"b b", c ,null,_ROW_ID,column3\n1,2,3,4,5,6,7,8,9\n')
    snapshot = register("csv", tmp_path / "t.csv")
    assert snapshot.schema.names == ("Age", "age_2", "age_3", "column", "b b", " c ", "null", "_ROW_ID_2", "column3")
    assert snapshot.renamed == {
        "age": "age_2",
        "age (column 3)": "age_3",
        "(column 4)": "column",
        "_ROW_ID": "_ROW_ID_2",
    }
    assert list(rows(snapshot)[0].values()) == list(range(1, 10))
    arrays = [pa.array([n]) for n in range(1, 6)]
    pq.write_table(pa.Table.from_arrays(arrays, names=["Age", "age", "Age", "", "a b"]), tmp_path / "t.parquet")
    snapshot = register("parquet", tmp_path / "t.parquet")
    assert rows(snapshot) == [{"Age": 1, "age_2": 2, "Age_3": 3, "column": 4, "a b": 5}]
    assert snapshot.renamed == {"age": "age_2", "Age (column 3)": "Age_3", "(column 4)": "column"}


def test_names_of_the_engine_s_own_columns(register, tmp_path) -> None:
    """Equal rows are told apart by file and place, which the engine gives as columns."""
    table = pa.table(
        {"filename": [1, 1, 2], "file_row_number": [5, 5, 6], "_first": [1, 1, 1], "OCCURRENCE": [7, 7, 7]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    snapshot = register("parquet", tmp_path / "t.parquet")
    assert rows(snapshot) == table.to_pylist()
    assert len(set(identities(snapshot))) == 3


def test_folders_named_by_a_value_become_columns(register, tmp_path) -> None:
    texts = {
        "year=2018/month=6/a.csv": "1",
        "year=2018/month=7/b.csv": "2",
        "year=2019/month=__HIVE_DEFAULT_PARTITION__/c.csv": "3",
    }
    for name, value in texts.items():
        (tmp_path / "f" / name).parent.mkdir(parents=True)
        (tmp_path / "f" / name).write_text(f"x\n{value}\n")
    snapshot = register("csv", tmp_path / "f")
    found = sorted(rows(snapshot), key=lambda row: row["x"])
    assert found == [
        {"x": 1, "year": 2018, "month": 6},
        {"x": 2, "year": 2018, "month": 7},
        {"x": 3, "year": 2019, "month": None},
    ]
    assert [c.kind for c in snapshot.schema.columns] == ["integer"] * 3
    assert [row["x"] for row in rows(register("csv", tmp_path / "f" / "year=2018" / "*" / "*.csv"))] in ([1, 2], [2, 1])
    assert rows(register("csv", tmp_path / "f" / "year=2018" / "month=6" / "a.csv")) == [{"x": 1}]
    # A value in a folder's name is content: other folders, another snapshot.
    (tmp_path / "f" / "year=2018").rename(tmp_path / "f" / "year=2017")
    assert register("csv", tmp_path / "f").content != snapshot.content


def test_texts_in_folders_and_a_column_the_file_has_itself(register, tmp_path) -> None:
    for folder, text in (("city=New%20York", "city,x\nin the file,1\n"), ("city=Rio", "city,x\nhere too,2\n")):
        (tmp_path / "own" / folder).mkdir(parents=True)
        (tmp_path / "own" / folder / "a.csv").write_text(text)
        (tmp_path / "not" / folder).mkdir(parents=True)
        (tmp_path / "not" / folder / "a.csv").write_text(text.replace("city,x", "word,x"))
    assert {row["city"] for row in rows(register("csv", tmp_path / "own"))} == {"in the file", "here too"}
    assert {row["city"] for row in rows(register("csv", tmp_path / "not"))} == {"New York", "Rio"}
    (tmp_path / "not" / "b.csv").write_text("word,x\nno folder,3\n")
    with pytest.raises(SourceError, match="different columns"):
        register("csv", tmp_path / "not")


def test_a_file_that_changes_while_it_is_read_is_refused(register, tmp_path, monkeypatch) -> None:
    from cengine.engines.duckdb import DuckDB

    path = tmp_path / "t.csv"
    path.write_text("x\n1\n")
    write = DuckDB.write

    def changing(self, *arguments, **options):
        found = write(self, *arguments, **options)
        path.write_text("x\n1\n2\n")
        return found

    monkeypatch.setattr(DuckDB, "write", changing)
    with pytest.raises(SourceError, match="changed while it was read"):
        register("csv", path)


def test_different_columns_are_named(register, tmp_path) -> None:
    folder = many(tmp_path / "f", {"a.csv": "x,y\n1,2\n", "b.csv": "x,z\n1,2\n"})
    with pytest.raises(SourceError) as caught:
        register("csv", folder)
    assert "different columns" in str(caught.value)
    assert {"y", "z"} <= set(str(caught.value).replace("'", " ").replace(":", " ").split())


def test_words_for_null(terminal) -> None:
    path = terminal.write("t.csv", "x,y\n1,a\n,\nNULL,NA\n?,b\n5,\\N\n")
    terminal("datasource", "create", "csv", "--name", "t", "--path", path, "--null", "?", "--null", "NA")
    columns = {c["name"]: c for c in terminal("datasource", "show", "--json").json["columns"]}
    assert (columns["x"]["type"], columns["x"]["nulls"]) == ("integer", 3)
    assert (columns["y"]["type"], columns["y"]["nulls"]) == ("string", 3)


def test_delimiters(register, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1;x,y\n2;z\n")
    assert rows(register("csv", tmp_path / "t.csv")) == [{"a": 1, "b": "x,y"}, {"a": 2, "b": "z"}]
    (tmp_path / "u.tsv").write_text("a\tb\n1\tx\n")
    assert rows(register("csv", tmp_path / "u.tsv", delimiter="\t")) == [{"a": 1, "b": "x"}]


def test_quotes_line_ends_and_encodings(register, tmp_path) -> None:
    (tmp_path / "t.csv").write_bytes('"a b","c"\r\n"x, ""y""","line\nbreak"\r\n"ü",日本\r\n'.encode())
    found = rows(register("csv", tmp_path / "t.csv"))
    assert found == [{"a b": 'x, "y"', "c": "line\nbreak"}, {"a b": "ü", "c": "日本"}]


ODD_NAMES = [
    "größe",
    "with space",
    "日本語",
    "x" * 200,
    'quote"d',
    "'; drop table rows; --",
    "select",
    "a.b",
    "Up",
    "{}",
    "%s",
    "\\",
    "🚲",
]


def test_odd_names_are_kept(register, tmp_path) -> None:
    table = pa.table({name: [i, i + 1, None] for i, name in enumerate(ODD_NAMES)})
    pq.write_table(table, tmp_path / "t.parquet")
    snapshot = register("parquet", tmp_path / "t.parquet")
    assert list(snapshot.schema.names) == ODD_NAMES
    assert rows(snapshot) == table.to_pylist()
    pyarrow.csv.write_csv(table, tmp_path / "t.csv")
    snapshot = register("csv", tmp_path / "t.csv")
    assert list(snapshot.schema.names) == ODD_NAMES
    assert rows(snapshot) == table.to_pylist()
    assert snapshot.renamed == {}


def test_odd_names_run_from_end_to_end(terminal) -> None:
    random = np.random.default_rng(0)
    names = ["größe", "'; drop table rows; --", 'quote"d', "x" * 200, "a.b"]
    table = {name: random.normal(size=300) for name in names}
    table["the label"] = sum(table.values())
    table['slice "by"'] = ["a", "b", None] * 100
    pq.write_table(pa.table(table), terminal.files / "t.parquet")
    config = {
        "features": {name: {} for name in names},
        "labels": {"the label": {"metrics": ["mae"]}},
        "split": {
            "categorize_by": 'slice "by"',
            "index_ratio": {"train": 0.7, "rest": 0.3},
            "where": ['"größe" > -100', '"a.b" < 100'],
        },
        "trainer": {"type": "regression", "train_steps": 10},
        "evaluator": {'slice "by"': {}},
    }
    terminal("datasource", "create", "parquet", "--name", "t", "--path", terminal.files / "t.parquet")
    terminal("datasource", "show")
    terminal("pipeline", "push", terminal.write("c.yaml", json.dumps(config, ensure_ascii=False)), "mine")
    terminal("pipeline", "run", "mine", "-y")
    found = terminal("pipeline", "evaluate", "mine", "--json").json
    assert sum(row["num_rows"] for row in found["slices"][0]["rows"]) == found["metrics"][0]["num_rows"] == 90


def test_types_of_parquet(register, tmp_path) -> None:
    day, moment = datetime.date(2020, 2, 29), datetime.datetime(2020, 2, 29, 12, 30, 15, 123456)
    table = pa.table({
        "day": [day, None], "moment": [moment, None], "zoned": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "nano": pa.array([moment, None], pa.timestamp("ns")), "flag": [True, None], "money": [decimal.Decimal("12.50"), None],
        "tiny": pa.array([1, None], pa.int8()), "huge": pa.array([2**63, None], pa.uint64()), "single": pa.array([0.5, None], pa.float32()),
        "category": pa.array(["a", None]).dictionary_encode(), "bytes": pa.array([b"\x00", None]), "hour": [datetime.time(12), None],
        "list": [[1, 2], None], "struct": [{"a": 1}, None], "nothing": pa.array([None, None], pa.null()), "infinite": [float("inf"), float("nan")],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    snapshot = register("parquet", tmp_path / "t.parquet")
    kinds = {c.name: c.kind for c in snapshot.schema.columns}
    assert {name for name, kind in kinds.items() if kind == "timestamp"} == {"day", "moment", "zoned", "nano"}
    assert (kinds["flag"], kinds["money"], kinds["tiny"], kinds["huge"], kinds["single"]) == (
        "boolean",
        "float",
        "integer",
        "string",  # beyond 64 bits every digit counts
        "float",
    )
    assert kinds["category"] == "string"
    for unusable in ("list", "struct", "hour", "bytes"):
        assert kinds[unusable] is None
    found = rows(snapshot)
    assert found[0]["list"] == [1, 2]
    assert (found[0]["day"], found[0]["moment"]) == (day, moment)
    assert all(value is None or value != value for value in found[1].values())


def test_a_column_of_lists_is_refused_as_a_feature_by_name(terminal) -> None:
    pq.write_table(
        pa.table({"tags": [["a"], ["b"]] * 20, "x": range(40), "y": range(40)}), terminal.files / "t.parquet"
    )
    terminal("datasource", "create", "parquet", "--name", "t", "--path", terminal.files / "t.parquet")
    terminal("datasource", "show")
    terminal("datasource", "peek")
    config = {
        "features": {"tags": {}},
        "labels": {"y": {}},
        "split": {"ratio": {"train": 0.5, "eval": 0.5}},
        "trainer": {"type": "regression", "train_steps": 1},
    }
    answer = terminal("pipeline", "push", terminal.write("c.yaml", json.dumps(config)), "mine", code=3)
    assert "column 'tags' is of type VARCHAR[]" in answer.err


# Identities


def test_equal_rows_have_identities_of_their_own(register, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "1,a\n" * 5 + "2,b\n" * 3 + "3,c\n")
    found = identities(register("csv", tmp_path / "t.csv"))
    assert len(set(found)) == 9


def test_identity_depends_neither_on_files_nor_on_their_order(register, tmp_path) -> None:
    header, *lines = (table_text(300) + "1.0,a,5\n" * 4).splitlines()
    one = many(tmp_path / "one", {"all.csv": "\n".join([header, *lines]) + "\n"})
    parts = {f"{n}.csv": "\n".join([header, *lines[100 * n : 100 * (n + 1)]]) + "\n" for n in range(4)}
    several = many(tmp_path / "several", parts)
    turned = many(tmp_path / "turned", {f"{9 - int(name[0])}.csv": text for name, text in parts.items()})
    snapshots = [register("csv", folder, place=folder.name) for folder in (one, several, turned)]
    pairs = [sorted((r["_row_id"], r["x"], r["word"], r["y"]) for r in read(s).to_pylist()) for s in snapshots]
    assert pairs[0] == pairs[1] == pairs[2]
    assert len({pair[0] for pair in pairs[0]}) == 304
    assert snapshots[1].content == snapshots[2].content


def test_identity_depends_on_every_cell(register, tmp_path) -> None:
    texts = ["x,y\n1,a\n", "x,y\n2,a\n", "x,y\n1,b\n", "x,y\n1,\n", "x,y\n,a\n", "y,x\n1,a\n", "x,z\n1,a\n"]
    found = set()
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.csv").write_text(text)
        found.update(identities(register("csv", tmp_path / f"{number}.csv")))
    assert len(found) == len(texts)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """More rows than a row group, many of them equal."""
    random = np.random.default_rng(1)
    num_rows = 300_000
    table = pa.table(
        {
            "x": random.integers(0, 400, num_rows),
            "y": random.integers(0, 300, num_rows) / 4,
            "word": [f"word {n}" for n in random.integers(0, 5, num_rows)],
        }
    )
    path = tmp_path_factory.mktemp("large") / "large.csv"
    pyarrow.csv.write_csv(table, path)
    return path, table


@pytest.mark.parametrize(("threads", "memory_bytes"), [(1, MEMORY_BYTES), (4, MEMORY_BYTES), (2, 2**28)])
def test_threads_and_memory_change_nothing(register, large, threads, memory_bytes) -> None:
    """The same files byte for byte, in the order of the file that was read."""
    path, table = large
    plain = register("csv", path, place="plain")
    other = register("csv", path, place="other", threads=threads, memory_bytes=memory_bytes)
    assert [file.read_bytes() for file in plain.files] == [file.read_bytes() for file in other.files]
    found = read(other)
    assert found.select(["x", "y", "word"]).equals(table.cast(found.select(["x", "y", "word"]).schema))
    assert pc.count_distinct(found["_row_id"]).as_py() == table.num_rows


def test_unknown_types_and_options(register, tmp_path) -> None:
    with pytest.raises(SourceError, match="unknown type of datasource 'xml'"):
        register("xml", tmp_path)
    with pytest.raises(SourceError, match="keep_header"):
        register("csv", tmp_path, keep_header=True)


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.jsonl.gz"])
def test_digits_of_json_that_no_double_keeps_are_told(tmp_path, name) -> None:
    """The engine's reader has rounded such a number before it can be looked at; in quotes it is a text, as in a CSV."""
    rows = [
        '{"d": 0.1, "k (\\"q\\")": 1.5, "s": "\\"d\\": 0.12345678901234567890", "t": "0.12345678901234567890"}',
        '{"d": 0.10000000000000001, "k (\\"q\\")": 0.12345678901234567890, "s": "d", "t": "0.2"}',
        '{"d": 1.50000000000000000000000, "k (\\"q\\")": 1e-7, "s": null, "t": "0.3"}',
    ]
    text = ("[" + ",\n".join(rows) + "]" if name == "t.json" else "\n".join(rows)).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    said: list[str] = []
    project = open_project(tmp_path / "project")
    snapshot = take_snapshot(
        project, source_of("json", {"path": str(tmp_path / name)}), memory_bytes=2**28, say=said.append
    )
    (told,) = [line for line in said if "digits" in line]
    assert told.startswith('k ("q"): 1 number has more digits than a double keeps, as in `0.12345678901234567890`')
    assert snapshot.schema["t"].kind == "string"
    assert snapshot.schema["d"].kind == "float"
