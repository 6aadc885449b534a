"""Tables in object stores: the same rows as from local files, fetched once, credentials and what goes wrong, on real servers."""

from __future__ import annotations

import gzip
import re
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from registering import everything_in, register, rows, stored
from servers import azure_server, gcs_server, s3_server
from terminal import Terminal, table_text
from test_tables_in_files import RECORDS, write_records

from cengine.connections import patience
from cengine.errors import SourceError
from cengine.sources import objects

pytest.importorskip("s3fs", reason="pip install 'cengine-ml[s3]'")


@pytest.fixture
def bucket(s3, monkeypatch):
    """A new bucket: `put(key, bytes)` puts an object there, `address` is s3://..."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return Bucket(s3)


class Bucket:
    def __init__(self, s3) -> None:
        self.client = s3.client()
        self.address = s3.new_bucket()

    def put(self, key: str, content: bytes) -> str:
        self.client.put_object(Bucket=self.address.removeprefix("s3://"), Key=key, Body=content)
        return f"{self.address}/{key}"


@pytest.fixture
def project(terminal: Terminal):
    terminal.project.folder.mkdir(parents=True)
    return terminal.project


def parquet(**columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "name",
    ["t.csv", "t.csv.gz", "t.csv.zst", "t.parquet", "t.json", "array.json", "t.json.gz", "array.json.gz", "t.json.zst"],
)
def test_every_kind_gives_the_rows_of_the_local_file(bucket, project, tmp_path, name) -> None:
    kind = next(kind for kind in ("csv", "parquet", "json") if kind in name)
    local = write_records(tmp_path, name)
    found = register(project, kind, path=bucket.put(f"a folder/{name}", local.read_bytes()))
    assert rows(found, "x") == RECORDS
    assert stored(found).equals(stored(register(project, kind, path=str(local))))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_file_longer_than_what_is_looked_at(bucket, project, tmp_path, compress, monkeypatch) -> None:
    """Its columns are told from its beginning, its types hold for all of it."""
    monkeypatch.setattr(objects, "HEAD_BYTES", 4096)
    text = table_text(5000)
    name = "t.csv" if compress is bytes else "t.csv.gz"
    found = register(project, "csv", path=bucket.put(name, compress(text.encode())))
    (tmp_path / "t.csv").write_text(text)
    assert stored(found).equals(stored(register(project, "csv", path=str(tmp_path / "t.csv"))))


def test_folders_globs_and_hive_partitions(bucket, project) -> None:
    for year, month, value in ((2018, "6", 1), (2018, "7", 2), (2019, "__HIVE_DEFAULT_PARTITION__", 3)):
        bucket.put(f"trips/year={year}/month={month}/part-0.csv", f"x\n{value}\n".encode())
    bucket.put("trips/_SUCCESS", b"")
    bucket.put("trips/year=2018/month=6/_hidden.csv", b"x\n9\n")
    bucket.put("other/a.csv", b"x\n5\n")
    expected = [
        {"x": 1, "year": 2018, "month": 6},
        {"x": 2, "year": 2018, "month": 7},
        {"x": 3, "year": 2019, "month": None},
    ]
    for path in (f"{bucket.address}/trips", f"{bucket.address}/trips/", f"{bucket.address}/trips/*/*/part-*.csv"):
        assert rows(register(project, "csv", path=path), "x") == expected
    assert rows(register(project, "csv", path=f"{bucket.address}/trips/year=2018/*/p*.csv"), "x") == [
        {"x": 1, "month": 6},
        {"x": 2, "month": 7},
    ]
    assert rows(register(project, "csv", path=f"{bucket.address}/trips/year=2018/month=6/part-0.csv"), "x") == [
        {"x": 1}
    ]


def test_types_hold_the_values_of_all_files_and_differences_are_named(bucket, project) -> None:
    bucket.put("f/a.csv", b"x,y\n1,2\n")
    bucket.put("f/b.csv", b"x,y\n1.5,word\n")
    assert rows(register(project, "csv", path=f"{bucket.address}/f"), "x") == [
        {"x": 1.0, "y": "2"},
        {"x": 1.5, "y": "word"},
    ]
    bucket.put("f/c.csv", b"x,z\n1,2\n")
    with pytest.raises(SourceError, match=r"'c.csv' and 'a.csv' have different columns"):
        register(project, "csv", path=f"{bucket.address}/f")


def test_commit_reads_again_only_what_changed(terminal, bucket, s3) -> None:
    path = bucket.put("t.parquet", parquet(x=[1, 2], y=[0.5, None]))
    terminal("datasource", "create", "parquet", "--name", "t", "--path", path)
    assert f"from {path}" in terminal("datasource", "show", "t").out
    before = gets(s3)
    assert "nothing has changed; snapshot 1 of t" in terminal("datasource", "commit", "t").out
    assert gets(s3) == before
    # Other bytes with the same rows are the same snapshot, other rows are not.
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [2, 1], "y": [None, 0.5]}), sink, compression="zstd")
    bucket.put("t.parquet", sink.getvalue().to_pybytes())
    assert "nothing has changed; snapshot 1 of t" in terminal("datasource", "commit", "t").out
    bucket.put("t.parquet", parquet(x=[1, 3], y=[0.5, None]))
    assert "snapshot 2 of t: 2 rows" in terminal("datasource", "commit", "t").out


def gets(s3) -> int:
    """How many objects the server has been asked for."""
    return len(re.findall(r"GET /test-[0-9a-f]+/\S", s3.server.log.read_text()))


def test_a_small_file_is_fetched_once(bucket, project, s3) -> None:
    for number in range(6):
        bucket.put(f"f/{number}.csv.gz", gzip.compress(f"x\n{number}\n".encode()))
    before = gets(s3)
    assert register(project, "csv", path=f"{bucket.address}/f").schema.num_rows == 6
    assert gets(s3) - before == 6


def test_a_large_file_is_fetched_once_besides_its_beginning(bucket, project, s3, monkeypatch) -> None:
    monkeypatch.setattr(objects, "HEAD_BYTES", 4096)
    path = bucket.put("t.csv", table_text(5000).encode())
    before = gets(s3)
    register(project, "csv", path=path)
    assert gets(s3) - before == 2


def test_files_wait_on_disk_within_bounds(bucket, project, monkeypatch) -> None:
    """One file at a time where there is room for no more."""
    monkeypatch.setattr(objects, "MAX_AHEAD_BYTES", 1)
    monkeypatch.setattr(objects, "HEAD_BYTES", 64)
    for number in range(8):
        bucket.put(f"f/{number}.csv", ("x\n" + f"{number}\n" * 1000).encode())
    waiting: list[int] = []
    fetch = objects.Store.fetch

    def counted(self, found, target):
        fetch(self, found, target)
        waiting.append(len(list(target.parent.glob("0*"))))

    monkeypatch.setattr(objects.Store, "fetch", counted)
    assert register(project, "csv", path=f"{bucket.address}/f").schema.num_rows == 8000
    assert waiting == [1] * 8


# What goes wrong


def put_bad(bucket: Bucket, case: str) -> str:
    contents = {
        "empty": ("t.csv", b""),
        "csv that is Parquet": ("t.csv", parquet(x=[1])),
        "parquet that is CSV": ("t.parquet", b"x,y\n1,2\n" * 9),
        "truncated Parquet": ("t.parquet", parquet(x=list(range(9999)))[:-50]),
        "truncated gzip": ("t.csv.gz", gzip.compress(table_text(5000).encode())[:-200]),
        "not gzip": ("t.csv.gz", b"x\n1\n"),
        "ragged": ("t.csv", (table_text(60) + "1.0,a\n").encode()),
        "folder without": ("d/readme.md", b"x"),
        "json that ends early": ("t.json", b'{"x": 1}\n{"x": '),
    }
    name, content = contents[case]
    path = bucket.put(name, content)
    return path.rpartition("/")[0] if case == "folder without" else path


BAD = {
    "empty": ("csv", "t.csv' is empty"), "csv that is Parquet": ("csv", "is a Parquet file"), "parquet that is CSV": ("parquet", "not a Parquet file"),
    "truncated Parquet": ("parquet", "t.parquet' cannot be read as Parquet"), "truncated gzip": ("csv", "t.csv.gz' is truncated or damaged"),
    "not gzip": ("csv", "not gzip"), "ragged": ("csv", "1 of 61 rows"), "folder without": ("csv", "holds no csv files"),
    "json that ends early": ("json", "t.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_file(terminal, bucket, case) -> None:
    kind, says = BAD[case]
    path = put_bad(bucket, case)
    answer = terminal("datasource", "create", kind, "--name", "t", "--path", path, code=4)
    assert says in answer.err
    assert bucket.address in answer.err
    assert "scratch" not in answer.err
    nothing_is_left(terminal)


def nothing_is_left(terminal: Terminal) -> None:
    assert terminal("datasource", "list", "--json").json == []
    assert terminal.leftovers() == []
    assert not list((terminal.project.folder / "artifacts").glob("snapshot/*/*"))


def test_rejected_rows_may_be_left_out(terminal, bucket) -> None:
    path = put_bad(bucket, "ragged")
    answer = terminal("datasource", "create", "csv", "--name", "t", "--path", path, "--allow-rejects")
    assert "60 rows read, 1 rejected" in answer.out


@pytest.mark.parametrize(("path", "says"), [
    ("{bucket}/none.csv", "there is no file or folder"), ("{bucket}/no*.csv", "holds no csv files"), ("s3://no-such-bucket-here/t.csv", "no-such-bucket-here"),
    ("ftp://host/t.csv", "ftp://, which is not known"), ("s3://", "s3://"),
])  # fmt: skip
def test_bad_address(terminal, bucket, path, says) -> None:
    answer = terminal(
        "datasource", "create", "csv", "--name", "t", "--path", path.format(bucket=bucket.address), code=4
    )
    assert says in answer.err
    nothing_is_left(terminal)


def test_no_credentials_and_no_server(terminal, bucket, monkeypatch) -> None:
    path = bucket.put("t.csv", b"x\n1\n")
    create = ("datasource", "create", "csv", "--name", "t", "--path", path)
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.delenv("AWS_SECRET_ACCESS_KEY")
        answer = terminal(*create, code=4)
        assert "there are no credentials for" in answer.err
        assert "AWS_PROFILE" in answer.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "127.0.0.1:9" in terminal(*create, code=4).err
    nothing_is_left(terminal)


def test_credentials_that_are_refused(terminal, bucket, monkeypatch) -> None:
    with s3_server(refuses=True) as refusing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", refusing.endpoint)
        answer = terminal("datasource", "create", "csv", "--name", "t", "--path", "s3://bucket/t.csv", code=4)
    assert "credentials" in answer.err
    assert "testing-secret" not in answer.err
    nothing_is_left(terminal)


def test_a_profile_gives_credentials(terminal, bucket, monkeypatch, tmp_path) -> None:
    path = bucket.put("t.csv", b"x\n1\n")
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = testing\naws_secret_access_key = kept-aside\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert terminal("datasource", "create", "csv", "--name", "t", "--path", path).code == 0
    assert b"kept-aside" not in everything_in(terminal.project.folder)


def test_a_file_that_changes_while_it_is_read(terminal, bucket, monkeypatch) -> None:
    path = bucket.put("t.csv", b"x\n1\n")
    looked = objects.Store.head

    def changing(self, found, *args):
        head = looked(self, found, *args)
        bucket.put("t.csv", b"x\n2\n")
        return head

    monkeypatch.setattr(objects.Store, "head", changing)
    answer = terminal("datasource", "create", "csv", "--name", "t", "--path", path, code=4)
    assert "changed while it was read" in answer.err
    nothing_is_left(terminal)


def test_a_server_that_goes_away(terminal, monkeypatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1.0)
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        bucket = Bucket(server)
        for number in range(3):
            bucket.put(f"f/{number}.csv", table_text(300).encode())
        monkeypatch.setattr(objects, "HEAD_BYTES", 256)
        fetch = objects.Store.fetch

        def stopping(self, found, target):
            if found.name == "1.csv":
                server.server.stop()
            fetch(self, found, target)

        monkeypatch.setattr(objects.Store, "fetch", stopping)
        answer = terminal("datasource", "create", "csv", "--name", "t", "--path", f"{bucket.address}/f", code=4)
    assert "nothing was registered" in answer.err
    nothing_is_left(terminal)


@pytest.mark.parametrize(
    ("path", "package", "extra"),
    [("s3://b/t.csv", "s3fs", "s3"), ("gs://b/t.csv", "gcsfs", "gcs"), ("az://b/t.csv", "adlfs", "azure")],
)
def test_a_missing_package_is_told_with_the_command(project, monkeypatch, path, package, extra) -> None:
    import fsspec.registry  # noqa: F401

    monkeypatch.setitem(sys.modules, package, None)
    for scheme in ("s3", "gs", "az"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    with pytest.raises(SourceError, match=rf"pip install 'cengine-ml\[{extra}\]'"):
        register(project, "csv", path=path)


def test_azure_without_an_account_is_told_what_is_missing(project, monkeypatch) -> None:
    pytest.importorskip("adlfs", reason="pip install 'cengine-ml[azure]'")
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match="AZURE_STORAGE_CONNECTION_STRING"):
        register(project, "csv", path="az://container/t.csv")


# Google Cloud Storage


@pytest.fixture(scope="module")
def gcs():
    with gcs_server() as found:
        yield found


def test_google_cloud_storage(terminal, gcs, monkeypatch) -> None:
    """In processes of their own: the client asks Google's servers about the bucket unless it is told not to before it is imported."""
    import gcsfs.core

    address, endpoint = gcs
    for name, value in (
        ("STORAGE_EMULATOR_HOST", endpoint),
        ("NO_GCE_CHECK", "true"),
        ("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false"),
    ):
        monkeypatch.setenv(name, value)
    files = gcsfs.core.GCSFileSystem(token="anon", skip_instance_cache=True)
    files.pipe_file(f"{address}/trips/year=2018/a.parquet", parquet(x=[1, 2]))
    files.pipe_file(f"{address}/trips/year=2019/b.parquet", parquet(x=[3]))
    created = terminal.start("datasource", "create", "parquet", "--name", "t", "--path", f"{address}/trips").answer()
    assert (created.code, created.err) == (0, "")
    shown = terminal("datasource", "show", "t", "--json").json
    assert (shown["rows"], [column["name"] for column in shown["columns"]]) == (3, ["x", "year"])
    assert "nothing has changed" in terminal.start("datasource", "commit", "t").answer().out


