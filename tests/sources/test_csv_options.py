"""How a CSV file may be written: encodings, quotes, headers, comments, numbers, line ends, packings; and what is said of one that is not so."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
from registering import kinds, register, rows

from cengine.errors import SourceError
from cengine.store.project import open_project


@pytest.fixture
def read(tmp_path):
    """Registers a file of these bytes: `read(b"a,b\\n1,2\\n", encoding="cp1252")`; gives the snapshot."""
    project = open_project(tmp_path / "project")

    def take(content: bytes, name: str = "t.csv", **options: object):
        (tmp_path / name).write_bytes(content)
        return register(project, "csv", path=str(tmp_path / name), **options)

    return take


@pytest.fixture
def refused(read):
    """The error for a file."""

    def take(content: bytes, name: str = "t.csv", **options: object) -> str:
        with pytest.raises(SourceError) as caught:
            read(content, name, **options)
        return str(caught.value)

    return take


TEXTS = {
    "cp1252": ["Müller", "Café “Zoé”", "Ærø", "año"],
    "latin-1": ["Müller", "Café", "Ærø", "año"],
    "cp1250": ["Łódź", "příští", "Wąż", "őrült"],
    "cp1251": ["Москва", "Привет", "ёлка", "мир"],
    "cp1253": ["Αθήνα", "καλημέρα", "νερό", "φως"],
    "shift_jis": ["東京", "ひらがな", "カタカナ", "日本語です"],
    "euc_kr": ["서울", "안녕하세요", "한국어", "부산"],
    "gb18030": ["北京", "你好世界", "中文表格", "上海市"],
    "utf-16": ["Müller", "東京", "Москва", "🚲"],
    "utf-16-le": ["Müller", "tokyo", "plain", "more"],
    "utf-16-be": ["Müller", "tokyo", "plain", "more"],
    "utf-32": ["Müller", "東京", "Москва", "🚲"],
    "utf-8-sig": ["Müller", "東京", "Москва", "🚲"],
}


def table_in(encoding: str) -> tuple[bytes, list[dict]]:
    texts = TEXTS[encoding] * 25
    return ("n,word\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts))).encode(encoding), [
        {"n": n, "word": text} for n, text in enumerate(texts)
    ]


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("encoding", TEXTS)
def test_an_encoding_that_is_named_is_read(read, encoding, packing) -> None:
    content, expected = table_in(encoding)
    assert (
        rows(read(gzip.compress(content) if packing else content, f"t.csv{packing}", encoding=encoding), "n")
        == expected
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_an_encoding_that_the_file_tells_is_read(read, encoding) -> None:
    content, expected = table_in(encoding)
    assert rows(read(content), "n") == expected


@pytest.mark.parametrize(
    "encoding", ["cp1252", "cp1250", "cp1251", "cp1253", "shift_jis", "euc_kr", "gb18030", "utf-16-le", "utf-16-be"]
)
def test_an_encoding_is_proposed_and_reads(read, refused, encoding) -> None:
    content, expected = table_in(encoding)
    told = refused(content)
    assert "t.csv' is not UTF-8" in told
    proposed = told.rpartition("--encoding ")[2].split()[0]
    assert rows(read(content, encoding=proposed), "n") == expected


def test_what_the_line_says_in_the_proposed_encoding_is_shown(refused) -> None:
    told = refused("n,word\n1,a\n2,Müller\n".encode("cp1252"))
    assert "byte 0xfc at line 3" in told
    assert "'2,Müller'" in told


def test_a_header_that_is_not_utf8_is_refused(refused) -> None:
    content = "größe,y\n".encode("cp1252") + b"1,2\n" * 50
    for options in ({}, {"allow_rejects": True}):
        told = refused(content, **options)
        assert "byte 0xf6 at line 1" in told
        assert "--encoding cp1252" in told


def test_a_late_byte_that_is_not_utf8_is_refused_with_its_line(refused, read) -> None:
    content = b"n,word\n" + b"1,plain text that fills the line\n" * 60_000 + "2,Müller\n".encode("cp1252")
    told = refused(content)
    assert "t.csv:60002" in told
    assert "--encoding" in told
    assert rows(read(content, encoding="cp1252"), "n")[-1] == {"n": 2, "word": "Müller"}


def test_a_wrong_encoding_is_told(refused) -> None:
    assert "it looks like utf-8: --encoding utf-8" in refused("n,word\n1,日本語日本語\n".encode(), encoding="shift_jis")
    assert "'t.csv'" in refused(b"n,word\n1,\x81\n", encoding="cp1252").replace("/", "'").replace("''", "'")
    assert "no encoding that is known" in refused(b"a\n1\n", encoding="cp12522")
    assert "did you mean 'cp1252'?" in refused(b"a\n1\n", encoding="cp12522")
    assert "no encoding that is known" in refused(b"a\n1\n", encoding="base64")


# Quotes


def test_backslash_escapes(read) -> None:
    content = b"a,txt,y\n" + b"".join(b'%d,"say \\"hi\\" %d",%d\n' % (n, n % 3, n) for n in range(60))
    expected = [{"a": n, "txt": f'say "hi" {n % 3}', "y": n} for n in range(60)]
    assert rows(read(content), "a") == expected
    assert rows(read(content, escape="\\"), "a") == expected


def test_the_word_for_null_and_the_escape_do_not_meet(read, refused) -> None:
    assert rows(read(b"a,b\n1,\\N\n2,x\n"), "a") == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    told = refused(b"a,b\n1,2\n", escape="\\", null_words=["\\M"])
    assert "--null \\M" in told
    assert "--escape" in told


def test_quotes_of_another_kind_and_none(read) -> None:
    assert rows(read(b"a,b\n1,'x,y'\n2,'z'\n", quote="'"), "a") == [{"a": 1, "b": "x,y"}, {"a": 2, "b": "z"}]
    content = b'a,b\n1,5" pipe\n2,"x\n3,y\n'
    assert [row["b"] for row in rows(read(content, quote=""), "a")] == ['5" pipe', '"x', "y"]


def test_a_late_backslash_is_told_with_the_option(refused, read) -> None:
    content = b"a,b\n" + b'1,"plain text that fills the line"\n' * 60_000 + b'2,"say \\"hi\\", will you"\n'
    assert "--escape '\\'" in refused(content)
    assert rows(read(content, escape="\\"), "a")[-1] == {"a": 2, "b": 'say "hi", will you'}


# Headers


def test_no_header(read) -> None:
    found = rows(read(b"1,x\n2,y\n", no_header=True), "column_1")
    assert found == [{"column_1": 1, "column_2": "x"}, {"column_1": 2, "column_2": "y"}]


def test_lines_above_the_header(read) -> None:
    content = b'Report of May,,\n\nmade by "me\na,b\n1,x\n2,y\n'
    expected = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert rows(read(content, header_row=4), "a") == expected
    assert rows(read(content, skip=3), "a") == expected
    assert len(rows(read(content, skip=4, no_header=True), "column_1")) == 2


def test_options_that_contradict_each_other(refused) -> None:
    assert "contradict" in refused(b"a\n1\n", no_header=True, header_row=2)
    assert "keep one of the two" in refused(b"a\n1\n", skip=1, header_row=2)
    assert "--quote and --delimiter" in refused(b"a\n1\n", quote=";", delimiter=";")
    assert "cannot also stand between thousands" in refused(b"a\n1\n", thousands=",", decimal=",")
    assert "cannot also stand between thousands" in refused(b"a\n1\n", thousands=".")


def test_comments_are_lines_and_cells_keep_their_marks(read) -> None:
    content = b'# written by hand\na,b\n1,x#y\n# more\n2,"#z"\n3,"line\n# no comment"\n'
    expected = [{"a": 1, "b": "x#y"}, {"a": 2, "b": "#z"}, {"a": 3, "b": "line\n# no comment"}]
    assert rows(read(content, comment="#"), "a") == expected
    assert rows(read(content.replace(b"#", b"//"), comment="//"), "a") == [
        {"a": row["a"], "b": row["b"].replace("#", "//")} for row in expected
    ]


def test_comments_across_chunks(read) -> None:
    text = "a,b\n" + "".join(f'{n},"text\n# {n}"\n#{"x" * (n % 97)}\n' for n in range(60_000))
    snapshot = read(text.encode(), comment="#")
    assert snapshot.schema.num_rows == 60_000
    assert {row["b"] == f"text\n# {row['a']}" for row in rows(snapshot, "a")} == {True}


# Numbers, kinds, nulls


def test_decimals_and_thousands(read) -> None:
    found = rows(read(b"a;b\n1.234,5;x\n-2,5;y\n1.000.000,25;z\n", decimal=",", thousands=".", delimiter=";"), "a")
    assert [row["a"] for row in found] == [-2.5, 1234.5, 1_000_000.25]
    assert [row["a"] for row in rows(read(b"a;b\n0,1;x\n2,5;y\n", decimal=","), "a")] == [0.1, 2.5]


def test_kinds_that_are_named(read) -> None:
    snapshot = read(
        b"zip,n,t\n10115,1,2020-01-02\n20095,2,2020-01-03\n", types={"zip": "string", "n": "float", "t": "timestamp"}
    )
    assert kinds(snapshot) == {"zip": "string", "n": "float", "t": "timestamp"}
    assert rows(snapshot, "zip")[0]["zip"] == "10115"


def test_a_kind_that_a_cell_does_not_have_is_refused(refused) -> None:
    for kind, cell in (
        ("integer", "y"),
        ("integer", "1.5"),
        ("float", "y"),
        ("boolean", "maybe"),
        ("timestamp", "soon"),
        ("integer", "007"),
    ):
        usual = "2020-01-01" if kind == "timestamp" else "1"
        told = refused(f"a,b\n{usual},x\n{cell},z\n".encode(), types={"a": kind})
        assert f"first `{cell}` at line 3" in told
        assert "column 'a'" in told
        assert "--type" in told


def test_kinds_that_are_misspelt(refused) -> None:
    told = refused(b"zip,b\n1,x\n", types=["zipp=string"])
    assert "'zipp', which is not in the table" in told
    assert "did you mean 'zip'?" in told
    assert "did you mean 'integer'?" in refused(b"zip,b\n1,x\n", types=["zip=intger"])
    assert "COLUMN=KIND" in refused(b"zip,b\n1,x\n", types=["zip"])
    assert "two kinds" in refused(b"zip,b\n1,x\n", types=["zip=string", "zip=float"])


def test_words_for_null_that_are_not_ours(read) -> None:
    content = b"a,b\n1,NULL\n2,\n3,?\n"
    assert [row["b"] for row in rows(read(content, no_default_nulls=True, null_words=["?"]), "a")] == ["NULL", "", None]
    assert [row["b"] for row in rows(read(content, no_default_nulls=True), "a")] == ["NULL", "", "?"]


# Line ends and packings

MIXED = "a,txt,y\r\n" + "".join(f"{n},x{n % 3},{n}" + ("\n" if n % 2 else "\r\n") for n in range(60))
EXPECTED = [{"a": n, "txt": f"x{n % 3}", "y": n} for n in range(60)]


def test_mixed_line_ends(read) -> None:
    assert rows(read(MIXED.encode()), "a") == EXPECTED
    assert rows(read(gzip.compress(MIXED.encode()), "t.csv.gz"), "a") == EXPECTED
    assert rows(read(MIXED.replace("\r\n", "\r").encode()), "a") == EXPECTED


def test_line_ends_within_cells_stay(read) -> None:
    content = b'a,b\r\n1,"x\ny"\r\n2,"x\r\ny"\r\n3,z\r\n'
    expected = ["x\ny", "x\r\ny", "z"]
    assert [row["b"] for row in rows(read(content), "a")] == expected
    assert [row["b"] for row in rows(read(content.replace(b"3,z\r\n", b"3,z\n")), "a")] == expected


def test_line_ends_that_change_late_are_told_with_the_option(refused, read) -> None:
    content = b"a,b\n" + b"1,plain text that fills the line\n" * 60_000 + b"2,x\r\n3,y\n"
    assert "--any-line-ends" in refused(content)
    snapshot = read(content, any_line_ends=True)
    assert rows(snapshot, "a")[-2:] == [{"a": 2, "b": "x"}, {"a": 3, "b": "y"}]


def test_gzip_of_several_members_and_padding(read) -> None:
    parts = [b"a,b\n", *(b"%d,%d\n" % (n, n % 5) for n in range(100))]
    packed = b"".join(gzip.compress(part) for part in parts)
    expected = [{"a": n, "b": n % 5} for n in range(100)]
    for zeros in (0, 1, 3, 512, 10_240):
        assert rows(read(packed + b"\0" * zeros, "t.csv.gz"), "a") == expected
    with pytest.raises(SourceError, match="truncated or damaged"):
        read(packed + b"junk", "t.csv.gz")


def zipped(**files: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return output.getvalue()


def test_zip_of_one_table(read) -> None:
    content = MIXED.encode()
    assert rows(read(zipped(t_csv=content), "t.zip"), "a") == EXPECTED
    beside = {"data__t_csv": content, "README_md": b"of the table", "data___hidden_csv": b"x"}
    assert rows(read(zipped(**beside), "t.csv.zip"), "a") == EXPECTED
    assert rows(read(zipped(only_data=content), "t.zip"), "a") == EXPECTED


def test_zip_of_anything_else(refused) -> None:
    told = refused(zipped(a_csv=b"x\n1\n", b_csv=b"x\n1\n"), "t.zip")
    assert "holds 2 tables: a.csv, b.csv" in told
    assert "unpack it" in told
    assert "no table" in refused(zipped(a_md=b"x\n1\n", b_md=b"x\n1\n"), "t.zip")
    assert "packed again" in refused(zipped(a_csv_gz=gzip.compress(b"x\n1\n")), "t.zip")
    assert "truncated or damaged" in refused(zipped(a_csv=b"x\n1\n" * 1000)[:-30], "t.zip")


def test_tabs(read) -> None:
    content = b"a\tb\n1\tx,y,z\n2\tp,q,r\n"
    expected = [{"a": 1, "b": "x,y,z"}, {"a": 2, "b": "p,q,r"}]
    assert rows(read(content, "t.tsv"), "a") == expected
    assert rows(read(content, delimiter="tab"), "a") == expected
    assert rows(read(content, delimiter="\\t"), "a") == expected
    assert rows(read(gzip.compress(content), "t.tsv.gz"), "a") == expected


# Over files


def test_columns_that_a_file_does_not_have(tmp_path) -> None:
    project = open_project(tmp_path / "project")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "f" / "b.csv").write_text("x,z\n2,word\n")
    with pytest.raises(SourceError, match="--allow-missing-columns"):
        register(project, "csv", path=str(tmp_path / "f"))
    snapshot = register(project, "csv", path=str(tmp_path / "f"), allow_missing_columns=True, types={"z": "string"})
    assert rows(snapshot, "x") == [{"x": 1, "y": 2, "z": None}, {"x": 2, "y": None, "z": "word"}]
    with pytest.raises(SourceError, match="not in the table"):
        register(project, "csv", path=str(tmp_path / "f"), allow_missing_columns=True, types={"w": "string"})


# At the terminal


def test_the_path_is_an_argument_and_the_name_its_own(terminal) -> None:
    path = terminal.write("my trips.csv", "zip,b\n00701,1\n10115,2\n")
    assert "(my_trips)" in terminal("datasource", "create", "csv", path).out
    told = terminal("datasource", "create", "csv", path, code=7).err
    assert "there is a datasource named 'my_trips' already" in told
    terminal("datasource", "create", "csv", "--name", "two", path, "--type", "zip=string", "--type", "b=float")
    columns = {c["name"]: c["type"] for c in terminal("datasource", "show", "--json").json["columns"]}
    assert columns == {"zip": "string", "b": "float"}
    terminal(
        "datasource",
        "create",
        "csv",
        "--path",
        path,
        "--name",
        "three",
        "--null",
        "00701",
        "--no_default_nulls",
        "--type",
        "b=string",
    )
    assert terminal("datasource", "show", "--json").json["columns"][0]["nulls"] == 1
    assert "nothing has changed" in terminal("datasource", "commit", "three").out


def test_paths_that_are_mistyped(terminal) -> None:
    path = terminal.write("t.csv", "a\n1\n")
    assert "put a glob into quotes" in terminal("datasource", "create", "csv", path, path, code=2).err
    assert "given twice" in terminal("datasource", "create", "csv", path, "--path", path, code=2).err
    assert "create csv PATH" in terminal("datasource", "create", "csv", code=2).err
    assert "--name NAME" in terminal("datasource", "create", "sqlite", "--uri", path, "--query", "select 1", code=7).err
    assert "did you mean 'integer'?" in terminal("datasource", "create", "csv", path, "--type", "a=intger", code=4).err