# Azure Blob Storage


@pytest.fixture(scope="module")
def azure():
    with azure_server() as found:
        yield found


def put_blobs(azure, monkeypatch, **blobs: bytes) -> str:
    """The address of a new folder with these files, the credentials being in the environment."""
    from azure.storage.blob import BlobServiceClient

    address, connection = azure
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    folder = f"folder-{uuid.uuid4().hex[:8]}"
    with BlobServiceClient.from_connection_string(connection) as client:
        for name, content in blobs.items():
            client.get_blob_client(address.removeprefix("az://"), f"{folder}/{name}").upload_blob(content)
    return f"{address}/{folder}"


def test_azure_blob_storage(terminal, azure, monkeypatch) -> None:
    blobs = {"year=2018/a.parquet": parquet(x=[1, 2]), "year=2019/b.parquet": parquet(x=[3])}
    address = put_blobs(azure, monkeypatch, **blobs)
    created = terminal("datasource", "create", "parquet", "--name", "t", "--path", address)
    assert created.err == ""
    shown = terminal("datasource", "show", "t", "--json").json
    assert (shown["rows"], [column["name"] for column in shown["columns"]]) == (3, ["x", "year"])
    assert "nothing has changed" in terminal("datasource", "commit", "t").out
    key = azure[1].partition("AccountKey=")[2].partition(";")[0]
    assert key.encode() not in everything_in(terminal.project.folder)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.json"])
def test_every_kind_in_azure_gives_the_rows_of_the_local_file(azure, project, tmp_path, monkeypatch, name) -> None:
    kind = next(kind for kind in ("csv", "parquet", "json") if kind in name)
    local = write_records(tmp_path, name)
    address = put_blobs(azure, monkeypatch, **{name: local.read_bytes()})
    assert stored(register(project, kind, path=f"{address}/{name}")).equals(
        stored(register(project, kind, path=str(local)))
    )


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("{address}/none.csv", "there is no file or folder"),
        ("{address}/no*.csv", "holds no csv files"),
        ("az://no-such-container/t.csv", "no-such-container"),
    ],
)
def test_bad_address_in_azure(terminal, azure, monkeypatch, path, says) -> None:
    address = put_blobs(azure, monkeypatch, **{"t.csv": b"x\n1\n"})
    answer = terminal("datasource", "create", "csv", "--name", "t", "--path", path.format(address=address), code=4)
    assert says in answer.err
    nothing_is_left(terminal)


def test_an_azure_key_that_is_refused(terminal, azure, monkeypatch) -> None:
    address = put_blobs(azure, monkeypatch, **{"t.csv": b"x\n1\n"})
    before, _, after = azure[1].partition("AccountKey=")
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING", f"{before}AccountKey=bm90IHRoZSBrZXk=;{after.partition(';')[2]}"
    )
    answer = terminal("datasource", "create", "csv", "--name", "t", "--path", f"{address}/t.csv", code=4)
    assert "AZURE_STORAGE_CONNECTION_STRING" in answer.err
    assert "bm90IHRoZSBrZXk" not in answer.err
    nothing_is_left(terminal)
